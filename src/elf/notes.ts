import { ElfnoteError } from '../errors.js';
import { alignUp, type ByteSource, type Encoding, isZero } from './bytes.js';
import {
  CACHE_NOTE_OWNER,
  CACHE_NOTE_SECTION,
  CACHE_NOTE_TYPE,
  PT_NOTE,
  SHT_NOBITS,
  SHT_NULL,
} from './constants.js';
import { addressOfOffset, type CacheNoteLocation, type ElfImage } from './image.js';
import { NHDR } from './structs.js';

const NHDR_SIZE = 12;

type NoteImage = Pick<ElfImage, 'encoding' | 'programHeaders' | 'sectionHeaders'>;

interface Note {
  readonly offset: number;
  readonly descOffset: number;
  readonly n_descsz: number;
  readonly end: number;
}

/**
 * Every cache note: in any `PT_NOTE`, by owner and type, then in a section of its name that no such segment
 * covers (a tool that dropped the program header leaves one behind).
 *
 * @throws ElfnoteError `malformed-note` when a cache note's descriptor leaves its segment.
 */
export function findCacheNotes(source: ByteSource, image: NoteImage): CacheNoteLocation[] {
  const { programHeaders, sectionHeaders } = image;
  const found: CacheNoteLocation[] = [];
  const add = (note: Note, segment: number | undefined, address: number | undefined) => {
    if (found.some(other => other.offset === note.offset)) return;
    const section = sectionHeaders.findIndex(
      s =>
        s.sh_type !== SHT_NULL &&
        s.sh_type !== SHT_NOBITS &&
        s.sh_offset <= note.offset &&
        note.end <= s.sh_offset + s.sh_size,
    );
    found.push({ segment, section: section < 0 ? undefined : section, address: address ?? 0, ...note });
  };
  for (let segment = 0; segment < programHeaders.length; segment++) {
    const p = programHeaders[segment];
    if (p?.p_type !== PT_NOTE || !inFile(source, p.p_offset, p.p_filesz)) continue;
    for (const note of cacheNotesIn(source, image, p.p_offset, p.p_filesz, p.p_align)) {
      add(note, segment, note.offset - p.p_offset + p.p_vaddr);
    }
  }
  for (let i = 0; i < sectionHeaders.length; i++) {
    const s = sectionHeaders[i];
    if (s?.name !== CACHE_NOTE_SECTION || s.sh_type === SHT_NOBITS || s.sh_size === 0) continue;
    for (const note of cacheNotesIn(source, image, s.sh_offset, s.sh_size, s.sh_addralign)) {
      add(note, undefined, addressOfOffset(programHeaders, note.offset, 1));
    }
  }
  return found;
}

/**
 * The owners of the notes in a file range, without their NUL; undefined where the range is not made of notes. Notes
 * padded to 4 and to 8 bytes stand side by side in what some linkers write, so both are understood.
 */
export function noteOwners(
  source: ByteSource,
  encoding: Encoding,
  start: number,
  size: number,
): string[] | undefined {
  const owners: string[] = [];
  const end = start + size;
  for (let offset = start; offset < end; ) {
    if (offset + NHDR_SIZE > end) return undefined;
    const head = source.read(offset, NHDR_SIZE);
    const n_namesz = encoding.u32(head, 0);
    const next = offset + alignUp(NHDR_SIZE + n_namesz, 4) + alignUp(encoding.u32(head, 4), 4);
    if (n_namesz === 0 || next > end || owners.length === MOST_NOTES) return undefined;
    owners.push(source.read(offset + NHDR_SIZE, n_namesz - 1).toString('latin1'));
    offset = next;
    while (offset < end && offset + 4 <= end && (offset - start) % 8 === 4 && isZero(source, offset, 4))
      offset += 4;
  }
  return owners;
}

/**
 * Where the notes of a range end whose rest is zeros; undefined where it is not made of notes. patchelf 0.19 fills a
 * cache note with zeros and leaves them to a `PT_NOTE` that covers other notes too.
 */
