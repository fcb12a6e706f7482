import assert from 'node:assert/strict';
import { it } from 'node:test';
import { placeTail } from '../../../src/layout/rungs/tail.js';
import { AARCH64, image, program, X86_64 } from '../../support/image.js';

const load = (p_vaddr: number, p_memsz: number) => program({ p_vaddr, p_filesz: 0x10, p_memsz });

const at = (e_machine: number, top: number, is64 = true) =>
  image({ is64, header: { e_machine }, programHeaders: [load(0, 0x10), load(0x1000, top - 0x1000)] });

it('the tail starts where the file ends, rounded to the alignment of what stands in it', () => {
  assert.equal(placeTail(at(X86_64, 0x2345), 0x5001, 4, 100)?.offset, 0x5004);
  assert.equal(placeTail(at(X86_64, 0x2345), 0x5001, 32, 100)?.offset, 0x5020);
  assert.equal(placeTail(at(X86_64, 0x2345), 0x5000, 4, 100)?.offset, 0x5000);
});

it('its address is on pages of its own and congruent to the offset, so the file is not padded', () => {
  assert.deepEqual(placeTail(at(X86_64, 0x2345), 0x5120, 4, 100), {
    offset: 0x5120,
    address: 0x3120,
    p_align: 0x1000,
  });
  assert.equal(placeTail(at(X86_64, 0x3000), 0x5120, 4, 100)?.address, 0x3120);
});

it('pages are of 64 KiB where the architecture has such', () => {
  assert.deepEqual(placeTail(at(AARCH64, 0x12345), 0x5120, 4, 100), {
    offset: 0x5120,
    address: 0x25120,
    p_align: 0x10000,
  });
});

it('it stands above the highest segment, whatever the order, with .bss of gigabytes', () => {
  const programHeaders = [load(0x1000, 40 * 2 ** 30), load(0x400, 0x10)];
  const tail = placeTail(image({ programHeaders }), 0x5120, 4, 100);
  assert.equal(tail?.address, 40 * 2 ** 30 + 0x1000 + 0x120);
});

it('a 32-bit program below 2 GiB stays below 2 GiB, where some kernels begin', () => {
  const end = 2 ** 31;
  assert.equal(placeTail(at(3, end - 0x1000, false), 0x100, 4, 0x100)?.address, end - 0xf00);
  assert.equal(placeTail(at(3, end - 0x1000, false), 0x100, 4, 0xf00)?.address, end - 0xf00);
  assert.equal(placeTail(at(3, end - 0x1000, false), 0x100, 4, 0xf01), undefined);
  assert.equal(placeTail(at(3, end - 0xfff, false), 0x100, 4, 0x100), undefined);
});

it('a 32-bit program above 2 GiB stays clear of the end of the address space', () => {
  const end = 2 ** 32 - 2 ** 16;
  assert.equal(placeTail(at(3, end - 0x1000, false), 0x100, 4, 0xf00)?.address, end - 0xf00);
  assert.equal(placeTail(at(3, end - 0x1000, false), 0x100, 4, 0xf01), undefined);
});

it('the same place is fine for a 64-bit program', () => {
  assert.equal(placeTail(at(X86_64, 2 ** 31 - 0xfff), 0x100, 4, 0x100)?.address, 2 ** 31 + 0x100);
});

it('a 64-bit program stays in the 47 bits of a user address', () => {
  assert.equal(placeTail(at(X86_64, 2 ** 47 - 0x1000), 0x100, 4, 0xf01), undefined);
  assert.equal(placeTail(at(X86_64, 2 ** 47 - 0x1000), 0x100, 4, 0xf00)?.address, 2 ** 47 - 0xf00);
});
