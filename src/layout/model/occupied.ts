import { type ByteSource, isZero, PIECE, pieceAt } from '../../elf/bytes.js';
import {
  PT_LOAD,
  PT_NULL,
  PT_PHDR,
  SHT_LOOS,
  SHT_NOBITS,
  SHT_NULL,
  SHT_SYMTAB_SHNDX,
} from '../../elf/constants.js';
import { type ElfImage, programHeaderSize, sectionHeaderSize } from '../../elf/image.js';
import { SHDR } from '../../elf/structs.js';
import { Words } from '../../elf/words.js';

/** A file range [start, end) that something in the file describes. */
export interface Occupied {
  readonly start: number;
  readonly end: number;
  readonly kind: 'elf-header' | 'program-headers' | 'section-headers' | 'section' | 'segment' | 'load';
  /** Index of the section or program header. */
  readonly index: number;
}

export function tableEnd(image: ElfImage): number {
  return image.header.e_phoff + image.programHeaders.length * programHeaderSize(image.encoding);
}

export function hasSections(image: ElfImage): boolean {
  return image.sectionHeaders.length > 0;
}

/**
 * Asked for several times of one image before the next. Not a WeakMap: what that has of files that are done with stays in
 * memory until V8 looks through all of it.
 */
let last: { readonly image: ElfImage; readonly ranges: readonly Occupied[] } | undefined;

/** Everything the headers describe, sorted by start. `PT_PHDR` is the table itself and stands for it. */
export function occupiedRanges(image: ElfImage): readonly Occupied[] {
  if (last?.image !== image) last = { image, ranges: rangesOn(image, -1, Number.POSITIVE_INFINITY) };
  return last.ranges;
}

/** Of those, the ones that have bytes of [from, to). */
export function rangesOn(image: ElfImage, from: number, to: number): Occupied[] {
  const { header, encoding, sectionHeaders, programHeaders } = image;
  const ranges: Occupied[] = [];
  const add = (start: number, size: number, kind: Occupied['kind'], index: number) => {
    const end = start + size;
    if (start < to && end > from) ranges.push({ start, end, kind, index });
  };
  add(0, header.e_ehsize, 'elf-header', 0);
  add(header.e_phoff, tableEnd(image) - header.e_phoff, 'program-headers', 0);
  const tableSize = sectionHeaders.length * sectionHeaderSize(encoding);
  // What is in order already is quick to sort: the section headers come behind what is in front of them.
  let isTableNext = hasSections(image);
  let index = -1;
  for (const s of sectionHeaders) {
    index++;
    if (s.sh_type === SHT_NOBITS || s.sh_size === 0) continue;
    // What a note has left behind, and patchelf moves about. Other such entries may say anything.
    if (s.sh_type === SHT_NULL && (index === 0 || s.sh_offset + s.sh_size > image.size)) continue;
    if (isTableNext && !isBefore(s.sh_offset, s.sh_size, header.e_shoff, tableSize)) {
      add(header.e_shoff, tableSize, 'section-headers', 0);
      isTableNext = false;
    }
    add(s.sh_offset, s.sh_size, 'section', index);
  }
  if (isTableNext) add(header.e_shoff, tableSize, 'section-headers', 0);
  index = -1;
  for (const p of programHeaders) {
    index++;
    if (p.p_type === PT_NULL || p.p_type === PT_PHDR || p.p_filesz === 0) continue;
    add(p.p_offset, p.p_filesz, p.p_type === PT_LOAD ? 'load' : 'segment', index);
  }
  return ranges.sort((a, b) => a.start - b.start || a.end - b.end);
}

function isBefore(start: number, size: number, nextStart: number, nextSize: number): boolean {
  return start < nextStart || (start === nextStart && size < nextSize);
}

/** What patchelf writes over the sections that it moves away: 'X', and 'Z' in later versions. */
const WIPES = { old: 0x58, new: 0x5a } as const;
let wiped: readonly Buffer[] | undefined;

/** Made when it is first asked for: few files have such ranges. */
function wipedPieces(): readonly Buffer[] {
  wiped ??= [Buffer.alloc(PIECE, WIPES.old), Buffer.alloc(PIECE, WIPES.new)];
  return wiped;
}

/**
 * Whether patchelf has wiped the bytes of a range that nothing in the file describes. Where it moved several sections,
 * the zeros that aligned them stand between.
 */
export function isWiped(source: ByteSource, start: number, end: number): boolean {
  let isTouched = false;
  for (let at = start; at < end; at += pieceAt(at, end)) {
    const bytes = source.read(at, pieceAt(at, end));
    if (wipedPieces().some(wiped => bytes.compare(wiped, 0, bytes.length) === 0)) {
      isTouched = true;
      continue;
    }
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i];
      if (byte === 0) continue;
      if (byte !== WIPES.old && byte !== WIPES.new) return false;
      isTouched = true;
    }
  }
  return isTouched;
}

/**
 * Whether the file carries data of its own, as self-extracting archives do: bytes behind the last thing that the
 * headers describe, or bytes other than zero right behind the section header table, where patchelf has put a segment
 * behind such data. Its reader may find it from the end of the file or of that table, so neither may move.
 *
 * Neither a few zeros at the end are such data (patchelf since 0.17 writes one behind all that it has added), nor what
 * a tool that shortens the section header table leaves behind it (patchelf since 0.19, with a cache note's entry).
 */
export function appendedData(image: ElfImage, occupied: readonly Occupied[], source: ByteSource): boolean {
  let end = 0;
  let table: Occupied | undefined;
  for (const range of occupied) {
    if (range.end > end) end = range.end;
    if (range.kind === 'section-headers') table = range;
  }
  const from = table?.end === end ? behindOldHeaders(image, source, end, image.size) : end;
  if (image.size - from >= PADDING || !isZero(source, from, image.size - from)) return true;
  if (table === undefined) return false;
  const next = occupied.find(range => range.start >= table.end);
  if (next === undefined) return false;
  const behind = behindOldHeaders(image, source, table.end, next.start);
  return !isZero(source, behind, next.start - behind);
}

/** More zeros than any section is aligned to in practice may be somebody's. */
const PADDING = 16;

/** Where bytes end that read as further section headers. */
function behindOldHeaders(image: ElfImage, source: ByteSource, start: number, end: number): number {
  const size = sectionHeaderSize(image.encoding);
  let at = start;
  while (at + size <= end && isSectionHeader(image, source.read(at, size))) at += size;
  return at;
}

/** Whether an entry names a section and a range of this file. */
function isSectionHeader({ encoding, sectionHeaders, header, size }: ElfImage, entry: Buffer): boolean {
  const table = new Words(encoding, entry);
  const at = SHDR.offsets(encoding);
  const sh_type = table.u32(at.sh_type);
  const isType = (sh_type > SHT_NULL && sh_type <= SHT_SYMTAB_SHNDX) || sh_type >= SHT_LOOS;
  if (!isType) return false;
  const names = sectionHeaders[header.e_shstrndx]?.sh_size ?? 0;
  const sh_name = table.u32(at.sh_name);
  const sh_addralign = table.word(at.sh_addralign);
  const end = table.word(at.sh_offset) + table.word(at.sh_size);
  const inFile = sh_type === SHT_NOBITS || end <= size;
  const isAligned = sh_addralign <= 2 ** 16 && Number.isInteger(Math.log2(Math.max(1, sh_addralign)));
  // The names may be those of before, which were longer.
  return inFile && isAligned && sh_name > 0 && sh_name < names + 4 * KIB;
}

const KIB = 1024;
