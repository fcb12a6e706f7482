import { EM_68K, EM_386, EM_RISCV, EM_S390, EM_SPARCV9, EM_X86_64 } from '../elf/constants.js';

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
