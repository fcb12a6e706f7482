import { alignUp, type ByteSource, congruentUp } from '../../elf/bytes.js';
import {
  CACHE_NOTE_SECTION,
  EM_MIPS,
  PT_LOAD,
  PT_NULL,
  PT_PHDR,
  SHT_NOBITS,
  SHT_NOTE,
  SHT_NULL,
} from '../../elf/constants.js';
import {
  addressOfOffset,
  type CacheNoteLocation,
  type ElfImage,
  type ProgramHeader,
  programHeaderSize,
  type SectionHeader,
  sectionHeaderSize,
} from '../../elf/image.js';
import { hasSections, occupiedRanges, tableEnd } from '../model/occupied.js';
import { tableTagOf } from '../rungs/movable.js';
import type { Block } from '../rungs/room.js';

/** What cannot be read from the file any more. */
export interface Guess {
  /** Of the file, in bytes. */
  readonly size: number;
  /** Where the program header table stood, if it moved. */
  readonly table: { readonly offset: number; readonly address: number } | undefined;
  readonly sections: SectionGuess | undefined;
  /** The segment around the note: it was not there, or it ended at this file offset. */
  readonly load: { readonly index: number; readonly end: number | undefined };
  readonly payloadStart: number;
  /** What moved out of the table's way, at its place now, and where it stood. */
  readonly block: { readonly now: Block; readonly start: number } | undefined;
  /** Empty entries at the end of the table that the note used up. */
  readonly nulls: readonly ProgramHeader[];
  /** Where the `PT_NOTE` stood that covers the note too. */
  readonly reused: { readonly offset: number; readonly address: number; readonly size: number } | undefined;
}

interface SectionGuess {
  readonly count: number;
  readonly e_shoff: number;
  readonly size: number;
  /** File offset of the section names. */
  readonly namesAt: number;
  readonly namesSize: number;
  /** What the table grew over; nothing where it ended the file. */
  readonly grownOver: { readonly start: number; readonly end: number };
}

/** Everything the file may have been, the likeliest first. */
export function* guesses(image: ElfImage, source: ByteSource, note: CacheNoteLocation): Generator<Guess> {
  const index = image.programHeaders.findIndex(
    p => p.p_type === PT_LOAD && p.p_offset <= note.offset && p.p_offset + p.p_filesz === note.end,
  );
  const load = image.programHeaders[index];
  const segment = note.segment === undefined ? undefined : image.programHeaders[note.segment];
  if (load === undefined || segment === undefined) return;
  const owned = ownedSections(image, note, segment);
  for (const sections of sectionGuesses(image, source, note, load, owned)) {
    for (const isTail of placeGuesses(image, load, sections)) {
      yield* guessesAt({ image, source, note, segment, load, index, owned, sections, isTail });
    }
  }
}

interface Context {
  readonly image: ElfImage;
  readonly source: ByteSource;
  readonly note: CacheNoteLocation;
  /** The note's `PT_NOTE`. */
  readonly segment: ProgramHeader;
  /** The `PT_LOAD` around it, and its index. */
  readonly load: ProgramHeader;
  readonly index: number;
  readonly owned: readonly number[];
  readonly sections: SectionGuess | undefined;
  readonly isTail: boolean;
}

function* guessesAt(context: Context): Generator<Guess> {
  const { image, source, note, segment, load, sections, isTail } = context;
  yield* movedTableGuesses(context);
  for (const reused of reuseGuesses(image, source, note, segment)) {
    const copied = typeof reused === 'object';
    const start = copied ? segment.p_offset : blockStart(image, load, note, isTail);
    const moves = !copied && start < note.offset;
    const added = (isTail ? 1 : 0) + (reused === 'none' ? 1 : 0);
    for (const nulls of nullGuesses(image, added)) {
      for (const block of blockGuesses(image, moves ? start : undefined, note, added - nulls.length)) {
        for (const base of payloadGuesses(context, start, block)) {
          const guess = { ...base, sections, block, nulls, table: undefined };
          if (reused !== 'moved') yield { ...guess, reused: copied ? reused : undefined };
          else
            for (const old of movedNoteGuesses(image, segment, note, block)) yield { ...guess, reused: old };
        }
      }
    }
  }
}

/** The table was behind the ELF header, where every linker puts it, and now stands in front of the note. */
function* movedTableGuesses(context: Context): Generator<Guess> {
  const { header, programHeaders } = context.image;
  const offset = header.e_ehsize;
  const address = addressOfOffset(programHeaders, offset, 1);
  if (header.e_phoff === offset || address === undefined) return;
  for (const base of payloadGuesses(context, header.e_phoff, undefined)) {
    const { sections } = context;
    yield { ...base, sections, block: undefined, nulls: [], reused: undefined, table: { offset, address } };
  }
}

