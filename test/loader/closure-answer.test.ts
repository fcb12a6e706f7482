import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { architectureOf } from '../../src/loader/architectures.js';
import { AuditModule, type Notes, type Requester } from '../../src/loader/note-answer.js';
import type { CacheStep } from '../../src/note/cache.js';
import { type ClosureAnswer, type ClosureNote, type ClosureStep, checkOf } from '../../src/note/closure.js';
import type { ElfSpec } from '../support/elf-builder.js';
import { factsOf, LoaderWorld, type Thing } from '../support/loader-world.js';

const { image: IMAGE } = factsOf({});
const CHANGED = 'it is not what it was when the note was made';
const NOT_NAMED = 'the note does not name it';
const NO_NOTE = 'there is no note to go by';
const NOT_THERE = 'no path of the note is there';
const IN_LIBRARY_PATH = 'LD_LIBRARY_PATH may hold it';
const TO_SEARCH = 'the note has a directory that the loader has to search';
const ONLY_THE_LOADER = 'the note has an element that only the loader understands';

function requesterOf(name: string, spec: ElfSpec, origin = '/bin'): Requester {
  return { facts: factsOf(spec), name, origin };
}

/** The program, and a library of its closure. */
const PROGRAM = requesterOf('', { needed: ['liba.so'], runpath: '/s' });
const LIBRARY = requesterOf('/s/liba.so', { needed: ['libb.so'], runpath: '/s' }, '/s');
const checkFor = ({ facts: { image, runpath, rpath } }: Requester) =>
  checkOf({ needed: image.dynamic?.needed ?? [], runpath, rpath });

const path = (text: string, beforeLibraryPath = false): ClosureStep => ({
  kind: 'path',
  path: text,
  beforeLibraryPath,
});
const hint = (dir: string, beforeLibraryPath = false): ClosureStep => ({
  kind: 'hint',
  dir,
  beforeLibraryPath,
});
const listed = (soname: string, ...steps: readonly ClosureStep[]): ClosureAnswer => ({ soname, steps });
const object = (of: Requester, ...answers: readonly ClosureAnswer[]) => ({
  path: of.name,
  check: checkFor(of),
  size: undefined,
  answers,
});

interface Setting {
  readonly things?: Readonly<Record<string, Thing>>;
  readonly libraryPath?: string;
  /** Closure notes by their carriers. */
  readonly closures?: ReadonlyMap<Requester, ClosureNote>;
  /** Cache notes: the steps for any name. */
  readonly caches?: ReadonlyMap<Requester, readonly CacheStep[] | undefined>;
}

function moduleOf({ things = {}, libraryPath = '', closures, caches }: Setting): AuditModule {
  const of = <T>(map: ReadonlyMap<Requester, T> | undefined, facts: Requester['facts']) =>
    [...(map ?? [])].find(([requester]) => requester.facts === facts);
  const notes: Notes = {
    has: facts => of(caches, facts) !== undefined,
    steps: facts => of(caches, facts)?.[1],
    closure: facts => of(closures, facts)?.[1],
  };
  return new AuditModule(new LoaderWorld(things), notes, IMAGE, libraryPath, architectureOf(IMAGE));
}

function answerOf(module: AuditModule, requester: Requester, soname: string): string {
  const answer = module.answer(requester, soname);
  return 'path' in answer ? answer.path : answer.why;
}

/** The answer to the program for `liba.so`, by its own closure note. */
function byClosure(steps: readonly ClosureStep[], setting: Setting = {}, more: ClosureNote['objects'] = []) {
  const note = { objects: [object(PROGRAM, listed('liba.so', ...steps)), ...more] };
  return answerOf(moduleOf({ ...setting, closures: new Map([[PROGRAM, note]]) }), PROGRAM, 'liba.so');
}

/** The answer to the program for `liba.so`, by its own cache note. */
function byCache(steps: readonly CacheStep[], setting: Setting = {}, requester = PROGRAM): string {
  return answerOf(moduleOf({ ...setting, caches: new Map([[requester, steps]]) }), requester, 'liba.so');
}

