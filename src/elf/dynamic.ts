import { ElfnoteError } from '../errors.js';
import { type ByteSource, type ByteString, byteStringOf, type Encoding } from './bytes.js';
import { DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB } from './constants.js';
import { type DynamicEntry, type DynamicTable, offsetOfAddress, type ProgramHeader } from './image.js';
import { DYN } from './structs.js';

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
  const last = (tag: number) => entries.findLast(entry => entry.d_tag === tag);
  const text = (entry: DynamicEntry | undefined) => entry && strings.at(entry);
  return {
    entries,
    needed: entries.filter(entry => entry.d_tag === DT_NEEDED).map(entry => strings.at(entry)),
    soname: text(last(DT_SONAME)),
    runpath: text(last(DT_RUNPATH)),
    rpath: text(last(DT_RPATH)),
  };
}

function readEntries(source: ByteSource, encoding: Encoding, segment: ProgramHeader): DynamicEntry[] {
  const step = DYN.size(encoding);
  const bytes = source.read(segment.p_offset, segment.p_filesz);
  const entries: DynamicEntry[] = [];
  for (let at = 0; at + step <= bytes.length; at += step) {
    const d_tag = DYN.get(encoding, bytes, at, 'd_tag');
    if (d_tag === DT_NULL) break;
    entries.push({
      d_tag,
      d_val: DYN.get(encoding, bytes, at, 'd_val'),
      offset: segment.p_offset + at,
    });
  }
  return entries;
}

/** Bytes of all names together; a hostile file can name one long string many times. */
const MOST_STRINGS = 8 << 20;

class DynamicStrings {
  #left = MOST_STRINGS;
  readonly #source: ByteSource;
  readonly #programHeaders: readonly ProgramHeader[];
  readonly #address: number | undefined;
  readonly #size: number;

  constructor(
    source: ByteSource,
    programHeaders: readonly ProgramHeader[],
    entries: readonly DynamicEntry[],
  ) {
    this.#source = source;
    this.#programHeaders = programHeaders;
    this.#address = entries.findLast(entry => entry.d_tag === DT_STRTAB)?.d_val;
    this.#size = entries.findLast(entry => entry.d_tag === DT_STRSZ)?.d_val ?? 0;
  }

  at(entry: DynamicEntry): ByteString {
    const fail = (message: string) =>
      new ElfnoteError('malformed', message, { path: this.#source.path, offset: entry.offset });
    if (this.#address === undefined) throw fail('the dynamic section names a string but has no DT_STRTAB');
    if (entry.d_val >= this.#size) {
      throw fail(`string ${entry.d_val} lies outside the dynamic string table (${this.#size} bytes)`);
    }
    const address = this.#address + entry.d_val;
    const start = offsetOfAddress(this.#programHeaders, address, 1);
    if (start === undefined) throw fail('the dynamic string table lies outside every PT_LOAD');
    const end = Math.min(this.#size - entry.d_val, this.#source.size - start, this.#left);
    const pieces: Buffer[] = [];
    for (let done = 0; done < end; done += 512) {
      const piece = this.#source.read(start + done, Math.min(512, end - done));
      const nul = piece.indexOf(0);
      if (nul >= 0) {
        this.#left -= done + nul;
        return byteStringOf(Buffer.concat([...pieces, piece.subarray(0, nul)]));
      }
      pieces.push(piece);
    }
    if (end === this.#left) throw fail('the strings that the dynamic section names are too long');
    throw fail(`string ${entry.d_val} has no end within the dynamic string table`);
  }
}