function* payloadGuesses(
  { image, load, index, owned, sections, isTail }: Context,
  start: number,
  block: Guess['block'],
): Generator<Pick<Guess, 'load' | 'payloadStart' | 'size'>> {
  const payloadStart = isTail ? load.p_offset : start;
  for (const end of isTail ? [undefined] : loadEndGuesses(image, load, start, owned, block)) {
    for (const size of sizeGuesses(image, load, sections, isTail))
      yield { load: { index, end }, payloadStart, size };
  }
}

/** Whether the note's segment was added for it: told by where the old file ended, where that is known. */
function placeGuesses(image: ElfImage, load: ProgramHeader, sections: SectionGuess | undefined): boolean[] {
  if (sections !== undefined) return [load.p_offset >= sections.size];
  return load.p_offset + load.p_filesz === image.size ? [true, false] : [false];
}

/** A tail starts at an aligned offset; how much of the file before it is alignment, only the section table tells. */
function sizeGuesses(
  image: ElfImage,
  load: ProgramHeader,
  sections: SectionGuess | undefined,
  isTail: boolean,
): number[] {
  if (sections !== undefined) return [sections.size];
  if (!isTail) return [image.size];
  const others = image.programHeaders.filter(p => p.p_type === PT_LOAD && p !== load);
  const lastByte = Math.max(...others.map(p => p.p_offset + p.p_filesz));
  return [...Array.from({ length: 16 }, (_, i) => load.p_offset - i), lastByte];
}

/**
 * An entry that was empty and one that was no entry at all leave the same file. GNU ld leaves an empty one, with an
 * alignment, in every MIPS file, and other linkers leave none.
 */
function nullGuesses(image: ElfImage, added: number): ProgramHeader[][] {
  const result: ProgramHeader[][] = [[]];
  for (let count = 1; count <= added; count++) {
    for (const p_align of [0, image.encoding.wordSize]) {
      result.push(Array.from({ length: count }, () => ({ ...NO_SEGMENT, p_align })));
    }
  }
  return image.header.e_machine === EM_MIPS ? result.reverse() : result;
}

const NO_SEGMENT: ProgramHeader = {
  p_type: PT_NULL,
  p_flags: 0,
  p_offset: 0,
  p_vaddr: 0,
  p_paddr: 0,
  p_filesz: 0,
  p_memsz: 0,
  p_align: 0,
};

/** Indexes of the section headers that elfnote added: the last, and those of copies in the same segment. */
function ownedSections(image: ElfImage, note: CacheNoteLocation, segment: ProgramHeader): number[] {
  const last = image.sectionHeaders.length - 1;
  if (note.section !== last || image.sectionHeaders[last]?.name !== CACHE_NOTE_SECTION) return [];
  const owned = [last];
  for (let i = last - 1; i > 0; i--) {
    const s = image.sectionHeaders[i];
    const inside = s && s.sh_offset >= segment.p_offset && s.sh_offset + s.sh_size <= note.offset;
    const twin = image.sectionHeaders.findIndex(other => other.sh_name === s?.sh_name);
    if (!inside || twin >= i) break;
    owned.unshift(i);
  }
  return owned;
}

function* sectionGuesses(
  image: ElfImage,
  source: ByteSource,
  note: CacheNoteLocation,
  load: ProgramHeader,
  owned: readonly number[],
): Generator<SectionGuess | undefined> {
  if (owned.length === 0) {
    if (note.section === undefined) yield undefined;
    return;
  }
  const { header, encoding, sectionHeaders } = image;
  const strings = sectionHeaders[header.e_shstrndx];
  const count = sectionHeaders.length - owned.length;
  const entrySize = sectionHeaderSize(encoding);
  if (strings === undefined) return;
  const namesSize = strings.sh_size - CACHE_NOTE_SECTION.length - 1;
  const end = header.e_shoff + count * entrySize;
  const atEnd = { count, e_shoff: header.e_shoff, size: end, grownOver: { start: end, end } };
  for (const namesAt of findInGaps(image, source, source.read(strings.sh_offset, namesSize))) {
    // A table that was copied to the end of the file left the old one; any entry but that of the names finds it.
    const known = header.e_shstrndx === count - 1 ? count - 2 : count - 1;
    const entry = source.read(header.e_shoff + known * entrySize, entrySize);
    for (const at of findInGaps(image, source, entry)) {
      for (let pad = 0; pad < encoding.wordSize; pad++) {
        const e_shoff = at - known * entrySize;
        yield { ...atEnd, e_shoff, size: header.e_shoff - pad, namesAt, namesSize };
      }
    }
    yield { ...atEnd, namesAt, namesSize };
    for (const guess of grownGuesses(image, load, strings, end))
      yield { ...atEnd, namesAt, namesSize, ...guess };
  }
}

