import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  alignUp,
  BufferSource,
  byteStringOf,
  bytesOf,
  checkRange,
  congruentUp,
  displayBytes,
  Encoding,
  escapeControls,
  isZero,
  PatchedSource,
  zeroRun,
} from '../../src/elf/bytes.js';
import { Table } from '../../src/elf/table.js';
import { Words } from '../../src/elf/words.js';
import { ElfnoteError } from '../../src/errors.js';
import { FileSource } from '../../src/files/source.js';
import { ENCODINGS } from '../support/elf-file.js';

/** The same inputs every time, so that a failure is the change's own; `FC_SEED` tries others. */
fc.configureGlobal({ seed: Number(process.env.FC_SEED ?? 20261121) });

describe('byte strings', () => {
  test('every byte survives the way to a byte string and back', () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const text = byteStringOf(all);
    assert.equal(text.length, 256);
    assert.deepEqual(bytesOf(text), all);
  });

  test('comparing byte strings compares their bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 }), fc.uint8Array({ maxLength: 6 }), (a, b) => {
        const [x, y] = [Buffer.from(a), Buffer.from(b)];
        const byText = byteStringOf(x) < byteStringOf(y) ? -1 : byteStringOf(x) > byteStringOf(y) ? 1 : 0;
        assert.equal(byText, Buffer.compare(x, y));
      }),
    );
  });

  test('a byte string is shown as UTF-8 where it is UTF-8', () => {
    assert.equal(displayBytes(byteStringOf(Buffer.from('libé.so'))), 'libé.so');
  });

  test('a name cannot move the cursor or break the line', () => {
    assert.equal(escapeControls('a\n\x1b[2J\x7f\u009b'), 'a\\x0a\\x1b[2J\\x7f\\x9b');
    assert.equal(displayBytes('lib\n\x1b.so'), 'lib\\x0a\\x1b.so');
  });
});

describe('ranges', () => {
  const source = { path: 'some/file', size: 10 };
  const bad: [string, number, number][] = [
    ['one byte beyond the end', 0, 11],
    ['starting beyond the end', 11, 0],
    ['a negative offset', -1, 2],
    ['a negative length', 5, -1],
    ['a fraction', 0.5, 1],
    ['not a number', Number.NaN, 1],
    ['an offset above 2^53', 2 ** 60, 1],
    ['a length above 2^53', 0, 2 ** 60],
  ];
  for (const [what, offset, length] of bad) {
    test(`a range with ${what} is refused with path and offset`, () => {
      assert.throws(
        () => checkRange(source, offset, length, 'the thing'),
        (error: unknown) => {
          assert.ok(error instanceof ElfnoteError);
          assert.equal(error.code, 'malformed');
          assert.equal(error.path, 'some/file');
          assert.equal(error.offset, offset);
          assert.match(error.message, /^the thing of .* reaches beyond the end of the file \(10 bytes\)$/);
          return true;
        },
      );
    });
  }

  test('a range may end where the file ends', () => {
    assert.doesNotThrow(() => checkRange(source, 0, 10));
    assert.doesNotThrow(() => checkRange(source, 10, 0));
    assert.throws(() => checkRange(source, 10, 1));
  });

  test('a buffer source reads exactly the range', () => {
    const buffer = new BufferSource(Buffer.from('0123456789'));
    assert.equal(buffer.read(3, 4).toString(), '3456');
    assert.equal(buffer.read(10, 0).length, 0);
    assert.throws(() => buffer.read(8, 3), { code: 'malformed', offset: 8 });
  });
});

describe('patched sources', () => {
  test('a patched source reads like a file to which the patches were written in order', () => {
    const patch = fc.record({ offset: fc.nat(60), bytes: fc.uint8Array({ maxLength: 20 }) });
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 50 }),
        fc.array(patch, { maxLength: 5 }),
        fc.nat(80),
        fc.nat(80),
        fc.nat(80),
        (base, list, size, one, other) => {
          const patches = list.map(({ offset, bytes }) => ({ offset, bytes: Buffer.from(bytes) }));
          const expected = Buffer.alloc(200);
          Buffer.from(base).copy(expected);
          for (const { offset, bytes } of patches) bytes.copy(expected, offset);
          const view = new PatchedSource(new BufferSource(Buffer.from(base)), patches, size);
          const from = Math.min(one, other, size);
          const to = Math.min(Math.max(one, other), size);
          assert.deepEqual(view.read(from, to - from), expected.subarray(from, to));
        },
      ),
    );
  });

  test('a patched source ends at its new size', () => {
    const base = new BufferSource(Buffer.from('abcdef'), 'the/path');
    const shorter = new PatchedSource(base, [], 3);
    assert.equal(shorter.size, 3);
    assert.equal(shorter.path, 'the/path');
    assert.throws(() => shorter.read(2, 2), { code: 'malformed' });
    assert.equal(new PatchedSource(base, [], 8).read(4, 4).toString('latin1'), 'ef\0\0');
  });
});

