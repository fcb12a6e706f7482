import { EM_68K, EM_386, EM_RISCV, EM_S390, EM_SPARCV9, EM_X86_64 } from '../../elf/constants.js';
import type { ProgramHeader } from '../../elf/image.js';

const KIB = 1024;

const MAX_PAGE_SIZE: ReadonlyMap<number, number> = new Map([
  [EM_386, 4 * KIB],
  [EM_X86_64, 4 * KIB],
  [EM_S390, 4 * KIB],
  [EM_RISCV, 4 * KIB],
  [EM_68K, 8 * KIB],
  [EM_SPARCV9, 1024 * KIB],
]);

/** The largest page any kernel for the machine uses; 64 KiB unless known to be another. */
export function maxPageSize(e_machine: number): number {
  return MAX_PAGE_SIZE.get(e_machine) ?? 64 * KIB;
}

/** The smallest page size of any Linux port. */
export const MIN_PAGE_SIZE = 4 * KIB;

/** Whether the kernel and ld.so can map a `PT_LOAD` with the pages it is aligned for. */
export function isCongruent({ p_align, p_vaddr, p_offset }: ProgramHeader): boolean {
  return p_align <= 1 || (p_vaddr - p_offset) % p_align === 0;
}

/**
 * Whether ld.so since 2.35 maps it (`_dl_map_object_from_fd`): it then asks for no more than the smallest page. patchelf
 * 0.18 writes such a segment behind ones that are aligned to 2 MiB.
 */
export function isPageCongruent({ p_vaddr, p_offset }: ProgramHeader): boolean {
  return (p_vaddr - p_offset) % MIN_PAGE_SIZE === 0;
}

/**
 * What strip and objcopy leave of a segment that patchelf has abandoned: no bytes at a page's start, and an offset that
 * need not be congruent. The kernel's elf_map does nothing for it, so a program runs; ld.so refuses it in a library.
 */
export function mapsNothing({ p_align, p_vaddr, p_filesz, p_memsz }: ProgramHeader): boolean {
  return p_filesz === 0 && p_memsz === 0 && p_vaddr % Math.max(p_align, MIN_PAGE_SIZE) === 0;
}
