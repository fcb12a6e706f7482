import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BufferSource, Encoding } from '../../src/elf/bytes.js';
import { readFacts } from '../../src/loader/object.js';
import { encodeNote } from '../../src/note/cache.js';
import { encodeClosureNote } from '../../src/note/closure-encode.js';
import { OWN_OWNER, OWN_TYPE } from '../../src/note/own.js';
import { buildElf, type ElfSpec } from '../support/elf-builder.js';
import { makeNote } from '../support/elf-file.js';
import { factsOf } from '../support/loader-world.js';

const DT_AUXILIARY = 0x7ffffffd;
const DT_FILTER = 0x7fffffff;
const DT_NEEDED = 1;
const PT_INTERP = 3;
const LITTLE = new Encoding(true, true);

describe('what an object asks for', () => {
  test('is told in the order of its dynamic section', () => {
    const { requests } = factsOf({
      needed: ['liba.so'],
      more: [
        [DT_FILTER, 'libf.so'],
        [DT_NEEDED, 'libb.so'],
        [DT_AUXILIARY, 'libx.so'],
      ],
    });
    assert.deepEqual(
      requests.map(({ tag, name }) => `${tag} ${name}`),
      ['needed liba.so', 'filter libf.so', 'needed libb.so', 'auxiliary libx.so'],
    );
  });

  test('is none where the name lies outside the string table, or nothing ends it', () => {
    const { image } = factsOf({ needed: ['liba.so'] });
    const size = image.dynamic?.entries.find(({ d_tag }) => d_tag === 10)?.d_val ?? 0;
    assert.ok(size > 0);
    for (const index of [size, size + 1, 1 << 20])
      assert.equal(factsOf({ needed: ['liba.so'], more: [[DT_FILTER, index]] }).requests.length, 1);
    const [last] = factsOf({ needed: ['liba.so'], more: [[DT_FILTER, size - 1]] }).requests.slice(1);
    assert.equal(last?.name, '');
    const long = (length: number) =>
      factsOf({ more: [[DT_FILTER, 'f'.repeat(length)]] }).requests.map(({ name }) => name.length);
    assert.deepEqual(long(4095), [4095]);
    assert.deepEqual(long(4096), []);
  });

  test('of a static file is nothing', () => {
    const { requests, soname, runpath, rpath, noDefaultLibraries, isProgram } = factsOf({ dynamic: false });
    assert.deepEqual(
      { requests, soname, runpath, rpath },
      {
        requests: [],
        soname: undefined,
        runpath: undefined,
        rpath: undefined,
      },
    );
    assert.deepEqual([noDefaultLibraries, isProgram], [false, false]);
  });
});

test('a DT_RPATH counts where there is no DT_RUNPATH', () => {
  assert.equal(factsOf({ rpath: '/a' }).rpath, '/a');
  const both = factsOf({ rpath: '/a', runpath: '/b' });
  assert.deepEqual([both.rpath, both.runpath], [undefined, '/b']);
});

test('section headers are not read, as the loader reads none', () => {
  assert.deepEqual(factsOf({ needed: ['liba.so'] }).image.sectionHeaders, []);
});

test('the interpreter is what PT_INTERP names, up to its NUL', () => {
  const notes = [{ bytes: Buffer.from('/lib/ld.so\0rest'), segment: false }];
  const [at = 0] = buildElf({ notes, extra: [{}] }).at.notes;
  const interp = { p_type: PT_INTERP, p_offset: at, p_vaddr: 0x10000 + at, p_filesz: 15 };
  assert.equal(factsOf({ notes, extra: [interp] }).interpreter, '/lib/ld.so');
  assert.equal(factsOf({ notes }).interpreter, undefined);
});

describe('the notes of an object', () => {
  const cache = encodeNote([{ soname: 'liba.so', steps: [{ kind: 'path', path: '/s/liba.so' }] }], LITTLE);
  const answers = [
    { soname: 'liba.so', steps: [{ kind: 'path', path: '/s/liba.so', beforeLibraryPath: false } as const] },
  ];
  const target = { path: '/s/liba.so', check: 0, size: undefined, answers: [] };
  const closure = encodeClosureNote(
    { objects: [{ path: '', check: 7, size: undefined, answers }, target] },
    LITTLE,
  );

  /** Which of the two are read. */
  const read = (spec: ElfSpec, change?: (built: ReturnType<typeof buildElf>) => void) => {
    const built = buildElf(spec);
    change?.(built);
    const facts = readFacts(new BufferSource(built.bytes));
    return [facts.note !== undefined, facts.closure !== undefined];
  };

  test('are read where a reader would find them', () => {
    assert.deepEqual(read({ notes: [{ bytes: cache }] }), [true, false]);
    assert.deepEqual(read({ notes: [{ bytes: closure }] }), [false, true]);
    assert.deepEqual(read({ notes: [{ bytes: Buffer.concat([cache, closure]) }] }), [true, true]);
  });

  test('are none in a segment that is not aligned to 4, or not loaded where it says', () => {
    const both = Buffer.concat([cache, closure]);
    assert.deepEqual(read({ notes: [{ bytes: both, align: 8 }] }), [false, false]);
    const moved = read({ notes: [{ bytes: both }] }, built =>
      built.setWord(built.phdr(4, 'p_vaddr'), built.base),
    );
    assert.deepEqual(moved, [false, false]);
    assert.deepEqual(read({ notes: [{ bytes: both, segment: false }] }), [false, false]);
  });

  test('are none where they are not well-formed, and others beside them do not count', () => {
    const other = makeNote('other', OWN_TYPE.closure, Buffer.alloc(8));
    const undo = makeNote(OWN_OWNER, OWN_TYPE.undo, Buffer.alloc(8));
    assert.deepEqual(read({ notes: [{ bytes: Buffer.concat([other, undo, closure]) }] }), [false, true]);
    assert.deepEqual(read({ notes: [{ bytes: Buffer.alloc(0) }, { bytes: closure }] }), [false, true]);
    const bad = makeNote(OWN_OWNER, OWN_TYPE.closure, Buffer.alloc(8));
    assert.deepEqual(read({ notes: [{ bytes: bad }, { bytes: closure }] }), [false, false]);
    const broken = Buffer.from(cache);
    broken.fill('x', broken.length - 4);
    assert.deepEqual(read({ notes: [{ bytes: broken }] }), [false, false]);
    const cut = Buffer.from(closure.subarray(0, closure.length - 4));
    assert.deepEqual(read({ notes: [{ bytes: cut }] }), [false, false]);
  });
});
