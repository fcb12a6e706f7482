import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Encoding } from '../../src/elf/bytes.js';
import { ElfnoteError } from '../../src/errors.js';
import { type ClosureNote, checkOf, HEADER } from '../../src/note/closure.js';
import { decodeClosureDescriptor } from '../../src/note/closure-decode.js';
import { encodeClosureDescriptor, encodeClosureNote } from '../../src/note/closure-encode.js';
import { PROJECT } from '../support/cli.js';
import { closureObject, hint, path, WORKED } from '../support/closure-samples.js';

fc.configureGlobal({ seed: Number(process.env.FC_SEED ?? 20261126) });

const object = closureObject;
const LE = new Encoding(true, true);
const BE = new Encoding(false, false);

test('the worked dump of docs/format.md is, byte for byte, what is written', () => {
  const page = readFileSync(join(PROJECT, 'docs/format.md'), 'utf8');
  const block = /## A worked dump[\s\S]*?```\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  const bytes = encodeClosureNote(WORKED, LE);
  const rows = [...block.matchAll(/^ *(\d+) {2}((?:[0-9a-f]+ ?)+?) {2}/gm)];
  const ends = [...rows.slice(1).map(([, offset]) => Number(offset)), bytes.length];
  for (const [i, [, offset, hex = '']] of rows.entries())
    assert.equal(hex.replaceAll(' ', ''), bytes.subarray(Number(offset), ends[i]).toString('hex'), offset);
  assert.equal(rows.length, block.trimEnd().split('\n').length);
});

test('the check is that of docs/format.md, worked out by hand', () => {
  const add = (sum: bigint, word: bigint) => {
    const product = ((sum ^ word) * 0x9e3779b1n) % 2n ** 32n;
    return product ^ (product >> 15n);
  };
  const word = (text: string) => BigInt(Buffer.from(text).readUInt32LE());
  const steps = [word('libc'), word('.so\0'), 7n, 1n, word('/lib'), 0n, 4n];
  const expected = Number(steps.reduce(add, 0n));
  assert.equal(checkOf({ needed: ['libc.so'], runpath: '/lib', rpath: '/none' }), expected);
  const asked = { needed: ['a', 'b'], runpath: undefined, rpath: '/x' };
  const others = [
    { ...asked, needed: ['b', 'a'] },
    { ...asked, needed: ['a'] },
    { ...asked, rpath: undefined, runpath: '/x' },
    { ...asked, rpath: undefined },
    { ...asked, rpath: '/x/' },
  ].map(checkOf);
  assert.equal(new Set([...others, checkOf(asked)]).size, 6);
  assert.equal(checkOf({ needed: [], runpath: undefined, rpath: undefined }), 0);
});

/** Closures in which every object may ask for every other one, sorted as they are written. */
const closures = fc
  .record({
    dirs: fc.uniqueArray(
      fc.constantFrom('/', '/a', '/nix/store/aa-x/lib', '/nix/store/bb-y/lib', '$ORIGIN', '$ORIGIN/../lib'),
      {
        minLength: 1,
      },
    ),
    names: fc.uniqueArray(fc.stringMatching(/^[a-z]{1,4}\.so$/), { minLength: 1, maxLength: 5 }),
    checks: fc.array(fc.nat({ max: 0xffff_ffff }), { minLength: 8, maxLength: 8 }),
    sizes: fc.array(fc.constantFrom(undefined, 'trusted' as const, 1, 0xffff_fffe), {
      minLength: 8,
      maxLength: 8,
    }),
    before: fc.boolean(),
    hints: fc.boolean(),
  })
  .map(({ dirs, names, checks, sizes, before, hints }): ClosureNote => {
    const paths = names.flatMap(name => dirs.map(dir => (dir === '/' ? `/${name}` : `${dir}/${name}`)));
    const answers = names.map(name => ({
      soname: name,
      steps: [
        ...(hints ? dirs.map(dir => hint(dir, before)) : []),
        ...paths.filter(one => one.endsWith(`/${name}`)).map(one => path(one, before)),
      ],
    }));
    const key = (one: string) => `${one.slice(one.lastIndexOf('/') + 1)}\0${one}`;
    const sorted = ['', ...paths.sort((a, b) => (key(a) < key(b) ? -1 : 1))];
    return {
      objects: sorted.map((one, i) =>
        object(one, { check: checks[i % 8] ?? 0, size: sizes[i % 8], answers }),
      ),
    };
  });

