import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isCongruent, MIN_PAGE_SIZE, mapsNothing, maxPageSize } from '../../../src/layout/model/pages.js';
import { program } from '../../support/image.js';

const KIB = 1024;

it('architectures whose kernels use pages of 64 KiB get 64 KiB', () => {
  const machines = { aarch64: 183, arm: 40, ppc: 20, ppc64: 21, mips: 8, loongarch: 258 };
  for (const [name, machine] of Object.entries(machines)) assert.equal(maxPageSize(machine), 64 * KIB, name);
});

it('architectures with pages of 4 KiB alone get 4 KiB', () => {
  const machines = { i386: 3, x86_64: 62, s390: 22, riscv: 243 };
  for (const [name, machine] of Object.entries(machines)) assert.equal(maxPageSize(machine), 4 * KIB, name);
});

it('m68k and sparc64 get what their linkers use', () => {
  assert.equal(maxPageSize(4), 8 * KIB);
  assert.equal(maxPageSize(43), 1024 * KIB);
});

it('an unknown architecture gets 64 KiB, which is congruent at every smaller page too', () => {
  assert.equal(maxPageSize(0xfffe), 64 * KIB);
  for (const machine of [3, 4, 43, 62, 183]) assert.equal(maxPageSize(machine) % MIN_PAGE_SIZE, 0);
});

it('a segment without bytes that starts a page maps nothing, wherever its offset is', () => {
  const at = (p_vaddr: number, size = 0) => program({ p_offset: 0x10, p_vaddr, p_filesz: size });
  assert.ok(!isCongruent(at(0x5000)) && mapsNothing(at(0x5000)));
  assert.ok(isCongruent(at(0x5010)) && !mapsNothing(at(0x5010)));
  assert.ok(!mapsNothing(at(0x5000, 1)) && !mapsNothing(program({ p_vaddr: 0x5000, p_memsz: 1 })));
});

it('a segment that asks for no alignment, as 0 and 1 say, is congruent wherever it is', () => {
  for (const p_align of [0, 1])
    assert.ok(isCongruent(program({ p_offset: 0x123, p_vaddr: 0x5000, p_align })));
  assert.ok(!isCongruent(program({ p_offset: 0x123, p_vaddr: 0x5000, p_align: 2 })));
});
