import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Encoding } from '../../src/elf/bytes.js';
import { ElfnoteError } from '../../src/errors.js';
import {
  type CacheEntry,
  decodeDescriptor,
  ELEMENT_LIMIT,
  elementOf,
  encodeDescriptor,
  encodeNote,
} from '../../src/note/cache.js';

/** The same inputs every time, so that a failure is the change's own; `FC_SEED` tries others. */
fc.configureGlobal({ seed: Number(process.env.FC_SEED ?? 20261121) });

const LE = new Encoding(true, true);
const BE = new Encoding(true, false);

const TWO: readonly CacheEntry[] = [
  {
    soname: 'libz.so.1',
    steps: [
      { kind: 'path', path: '/s/z/lib/libz.so.1' },
      { kind: 'hint', dir: '$ORIGIN/../lib' },
      { kind: 'hint', dir: '' },
    ],
  },
  { soname: 'libc.so.6', steps: [{ kind: 'path', path: '/s/c/libc.so.6' }] },
];

/** As it reads in a file, written down by hand. */
const TWO_DESCRIPTOR = [
  '6c6962632e736f2e36 00', // libc.so.6
  '3d2f732f632f6c6962632e736f2e36 00', // =/s/c/libc.so.6
  '6c69627a2e736f2e31 00', // libz.so.1
  '3d2f732f7a2f6c69622f6c69627a2e736f2e31', // =/s/z/lib/libz.so.1
  '3a 3f244f524947494e2f2e2e2f6c6962', // :?$ORIGIN/../lib
  '3a 3f 00', // :? and the end of the list
  '00', // the end of the descriptor
].join('');

const hex = (text: string) => text.replaceAll(' ', '');

describe('encoding', () => {
  test('a little-endian note is, byte for byte, what the format says', () => {
    assert.equal(
      encodeNote(TWO, LE).toString('hex'),
      hex(`06000000 4b000000 b66ca863 4e69784f5300 0000 ${TWO_DESCRIPTOR} 00`),
    );
  });

  test('a big-endian note has the same bytes but for its three integers', () => {
    assert.equal(
      encodeNote(TWO, BE).toString('hex'),
      hex(`00000006 0000004b 63a86cb6 4e69784f5300 0000 ${TWO_DESCRIPTOR} 00`),
    );
  });

  test('the class of the file does not matter: Elf_Nhdr is three 32-bit words in both', () => {
    assert.deepEqual(encodeNote(TWO, new Encoding(false, true)), encodeNote(TWO, LE));
    assert.deepEqual(encodeNote(TWO, new Encoding(false, false)), encodeNote(TWO, BE));
  });

  test('n_descsz leaves out the padding, and the padding to 4 is zero', () => {
    for (let extra = 0; extra < 8; extra++) {
      const entries: CacheEntry[] = [
        { soname: 'a', steps: [{ kind: 'path', path: `/${'x'.repeat(extra)}` }] },
      ];
      const size = 6 + extra;
      assert.equal(encodeDescriptor(entries).length, size);
      const note = encodeNote(entries, LE);
      assert.equal(note.readUInt32LE(4), size);
      assert.equal(note.length, 20 + Math.ceil(size / 4) * 4);
      assert.deepEqual([...note.subarray(20 + size)], new Array(note.length - 20 - size).fill(0));
    }
  });

  test('sonames are sorted by their bytes, not by letters', () => {
    const step = { kind: 'path', path: '/x' } as const;
    const names = ['libb', 'libA', '\xff\xfe', 'lib\xe9', 'liba', '\x01', 'lib', 'lib-a', 'lib_a', 'é'];
    const sorted = names
      .map(name => Buffer.from(name, 'latin1'))
      .sort(Buffer.compare)
      .map(bytes => bytes.toString('latin1'));
    const encoded = encodeDescriptor(names.map(soname => ({ soname, steps: [step] })));
    const found = decodeDescriptor(encoded, 0).map(entry => entry.soname);
    assert.deepEqual(found, sorted);
    assert.deepEqual(found.at(-1), '\xff\xfe');
    assert.ok(encoded.includes(Buffer.from([0xff, 0xfe, 0x00, 0x3d])));
  });

  test('path-list elements keep their order, and the input is not reordered', () => {
    const steps = [
      { kind: 'path', path: '/z' },
      { kind: 'hint', dir: '/m' },
      { kind: 'path', path: '/a' },
    ] as const;
    const entries = [
      { soname: 'b', steps },
      { soname: 'a', steps },
    ];
    assert.equal(encodeDescriptor(entries).toString('latin1'), 'a\0=/z:?/m:=/a\0b\0=/z:?/m:=/a\0\0');
    assert.deepEqual(
      entries.map(entry => entry.soname),
      ['b', 'a'],
    );
  });

  test('an element is its sigil and its path or directory', () => {
    assert.equal(elementOf({ kind: 'path', path: '/a/b' }), '=/a/b');
    assert.equal(elementOf({ kind: 'hint', dir: '$ORIGIN' }), '?$ORIGIN');
    assert.equal(elementOf({ kind: 'hint', dir: '' }), '?');
  });
});