describe('a closure note', () => {
  test('says, read again, what was written', () => {
    fc.assert(
      fc.property(closures, fc.boolean(), (note, little) => {
        const encoding = little ? LE : BE;
        const carrier = { ...note.objects[0], size: undefined };
        const objects = note.objects.map((one, i) => (i === 0 ? object('', carrier) : one));
        assert.deepEqual(
          decodeClosureDescriptor(encodeClosureDescriptor({ objects }, encoding), encoding, 0),
          { objects },
        );
      }),
    );
  });

  test('has the same bytes in whatever order its objects are given', () => {
    fc.assert(
      fc.property(closures, note => {
        const [carrier, ...others] = note.objects;
        if (carrier === undefined) return;
        const reversed = { objects: [carrier, ...others.reverse()] };
        assert.ok(encodeClosureDescriptor(note, LE).equals(encodeClosureDescriptor(reversed, LE)));
      }),
    );
  });

  test('has indexes of 32 bits where 16 do not do', () => {
    for (const count of [8190, 8192]) {
      const libraries = Array.from({ length: count }, (_, i) => `/lib${String(i).padStart(5, '0')}.so`);
      const answers = libraries.map(one => ({ soname: one.slice(1), steps: [path(one)] }));
      const note = { objects: [object('', { answers }), ...libraries.map(one => object(one))] };
      const bytes = encodeClosureDescriptor(note, LE);
      assert.equal(LE.u32(bytes, HEADER.flags), count * 12 > 0xffff ? 1 : 0);
      assert.deepEqual(decodeClosureDescriptor(bytes, LE, 0), note);
    }
    const few = { objects: [object('', { answers: [{ soname: 'a', steps: [path('/a')] }] }), object('/a')] };
    assert.equal(LE.u32(encodeClosureDescriptor(few, LE), HEADER.flags), 0);
  });

  test('of 213 libraries in a store, with 744 edges, has less than 16 KiB', () => {
    const libraries = Array.from(
      { length: 213 },
      (_, i) => `/tmp/bench/store-libname${i}.so.12/lib/libname${i}.so.12`,
    );
    const steps = Array.from({ length: 744 }, (_, i) => libraries[(i * 7) % 213] ?? '');
    const objects = ['', ...libraries].map((one, i) => {
      const mine = new Set(steps.filter((_, edge) => edge % 214 === i));
      const answers = [...mine].map(target => ({
        soname: target.slice(target.lastIndexOf('/') + 1),
        steps: [path(target)],
      }));
      return object(one, { answers });
    });
    const size = encodeClosureNote({ objects }, LE).length;
    assert.ok(size > 10_000 && size < 16_384, `${size} bytes`);
  });

  const REFUSED: readonly [rule: string, note: ClosureNote, message: RegExp][] = [
    ['no carrier', { objects: [object('/a')] }, /carrier/],
    ['an object that is there twice', { objects: [object(''), object('/a'), object('/a')] }, /twice/],
    ['a path that is not absolute', { objects: [object(''), object('a/b')] }, /cannot hold/],
    ['another token', { objects: [object(''), object('/$LIB/b')] }, /cannot hold/],
    ['a path of 4,096 bytes', { objects: [object(''), object(`/${'x'.repeat(4095)}`)] }, /cannot hold/],
    [
      'a list that ends with a hint',
      { objects: [object('', { answers: [{ soname: 'a', steps: [hint('/x')] }] })] },
      /does not end with a path/,
    ],
    [
      'an answer of another name',
      { objects: [object('', { answers: [{ soname: 'a', steps: [path('/b')] }] }), object('/b')] },
      /another name/,
    ],
    [
      'an answer that is no object',
      { objects: [object('', { answers: [{ soname: 'a', steps: [path('/a')] }] })] },
      /not in the note/,
    ],
  ];
  for (const [rule, note, message] of REFUSED) {
    test(`with ${rule} is refused`, () => {
      assert.throws(
        () => encodeClosureDescriptor(note, LE),
        (error: unknown) =>
          error instanceof ElfnoteError && error.code === 'unsupported' && message.test(error.message),
      );
    });
  }

  test('that is cut off, longer, or has any byte changed is read or refused, never a crash', () => {
    const whole = encodeClosureDescriptor(WORKED, LE);
    const decode = (bytes: Buffer) => {
      try {
        decodeClosureDescriptor(bytes, LE, 100);
        return true;
      } catch (error) {
        assert.ok(error instanceof ElfnoteError && error.code === 'malformed-note', String(error));
        assert.ok((error.offset ?? 0) >= 100 && (error.offset ?? 0) <= 100 + whole.length);
        return false;
      }
    };
    assert.ok(decode(whole));
    for (let size = 0; size < whole.length; size++) assert.equal(decode(whole.subarray(0, size)), false);
    assert.equal(decode(Buffer.concat([whole, Buffer.alloc(1)])), false);
    let read = 0;
    for (let at = 0; at < whole.length; at++) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        const mutant = Buffer.from(whole);
        mutant[at] = value;
        if (decode(mutant)) read++;
      }
    }
    assert.ok(read > 100 && read < 4 * whole.length, `${read}`);
  });
});