describe('zero runs', () => {
  test('a zero run ends at the first other byte, also behind the first piece', () => {
    const bytes = Buffer.alloc(10_000);
    bytes[9_000] = 1;
    const source = new BufferSource(bytes);
    assert.equal(zeroRun(source, 0, 10_000), 9_000);
    assert.equal(zeroRun(source, 100, 8_900), 8_900);
    assert.equal(isZero(source, 0, 9_000), true);
    assert.equal(isZero(source, 0, 9_001), false);
    assert.equal(isZero(source, 9_001, 999), true);
    assert.equal(isZero(source, 9_000, 0), true);
  });
});

describe('integers', () => {
  const raw = Buffer.from('0102030405060708', 'hex');
  const expected = {
    'ELF64 little-endian': [0x0201, 0x04030201, Number(0x0807060504030201n), Number(0x0807060504030201n)],
    'ELF64 big-endian': [0x0102, 0x01020304, Number(0x0102030405060708n), Number(0x0102030405060708n)],
    'ELF32 little-endian': [0x0201, 0x04030201, Number(0x0807060504030201n), 0x04030201],
    'ELF32 big-endian': [0x0102, 0x01020304, Number(0x0102030405060708n), 0x01020304],
  };
  for (const { name, is64, littleEndian } of ENCODINGS) {
    test(`integers are read in the byte order and word size of ${name}`, () => {
      const e = new Encoding(is64, littleEndian);
      assert.deepEqual([e.u16(raw, 0), e.u32(raw, 0), e.u64(raw, 0), e.word(raw, 0)], expected[name]);
      assert.equal(e.wordSize, is64 ? 8 : 4);
    });

    test(`a table of ${name} reads as its encoding does, wherever it is in memory`, () => {
      const e = new Encoding(is64, littleEndian);
      fc.assert(
        fc.property(
          fc.uint8Array({ minLength: 24, maxLength: 24 }),
          fc.nat(4),
          fc.nat(3),
          (random, start, word) => {
            const bytes = Buffer.from(random).subarray(start);
            const at = 4 * word;
            const table = new Words(e, bytes);
            assert.deepEqual([table.u32(at), table.word(at)], [e.u32(bytes, at), e.word(bytes, at)]);
            assert.deepEqual(bytes, Buffer.from(random).subarray(start), 'the bytes stay');
          },
        ),
      );
    });

    test(`a table of ${name} writes as its encoding does, and refuses what it refuses`, () => {
      const e = new Encoding(is64, littleEndian);
      const end = is64 ? 2 ** 53 : 2 ** 32;
      fc.assert(
        fc.property(
          fc.integer({ min: 0, max: end - 1 }),
          fc.nat(0xffffffff),
          fc.nat(0xffff),
          (word, u32, u16) => {
            const [bytes, due] = [Buffer.alloc(24, 0xee), Buffer.alloc(24, 0xee)];
            const table = new Table(e, bytes.subarray(1));
            table.putWord(1, word);
            table.putU32(10, u32);
            table.putU16(15, u16);
            e.putWord(due, 2, word);
            e.putU32(due, 11, u32);
            e.putU16(due, 16, u16);
            assert.deepEqual(bytes, due);
          },
        ),
      );
      const table = new Table(e, Buffer.alloc(8));
      const refused = { code: 'unsupported' };
      for (const value of [-1, 0.5, Number.NaN]) {
        assert.throws(() => table.putWord(0, value), refused);
        assert.throws(() => table.putU32(0, value), refused);
        assert.throws(() => table.putU16(0, value), refused);
      }
      assert.throws(() => table.putWord(0, end), refused);
      assert.throws(() => table.putU32(0, 2 ** 32), refused);
      assert.throws(() => table.putU16(0, 2 ** 16), refused);
    });

    test(`what is written as ${name} reads back the same`, () => {
      const e = new Encoding(is64, littleEndian);
      fc.assert(
        fc.property(fc.maxSafeNat(), fc.nat(0xffffffff), fc.nat(0xffff), (u64, u32, u16) => {
          const bytes = Buffer.alloc(24, 0xee);
          e.putU64(bytes, 2, u64);
          e.putU32(bytes, 11, u32);
          e.putU16(bytes, 16, u16);
          assert.deepEqual([e.u64(bytes, 2), e.u32(bytes, 11), e.u16(bytes, 16)], [u64, u32, u16]);
          assert.deepEqual(
            [0, 1, 10, 15, 18, 23].map(at => bytes[at]),
            new Array(6).fill(0xee),
          );
        }),
      );
    });
  }

  test('a word is written in the file’s byte order', () => {
    assert.equal(new Encoding(true, true).wordBytes(0x1234567890).toString('hex'), '9078563412000000');
    assert.equal(new Encoding(true, false).wordBytes(0x1234567890).toString('hex'), '0000001234567890');
    assert.equal(new Encoding(false, true).wordBytes(0x12345678).toString('hex'), '78563412');
    assert.equal(new Encoding(false, false).wordBytes(0x12345678).toString('hex'), '12345678');
  });
});