describe('an answer of a closure note', () => {
  test('is the first path that is a library for this machine', () => {
    const others: readonly Thing[] = [
      { error: 'ENOENT' },
      { bytes: Buffer.from('text') },
      { directory: true },
      { e_type: 2 },
      { e_machine: 183 },
    ];
    for (const thing of others) {
      const things = { '/one/liba.so': thing, '/two/liba.so': {} };
      assert.equal(byClosure([path('/one/liba.so'), path('/two/liba.so')], { things }), '/two/liba.so');
      assert.equal(byClosure([path('/one/liba.so')], { things }), NOT_THERE, JSON.stringify(thing));
    }
  });

  test('is a path that the note trusts, without a look', () => {
    const target = { path: '/s/liba.so', check: 0, answers: [] };
    assert.equal(byClosure([path('/s/liba.so')], {}, [{ ...target, size: 'trusted' }]), '/s/liba.so');
    assert.equal(byClosure([path('/s/liba.so')], {}, [{ ...target, size: 1 }]), NOT_THERE);
  });

  test('is found from the directory of the carrier, whoever asks', () => {
    const target = { path: '$ORIGIN/liba.so', check: 0, size: 'trusted', answers: [] } as const;
    assert.equal(byClosure([path('$ORIGIN/liba.so')], {}, [target]), '/bin/liba.so');
    assert.equal(byClosure([path('/x/$ORIGIN/liba.so')], {}, [target]), NOT_THERE);
  });

  test('is what a directory holds, where the loader has nothing to search there', () => {
    const steps = [hint('$ORIGIN/none'), hint('/h'), path('/s/liba.so')];
    const things = { '/s/liba.so': {} };
    assert.equal(byClosure(steps, { things }), '/s/liba.so');
    assert.equal(byClosure(steps, { things: { ...things, '/h/liba.so': {} } }), '/h/liba.so');
    assert.equal(byClosure(steps, { things: { ...things, '/bin/none/liba.so': {} } }), '/bin/none/liba.so');
    assert.equal(byClosure(steps, { things: { ...things, '/h/liba.so': { e_machine: 183 } } }), TO_SEARCH);
    for (const name of ['glibc-hwcaps', 'tls', 'x86_64', 'haswell', 'xeon_phi', 'avx512_1'])
      assert.equal(byClosure(steps, { things: { ...things, [`/h/${name}/x`]: {} } }), TO_SEARCH, name);
  });

  test('comes behind LD_LIBRARY_PATH, but for what is of DT_RPATH', () => {
    const things = { '/env/liba.so': {}, '/one/liba.so': {}, '/two/liba.so': {} };
    const setting = { things, libraryPath: '/env' };
    assert.equal(byClosure([path('/one/liba.so')], setting), IN_LIBRARY_PATH);
    assert.equal(byClosure([path('/one/liba.so', true)], setting), '/one/liba.so');
    assert.equal(byClosure([hint('/h', true), path('/one/liba.so')], setting), IN_LIBRARY_PATH);
    assert.equal(byClosure([path('/one/liba.so')], { things, libraryPath: '/other' }), '/one/liba.so');
  });
});

