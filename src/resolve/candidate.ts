import {
  EM_LOONGARCH,
  EM_MIPS,
  EM_MIPS_RS3_LE,
  EM_PPC64,
  EM_RISCV,
  EM_SPARC,
  EM_SPARC32PLUS,
  ET_DYN,
  ET_EXEC,
} from '../elf/constants.js';
import type { ElfImage } from '../elf/image.js';
import type { Candidate } from './probe.js';

/** What ld.so does with a candidate: take it, try the next directory, or end the program. */
export type Verdict =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'passed-over'; readonly why: string }
  | { readonly kind: 'fatal'; readonly why: string };

type Wanted = Pick<ElfImage, 'encoding' | 'header'>;

/** glibc's `open_verify`, in its order: class, byte order, machine and its ABI flags, type. */
export function judgeCandidate(candidate: Candidate, wanted: Wanted): Verdict {
  if (candidate.kind === 'absent') return { kind: 'passed-over', why: candidate.why };
  if (candidate.kind === 'broken') return { kind: 'fatal', why: candidate.why };
  if (candidate.is64 !== wanted.encoding.is64) {
    return { kind: 'passed-over', why: `wrong ELF class (${candidate.is64 ? 64 : 32}-bit)` };
  }
  if (candidate.littleEndian !== wanted.encoding.littleEndian) {
    return { kind: 'fatal', why: 'other byte order' };
  }
  if (!sameMachine(candidate.e_machine, wanted.header.e_machine)) {
    return { kind: 'passed-over', why: `other machine (${candidate.e_machine})` };
  }
  if (!abiFlagsMatch(candidate.e_flags, wanted.header)) {
    return { kind: 'passed-over', why: `other ABI (e_flags 0x${candidate.e_flags.toString(16)})` };
  }
  if (candidate.e_type !== ET_DYN && candidate.e_type !== ET_EXEC) {
    return { kind: 'fatal', why: 'neither ET_DYN nor ET_EXEC' };
  }
  return { kind: 'accepted' };
}

const SAME_MACHINE: readonly (readonly number[])[] = [
  [EM_SPARC, EM_SPARC32PLUS],
  [EM_MIPS, EM_MIPS_RS3_LE],
];

function sameMachine(one: number, other: number): boolean {
  return one === other || SAME_MACHINE.some(group => group.includes(one) && group.includes(other));
}

const EF_PPC64_ABI = 3;
/** `EF_MIPS_ABI2`, `EF_MIPS_FP64` (the old O32 FP64) and `EF_MIPS_NAN2008`. */
const EF_MIPS_ABI_FLAGS = 0x20 | 0x200 | 0x400;
const EF_RISCV_FLOAT_ABI = 6;
const EF_LARCH_ABI_MODIFIER = 7;

/**
 * What each architecture's `elf_machine_matches_host` compares in `e_flags`, with the requesting object in
 * the place of the running loader.
 */
function abiFlagsMatch(flags: number, wanted: { e_machine: number; e_flags: number }): boolean {
  const same = (mask: number) => (flags & mask) === (wanted.e_flags & mask);
  switch (wanted.e_machine) {
    case EM_PPC64:
      // 0 means unspecified and goes with either ABI.
      return (flags & EF_PPC64_ABI) === 0 || (wanted.e_flags & EF_PPC64_ABI) === 0 || same(EF_PPC64_ABI);
    case EM_MIPS:
    case EM_MIPS_RS3_LE:
      return same(EF_MIPS_ABI_FLAGS);
    case EM_RISCV:
      return same(EF_RISCV_FLOAT_ABI);
    case EM_LOONGARCH:
      return same(EF_LARCH_ABI_MODIFIER);
    default:
      return true;
  }
}
