import { ElfnoteError } from '../errors.js';
import { type ByteSource, type ByteString, byteStringOf, type Encoding } from './bytes.js';
import { DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB } from './constants.js';
import { type DynamicEntry, type DynamicTable, offsetOfAddress, type ProgramHeader } from './image.js';
import { DYN } from './structs.js';
import { Words } from './words.js';

/**
 * Decodes a dynamic section that lies within the file. Strings are found as ld.so finds them, through
 * `DT_STRTAB` and the `PT_LOAD` that holds it.
 *
 * @throws ElfnoteError `malformed` when a string table is missing, unmapped or too short for a name.
 */
export function readDynamic(
  source: ByteSource,
  encoding: Encoding,
  programHeaders: readonly ProgramHeader[],
  segment: ProgramHeader,
): DynamicTable {
  const entries = readEntries(source, encoding, segment);
  const strings = new DynamicStrings(source, programHeaders, entries);
  const needed: ByteString[] = [];
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i];
    if (entry?.d_tag === DT_NEEDED) needed.push(strings.at(entry));
  }
  const text = (tag: number) => {
    const entry = lastOf(entries, tag);
    return entry && strings.at(entry);
  };
  return { entries, needed, soname: text(DT_SONAME), runpath: text(DT_RUNPATH), rpath: text(DT_RPATH) };
}

/** As ld.so sees it: of several entries with a tag the last one counts. */
export function lastOf(entries: readonly DynamicEntry[], tag: number): DynamicEntry | undefined {
  for (let i = entries.length - 1; i >= 0; i--) if (entries[i]?.d_tag === tag) return entries[i];
  return undefined;
}

function readEntries(source: ByteSource, encoding: Encoding, segment: ProgramHeader): DynamicEntry[] {
  const step = DYN.size(encoding);
  const at = DYN.offsets(encoding);
  const bytes = source.read(segment.p_offset, segment.p_filesz);
  const table = new Words(encoding, bytes);
  const entries: DynamicEntry[] = [];
  for (let start = 0; start + step <= bytes.length; start += step) {
    const d_tag = table.word(start + at.d_tag);
    if (d_tag === DT_NULL) break;
    entries.push({ d_tag, d_val: table.word(start + at.d_val), offset: segment.p_offset + start });
  }
  return entries;
}

/** Bytes of all names together; a hostile file can name one long string many times. */
const MOST_STRINGS = 8 << 20;

/** Bytes read at once of a string whose length is not known. */
const PIECE = 512;

class DynamicStrings {
  #left = MOST_STRINGS;
  readonly #source: ByteSource;
  readonly #programHeaders: readonly ProgramHeader[];
  readonly #address: number | undefined;
  readonly #size: number;
  /** What was read last, and its file offset: the names that are asked for are neighbours more often than not. */
  #piece: ByteString = '';
  #pieceStart = 0;

  constructor(
    source: ByteSource,
    programHeaders: readonly ProgramHeader[],
    entries: readonly DynamicEntry[],
  ) {
    this.#source = source;
    this.#programHeaders = programHeaders;
    this.#address = lastOf(entries, DT_STRTAB)?.d_val;
    this.#size = lastOf(entries, DT_STRSZ)?.d_val ?? 0;
  }

  at(entry: DynamicEntry): ByteString {
    if (this.#address === undefined)
      throw this.#fault(entry, 'the dynamic section names a string but has no DT_STRTAB');
    if (entry.d_val >= this.#size) {
      const where = `outside the dynamic string table (${this.#size} bytes)`;
      throw this.#fault(entry, `string ${entry.d_val} lies ${where}`);
    }
    const address = this.#address + entry.d_val;
    const start = offsetOfAddress(this.#programHeaders, address, 1);
    if (start === undefined) throw this.#fault(entry, 'the dynamic string table lies outside every PT_LOAD');
    const end = Math.min(this.#size - entry.d_val, this.#source.size - start, this.#left);
    let text = '';
    for (let done = 0; done < end; ) {
      const from = this.#reach(start + done, end - done);
      const nul = this.#piece.indexOf('\0', from);
      const to = nul < 0 ? this.#piece.length : nul;
      text += this.#piece.slice(from, to);
      done += to - from;
      if (nul < 0 || done >= end) continue;
      this.#left -= text.length;
      return text;
    }
    if (end === this.#left)
      throw this.#fault(entry, 'the strings that the dynamic section names are too long');
    throw this.#fault(entry, `string ${entry.d_val} has no end within the dynamic string table`);
  }

  /** Where a file offset is within the piece, which is read anew if it is not. */
  #reach(offset: number, most: number): number {
    const within = offset - this.#pieceStart;
    if (within >= 0 && within < this.#piece.length) return within;
    this.#piece = byteStringOf(this.#source.read(offset, Math.min(PIECE, most)));
    this.#pieceStart = offset;
    return 0;
  }

  #fault({ offset }: DynamicEntry, message: string): ElfnoteError {
    return new ElfnoteError('malformed', message, { path: this.#source.path, offset });
  }
}
