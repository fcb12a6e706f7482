import {
  EM_68K,
  EM_386,
  EM_AARCH64,
  EM_ALPHA,
  EM_ARM,
  EM_LOONGARCH,
  EM_MIPS,
  EM_PARISC,
  EM_PPC,
  EM_PPC64,
  EM_RISCV,
  EM_S390,
  EM_SH,
  EM_SPARC,
  EM_SPARC32PLUS,
  EM_SPARCV9,
  EM_X86_64,
} from './constants.js';

/**
 * The dynamic relocation types of thread-local storage, by machine: module number, offset in the module's block, offset
 * from the thread pointer, descriptor. Without a symbol their addend is an offset in `PT_TLS` and never an address.
 * From each processor's ABI supplement, by the numbers of glibc's `elf.h`.
 */
const TLS_TYPES: ReadonlyMap<number, ReadonlySet<number>> = new Map<number, ReadonlySet<number>>([
  [EM_X86_64, new Set([16, 17, 18, 36])],
  [EM_386, new Set([14, 35, 36, 37, 41])],
  [EM_ARM, new Set([13, 17, 18, 19])],
  // Those below 1028 are the 32-bit ABI's.
  [EM_AARCH64, new Set([184, 185, 186, 187, 1028, 1029, 1030, 1031])],
  [EM_PPC, new Set(range(68, 78))],
  [EM_PPC64, new Set([...range(68, 78), ...range(95, 106), ...range(112, 115)])],
  [EM_S390, new Set([54, 55, 56])],
  [EM_SPARC, new Set(range(74, 79))],
  [EM_SPARC32PLUS, new Set(range(74, 79))],
  [EM_SPARCV9, new Set(range(74, 79))],
  [EM_MIPS, new Set([38, 39, 40, 41, 47, 48])],
  [EM_RISCV, new Set(range(6, 12))],
  [EM_LOONGARCH, new Set([...range(6, 11), 13, 14])],
  [EM_ALPHA, new Set([31, 33, 38])],
  [EM_68K, new Set([40, 41, 42])],
  [EM_SH, new Set([149, 150, 151])],
  [EM_PARISC, new Set([153, 216, 242, 243, 244, 245])],
]);

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** Whether a dynamic relocation type of that machine is one of thread-local storage. */
export function isTlsRelocation(e_machine: number, type: number): boolean {
  return TLS_TYPES.get(e_machine)?.has(type) ?? false;
}