describe('whom a closure note serves', () => {
  const closures = new Map([
    [PROGRAM, { objects: [object(PROGRAM), object(LIBRARY, listed('libb.so', path('/s/libb.so')))] }],
  ]);
  const things = { '/s/libb.so': {}, '/own/libb.so': {} };
  const own: readonly CacheStep[] = [{ kind: 'path', path: '/own/libb.so' }];

  /** The program comes first, as in every process. */
  const toLibrary = (library: Requester, setting: Setting): string => {
    const module = moduleOf({ things, closures, ...setting });
    module.answer(PROGRAM, 'liba.so');
    return answerOf(module, library, 'libb.so');
  };

  test('the objects that it names, whose own notes are then not read', () => {
    assert.equal(toLibrary(LIBRARY, { caches: new Map([[LIBRARY, own]]) }), '/s/libb.so');
    const silent = new Map([[PROGRAM, { objects: [object(PROGRAM), object(LIBRARY)] }]]);
    assert.equal(toLibrary(LIBRARY, { closures: silent, caches: new Map([[LIBRARY, own]]) }), NOT_NAMED);
  });

  test('no object that asks for something else by now: its own notes serve that', () => {
    const other = requesterOf('/s/liba.so', { needed: ['libb.so', 'libc.so'], runpath: '/s' }, '/s');
    assert.equal(toLibrary(other, {}), CHANGED);
    assert.equal(toLibrary(other, { caches: new Map([[other, own]]) }), '/own/libb.so');
    const rpath = requesterOf('/s/liba.so', { needed: ['libb.so'], rpath: '/s' }, '/s');
    assert.equal(toLibrary(rpath, {}), CHANGED);
  });

  test('no object that it does not name', () => {
    const other = requesterOf('/s/libx.so', { needed: ['libb.so'], runpath: '/s' }, '/s');
    assert.equal(toLibrary(other, {}), NO_NOTE);
    assert.equal(toLibrary(other, { caches: new Map([[other, undefined]]) }), NOT_NAMED);
    assert.equal(toLibrary(other, { caches: new Map([[other, own]]) }), '/own/libb.so');
  });

  test('its carrier, whose own cache note answers what it does not', () => {
    const note = { objects: [object(PROGRAM, listed('liba.so', path('/s/libb.so')))] };
    const module = moduleOf({
      things,
      closures: new Map([[PROGRAM, note]]),
      caches: new Map([[PROGRAM, own]]),
    });
    assert.equal(answerOf(module, PROGRAM, 'liba.so'), '/s/libb.so');
    assert.equal(answerOf(module, PROGRAM, 'libb.so'), '/own/libb.so');
    assert.equal(answerOf(moduleOf({ closures: new Map([[PROGRAM, note]]) }), PROGRAM, 'libb.so'), NOT_NAMED);
  });

  test('not a carrier that asks for something else by now, nor anybody by its note', () => {
    const stale = { ...object(PROGRAM, listed('liba.so', path('/s/libb.so'))), check: 1 };
    const named = object(LIBRARY, listed('libb.so', path('/s/libb.so')));
    const notes = new Map([[PROGRAM, { objects: [stale, named] }]]);
    assert.equal(answerOf(moduleOf({ things, closures: notes }), PROGRAM, 'liba.so'), CHANGED);
    assert.equal(toLibrary(LIBRARY, { closures: notes }), NO_NOTE);
    const caches = new Map([[PROGRAM, own]]);
    assert.equal(answerOf(moduleOf({ things, closures: notes, caches }), PROGRAM, 'libb.so'), '/own/libb.so');
  });

  test('an empty one nobody', () => {
    const module = moduleOf({ closures: new Map([[PROGRAM, { objects: [] }]]) });
    assert.equal(answerOf(module, PROGRAM, 'liba.so'), NO_NOTE);
  });

  test('the module keeps 16 carriers, however often each asks', () => {
    const carriers = Array.from({ length: 17 }, (_, i) =>
      requesterOf(i === 0 ? '' : `/s/lib${i}.so`, { needed: ['libb.so'], runpath: '/s' }, '/s'),
    );
    const notes = new Map(
      carriers.map(one => [one, { objects: [object(one, listed('libb.so', path('/s/libb.so')))] }]),
    );
    const module = moduleOf({ things, closures: notes });
    const answers = carriers.map(one => {
      for (let i = 0; i < 20; i++) module.answer(one, 'libother.so');
      return answerOf(module, one, 'libb.so');
    });
    assert.deepEqual(answers.slice(0, 16), Array(16).fill('/s/libb.so'));
    assert.equal(answers[16], NO_NOTE);
  });
});

