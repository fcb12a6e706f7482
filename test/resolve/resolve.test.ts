import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BufferSource } from '../../src/elf/bytes.js';
import type { ElfImage } from '../../src/elf/image.js';
import { readImage } from '../../src/elf/read.js';
import { elementOf } from '../../src/note/cache.js';
import { ResolveMemory } from '../../src/resolve/memory.js';
import { isImmutable, type Resolution, resolveImage, runPathOf } from '../../src/resolve/resolve.js';
import { buildElf, type ElfSpec } from '../support/elf-builder.js';
import { ELF, MemoryProbe, type MemoryTree } from '../support/memory-probe.js';

const imageOf = (spec: ElfSpec): ElfImage => readImage(new BufferSource(buildElf(spec).bytes));

function resolve(
  spec: ElfSpec,
  tree: MemoryTree,
  storeRoots?: readonly string[],
  likePatchelf?: boolean,
): Resolution {
  return resolveImage(imageOf(spec), new MemoryProbe(tree), { storeRoots, likePatchelf });
}

/** Soname to the elements of its path-list. */
function lists({ entries }: Resolution): Record<string, string[]> {
  return Object.fromEntries(entries.map(({ soname, steps }) => [soname, steps.map(elementOf)]));
}

const misses = ({ unresolved }: Resolution) => unresolved.map(({ soname, why }) => [soname, why]);
const OTHER = { ...ELF, e_machine: 183 };

describe('which run path is walked', () => {
  test('DT_RUNPATH', () => {
    assert.deepEqual(runPathOf(imageOf({ runpath: '/a:/b' })), {
      source: 'DT_RUNPATH',
      components: ['/a', '/b'],
    });
  });

  test('DT_RPATH only where there is no DT_RUNPATH', () => {
    assert.deepEqual(runPathOf(imageOf({ rpath: '/r' })), { source: 'DT_RPATH', components: ['/r'] });
    assert.deepEqual(runPathOf(imageOf({ rpath: '/r', runpath: '/a' })), {
      source: 'DT_RUNPATH',
      components: ['/a'],
    });
  });

  test('an empty DT_RUNPATH hides DT_RPATH', () => {
    assert.deepEqual(runPathOf(imageOf({ rpath: '/r', runpath: '' })), {
      source: 'DT_RUNPATH',
      components: [],
    });
  });

  test('none where there is none', () => {
    assert.deepEqual(runPathOf(imageOf({ needed: ['a'] })), { source: undefined, components: [] });
    assert.deepEqual(runPathOf(imageOf({ dynamic: false })), { source: undefined, components: [] });
  });

  test('the resolution names its source', () => {
    assert.equal(resolve({ rpath: '/r' }, {}).source, 'DT_RPATH');
  });
});

