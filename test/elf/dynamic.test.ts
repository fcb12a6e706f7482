import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BufferSource } from '../../src/elf/bytes.js';
import { DT_NEEDED, DT_NULL, DT_RUNPATH, DT_STRSZ, DT_STRTAB } from '../../src/elf/constants.js';
import type { DynamicTable } from '../../src/elf/image.js';
import { readImage } from '../../src/elf/read.js';
import { ElfnoteError } from '../../src/errors.js';
import { type BuiltElf, buildElf } from '../support/elf-builder.js';
import { ENCODINGS } from '../support/elf-file.js';

function dynamicOf(elf: BuiltElf): DynamicTable {
  const { dynamic } = readImage(new BufferSource(elf.bytes, 'the/file'));
  assert.ok(dynamic !== undefined);
  return dynamic;
}

function refuses(elf: BuiltElf, message: RegExp, offset: number): void {
  assert.throws(
    () => dynamicOf(elf),
    (error: unknown) => {
      assert.ok(error instanceof ElfnoteError, String(error));
      assert.deepEqual(
        { code: error.code, path: error.path, offset: error.offset },
        { code: 'malformed', path: 'the/file', offset },
      );
      assert.match(error.message, message);
      return true;
    },
  );
}

describe('what the dynamic section says', () => {
  test('needed sonames keep their order and their repetitions', () => {
    const needed = ['libz.so', 'liba.so', 'libz.so'];
    assert.deepEqual(dynamicOf(buildElf({ needed })).needed, needed);
  });

  test('the last DT_RUNPATH counts, and the last DT_RPATH', () => {
    const dynamic = dynamicOf(buildElf({ runpath: ['/first', '/last'], rpath: ['/old', '/new'] }));
    assert.equal(dynamic.runpath, '/last');
    assert.equal(dynamic.rpath, '/new');
  });

  test('what is not there is undefined, which is not the empty string', () => {
    const without = dynamicOf(buildElf({ needed: ['a'] }));
    assert.deepEqual([without.runpath, without.rpath, without.soname], [undefined, undefined, undefined]);
    assert.equal(dynamicOf(buildElf({ runpath: '' })).runpath, '');
  });

  test('names are bytes, not text', () => {
    const odd = '\xff\xfe\x80lib\xe9.so';
    assert.deepEqual(dynamicOf(buildElf({ needed: [odd] })).needed, [odd]);
  });

  test('a string may be longer than any one read', () => {
    for (const length of [511, 512, 513, 1024, 70_000]) {
      const runpath = `/${'x'.repeat(length - 1)}`;
      assert.equal(dynamicOf(buildElf({ runpath })).runpath, runpath);
    }
  });

  test('nothing behind DT_NULL counts', () => {
    const elf = buildElf({ needed: ['liba.so', 'libb.so'], runpath: '/x' });
    elf.setWord(elf.dVal(DT_RUNPATH) - 8, DT_NULL);
    // The string table stands behind it, so it is gone too.
    refuses(elf, /^the dynamic section names a string but has no DT_STRTAB$/, elf.dVal(DT_NEEDED) - 8);
  });

  test('a section that ends without DT_NULL is read to its end', () => {
    const elf = buildElf({ needed: ['liba.so'] });
    elf.setWord(elf.phdr(3, 'p_filesz'), 3 * 16);
    const dynamic = dynamicOf(elf);
    assert.deepEqual(dynamic.needed, ['liba.so']);
    assert.equal(dynamic.entries.length, 3);
  });

  for (const { name, ...encoding } of ENCODINGS) {
    test(`each entry of an ${name} file knows its file offset`, () => {
      const elf = buildElf({ ...encoding, needed: ['liba.so', 'libb.so'], runpath: '/x' });
      const { entries } = dynamicOf(elf);
      const w = encoding.is64 ? 8 : 4;
      assert.deepEqual(
        entries.map(entry => entry.d_tag),
        [DT_NEEDED, DT_NEEDED, DT_RUNPATH, DT_STRTAB, DT_STRSZ],
      );
      assert.deepEqual(
        entries.map(entry => entry.offset),
        entries.map((_, i) => elf.at.dynamic + i * 2 * w),
      );
      assert.equal(entries[3]?.d_val, elf.base + elf.at.dynstr);
    });
  }
});

describe('what the dynamic section may not say', () => {
  const spec = { needed: ['liba.so'], runpath: '/x' };
  const entry = (elf: BuiltElf, tag: number) => elf.dVal(tag) - 8;

  test('a name outside the string table is refused at its entry', () => {
    const elf = buildElf(spec);
    elf.setWord(elf.dVal(DT_RUNPATH), 500);
    refuses(elf, /^string 500 lies outside the dynamic string table \(\d+ bytes\)$/, entry(elf, DT_RUNPATH));
  });

  test('a name at the very end of the string table is outside it', () => {
    const elf = buildElf(spec);
    const size = 1 + 'liba.so'.length + 1 + '/x'.length + 1;
    elf.setWord(elf.dVal(DT_RUNPATH), size);
    refuses(elf, new RegExp(`^string ${size} lies outside`), entry(elf, DT_RUNPATH));
  });

  test('an unmapped string table is refused at the entry that needs it', () => {
    const elf = buildElf(spec);
    elf.setWord(elf.dVal(DT_STRTAB), 0x900000);
    refuses(elf, /^the dynamic string table lies outside every PT_LOAD$/, entry(elf, DT_NEEDED));
  });

  test('a string table of no size holds no name', () => {
    const elf = buildElf(spec);
    elf.setWord(elf.dVal(DT_STRSZ), 0);
    refuses(elf, /^string 1 lies outside the dynamic string table \(0 bytes\)$/, entry(elf, DT_NEEDED));
  });

  test('a name that the string table cuts off is refused', () => {
    const elf = buildElf(spec);
    elf.setWord(elf.dVal(DT_STRSZ), 4);
    refuses(elf, /^string 1 has no end within the dynamic string table$/, entry(elf, DT_NEEDED));
  });

  test('a string table that reaches beyond the file ends with the file', () => {
    const elf = buildElf({ ...spec, sections: false });
    elf.setWord(elf.dVal(DT_STRSZ), 2 ** 40);
    assert.deepEqual(dynamicOf(elf).needed, ['liba.so']);
    // `AAAA...` runs on into the dynamic section: its first byte is DT_NEEDED's 1, its second a zero.
    elf.bytes.fill(0x41, elf.at.dynstr + 1, elf.at.dynamic);
    const expected = `${'A'.repeat(elf.at.dynamic - elf.at.dynstr - 1)}\x01`;
    assert.deepEqual(dynamicOf(elf).needed, [expected]);
  });

  test('a section of no content has no entries', () => {
    const elf = buildElf({ needed: ['a'] });
    elf.setWord(elf.phdr(3, 'p_filesz'), 0);
    assert.deepEqual(dynamicOf(elf).entries, []);
  });
});
