import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Encoding } from '../../src/elf/bytes.js';
import { type CacheEntry, encodeNote } from '../../src/note/cache.js';
import { type ClosureNote, type ClosureObject, checkOf } from '../../src/note/closure.js';
import { encodeClosureNote } from '../../src/note/closure-encode.js';
import type { ElfSpec } from '../support/elf-builder.js';
import { calls, load, loaded, type Run, type Thing } from '../support/loader-world.js';

const LITTLE = new Encoding(true, true);

/** A cache note with one list: `=path` or `?directory`, in order. */
function withNote(spec: ElfSpec, soname: string, ...elements: readonly string[]): ElfSpec {
  const steps = elements.map((element): CacheEntry['steps'][number] =>
    element.startsWith('?')
      ? { kind: 'hint', dir: element.slice(1) }
      : { kind: 'path', path: element.slice(1) },
  );
  return { ...spec, notes: [{ bytes: encodeNote([{ soname, steps }], LITTLE) }] };
}

const NEEDS: ElfSpec = { needed: ['liba.so'], runpath: '/one:/two' };
const THERE: Readonly<Record<string, Thing>> = { '/two/liba.so': {}, '/one/libx.so': {} };
const AUDIT: Run = { with: 'audit' };
const why = (...args: Parameters<typeof load>) => load(...args).lookups[0]?.answer;

describe('the audit module', () => {
  test('an exact path is opened at once, and nothing else', () => {
    const program = withNote(NEEDS, 'liba.so', '=/two/liba.so');
    assert.deepEqual(calls(load(program, THERE, AUDIT)), ['open /two/liba.so']);
    assert.equal(load(program, THERE, AUDIT).lookups[0]?.place?.how, 'note');
  });

  test('without it the note changes nothing', () => {
    const program = withNote(NEEDS, 'liba.so', '=/two/liba.so');
    assert.deepEqual(calls(load(program, THERE)), calls(load(NEEDS, THERE)));
  });

  test('a path that has gone gives way to the next element, and at the end to the loader', () => {
    const next = withNote(NEEDS, 'liba.so', '=/gone/liba.so', '=/two/liba.so');
    assert.deepEqual(calls(load(next, THERE, AUDIT)), ['open /two/liba.so']);
    const none = withNote(NEEDS, 'liba.so', '=/gone/liba.so');
    assert.equal(why(none, THERE, AUDIT), 'no path of the note is there');
    assert.deepEqual(loaded(load(none, THERE, AUDIT)), ['/two/liba.so']);
  });

  test('a hint is answered where the directory holds a library, and passed over where it does not', () => {
    const hint = withNote(NEEDS, 'liba.so', '?/one', '?/two');
    assert.deepEqual(calls(load(hint, THERE, AUDIT)), ['open /two/liba.so']);
    const origin = withNote({ ...NEEDS, runpath: '$ORIGIN/../two' }, 'liba.so', '?$ORIGIN/../two');
    assert.deepEqual(calls(load(origin, THERE, AUDIT)), ['open /bin/../two/liba.so']);
  });

  test('a hint with a subdirectory for processors is left to the loader', () => {
    const things = { ...THERE, '/two/glibc-hwcaps/x': { directory: true } as const };
    const hint = withNote(NEEDS, 'liba.so', '?/two');
    assert.equal(why(hint, things, AUDIT), 'the note has a directory that the loader has to search');
  });

  test('a relative directory and another token are left to the loader', () => {
    for (const element of ['?relative', '?', '?/x/$LIB', '?/x/$PLATFORM']) {
      const answer = why(withNote(NEEDS, 'liba.so', element), THERE, AUDIT);
      assert.equal(answer, 'the note has an element that only the loader understands', element);
    }
  });

  test('LD_LIBRARY_PATH wins where it may hold the name, and costs nothing where it does not', () => {
    const program = withNote(NEEDS, 'liba.so', '=/two/liba.so');
    const run = { ...AUDIT, libraryPath: '/env:/none' };
    assert.deepEqual(calls(load(program, { ...THERE, '/env/libb.so': {} }, run)), ['open /two/liba.so']);
    assert.deepEqual(loaded(load(program, { ...THERE, '/env/liba.so': {} }, run)), ['/env/liba.so']);
    const aside = why(program, THERE, { ...AUDIT, libraryPath: '/env/$LIB' });
    assert.equal(aside, 'LD_LIBRARY_PATH has more to it than plain directories');
  });

  test('of an object with DT_RPATH, only what is of that DT_RPATH is answered, before LD_LIBRARY_PATH', () => {
    const spec = { needed: ['liba.so'], rpath: '/two' };
    const things = { ...THERE, '/env/liba.so': {} };
    const run = { ...AUDIT, libraryPath: '/env' };
    assert.deepEqual(calls(load(withNote(spec, 'liba.so', '=/two/liba.so'), things, run)), [
      'open /two/liba.so',
    ]);
    const other = withNote(spec, 'liba.so', '=/else/liba.so');
    assert.equal(why(other, things, run), 'the note has an element that only the loader understands');
  });

  test('an object without a run path has no note that counts', () => {
    const program = withNote({ needed: ['liba.so'] }, 'liba.so', '=/two/liba.so');
    assert.deepEqual(load(program, THERE, AUDIT).lookups[0]?.outcome, 'missing');
  });

  test('after an answer that cannot be loaded the loader asks no more', () => {
    const program = withNote(NEEDS, 'liba.so', '=/one/liba.so', '=/two/liba.so');
    const things = { ...THERE, '/one/liba.so': { e_machine: 183 } };
    assert.deepEqual(calls(load(program, things, AUDIT)), ['open /one/liba.so other machine (183)']);
    assert.equal(load(program, things, AUDIT).lookups[0]?.outcome, 'missing');
  });
});