describe('what is recorded for a soname, all of it as patchelf does', () => {
  const one = (runpath: string, tree: MemoryTree, storeRoots?: readonly string[]) => {
    const resolution = resolve({ needed: ['liba.so'], runpath }, tree, storeRoots, true);
    return lists(resolution)['liba.so'];
  };
  const rows: [
    rule: string,
    runpath: string,
    tree: MemoryTree,
    list: string[] | undefined,
    roots?: string[],
  ][] = [
    ['a directory that holds it: its path', '/x', { files: { '/x/liba.so': ELF } }, ['=/x/liba.so']],
    ['an empty component: a hint', ':/x', { files: { '/x/liba.so': ELF } }, ['?', '=/x/liba.so']],
    ['a trailing empty component: a hint', '/x:', { files: { '/x/liba.so': ELF } }, ['=/x/liba.so', '?']],
    ['a relative component: a hint', 'plugins/lib', {}, ['?plugins/lib']],
    ['a token: a hint, unexpanded', '$ORIGIN/../lib', {}, ['?$ORIGIN/../lib']],
    ['a token in braces: a hint, unexpanded', `/x/\${LIB}`, {}, [`?/x/\${LIB}`]],
    ['an absent directory: a hint', '/run/driver', {}, ['?/run/driver']],
    ['no directory: a hint', '/f', { states: { '/f': 'not-a-directory' } }, ['?/f']],
    ['an unsearchable directory: a hint', '/f', { states: { '/f': 'unsearchable' } }, ['?/f']],
    [
      'glibc-hwcaps: a hint, also where the directory holds the soname',
      '/x',
      { files: { '/x/liba.so': ELF }, emptyDirectories: ['/x/glibc-hwcaps'] },
      ['?/x'],
    ],
    [
      'a legacy subdirectory with the soname: a hint',
      '/x',
      { files: { '/x/liba.so': ELF, '/x/haswell/liba.so': ELF } },
      ['?/x'],
    ],
    [
      'legacy subdirectories within each other with the soname: a hint',
      '/x',
      { files: { '/x/liba.so': ELF, '/x/tls/haswell/x86_64/liba.so': ELF } },
      ['?/x'],
    ],
    [
      'a legacy subdirectory with a broken file of that name: a hint',
      '/x',
      { files: { '/x/liba.so': ELF, '/x/tls/liba.so': { kind: 'broken', why: 'too short' } } },
      ['?/x'],
    ],
    [
      'a legacy subdirectory with another soname: the path',
      '/x',
      { files: { '/x/liba.so': ELF, '/x/haswell/libb.so': ELF } },
      ['=/x/liba.so'],
    ],
    [
      'a subdirectory that no glibc searches: the path',
      '/x',
      { files: { '/x/liba.so': ELF, '/x/plugins/liba.so': ELF } },
      ['=/x/liba.so'],
    ],
    ['a mutable directory without it: a hint', '/x', { emptyDirectories: ['/x'] }, ['?/x'], ['/nix/store']],
    [
      'a mutable directory with it: its path',
      '/x',
      { files: { '/x/liba.so': ELF } },
      ['=/x/liba.so'],
      ['/nix/store'],
    ],
    ['a store directory without it: nothing', '/s/x', { emptyDirectories: ['/s/x'] }, undefined, ['/s']],
    [
      'a directory without it, where no store is known: nothing',
      '/x',
      { emptyDirectories: ['/x'] },
      undefined,
    ],
    ['only a file of another machine: nothing', '/x', { files: { '/x/liba.so': OTHER } }, undefined],
    [
      'a file of another machine in a mutable directory: nothing, the soname is there',
      '/x',
      { files: { '/x/liba.so': OTHER } },
      undefined,
      ['/nix/store'],
    ],
    [
      'a file of another machine first: the path of the next',
      '/x:/y',
      { files: { '/x/liba.so': OTHER, '/y/liba.so': ELF } },
      ['=/y/liba.so'],
    ],
    [
      'a file of the other byte order: nothing',
      '/x',
      { files: { '/x/liba.so': { ...ELF, littleEndian: false } } },
      undefined,
    ],
    ['a broken file: nothing', '/x', { files: { '/x/liba.so': { kind: 'broken', why: 'x' } } }, undefined],
    [
      'all matching directories, not only the first, in run path order',
      '/z:/none:/a:/y',
      { files: { '/z/liba.so': ELF, '/a/liba.so': ELF }, emptyDirectories: ['/y'] },
      ['=/z/liba.so', '?/none', '=/a/liba.so'],
    ],
    ['a directory twice: once', '/x:/x', { files: { '/x/liba.so': ELF } }, ['=/x/liba.so']],
    [
      'a directory twice, once with a slash: once',
      '/x:/x//',
      { files: { '/x/liba.so': ELF } },
      ['=/x/liba.so'],
    ],
    ['trailing slashes: the path without them', '/x///', { files: { '/x/liba.so': ELF } }, ['=/x/liba.so']],
    ['the root directory: a path with one slash', '/', { files: { '/liba.so': ELF } }, ['=/liba.so']],
    [
      'a directory that may not be listed: its path',
      '/x',
      { files: { '/x/liba.so': ELF }, unlistable: ['/x'] },
      ['=/x/liba.so'],
    ],
  ];
  for (const [rule, runpath, tree, list, roots] of rows) {
    test(rule, () => assert.deepEqual(one(runpath, tree, roots), list));
  }

  test('every soname without a slash gets the hint of a directory that only the loader can search', () => {
    const resolution = resolve(
      { needed: ['libb.so', 'liba.so'], runpath: '$ORIGIN:/x' },
      { files: { '/x/liba.so': ELF } },
      undefined,
      true,
    );
    assert.deepEqual(lists(resolution), {
      'libb.so': ['?$ORIGIN'],
      'liba.so': ['?$ORIGIN', '=/x/liba.so'],
    });
  });

  test('a name that is no UTF-8 is looked up by its bytes', () => {
    const resolution = resolve(
      { needed: ['lib\xff.so'], runpath: '/d\xe9' },
      { files: { '/d\xe9/lib\xff.so': ELF } },
    );
    assert.deepEqual(lists(resolution), { 'lib\xff.so': ['=/d\xe9/lib\xff.so'] });
  });

  test('the requesting object decides which class and machine count', () => {
    const tree = { files: { '/x/liba.so': { ...ELF, is64: false, littleEndian: false, e_machine: 8 } } };
    const spec = { needed: ['liba.so'], runpath: '/x' };
    assert.deepEqual(lists(resolve({ ...spec, is64: false, littleEndian: false, e_machine: 8 }, tree)), {
      'liba.so': ['=/x/liba.so'],
    });
    assert.deepEqual(misses(resolve(spec, tree)), [['liba.so', 'not-found']]);
  });
});