export function endOfNotes(
  source: ByteSource,
  encoding: Encoding,
  start: number,
  size: number,
): number | undefined {
  if (noteOwners(source, encoding, start, size) !== undefined) return start + size;
  const end = start + size;
  let at = start;
  for (let walked = 0; at + NHDR_SIZE <= end && walked < MOST_NOTES; walked++) {
    const head = source.read(at, NHDR_SIZE);
    if (head.every(byte => byte === 0)) break;
    at += alignUp(NHDR_SIZE + encoding.u32(head, 0), 4) + alignUp(encoding.u32(head, 4), 4);
  }
  const isOnlyNotes = at > start && at < end && noteOwners(source, encoding, start, at - start) !== undefined;
  return isOnlyNotes && isZero(source, at, end - at) ? at : undefined;
}

/** Real files have a few; a segment of zeros has millions. */
const MOST_NOTES = 4096;

function inFile(source: ByteSource, offset: number, size: number): boolean {
  return Number.isSafeInteger(offset + size) && offset + size <= source.size;
}

/** One note of a segment, whoever owns it. Offsets are file offsets. */
export interface FoundNote extends Note {
  /** Without its NUL; undefined where the name leaves the segment or has no NUL. */
  readonly owner: string | undefined;
  readonly n_type: number;
  /** Whether the descriptor lies inside the segment. */
  readonly isWhole: boolean;
}

/**
 * Walks a note segment as ld.so does: 8-byte padding when it is aligned to 8, else 4.
 * @param wanted notes of another type are passed over.
 */
export function notesIn(
  source: ByteSource,
  encoding: Encoding,
  start: number,
  size: number,
  p_align: number,
  wanted?: number,
): FoundNote[] {
  const padding = p_align === 8 ? 8 : 4;
  const end = start + size;
  const at = NHDR.offsets(encoding);
  const found: FoundNote[] = [];
  let window = NOTHING;
  let from = start;
  let walked = 0;
  for (let offset = start; offset + NHDR_SIZE <= end && walked < MOST_NOTES; walked++) {
    if (offset + NHDR_SIZE > from + window.length) {
      from = offset;
      window = source.read(from, Math.max(NHDR_SIZE, Math.min(end - from, WINDOW, source.size - from)));
    }
    const n_namesz = encoding.u32(window, offset - from + at.n_namesz);
    const n_descsz = encoding.u32(window, offset - from + at.n_descsz);
    const n_type = encoding.u32(window, offset - from + at.n_type);
    const isWanted = wanted === undefined || n_type === wanted;
    const owner = isWanted ? ownerAt(source, offset + NHDR_SIZE, n_namesz, end) : undefined;
    let descOffset = offset + alignUp(NHDR_SIZE + n_namesz, padding);
    const isOurs = n_type === CACHE_NOTE_TYPE && owner === CACHE_NOTE_OWNER;
    // A cache note is written for a 4-aligned segment; one that is in another is still told from a cut one.
    if (isOurs && descOffset + n_descsz > end) descOffset = offset + alignUp(NHDR_SIZE + n_namesz, 4);
    const descEnd = descOffset + n_descsz;
    const next = alignUp(descEnd - start, padding) + start;
    if (isWanted) {
      const isWhole = descEnd <= end;
      found.push({ offset, owner, n_type, descOffset, n_descsz, end: Math.min(next, end), isWhole });
    }
    offset = next;
  }
  return found;
}

const NOTHING: Buffer = Buffer.alloc(0);

/** In bytes: most note segments are smaller, and are read in one call. */
const WINDOW = 4096;

/** No owner that is looked for has a longer name. */
const LONGEST_OWNER = 64;

function ownerAt(source: ByteSource, offset: number, n_namesz: number, end: number): string | undefined {
  if (n_namesz === 0 || n_namesz > LONGEST_OWNER || offset + n_namesz > end) return undefined;
  const name = source.read(offset, n_namesz);
  return name[n_namesz - 1] === 0 ? name.toString('latin1', 0, n_namesz - 1) : undefined;
}

function cacheNotesIn(
  source: ByteSource,
  image: NoteImage,
  start: number,
  size: number,
  p_align: number,
): Note[] {
  const found: Note[] = [];
  for (const note of notesIn(source, image.encoding, start, size, p_align, CACHE_NOTE_TYPE)) {
    const { owner, offset, descOffset, n_descsz, end, isWhole } = note;
    if (owner !== CACHE_NOTE_OWNER) continue;
    if (!isWhole) {
      throw new ElfnoteError(
        'malformed-note',
        `the cache note's descriptor of ${n_descsz} bytes reaches beyond its segment`,
        { path: source.path, offset: offset + 4 },
      );
    }
    found.push({ offset, descOffset, n_descsz, end });
  }
  return found;
}
