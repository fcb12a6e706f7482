import { alignUp } from '../../elf/bytes.js';
import { PT_LOAD } from '../../elf/constants.js';
import type { ElfImage } from '../../elf/image.js';
import { maxPageSize } from '../model/pages.js';

export interface Tail {
  readonly offset: number;
  readonly address: number;
  readonly p_align: number;
}

/**
 * A new segment at the end of the file: the address is above all others and congruent to the offset modulo the
 * architecture's largest page, so the file needs no padding to a page.
 * @param distance of the address from the offset, where it must be that of another segment.
 * @returns undefined when the address space has no room for `size` bytes there.
 */
export function placeTail(
  image: ElfImage,
  fileEnd: number,
  align: number,
  size: number,
  distance?: number,
): Tail | undefined {
  const p_align = maxPageSize(image.header.e_machine);
  const offset = alignUp(fileEnd, align);
  const loads = image.programHeaders.filter(p => p.p_type === PT_LOAD);
  const top = Math.max(...loads.map(p => p.p_vaddr + p.p_memsz));
  if (distance !== undefined) return placeAtDistance(image, offset, align, size, distance);
  const address = alignUp(top, p_align) + (offset % p_align);
  return address + size <= addressLimit(image, top) ? { offset, address, p_align } : undefined;
}

/** The file grows by what the segments take up in memory and not in the file, so far as that is bearable. */
function placeAtDistance(
  image: ElfImage,
  fileEnd: number,
  align: number,
  size: number,
  distance: number,
): Tail | undefined {
  const p_align = maxPageSize(image.header.e_machine);
  const loads = image.programHeaders.filter(p => p.p_type === PT_LOAD);
  const top = Math.max(...loads.map(p => p.p_vaddr + p.p_memsz));
  const offset = alignUp(Math.max(fileEnd, alignUp(top, p_align) - distance), align);
  const address = offset + distance;
  const bearable = offset - fileEnd <= LARGEST_HOLE && distance % p_align === 0;
  return bearable && address + size <= addressLimit(image, top) ? { offset, address, p_align } : undefined;
}

const LARGEST_HOLE = 16 << 20;

/** Half of a 32-bit address space belongs to the kernel on some ports: a program below it stays below it. */
function addressLimit(image: ElfImage, top: number): number {
  if (image.encoding.is64) return 2 ** 47 > top ? 2 ** 47 : Number.MAX_SAFE_INTEGER;
  return top <= 2 ** 31 ? 2 ** 31 : 2 ** 32 - 2 ** 16;
}