describe('what is recorded where it helps a loader', () => {
  const files = { '/x/liba.so': ELF, '/y/liba.so': ELF };
  const rows: [rule: string, runpath: string, outcome: string[] | string][] = [
    ['a path', '/x', ['=/x/liba.so']],
    ['all paths', '/x:/y', ['=/x/liba.so', '=/y/liba.so']],
    ['a hint before a path', '/none:/x', ['?/none', '=/x/liba.so']],
    ['a hint between paths', '/x:/none:/y', ['=/x/liba.so', '?/none', '=/y/liba.so']],
    ['no hint behind the last path', '/x:/none:$ORIGIN', ['=/x/liba.so']],
    ['no hints alone', '/none:$ORIGIN/../lib', 'hints-only'],
    ['nothing where the list begins with the current directory', ':/x', 'current-directory'],
    ['nor with a relative directory', 'lib:/x', 'current-directory'],
    ['nor with a token that becomes a name', '$LIB:/x', 'current-directory'],
    ['nor where hints come before it', '/none::/x', 'current-directory'],
    ['no path behind the current directory, of which a loader loses the hint', '/x::/y', ['=/x/liba.so']],
    ['nor behind a relative one', '/x:lib:/y', ['=/x/liba.so']],
    ['paths behind $ORIGIN, which is absolute', '$ORIGIN:/x', ['?$ORIGIN', '=/x/liba.so']],
    ['also in braces', `\${ORIGIN}/l:/x`, [`?\${ORIGIN}/l`, '=/x/liba.so']],
    ['no current directory alone', ':', 'hints-only'],
  ];
  for (const [rule, runpath, outcome] of rows) {
    test(rule, () => {
      const resolution = resolve({ needed: ['liba.so'], runpath }, { files });
      const [miss] = resolution.unresolved;
      assert.deepEqual(lists(resolution)['liba.so'] ?? miss?.why, outcome);
      assert.equal(resolution.entries.length + resolution.unresolved.length, 1);
    });
  }
});

const SEARCHES = [
  'every',
  'filter',
  'find',
  'findIndex',
  'findLastIndex',
  'includes',
  'indexOf',
  'some',
] as const;