/** The table grew over zeros, and so did the names, or they were the first thing that was appended. */
function grownGuesses(
  image: ElfImage,
  load: ProgramHeader,
  strings: SectionHeader,
  start: number,
): Pick<SectionGuess, 'size' | 'grownOver'>[] {
  const end = image.header.e_shoff + image.sectionHeaders.length * sectionHeaderSize(image.encoding);
  if (strings.sh_offset !== end) return [{ size: strings.sh_offset, grownOver: { start, end } }];
  const beforeTail = Array.from({ length: 16 }, (_, i) => load.p_offset - i);
  const grownOver = { start, end: end + strings.sh_size };
  return [image.size, ...beforeTail].map(size => ({ size, grownOver }));
}

/** Offsets at which `bytes` stand where nothing in the file is described. */
export function findInGaps(image: ElfImage, source: ByteSource, bytes: Buffer): number[] {
  const found: number[] = [];
  if (bytes.length === 0) return found;
  let end = 0;
  for (const range of occupiedRanges(image).filter(({ kind }) => kind !== 'load')) {
    const size = range.start - end;
    if (size >= bytes.length && size <= bytes.length + 4096 * 16) {
      const gap = source.read(end, size);
      for (let at = gap.indexOf(bytes); at >= 0; at = gap.indexOf(bytes, at + 1)) found.push(end + at);
    }
    end = Math.max(end, range.end);
  }
  return found;
}

/**
 * A `PT_NOTE` that starts before the cache note covers copies, whose originals are found by their bytes, or notes
 * that moved together with it.
 */
function* reuseGuesses(
  image: ElfImage,
  source: ByteSource,
  note: CacheNoteLocation,
  segment: ProgramHeader,
): Generator<NonNullable<Guess['reused']> | 'none' | 'moved'> {
  if (segment.p_offset === note.offset) {
    yield 'none';
    return;
  }
  const copySize = note.offset - segment.p_offset;
  const copy = source.read(segment.p_offset, copySize);
  for (const offset of hasSections(image) ? noteSections(image) : findInLoads(image, source, copy)) {
    const address = addressOfOffset(image.programHeaders, offset, copySize);
    if (offset === segment.p_offset || address === undefined) continue;
    if (!source.read(offset, copySize).equals(copy)) continue;
    for (const size of sizesWithoutPadding(copySize)) yield { offset, address, size };
  }
  yield 'moved';
}

function noteSections(image: ElfImage): number[] {
  return image.sectionHeaders.filter(s => s.sh_type === SHT_NOTE).map(s => s.sh_offset);
}

/** Offsets at which `bytes` stand near the start of a segment. */
function* findInLoads(image: ElfImage, source: ByteSource, bytes: Buffer): Generator<number> {
  for (const load of image.programHeaders) {
    if (load.p_type !== PT_LOAD || load.p_filesz === 0) continue;
    const within = source.read(load.p_offset, Math.min(load.p_filesz, 1 << 16));
    for (let at = within.indexOf(bytes); at >= 0; at = within.indexOf(bytes, at + 1))
      yield load.p_offset + at;
  }
}

function* movedNoteGuesses(
  image: ElfImage,
  segment: ProgramHeader,
  note: CacheNoteLocation,
  block: Guess['block'],
): Generator<NonNullable<Guess['reused']>> {
  if (block === undefined) return;
  const offset = segment.p_offset - block.now.start + block.start;
  const address = addressOfOffset(image.programHeaders, offset, 1);
  if (address === undefined) return;
  for (const size of sizesWithoutPadding(note.offset - segment.p_offset)) yield { offset, address, size };
}

/** Notes may have been padded to 4 bytes in front of the cache note. */
function sizesWithoutPadding(size: number): number[] {
  return [size, size - 1, size - 2, size - 3];
}

/** The first thing in the note's segment that a rung moves, or the note itself. */
function blockStart(image: ElfImage, load: ProgramHeader, note: CacheNoteLocation, isTail: boolean): number {
  const floor = isTail ? load.p_offset : lastOtherEnd(image, load, note);
  const starts = movable(image, floor, note).map(({ start }) => start);
  return Math.min(note.offset, ...starts);
}

interface Piece {
  readonly start: number;
  readonly end: number;
  readonly section: number | undefined;
  readonly segment: number | undefined;
}

