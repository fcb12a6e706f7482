import { type ByteSource, isZero, largest } from '../../elf/bytes.js';
import { PT_LOAD, PT_NULL, PT_PHDR, SHT_NOBITS, SHT_NULL } from '../../elf/constants.js';
import { type ElfImage, programHeaderSize, sectionHeaderSize } from '../../elf/image.js';

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

const KNOWN = new WeakMap<ElfImage, readonly Occupied[]>();

/** Everything the headers describe, sorted by start. `PT_PHDR` is the table itself and stands for it. */
export function occupiedRanges(image: ElfImage): readonly Occupied[] {
  const known = KNOWN.get(image) ?? computeRanges(image);
  KNOWN.set(image, known);
  return known;
}

function computeRanges(image: ElfImage): Occupied[] {
  const { header, encoding } = image;
  const ranges: Occupied[] = [
    { start: 0, end: header.e_ehsize, kind: 'elf-header', index: 0 },
    { start: header.e_phoff, end: tableEnd(image), kind: 'program-headers', index: 0 },
  ];
  if (hasSections(image)) {
    const size = image.sectionHeaders.length * sectionHeaderSize(encoding);
    ranges.push({ start: header.e_shoff, end: header.e_shoff + size, kind: 'section-headers', index: 0 });
  }
  for (const [index, s] of image.sectionHeaders.entries()) {
    if (s.sh_type === SHT_NULL || s.sh_type === SHT_NOBITS || s.sh_size === 0) continue;
    ranges.push({ start: s.sh_offset, end: s.sh_offset + s.sh_size, kind: 'section', index });
  }
  for (const [index, p] of image.programHeaders.entries()) {
    if (p.p_type === PT_NULL || p.p_type === PT_PHDR || p.p_filesz === 0) continue;
    const kind = p.p_type === PT_LOAD ? 'load' : 'segment';
    ranges.push({ start: p.p_offset, end: p.p_offset + p.p_filesz, kind, index });
  }
  return ranges.sort((a, b) => a.start - b.start || a.end - b.end);
}

/** What patchelf writes over the sections that it moves away: 'X', and 'Z' in later versions. */
const WIPES: ReadonlySet<number | undefined> = new Set([0x58, 0x5a]);

/** Whether patchelf has wiped all bytes of a range that nothing in the file describes; the same byte throughout. */
export function isWiped(source: ByteSource, start: number, end: number): boolean {
  const bytes = source.read(start, end - start);
  return WIPES.has(bytes[0]) && bytes.every(byte => byte === bytes[0]);
}

/**
 * Whether the file carries data of its own, as self-extracting archives do: bytes behind the last thing that the
 * headers describe, or bytes other than zero right behind the section header table, where patchelf has put a segment
 * behind such data. Its reader may find it from the end of the file or of that table, so neither may move.
 */
export function appendedData(image: ElfImage, occupied: readonly Occupied[], source: ByteSource): boolean {
  if (image.size > largest(occupied.map(range => range.end))) return true;
  const table = occupied.find(range => range.kind === 'section-headers');
  if (table === undefined) return false;
  const next = occupied.find(range => range.start >= table.end);
  return next !== undefined && !isZero(source, table.end, next.start - table.end);
}
