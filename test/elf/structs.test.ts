import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Encoding } from '../../src/elf/bytes.js';
import { DYN, EHDR, NHDR, PHDR, SHDR, SYM } from '../../src/elf/structs.js';

const [ELF32, ELF64] = [new Encoding(false, false), new Encoding(true, true)];

test('the structs have the sizes of elf.h', () => {
  const sizes = [EHDR, PHDR, SHDR, SYM, DYN, NHDR].map(struct => [struct.size(ELF32), struct.size(ELF64)]);
  assert.deepEqual(sizes, [
    [52, 64],
    [32, 56],
    [40, 64],
    [16, 24],
    [8, 16],
    [12, 12],
  ]);
});

test('fields are where elf.h has them, also those that the classes order differently', () => {
  const both = (at: (encoding: Encoding) => number) => [at(ELF32), at(ELF64)];
  assert.deepEqual(
    both(e => EHDR.at(e, 'e_shoff')),
    [32, 40],
  );
  assert.deepEqual(
    both(e => EHDR.at(e, 'e_shstrndx')),
    [50, 62],
  );
  assert.deepEqual(
    both(e => PHDR.at(e, 'p_flags')),
    [24, 4],
  );
  assert.deepEqual(
    both(e => PHDR.at(e, 'p_align')),
    [28, 48],
  );
  assert.deepEqual(
    both(e => SHDR.at(e, 'sh_size')),
    [20, 32],
  );
  assert.deepEqual(
    both(e => SYM.at(e, 'st_value')),
    [4, 8],
  );
  assert.deepEqual(
    both(e => SYM.at(e, 'st_shndx')),
    [14, 6],
  );
});

test('what is put reads back, in the byte order of the file, and other fields stay', () => {
  const bytes = Buffer.alloc(80, 0xff);
  SHDR.put(ELF64, bytes, 8, { sh_type: 7, sh_size: 0x1234 });
  assert.equal(SHDR.get(ELF64, bytes, 8, 'sh_size'), 0x1234);
  assert.equal(bytes.readUInt32LE(12), 7);
  assert.equal(SHDR.get(ELF64, bytes, 8, 'sh_name'), 0xffffffff);
  SYM.put(ELF32, bytes, 0, { st_info: 0x12, st_shndx: 0xfff1 });
  assert.deepEqual([bytes[12], bytes.readUInt16BE(14)], [0x12, 0xfff1]);
  assert.throws(() => PHDR.put(ELF32, bytes, 0, { p_offset: 2 ** 32 }), { code: 'unsupported' });
});
