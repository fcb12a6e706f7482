import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Encoding } from '../../src/elf/bytes.js';
import type { ElfHeader } from '../../src/elf/image.js';
import { judgeCandidate } from '../../src/resolve/candidate.js';
import type { Candidate } from '../../src/resolve/probe.js';
import { ELF } from '../support/memory-probe.js';

const HEADER: ElfHeader = {
  e_type: 2,
  e_machine: 62,
  e_flags: 0,
  e_phoff: 64,
  e_phentsize: 56,
  e_phnum: 1,
  e_shoff: 0,
  e_shentsize: 64,
  e_shnum: 0,
  e_shstrndx: 0,
  e_ehsize: 64,
  osabi: 0,
  abiversion: 0,
};

/** What becomes of a candidate that differs in `candidate` from what a 64-bit little-endian object wants. */
function verdict(candidate: Candidate, e_machine = 62, e_flags = 0, encoding = new Encoding(true, true)) {
  return judgeCandidate(candidate, { encoding, header: { ...HEADER, e_machine, e_flags } });
}

describe('what ld.so does with a candidate', () => {
  const rows: [rule: string, candidate: Candidate, kind: string, why?: string][] = [
    ['a shared object of the same kind is accepted', ELF, 'accepted'],
    ['a program of the same kind is accepted', { ...ELF, e_type: 2 }, 'accepted'],
    ['an absent file is passed over', { kind: 'absent', why: 'not there' }, 'passed-over', 'not there'],
    [
      'a dangling link is passed over',
      { kind: 'absent', why: 'dangling link' },
      'passed-over',
      'dangling link',
    ],
    [
      'the other ELF class is passed over',
      { ...ELF, is64: false },
      'passed-over',
      'wrong ELF class (32-bit)',
    ],
    ['another machine is passed over', { ...ELF, e_machine: 183 }, 'passed-over', 'other machine (183)'],
    ['the other byte order ends the program', { ...ELF, littleEndian: false }, 'fatal', 'other byte order'],
    ['a broken file ends the program', { kind: 'broken', why: 'too short' }, 'fatal', 'too short'],
    ['an object file ends the program', { ...ELF, e_type: 1 }, 'fatal', 'neither ET_DYN nor ET_EXEC'],
    ['a core file ends the program', { ...ELF, e_type: 4 }, 'fatal', 'neither ET_DYN nor ET_EXEC'],
  ];
  for (const [rule, candidate, kind, why] of rows) {
    test(rule, () => {
      assert.deepEqual(verdict(candidate), why === undefined ? { kind } : { kind, why });
    });
  }

  test('the class is compared first, then the byte order, then the machine, then the type', () => {
    const wrong = { ...ELF, is64: false, littleEndian: false, e_machine: 3, e_type: 1 };
    assert.deepEqual(verdict(wrong), { kind: 'passed-over', why: 'wrong ELF class (32-bit)' });
    assert.deepEqual(verdict({ ...wrong, is64: true }), { kind: 'fatal', why: 'other byte order' });
    assert.deepEqual(verdict({ ...wrong, is64: true, littleEndian: true }), {
      kind: 'passed-over',
      why: 'other machine (3)',
    });
    assert.deepEqual(verdict({ ...ELF, e_type: 1 }), { kind: 'fatal', why: 'neither ET_DYN nor ET_EXEC' });
  });

  test('a 64-bit candidate is passed over by a 32-bit object', () => {
    assert.deepEqual(verdict(ELF, 62, 0, new Encoding(false, true)), {
      kind: 'passed-over',
      why: 'wrong ELF class (64-bit)',
    });
  });
});

describe('machines with two numbers', () => {
  const rows: [rule: string, wanted: number, candidate: number, accepted: boolean][] = [
    ['SPARC32PLUS runs SPARC', 18, 2, true],
    ['SPARC runs SPARC32PLUS', 2, 18, true],
    ['SPARCV9 is neither', 43, 18, false],
    ['MIPS and MIPS_RS3_LE are one', 8, 10, true],
    ['MIPS_RS3_LE and MIPS are one', 10, 8, true],
    ['SPARC is not MIPS', 2, 8, false],
  ];
  for (const [rule, wanted, e_machine, accepted] of rows) {
    test(rule, () => {
      assert.equal(verdict({ ...ELF, e_machine }, wanted).kind, accepted ? 'accepted' : 'passed-over');
    });
  }
});

describe('ABI flags that the architecture compares', () => {
  const PPC64 = 21;
  const MIPS = 8;
  const RISCV = 243;
  const LOONGARCH = 258;
  const rows: [rule: string, machine: number, wanted: number, candidate: number, accepted: boolean][] = [
    ['ppc64: ELFv2 runs ELFv2', PPC64, 2, 2, true],
    ['ppc64: ELFv2 passes ELFv1 over', PPC64, 2, 1, false],
    ['ppc64: ELFv1 passes ELFv2 over', PPC64, 1, 2, false],
    ['ppc64: a candidate of no stated ABI goes with either', PPC64, 2, 0, true],
    ['ppc64: an object of no stated ABI takes either', PPC64, 0, 1, true],
    ['ppc64: other flags do not matter', PPC64, 2, 0x102, true],
    ['riscv: double-float runs double-float', RISCV, 4, 4, true],
    ['riscv: double-float passes soft-float over', RISCV, 4, 0, false],
    ['riscv: double-float passes single-float over', RISCV, 4, 2, false],
    ['riscv: soft-float passes double-float over', RISCV, 0, 4, false],
    ['riscv: compressed code (RVC) does not matter', RISCV, 5, 4, true],
    ['riscv: the memory model (TSO) does not matter', RISCV, 4, 0x14, true],
    ['mips: nan2008 runs nan2008', MIPS, 0x400, 0x400, true],
    ['mips: legacy NaN passes nan2008 over', MIPS, 0, 0x400, false],
    ['mips: nan2008 passes legacy NaN over', MIPS, 0x400, 0, false],
    ['mips: N32 passes O32 over', MIPS, 0x20, 0, false],
    ['mips: O32 passes N32 over', MIPS, 0, 0x20, false],
    ['mips: old O32 FP64 is another ABI', MIPS, 0, 0x200, false],
    ['mips: the architecture level does not matter', MIPS, 0x70001000, 0x50001000, true],
    ['mips: position independence does not matter', MIPS, 0x4, 0x6, true],
    ['mips: MIPS_RS3_LE compares them too', 10, 0x400, 0, false],
    ['loongarch: lp64d runs lp64d', LOONGARCH, 0x43, 0x43, true],
    ['loongarch: lp64d passes lp64s over', LOONGARCH, 0x43, 0x41, false],
    ['loongarch: the object ABI version does not matter', LOONGARCH, 0x43, 0x03, true],
    ['x86-64: no flag matters', 62, 0, 0xffffffff, true],
    ['arm: no flag matters', 40, 0x5000400, 0x5000200, true],
    ['aarch64: no flag matters', 183, 0, 7, true],
  ];
  for (const [rule, machine, wanted, e_flags, accepted] of rows) {
    test(rule, () => {
      const result = verdict({ ...ELF, e_machine: machine, e_flags }, machine, wanted);
      assert.deepEqual(
        result,
        accepted
          ? { kind: 'accepted' }
          : { kind: 'passed-over', why: `other ABI (e_flags 0x${e_flags.toString(16)})` },
      );
    });
  }

  test('the flags are compared before the type, so another ABI never ends the program', () => {
    const other = { ...ELF, e_machine: PPC64, e_flags: 1, e_type: 1 };
    assert.equal(verdict(other, PPC64, 2).kind, 'passed-over');
  });
});
