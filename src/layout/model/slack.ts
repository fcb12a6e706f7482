import { alignUp, type ByteSource, isZero } from '../../elf/bytes.js';
import { PF_R, PF_W, PT_LOAD } from '../../elf/constants.js';
import type { ElfImage, ProgramHeader } from '../../elf/image.js';
import { isWiped, type Occupied } from './occupied.js';
import { MIN_PAGE_SIZE } from './pages.js';

/** Unused file bytes right behind a read-only segment, which may grow over them, or inside one. */
export interface Slack {
  /** Index of the `PT_LOAD`. */
  readonly load: number;
  /** Whether the segment covers the bytes already. */
  readonly inside?: boolean;
  /** File offset and address of the first byte. */
  readonly offset: number;
  readonly address: number;
  /** Bytes up to the next thing in the file or the next segment's pages. They may not all be zero. */
  readonly size: number;
}

/**
 * The gaps behind the read-only segments, plain data before code.
 * @param mayGrow whether a segment that ends the file may grow over its end.
 */
export function findSlack(image: ElfImage, occupied: readonly Occupied[], mayGrow: boolean): Slack[] {
  const result: Slack[] = [];
  let load = -1;
  for (const p of image.programHeaders) {
    load++;
    if (p.p_type !== PT_LOAD || (p.p_flags & (PF_R | PF_W)) !== PF_R) continue;
    if (p.p_filesz !== p.p_memsz || p.p_filesz === 0) continue;
    const offset = p.p_offset + p.p_filesz;
    const address = p.p_vaddr + p.p_memsz;
    const inFile = mayGrow && offset === image.size ? Number.POSITIVE_INFINITY : fileGap(offset, occupied);
    const toTop = image.encoding.is64 ? Number.POSITIVE_INFINITY : 2 ** 32 - address;
    const size = Math.min(inFile, addressGap(p, image.programHeaders), toTop);
    if (size > 0) result.push({ load, offset, address, size });
  }
  const flags = (slack: Slack) => image.programHeaders[slack.load]?.p_flags ?? 0;
  return result.sort((a, b) => flags(a) - flags(b) || a.load - b.load);
}

/**
 * Unused bytes between what the headers describe inside read-only segments: zeros that align the section behind them
 * (lld's `.rodata` to 4 KiB), and what patchelf has wiped where it moved a section away. Without section headers
 * nothing tells what a segment's bytes are.
 * @param from file offset below which nothing is taken: later tools make room there for the program header table.
 */
export function findGaps(
  image: ElfImage,
  source: ByteSource,
  occupied: readonly Occupied[],
  from: number,
): Slack[] {
  if (image.sectionHeaders.length === 0) return [];
  const result: Slack[] = [];
  const described = occupied.filter(range => range.kind !== 'load');
  let load = -1;
  for (const p of image.programHeaders) {
    load++;
    if (p.p_type !== PT_LOAD || (p.p_flags & (PF_R | PF_W)) !== PF_R) continue;
    let end = from;
    for (const range of described) {
      const start = alignUp(end, GAP_ALIGN);
      const size = range.start - start;
      const within = start > p.p_offset && range.start <= p.p_offset + p.p_filesz;
      if (size > 0 && within && isUnused(image, source, start, range))
        result.push({ load, inside: true, offset: start, address: start - p.p_offset + p.p_vaddr, size });
      end = Math.max(end, range.end);
    }
  }
  const flags = (slack: Slack) => image.programHeaders[slack.load]?.p_flags ?? 0;
  return result.sort((a, b) => flags(a) - flags(b) || a.offset - b.offset);
}

const GAP_ALIGN = 4;

function isUnused(image: ElfImage, source: ByteSource, start: number, next: Occupied): boolean {
  const align = next.kind === 'section' ? (image.sectionHeaders[next.index]?.sh_addralign ?? 1) : 1;
  const size = next.start - start;
  return isZero(source, start, size) ? size < align : isWiped(source, start, next.start);
}

/**
 * Bytes from `offset` to whatever comes next in the file; 0 when something already covers `offset`, and when nothing
 * comes next: what stands behind the last described byte is somebody's appended data, even where it is zero.
 * @param occupied sorted by start.
 */
export function fileGap(offset: number, occupied: readonly Occupied[]): number {
  for (const range of occupied) {
    if (range.start >= offset) return range.start - offset;
    if (range.end > offset) return 0;
  }
  return 0;
}

/**
 * Bytes that a segment can grow in memory before it reaches a page of the next one. Where the segments are
 * apart at a large page size (the file's own `p_align`), they must stay so.
 */
export function addressGap(load: ProgramHeader, programHeaders: readonly ProgramHeader[]): number {
  const end = load.p_vaddr + load.p_memsz;
  let next = Number.POSITIVE_INFINITY;
  let page = MIN_PAGE_SIZE;
  for (const p of programHeaders) {
    if (p.p_type !== PT_LOAD) continue;
    if (p.p_vaddr >= end && p !== load && p.p_vaddr < next) next = p.p_vaddr;
    if (p.p_align > page) page = p.p_align;
  }
  if (next === Number.POSITIVE_INFINITY) return next;
  while (page >= MIN_PAGE_SIZE) {
    const nextPage = Math.floor(next / page) * page;
    if (Math.ceil(end / page) * page <= nextPage) return nextPage - end;
    page /= 2;
  }
  return 0;
}