describe('an answer of a cache note', () => {
  const things = { '/s/liba.so': {}, '/s/libb.so': {} };

  test('is a plain path that ends with the name; another is for the loader', () => {
    assert.equal(byCache([{ kind: 'path', path: '/s/liba.so' }], { things }), '/s/liba.so');
    for (const text of ['/s/libb.so', '/s/xliba.so', '$ORIGIN/liba.so', '/s/$LIB/liba.so', 's/liba.so'])
      assert.equal(byCache([{ kind: 'path', path: text }], { things }), ONLY_THE_LOADER, text);
  });

  test('is no directory, though that can be opened', () => {
    const dir = { '/s/liba.so': { directory: true } } as const;
    assert.equal(byCache([{ kind: 'path', path: '/s/liba.so' }], { things: dir }), NOT_THERE);
  });

  test('is what a directory from that of the object holds', () => {
    for (const dir of ['$ORIGIN/../s', `\${ORIGIN}/../s//`, '$ORIGIN/../s/'])
      assert.equal(byCache([{ kind: 'hint', dir }], { things }), '/bin/../s/liba.so', dir);
    assert.equal(byCache([{ kind: 'hint', dir: '/s//' }], { things }), '/s/liba.so');
    const beside = { '/bin/liba.so': {} };
    assert.equal(byCache([{ kind: 'hint', dir: '$ORIGIN' }], { things: beside }), '/bin/liba.so');
    for (const dir of ['$ORIGINAL', '$ORIGIN/$LIB', 'x$ORIGIN', '/x/$ORIGIN'])
      assert.equal(byCache([{ kind: 'hint', dir }], { things }), ONLY_THE_LOADER, dir);
  });

  test('of an object with DT_RPATH is of that, with any number of slashes', () => {
    const requester = requesterOf('', { needed: ['liba.so'], rpath: '/other:/s//' });
    const setting = { things: { ...things, '/env/liba.so': {} }, libraryPath: '/env' };
    assert.equal(byCache([{ kind: 'hint', dir: '/s/' }], setting, requester), '/s/liba.so');
    assert.equal(byCache([{ kind: 'hint', dir: '/t' }], setting, requester), ONLY_THE_LOADER);
    assert.equal(byCache([{ kind: 'path', path: '/s/liba.so' }], setting, requester), '/s/liba.so');
    assert.equal(byCache([{ kind: 'path', path: '/t/liba.so' }], setting, requester), ONLY_THE_LOADER);
  });

  test('of an object without a run path is none', () => {
    const requester = requesterOf('', { needed: ['liba.so'] });
    assert.equal(byCache([{ kind: 'path', path: '/s/liba.so' }], { things }, requester), NOT_NAMED);
  });
});

describe('LD_LIBRARY_PATH, for the audit module', () => {
  const SETTLED: readonly CacheStep[] = [{ kind: 'path', path: '/s/liba.so' }];
  const withPath = (libraryPath: string, things: Readonly<Record<string, Thing>> = {}) =>
    byCache(SETTLED, { things: { '/s/liba.so': {}, ...things }, libraryPath });

  test('is the current directory where a part is empty, and nothing at all where it is not set', () => {
    assert.equal(withPath('', { 'liba.so': {} }), '/s/liba.so');
    for (const libraryPath of ['/env:', ';/env', '/env::/x'])
      assert.equal(withPath(libraryPath, { 'liba.so': {} }), IN_LIBRARY_PATH, libraryPath);
    assert.equal(withPath(':'), '/s/liba.so');
  });

  test('may hold a name in a directory that is not plain, where that has subdirectories for processors', () => {
    const rel = { '/rel': { directory: true } } as const;
    assert.equal(withPath('rel', { ...rel, 'rel/tls': {} }), IN_LIBRARY_PATH);
    assert.equal(withPath(':', { '.': {}, tls: {} }), IN_LIBRARY_PATH);
    assert.equal(withPath('rel', rel), '/s/liba.so');
  });

  test('may hold what cannot be known', () => {
    const unknown = (code: string) =>
      answerOf(
        new AuditModule(
          Object.assign(new LoaderWorld({ '/s/liba.so': {} }), { access: () => code }),
          { has: () => true, steps: () => SETTLED, closure: () => undefined },
          IMAGE,
          '/env',
          architectureOf(IMAGE),
        ),
        PROGRAM,
        'liba.so',
      );
    assert.equal(unknown('ENOENT'), '/s/liba.so');
    assert.equal(unknown('ENOTDIR'), '/s/liba.so');
    assert.equal(unknown('EACCES'), 'LD_LIBRARY_PATH has more to it than plain directories');
  });

  test('sets the module aside where it has a token, subdirectories for processors, or more than 32 KiB', () => {
    const aside = (libraryPath: string, things: Readonly<Record<string, Thing>> = {}) =>
      moduleOf({ libraryPath, things }).aside !== undefined;
    assert.ok(aside('/env/$LIB'));
    assert.ok(aside('/a:/env', { '/env/glibc-hwcaps/x': {} }));
    assert.ok(!aside('/a:/env', { '/env/x': {} }));
    assert.ok(!aside('/'.repeat(32768)));
    assert.ok(aside('/'.repeat(32769)));
  });
});