/** Does something in which all searches of arrays together may go through so many elements, and no more. */
function limitSearches<T>(limit: number, work: () => T): T {
  const originals = SEARCHES.map(name => ({ name, value: Array.prototype[name] }));
  let elements = 0;
  for (const { name, value: search } of originals) {
    const value = function (this: readonly unknown[], ...args: readonly unknown[]): unknown {
      elements += this.length;
      if (elements > limit) throw new Error(`${name}: more than ${limit} elements are gone through`);
      return Reflect.apply(search, this, args);
    };
    Object.defineProperty(Array.prototype, name, { value });
  }
  try {
    return work();
  } finally {
    for (const { name, value } of originals) Object.defineProperty(Array.prototype, name, { value });
  }
}

describe('a resolution is bounded', () => {
  const many = (count: number, name: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => name(i));

  test('each directory is asked once, over 1,000 that are not there for 1,000 sonames', () => {
    const dirs = many(1000, i => `/none/${i}`);
    const probe = new MemoryProbe({});
    const needed = many(1000, i => `lib${i}.so`);
    const { entries, unresolved } = resolveImage(imageOf({ needed, runpath: dirs.join(':') }), probe);
    assert.deepEqual([entries.length, unresolved.length], [0, 1000]);
    assert.equal(probe.asked.length, dirs.length);
    assert.deepEqual(
      probe.asked,
      dirs.map(dir => `directory ${dir}`),
    );
  });

  test('one more is refused by name', () => {
    const runpath = many(1001, i => `/none/${i}`).join(':');
    const needed = many(1000, i => `lib${i}.so`);
    const image = { ...imageOf({ needed, runpath }), path: '/program' };
    assert.throws(() => resolveImage(image, new MemoryProbe({})), {
      code: 'unsupported',
      path: '/program',
      message: 'looking up 1000 libraries over 1001 directories is more than 1000000 look-ups',
    });
  });

  test('no list is gone through for each of 20,000 directories', () => {
    const runpath = many(20_000, i => `/none/${i}`).join(':');
    const needed = many(20, i => `lib${i}.so`);
    const image = imageOf({ needed, runpath });
    const limit = 5 * needed.length * 20_000;
    const { unresolved } = limitSearches(limit, () => resolveImage(image, new MemoryProbe({})));
    assert.equal(unresolved.length, 20);
  });

  test('the names of a directory are gone through once, however many sonames are looked up', () => {
    const names = new Set(many(10_000, i => `file${i}`));
    let walks = 0;
    const counted: ReadonlySet<string> = new Proxy(names, {
      get(target, key) {
        if (key === Symbol.iterator) walks++;
        const value: unknown = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const probe = new MemoryProbe({ emptyDirectories: ['/x'] });
    probe.names = () => counted;
    const needed = many(500, i => `lib${i}.so`);
    resolveImage(imageOf({ needed, runpath: '/x' }), probe);
    assert.equal(walks, 1);
  });
});

describe('sonames that get no entry', () => {
  const tree = { files: { '/x/liba.so': ELF, '/x/a:b': ELF, '/x/$LIB.so': ELF } };
  const rows: [rule: string, soname: string, why: string][] = [
    ['one with a slash is opened directly', '/x/liba.so', 'path'],
    ['one with a slash inside is a path too', 'sub/liba.so', 'path'],
    ['one with a token is expanded by the loader', '$LIB.so', 'token'],
    ['one with a token and a slash is a path', '$ORIGIN/liba.so', 'path'],
    ['one with a colon would end the element', 'a:b', 'not-encodable'],
    ['an empty one would end the descriptor', '', 'not-encodable'],
    ['one that is nowhere is left to the loader', 'libnone.so', 'not-found'],
  ];
  for (const [rule, soname, why] of rows) {
    test(rule, () => {
      const resolution = resolve({ needed: [soname], runpath: '/x' }, tree);
      assert.deepEqual(misses(resolution), [[soname, why]]);
      assert.deepEqual(resolution.entries, []);
    });
  }

  test('hints do not make an entry of what cannot be encoded', () => {
    const resolution = resolve({ needed: ['a:b', '', 'x/y', '$z'], runpath: '$ORIGIN' }, {});
    assert.deepEqual(resolution.entries, []);
    assert.equal(resolution.unresolved.length, 4);
  });

  test('a soname needed twice is resolved once', () => {
    const resolution = resolve({ needed: ['liba.so', 'no', 'liba.so', 'no'], runpath: '/x' }, tree);
    assert.deepEqual(lists(resolution), { 'liba.so': ['=/x/liba.so'] });
    assert.deepEqual(misses(resolution), [['no', 'not-found']]);
  });
});

describe('elements of 4,096 bytes', () => {
  const dirOf = (length: number) => `/${'d'.repeat(length - 1)}`;
  /** `=DIR/liba.so` has this many bytes more than DIR. */
  const EXTRA = '=/liba.so'.length;

  test('an element of 4,095 bytes is recorded', () => {
    const dir = dirOf(4095 - EXTRA);
    const resolution = resolve({ needed: ['liba.so'], runpath: dir }, { files: { [`${dir}/liba.so`]: ELF } });
    assert.deepEqual(lists(resolution), { 'liba.so': [`=${dir}/liba.so`] });
  });

  test('one of 4,096 bytes is not: the loader would skip it', () => {
    const dir = dirOf(4096 - EXTRA);
    const resolution = resolve({ needed: ['liba.so'], runpath: dir }, { files: { [`${dir}/liba.so`]: ELF } });
    assert.deepEqual(resolution.entries, []);
  });

  test('a hint counts with its sigil', () => {
    const hinted = (length: number) =>
      resolve({ needed: ['a'], runpath: `$${'x'.repeat(length - 1)}` }, {}, undefined, true);
    assert.deepEqual(
      lists(hinted(4094)).a?.map(element => element.length),
      [4095],
    );
    assert.deepEqual(hinted(4095).entries, []);
  });

  test('nothing behind it is recorded, or the loader would prefer a later directory', () => {
    const dir = dirOf(5000);
    const tree = {
      files: { '/x/liba.so': ELF, [`${dir}/liba.so`]: ELF, '/y/liba.so': ELF },
    };
    const resolution = resolve({ needed: ['liba.so'], runpath: `/x:${dir}:/y` }, tree);
    assert.deepEqual(lists(resolution), { 'liba.so': ['=/x/liba.so'] });
  });

  test('one too long for one soname does not end the list of another', () => {
    const long = `${'n'.repeat(4000)}.so`;
    const dir = dirOf(200);
    const tree = { files: { [`${dir}/${long}`]: ELF, [`${dir}/liba.so`]: ELF } };
    const resolution = resolve({ needed: [long, 'liba.so'], runpath: dir }, tree);
    assert.deepEqual(lists(resolution), { 'liba.so': [`=${dir}/liba.so`] });
  });
});

describe('an answer carries how it was found', () => {
  const tree: MemoryTree = {
    files: {
      '/ok/liba.so': ELF,
      '/other/liba.so': OTHER,
      '/broken/liba.so': { kind: 'broken', why: 'too short' },
    },
    emptyDirectories: ['/none', '/s/none'],
  };

  test('each run path directory says what came of it, in order', () => {
    const runpath = '$ORIGIN:/none:/other:/broken:/ok/:/gone';
    const resolution = resolve({ needed: ['liba.so'], runpath }, tree, ['/s']);
    assert.deepEqual(resolution.entries[0]?.attempts, [
      { component: '$ORIGIN', outcome: 'hint', why: 'token' },
      { component: '/none', outcome: 'hint', why: 'mutable' },
      { component: '/other', outcome: 'passed-over', why: 'other machine (183)' },
      { component: '/broken', outcome: 'fatal', why: 'too short' },
      { component: '/ok/', outcome: 'recorded', why: '' },
      { component: '/gone', outcome: 'hint', why: 'missing' },
    ]);
  });

  test('a miss lists every directory that was tried', () => {
    const resolution = resolve({ needed: ['liba.so'], runpath: '/s/none:/other' }, tree, ['/s', '/other']);
    assert.deepEqual(resolution.unresolved, [
      {
        soname: 'liba.so',
        why: 'not-found',
        attempts: [
          { component: '/s/none', outcome: 'passed-over', why: 'not there' },
          { component: '/other', outcome: 'passed-over', why: 'other machine (183)' },
        ],
      },
    ]);
  });

  test('the components are reported as they were classified, each once', () => {
    const { components } = resolve({ needed: ['liba.so'], runpath: '/ok:$ORIGIN:/ok:/gone' }, tree);
    assert.deepEqual(components, [
      { kind: 'exact', component: '/ok', dir: '/ok', mutable: false },
      { kind: 'runtime', component: '$ORIGIN', why: 'token' },
      { kind: 'runtime', component: '/gone', why: 'missing' },
    ]);
  });

  test('the same question gets the same answer', () => {
    const spec = { needed: ['libb.so', 'liba.so'], runpath: '/ok:/other:$ORIGIN' };
    assert.deepEqual(resolve(spec, tree), resolve(spec, tree));
  });
});

describe('what the loader finds behind the run path', () => {
  const files = { '/s/x/liba.so': ELF, '/t/libb.so': ELF };
  const asked: string[] = [];

  /** With a system library of that path. */
  function behind(path: string | undefined, runpath = '/s/x', needed = 'libsys.so', storeRoots?: string[]) {
    asked.length = 0;
    return resolveImage(imageOf({ needed: [needed], runpath }), new MemoryProbe({ files }), {
      storeRoots: storeRoots ?? ['/s'],
      systemLibrary: soname => {
        asked.push(soname);
        return path;
      },
    });
  }

  test('is recorded, and said to be of the system, where nothing can come in between later', () => {
    for (const [path, component] of [
      ['/usr/lib/libsys.so', '/usr/lib'],
      ['/libsys.so', '/'],
    ] as const)
      assert.deepEqual(behind(path).entries, [
        {
          soname: 'libsys.so',
          steps: [{ kind: 'path', path }],
          attempts: [
            { component: '/s/x', outcome: 'passed-over', why: 'not there' },
            { component, outcome: 'recorded', why: 'system' },
          ],
        },
      ]);
    assert.deepEqual(misses(behind(undefined)), [['libsys.so', 'not-found']]);
  });

  test('is not asked for where a directory is outside of the stores, or only the loader can search it', () => {
    for (const runpath of ['/s/x:/t', '/t', '/s/x:$ORIGIN', '/s/gone']) {
      assert.deepEqual(behind('/usr/lib/libsys.so', runpath).entries, [], runpath);
      assert.deepEqual(asked, [], runpath);
    }
    const options = { systemLibrary: () => assert.fail('no stores are known') };
    const image = imageOf({ needed: ['libsys.so'], runpath: '/s/x' });
    assert.deepEqual(misses(resolveImage(image, new MemoryProbe({ files }), options)), [
      ['libsys.so', 'not-found'],
    ]);
  });

  test('may come in between where a directory is for the loader to search, or outside of the stores', () => {
    const component = '/s/x';
    const settled = { kind: 'exact', component, dir: component, mutable: false } as const;
    assert.ok(isImmutable([settled, settled]));
    assert.ok(!isImmutable([settled, { ...settled, mutable: true }]));
    assert.ok(!isImmutable([{ kind: 'runtime', component, why: 'missing' }, settled]));
  });

  test('is asked for only where no directory has the library, and its name can be', () => {
    assert.deepEqual(lists(behind('/usr/lib/liba.so', '/s/x', 'liba.so')), { 'liba.so': ['=/s/x/liba.so'] });
    assert.deepEqual(asked, []);
    assert.deepEqual(misses(behind('/usr/lib/a:b', '/s/x', 'a:b')), [['a:b', 'not-encodable']]);
    assert.deepEqual(asked, []);
  });

  test('is not recorded with a colon in its path, nor as an element that the loader skips', () => {
    assert.deepEqual(misses(behind('/usr/l:b/libsys.so')), [['libsys.so', 'not-found']]);
    const long = (length: number) => behind(`/${'p'.repeat(length - 1)}`).entries.length;
    assert.deepEqual([long(4094), long(4095)], [1, 0]);
  });
});

describe('what is remembered of a run path', () => {
  const RUNPATH = '/other:/ok:$ORIGIN:/broken/:/s/x';
  const files = {
    '/ok/liba.so': ELF,
    '/s/x/libb.so': ELF,
    '/other/liba.so': OTHER,
    '/broken/libb.so': { kind: 'broken', why: 'too short' },
  } as const;
  const SPECS: readonly ElfSpec[] = [
    { needed: ['liba.so', 'libb.so'], runpath: RUNPATH },
    { needed: ['libb.so', 'libc.so'], runpath: `/gone:${RUNPATH}` },
    { needed: ['liba.so'], runpath: RUNPATH, e_machine: OTHER.e_machine },
    { needed: ['liba.so', 'libb.so'], runpath: RUNPATH, is64: false },
    { needed: ['libb.so'], runpath: '/ok' },
  ];

  test('does not show in the answers, whoever has asked before', () => {
    const probe = Object.assign(new MemoryProbe({ files }), { memory: new ResolveMemory() });
    for (let round = 0; round < 2; round++) {
      for (const storeRoots of [undefined, ['/s'], ['/s', '/ok'], []]) {
        for (const likePatchelf of [true, false]) {
          for (const spec of SPECS) {
            const remembered = resolveImage(imageOf(spec), probe, { storeRoots, likePatchelf });
            assert.deepEqual(remembered, resolve(spec, { files }, storeRoots, likePatchelf));
          }
        }
      }
    }
  });

  test('has no candidate looked at whose name is in no list', () => {
    const probe = Object.assign(new MemoryProbe({ files }), { memory: new ResolveMemory() });
    for (const name of ['libx.so', 'liby.so', 'libz.so'])
      resolveImage(imageOf({ needed: [name], runpath: '/ok:/other' }), probe);
    const candidates = probe.asked.filter(question => question.startsWith('candidate '));
    assert.deepEqual(candidates, []);
  });

  test('never answers for another soname, also where a library comes when the list was read', () => {
    const late = Object.assign(new MemoryProbe({ files }), {
      memory: new ResolveMemory(),
      candidate: () => ELF,
    });
    const found = resolveImage(imageOf({ needed: ['liblate.so', 'libx.so'], runpath: '/ok' }), late);
    assert.deepEqual(lists(found), {});
  });

  test('is not asked for again', () => {
    const probe = Object.assign(new MemoryProbe({ files }), { memory: new ResolveMemory() });
    for (const spec of SPECS) resolveImage(imageOf(spec), probe);
    const asked = probe.asked.length;
    for (const spec of SPECS) resolveImage(imageOf(spec), probe);
    assert.equal(probe.asked.length, asked);
  });

  test('is bounded', () => {
    const many = Array.from({ length: 60_000 }, (_, i) => `lib${i}.so`);
    const more = Object.fromEntries(many.map(name => [`/ok/${name}`, ELF]));
    const probe = Object.assign(new MemoryProbe({ files: { ...files, ...more } }), {
      memory: new ResolveMemory(),
    });
    const [first] = SPECS;
    resolveImage(imageOf(first ?? {}), probe);
    const asked = probe.asked.length;
    resolveImage(imageOf({ needed: ['liba.so'], runpath: '/ok' }), probe, { more: many });
    const between = probe.asked.length;
    resolveImage(imageOf(first ?? {}), probe);
    assert.equal(probe.asked.length - between, asked);
  });
});
