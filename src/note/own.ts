import { alignUp, type ByteSource, bytesOf, type Encoding } from '../elf/bytes.js';
import type { CacheNoteLocation, ElfImage } from '../elf/image.js';
import { NHDR } from '../elf/structs.js';
import { NOTE_ALIGN } from './cache.js';

/**
 * Notes of elfnote's own stand right behind the cache note, in the same section and `PT_NOTE`. Whoever looks for the
 * cache note (nixpkgs' patch, the audit module) stops at the first note that is one, and never gets to these.
 */
export const OWN_OWNER = 'elfnote';

const OWNER = bytesOf(`${OWN_OWNER}\0`);

/** `n_type` of the notes of that owner. readelf calls any owner's type 1 a version. */
export const OWN_TYPE = { closure: 2, undo: 3 } as const;

/** Bytes before the descriptor: `Elf_Nhdr` and the owner with its NUL, which need no padding. */
export const OWN_DESC_START = 20;

/** One of them; file offsets and sizes in bytes. */
export interface OwnNote {
  readonly n_type: number;
  readonly offset: number;
  readonly descOffset: number;
  readonly n_descsz: number;
  /** End of the descriptor and its padding. */
  readonly end: number;
}

/** A whole note of elfnote's own, padded to 4 bytes. */
export function encodeOwnNote(n_type: number, desc: Buffer, encoding: Encoding): Buffer {
  const note = Buffer.alloc(alignUp(OWN_DESC_START + desc.length, NOTE_ALIGN));
  putOwnNote(note, 0, n_type, desc, encoding);
  return note;
}

/** Writes a note of elfnote's own into `bytes` at `at`; its padding is zero, and is not written. */
export function putOwnNote(
  bytes: Buffer,
  at: number,
  n_type: number,
  desc: Buffer,
  encoding: Encoding,
): void {
  NHDR.put(encoding, bytes, at, { n_namesz: OWNER.length, n_descsz: desc.length, n_type });
  bytes.set(OWNER, at + NHDR.size(encoding));
  bytes.set(desc, at + OWN_DESC_START);
}

/** What every note of that owner and type starts with, but for the size of its descriptor. */
export function ownNoteStart(n_type: number, encoding: Encoding): Buffer {
  const start = Buffer.alloc(4 + OWNER.length);
  encoding.putU32(start, 0, n_type);
  OWNER.copy(start, 4);
  return start;
}

/** The notes of elfnote's own behind a cache note, as far as the note's segment or section goes. */
export function ownNotesBehind(image: ElfImage, source: ByteSource, note: CacheNoteLocation): OwnNote[] {
  const found: OwnNote[] = [];
  const limit = Math.min(source.size, containerEnd(image, note));
  for (let at = note.end; ; ) {
    const own = ownNoteAt(source, image.encoding, at, limit);
    if (own === undefined) return found;
    found.push(own);
    at = own.end;
  }
}

/** The note of elfnote's own at a file offset, if it lies below `limit`. */
export function ownNoteAt(
  source: ByteSource,
  encoding: Encoding,
  offset: number,
  limit: number,
): OwnNote | undefined {
  if (offset + OWN_DESC_START > limit) return undefined;
  const head = ownNoteHead(source.read(offset, OWN_DESC_START), 0, encoding);
  if (head === undefined) return undefined;
  const { n_type, n_descsz } = head;
  const descOffset = offset + OWN_DESC_START;
  const end = alignUp(descOffset + n_descsz, NOTE_ALIGN);
  return end <= limit ? { n_type, offset, descOffset, n_descsz, end } : undefined;
}

/** What the header at `at` says, if it is of a note of elfnote's own. The bytes hold all of it and the owner. */
export function ownNoteHead(
  bytes: Buffer,
  at: number,
  encoding: Encoding,
): Pick<OwnNote, 'n_type' | 'n_descsz'> | undefined {
  const isOwn =
    encoding.u32(bytes, at) === OWNER.length &&
    bytes.compare(OWNER, 0, OWNER.length, at + 12, at + OWN_DESC_START) === 0;
  return isOwn ? { n_type: encoding.u32(bytes, at + 8), n_descsz: encoding.u32(bytes, at + 4) } : undefined;
}

/** The file offset at which all that elfnote has put behind a cache note ends. */
export function ownEnd(image: ElfImage, source: ByteSource, note: CacheNoteLocation): number {
  return ownNotesBehind(image, source, note).at(-1)?.end ?? note.end;
}

function containerEnd(image: ElfImage, { segment, section }: CacheNoteLocation): number {
  const p = segment === undefined ? undefined : image.programHeaders[segment];
  if (p !== undefined) return p.p_offset + p.p_filesz;
  const s = section === undefined ? undefined : image.sectionHeaders[section];
  return s === undefined ? 0 : s.sh_offset + s.sh_size;
}