describe('a patched loader', () => {
  const run: Run = { with: 'patched' };

  test('looks at LD_LIBRARY_PATH, then at the note, then over the run path', () => {
    const program = withNote(NEEDS, 'liba.so', '=/gone/liba.so');
    assert.deepEqual(calls(load(program, THERE, { ...run, libraryPath: '/env' })), [
      'open /env/liba.so ENOENT',
      'stat /env ENOENT',
      'open /gone/liba.so ENOENT',
      'open /one/liba.so ENOENT',
      'stat /one',
      'open /two/liba.so',
    ]);
  });

  test('a candidate of another machine is passed over, as in a search', () => {
    const program = withNote(NEEDS, 'liba.so', '=/one/liba.so', '=/two/liba.so');
    const things = { ...THERE, '/one/liba.so': { e_machine: 183 } };
    assert.deepEqual(loaded(load(program, things, run)), ['/two/liba.so']);
  });

  test('a hint is searched, with the memory of directories, and an empty one is lost', () => {
    const program = withNote(NEEDS, 'liba.so', '?', '?/none', '?$ORIGIN');
    assert.deepEqual(calls(load(program, THERE, run)).slice(0, 4), [
      'open /none/liba.so ENOENT',
      'stat /none ENOENT',
      'open /bin/liba.so ENOENT',
      'stat /bin ENOENT',
    ]);
  });

  test('DT_RPATH comes before the note', () => {
    const program = withNote({ needed: ['liba.so'], rpath: '/two' }, 'liba.so', '=/one/liba.so');
    const things = { ...THERE, '/one/liba.so': {} };
    assert.deepEqual(loaded(load(program, things, run)), ['/two/liba.so']);
  });
});

describe('a closure note on the program', () => {
  const dependency: ElfSpec = { needed: ['libb.so'], runpath: '/far:/two' };
  const things = { '/two/liba.so': dependency, '/two/libb.so': {}, '/far/libx.so': {} };
  const asked = ({ needed = [], runpath }: ElfSpec) => ({
    needed,
    runpath: typeof runpath === 'string' ? runpath : undefined,
    rpath: undefined,
  });
  const answer = (soname: string, path: string) => ({
    soname,
    steps: [{ kind: 'path', path, beforeLibraryPath: false } as const],
  });

  function carrier(objects: readonly ClosureObject[]): ElfSpec {
    const own = { path: '', check: checkOf(asked(NEEDS)), size: undefined };
    const note: ClosureNote = {
      objects: [{ ...own, answers: [answer('liba.so', '/two/liba.so')] }, ...objects],
    };
    return { ...NEEDS, notes: [{ bytes: encodeClosureNote(note, LITTLE) }] };
  }

  const target = { path: '/two/libb.so', check: 0, size: undefined, answers: [] };
  const named = {
    path: '/two/liba.so',
    check: checkOf(asked(dependency)),
    size: undefined,
    answers: [answer('libb.so', '/two/libb.so')],
  };

  test('answers for the program and for its libraries', () => {
    const closure = load(carrier([named, target]), things, AUDIT);
    assert.deepEqual(calls(closure), ['open /two/liba.so', 'open /two/libb.so']);
  });

  test('a library that asks for something else by now is left to the loader', () => {
    const closure = load(carrier([{ ...named, check: 1 }, target]), things, AUDIT);
    assert.equal(closure.lookups.at(-1)?.answer, 'it is not what it was when the note was made');
    assert.deepEqual(calls(closure).slice(0, 3), [
      'open /two/liba.so',
      'open /far/libb.so ENOENT',
      'stat /far',
    ]);
  });
});