/** Sections and program headers in [from, to), and, where only program headers tell, the notes merged with the cache note. */
function movable(image: ElfImage, from: number, note: CacheNoteLocation): Piece[] {
  const to = note.offset;
  const merged = note.segment === undefined ? undefined : image.programHeaders[note.segment];
  const clipped: Piece[] =
    merged === undefined || hasSections(image)
      ? []
      : [{ start: merged.p_offset, end: to, section: undefined, segment: undefined }];
  const sections = image.sectionHeaders.flatMap((s, section): Piece[] =>
    s.sh_type !== SHT_NULL && s.sh_type !== SHT_NOBITS && s.sh_size > 0
      ? [{ start: s.sh_offset, end: s.sh_offset + s.sh_size, section, segment: undefined }]
      : [],
  );
  const segments = image.programHeaders.flatMap((p, segment): Piece[] =>
    p.p_type !== PT_LOAD && p.p_type !== PT_NULL && p.p_type !== PT_PHDR && p.p_filesz > 0
      ? [{ start: p.p_offset, end: p.p_offset + p.p_filesz, section: undefined, segment }]
      : [],
  );
  return [...sections, ...segments, ...clipped].filter(
    piece => piece.start >= from && piece.end <= to && piece.start < piece.end,
  );
}

/** Where the part of a grown segment ends that cannot have moved: code, relocations and the like. */
function lastOtherEnd(image: ElfImage, load: ProgramHeader, note: CacheNoteLocation): number {
  const low = Math.min(
    ...image.sectionHeaders
      .filter(s => s.sh_offset > load.p_offset && s.sh_type !== SHT_NULL)
      .map(s => s.sh_offset),
  );
  const ends = image.sectionHeaders
    .map((s, i) => ({ s, i }))
    .filter(({ s, i }) => i !== note.section && s.sh_offset >= low && s.sh_offset + s.sh_size <= note.offset)
    .filter(({ s }) => s.sh_type !== SHT_NOBITS && s.sh_type !== SHT_NULL && !isMovableKind(image, s))
    .map(({ s }) => s.sh_offset + s.sh_size);
  return Math.max(load.p_offset, ...ends);
}

function isMovableKind(image: ElfImage, section: SectionHeader): boolean {
  return (
    section.sh_type === SHT_NOTE || section.name === '.interp' || tableTagOf(image, section) !== undefined
  );
}

function* blockGuesses(
  image: ElfImage,
  start: number | undefined,
  note: CacheNoteLocation,
  addedEntries: number,
): Generator<Guess['block']> {
  if (start === undefined) {
    yield undefined;
    return;
  }
  const pieces = movable(image, start, note);
  const sections = pieces.flatMap(({ section }) => (section === undefined ? [] : [section]));
  const segments = pieces.flatMap(({ segment }) => (segment === undefined ? [] : [segment]));
  const end = Math.max(...pieces.map(piece => piece.end));
  const address = note.address - note.offset + start;
  const align = Math.max(
    image.encoding.wordSize,
    ...sections.map(i => image.sectionHeaders[i]?.sh_addralign ?? 1),
    ...segments.map(i => image.programHeaders[i]?.p_align ?? 1),
  );
  const tags = sections
    .map(i => image.sectionHeaders[i])
    .map(s => s && tableTagOf(image, s))
    .filter(tag => tag !== undefined);
  const names = sections.map(i => image.sectionHeaders[i]?.name ?? '');
  const now: Block = { start, end, size: end - start, address, align, sections, segments, tags, names };
  const oldTableEnd = tableEnd(image) - addedEntries * programHeaderSize(image.encoding);
  for (const at of new Set([
    congruentUp(oldTableEnd, address, align),
    oldTableEnd,
    alignUp(oldTableEnd, 16),
  ])) {
    if ((at - start) % align === 0) yield { now, start: at };
  }
}

/** Linkers end a segment with its last section, which may be one that moved. */
function loadEndGuesses(
  image: ElfImage,
  load: ProgramHeader,
  payload: number,
  owned: readonly number[],
  block: Guess['block'],
): number[] {
  const moved = block === undefined ? [] : [block.start + block.now.size];
  const ends = image.sectionHeaders
    .filter((s, i) => !owned.includes(i) && s.sh_type !== SHT_NULL && s.sh_type !== SHT_NOBITS)
    .map(s => s.sh_offset + s.sh_size)
    .concat(moved)
    .filter(end => end > load.p_offset && end <= payload);
  if (hasSections(image) && ends.length > 0) return [Math.max(...ends), payload];
  return Array.from({ length: 16 }, (_, i) => payload - i).filter(end => end > load.p_offset);
}