describe('decoding', () => {
  test('a descriptor says entries with their paths and hints', () => {
    const desc = Buffer.from('a\0=/x/a:?/run:?:?rel/dir:=/y/a\0b\0?$ORIGIN\0\0', 'latin1');
    assert.deepEqual(decodeDescriptor(desc, 0), [
      {
        soname: 'a',
        steps: [
          { kind: 'path', path: '/x/a' },
          { kind: 'hint', dir: '/run' },
          { kind: 'hint', dir: '' },
          { kind: 'hint', dir: 'rel/dir' },
          { kind: 'path', path: '/y/a' },
        ],
      },
      { soname: 'b', steps: [{ kind: 'hint', dir: '$ORIGIN' }] },
    ]);
  });

  test('an element of 4,095 bytes is the longest', () => {
    const longest = `=/${'x'.repeat(ELEMENT_LIMIT - 3)}`;
    assert.equal(longest.length, 4095);
    const [entry] = decodeDescriptor(Buffer.from(`a\0${longest}\0\0`), 0);
    assert.deepEqual(entry?.steps, [{ kind: 'path', path: longest.slice(1) }]);
  });

  test('an element may hold an equals sign, a question mark, a space or any byte but NUL and colon', () => {
    const desc = Buffer.from('a\0=/x=?y z\xff\n:??\0\0', 'latin1');
    assert.deepEqual(decodeDescriptor(desc, 0)[0]?.steps, [
      { kind: 'path', path: '/x=?y z\xff\n' },
      { kind: 'hint', dir: '?' },
    ]);
  });

  const long = 'x'.repeat(ELEMENT_LIMIT - 1);
  const malformed: [what: string, desc: string, offset: number, message: RegExp][] = [
    ['no bytes', '', 0, /^the descriptor has 0 bytes, fewer than two$/],
    ['one byte', '\0', 0, /^the descriptor has 1 bytes, fewer than two$/],
    ['two NULs only', '\0\0', 0, /^a soname is empty$/],
    ['no NUL at its end', 'a\0=/x', 3, /^the descriptor does not end with two NUL bytes$/],
    ['one NUL at its end', 'a\0=/x\0', 4, /^the descriptor does not end with two NUL bytes$/],
    ['other bytes behind its NULs', 'a\0=/x\0\0\x01', 6, /^the descriptor does not end with two NUL bytes$/],
    ['an empty soname', '\0=/x\0\0', 0, /^a soname is empty$/],
    ['an empty soname behind an entry', 'a\0=/x\0\0=/y\0\0', 6, /^a soname is empty$/],
    ['a third NUL at its end', 'a\0=/x\0\0\0', 6, /^a soname is empty$/],
    ['a soname alone', 'a\0\0', 0, /^a soname has no path-list$/],
    ['a soname alone behind an entry', 'a\0=/x\0b\0\0', 6, /^a soname has no path-list$/],
    ['an empty path-list', 'a\0\0b\0=/x\0\0', 2, /^a path-list is empty$/],
    ['an empty path-list behind an entry', 'a\0=/x\0b\0\0c\0=/x\0\0', 8, /^a path-list is empty$/],
    ['a soname twice', 'a\0=/x\0a\0=/y\0\0', 6, /^a soname stands twice$/],
    ['unsorted sonames', 'b\0=/x\0a\0=/y\0\0', 6, /^the sonames are not sorted$/],
    ['sonames sorted as signed bytes', '\xff\0=/x\0a\0=/y\0\0', 6, /^the sonames are not sorted$/],
    ['a path that is not absolute', 'a\0=/x:=y/z\0\0', 6, /names a path that is not absolute$/],
    ['an empty path', 'a\0=\0\0', 2, /names a path that is not absolute$/],
    ['an element without a sigil', 'a\0=/x:/y\0\0', 6, /starts with neither '=' nor '\?'$/],
    ['an empty element', 'a\0=/x::=/y\0\0', 6, /starts with neither '=' nor '\?'$/],
    ['a colon at the end of a list', 'a\0=/x:\0\0', 6, /starts with neither '=' nor '\?'$/],
    [
      'a path of 4,096 bytes with its sigil',
      `a\0=/x:=${long}\0\0`,
      6,
      /has 4096 bytes; the loader skips it$/,
    ],
    ['a hint of 4,096 bytes with its sigil', `a\0?${long}\0\0`, 2, /has 4096 bytes; the loader skips it$/],
  ];
  for (const [what, desc, offset, message] of malformed) {
    test(`a descriptor with ${what} is malformed, at the offset of the fault`, () => {
      const at = 0x1000;
      assert.throws(
        () => decodeDescriptor(Buffer.from(desc, 'latin1'), at, 'the/file'),
        (error: unknown) => {
          assert.ok(error instanceof ElfnoteError, String(error));
          assert.deepEqual(
            { code: error.code, path: error.path, offset: error.offset },
            { code: 'malformed-note', path: 'the/file', offset: at + offset },
          );
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }
});

describe('round trips', () => {
  const byte = (forbidden: number[]) =>
    fc.integer({ min: 1, max: 255 }).filter(value => !forbidden.includes(value));
  const text = (forbidden: number[], max: number) =>
    fc.array(byte(forbidden), { maxLength: max }).map(bytes => Buffer.from(bytes).toString('latin1'));
  const soname = fc
    .array(byte([0x2f]), { minLength: 1, maxLength: 12 })
    .map(b => Buffer.from(b).toString('latin1'));
  const step = fc.oneof(
    text([0x3a], 20).map(path => ({ kind: 'path' as const, path: `/${path}` })),
    text([0x3a], 20).map(dir => ({ kind: 'hint' as const, dir })),
  );
  const entries = fc.uniqueArray(
    fc
      .tuple(soname, fc.array(step, { minLength: 1, maxLength: 4 }))
      .map(([name, steps]) => ({ soname: name, steps })),
    { selector: entry => entry.soname, minLength: 1, maxLength: 8 },
  );
  const sorted = (list: readonly CacheEntry[]) =>
    list.toSorted((a, b) => Buffer.compare(Buffer.from(a.soname, 'latin1'), Buffer.from(b.soname, 'latin1')));

  test('what is encoded decodes to the same entries, sorted', () => {
    fc.assert(
      fc.property(entries, list => {
        assert.deepEqual(decodeDescriptor(encodeDescriptor(list), 0), sorted(list));
      }),
    );
  });

  test('the order of the input does not change a byte', () => {
    fc.assert(
      fc.property(entries, list => {
        assert.deepEqual(encodeDescriptor(list.toReversed()), encodeDescriptor(list));
        assert.deepEqual(encodeNote(list.toReversed(), BE), encodeNote(list, BE));
      }),
    );
  });

  test('what decodes at all encodes to the same bytes, and nothing else is thrown', () => {
    const alphabet = fc.constantFrom(0, 0, 0x3a, 0x3d, 0x3f, 0x2f, 0x61, 0x62, 0xff);
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 24 }), bytes => {
        const desc = Buffer.from([...bytes, 0, 0]);
        let decoded: CacheEntry[];
        try {
          decoded = decodeDescriptor(desc, 100);
        } catch (error) {
          assert.ok(error instanceof ElfnoteError && error.code === 'malformed-note');
          assert.ok(error.offset !== undefined && error.offset >= 100 && error.offset < 100 + desc.length);
          return;
        }
        assert.deepEqual(encodeDescriptor(decoded), desc);
      }),
      { numRuns: 2000 },
    );
  });
});