describe('alignment', () => {
  test('an alignment of 0 or 1 is none', () => {
    assert.equal(alignUp(13, 0), 13);
    assert.equal(alignUp(13, 1), 13);
    assert.equal(congruentUp(13, 7, 0), 13);
    assert.equal(congruentUp(13, 7, 1), 13);
  });

  test('aligning goes up to the next multiple, also above 2^32', () => {
    assert.deepEqual([alignUp(0, 8), alignUp(1, 8), alignUp(8, 8), alignUp(9, 8)], [0, 8, 8, 16]);
    assert.equal(alignUp(2 ** 40 + 1, 4096), 2 ** 40 + 4096);
  });

  test('a congruent value is the first one at or after the start', () => {
    fc.assert(
      fc.property(
        fc.nat(1 << 20),
        fc.nat(1 << 20),
        fc.integer({ min: 2, max: 4096 }),
        (from, like, align) => {
          const result = congruentUp(from, like, align);
          assert.ok(result >= from && result < from + align);
          assert.equal(result % align, like % align);
        },
      ),
    );
  });
});

describe('file sources', () => {
  const directory = mkdtempSync(join(tmpdir(), 'elfnote-bytes-'));
  test.after(() => rmSync(directory, { recursive: true }));

  function open(bytes: Buffer): FileSource {
    const path = join(directory, 'file');
    writeFileSync(path, bytes);
    return FileSource.open(path);
  }

  test('a file source reads what a buffer source reads, over block borders too', () => {
    const bytes = Buffer.from(Array.from({ length: 20_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
    const source = open(bytes);
    try {
      for (const [offset, length] of [
        [0, 1],
        [4095, 2],
        [0, 20_000],
        [4096, 4096],
        [8000, 12_000],
        [19_999, 1],
        [20_000, 0],
      ] as const) {
        assert.deepEqual(Buffer.from(source.read(offset, length)), bytes.subarray(offset, offset + length));
      }
      assert.equal(source.size, 20_000);
      assert.throws(() => source.read(19_999, 2), { code: 'malformed', offset: 19_999 });
    } finally {
      source.close();
    }
  });

  test('each block is read once, and the next one with it', () => {
    const source = open(Buffer.alloc(80_000, 1));
    try {
      source.read(5000, 10);
      assert.equal(source.bytesRead, 8192);
      source.read(4096, 8192);
      assert.equal(source.bytesRead, 8192);
      source.read(0, 12_288);
      assert.equal(source.bytesRead, 12_288);
      source.read(79_999, 1);
      assert.equal(source.bytesRead, 12_288 + (80_000 - 19 * 4096));
    } finally {
      source.close();
    }
  });

  test('the rest of a file comes with what is asked for, where it is at most 64 KiB', () => {
    for (const [more, then] of [
      [0, 73_728],
      [1, 8192],
    ] as const) {
      const source = open(Buffer.alloc(106_496 + more, 1));
      try {
        source.read(35_000, 10);
        assert.equal(source.bytesRead, then);
      } finally {
        source.close();
      }
    }
  });

  test('what cannot be opened is unreadable, and a directory is not an ELF file', () => {
    const missing = join(directory, 'missing');
    assert.throws(() => FileSource.open(missing), { code: 'unreadable', path: missing });
    assert.throws(() => FileSource.open(directory), { code: 'not-elf', path: directory });
  });

  test('a file that shrinks while it is read is unreadable', () => {
    const source = open(Buffer.alloc(10_000, 1));
    try {
      writeFileSync(source.path, 'short');
      assert.throws(() => source.read(8192, 10), { code: 'unreadable', message: /shrank/ });
    } finally {
      source.close();
    }
  });
});
