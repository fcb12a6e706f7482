import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ElfSpec } from '../support/elf-builder.js';
import { makeNote } from '../support/elf-file.js';
import { buildLdCache } from '../support/ld-cache-builder.js';
import { calls, load, loaded, outcomes } from '../support/loader-world.js';

const AARCH64 = 183;
const DT_AUXILIARY = 0x7ffffffd;
const DT_FILTER = 0x7fffffff;
const DT_FLAGS_1 = 0x6ffffffb;
const DF_1_NODEFLIB = 0x800;
const DF_1_PIE = 0x0800_0000;
const ET_EXEC = 2;

describe('the order in which objects are loaded', () => {
  test('breadth first: the program before its libraries, each library before the next one', () => {
    const closure = load(
      { needed: ['liba.so', 'libb.so'], runpath: '/s' },
      {
        '/s/liba.so': { needed: ['libc.so'], runpath: '/s' },
        '/s/libb.so': { needed: ['libd.so'], runpath: '/s' },
        '/s/libc.so': {},
        '/s/libd.so': {},
      },
    );
    assert.deepEqual(loaded(closure), ['/s/liba.so', '/s/libb.so', '/s/libc.so', '/s/libd.so']);
  });

  test('preloaded objects come before everything that is needed, by the run path of the program', () => {
    const closure = load(
      { needed: ['liba.so'], runpath: '/s' },
      { '/s/liba.so': {}, '/s/libpre.so': { needed: ['liba.so'] } },
      { preload: ['libpre.so'] },
    );
    assert.deepEqual(loaded(closure), ['/s/libpre.so', '/s/liba.so']);
  });

  test('a preloaded object that is not there is passed over', () => {
    const closure = load(
      { needed: ['liba.so'], runpath: '/s' },
      { '/s/liba.so': {} },
      { preload: ['/no/such.so'] },
    );
    assert.deepEqual(outcomes(closure), ['/no/such.so missing', 'liba.so loaded /s/liba.so']);
    assert.equal(closure.fatal, undefined);
  });

  test('an auxiliary object comes in front of the one that names it, and its own libraries first', () => {
    const closure = load(
      { needed: ['liba.so', 'libb.so'], runpath: '/s' },
      {
        '/s/liba.so': { more: [[DT_AUXILIARY, 'libaux.so']], runpath: '/s' },
        '/s/libaux.so': { needed: ['libx.so'], runpath: '/s' },
        '/s/libb.so': { needed: ['liby.so'], runpath: '/s' },
        '/s/libx.so': {},
        '/s/liby.so': {},
      },
    );
    const names = closure.order.map(index => closure.objects[index]?.path);
    assert.deepEqual(names, [
      '/bin/program',
      '/s/libaux.so',
      '/s/liba.so',
      '/s/libb.so',
      '/s/libx.so',
      '/s/liby.so',
    ]);
  });

  test('auxiliary objects keep their order, and one that comes later is taken in front', () => {
    const order = (needed: readonly string[], ...names: readonly string[]) => {
      const more = names.map(name => [DT_AUXILIARY, name] as const);
      const things = { '/s/liba.so': { more, runpath: '/s' }, '/s/libx.so': {}, '/s/liby.so': {} };
      const closure = load({ needed, runpath: '/s' }, things);
      return closure.order.slice(1).map(index => closure.objects[index]?.name);
    };
    assert.deepEqual(order(['liba.so'], 'libx.so', 'liby.so'), ['libx.so', 'liby.so', 'liba.so']);
    assert.deepEqual(order(['liba.so', 'libx.so'], 'libx.so'), ['libx.so', 'liba.so']);
    assert.deepEqual(order(['liba.so', 'libx.so', 'liby.so'], 'liby.so'), ['liby.so', 'liba.so', 'libx.so']);
    assert.deepEqual(order(['libx.so', 'liba.so'], 'libx.so'), ['libx.so', 'liba.so']);
    assert.deepEqual(order(['liba.so', 'libx.so'], 'liba.so'), ['liba.so', 'libx.so']);
  });

  test('what two objects need stands where the first asked for it', () => {
    const closure = load(
      { needed: ['liba.so', 'libb.so'], runpath: '/s' },
      { '/s/liba.so': { needed: ['libb.so', 'libc.so'], runpath: '/s' }, '/s/libb.so': {}, '/s/libc.so': {} },
    );
    const names = closure.order.map(index => closure.objects[index]?.name);
    assert.deepEqual(names, ['/bin/program', 'liba.so', 'libb.so', 'libc.so']);
  });

  test('a library that asks for the program by its soname gets it, and it stands first and once', () => {
    const closure = load(
      { soname: 'libself.so', needed: ['liba.so'], runpath: '/s' },
      { '/s/liba.so': { needed: ['libself.so'] } },
    );
    assert.equal(outcomes(closure).at(-1), 'libself.so known /bin/program');
    const names = closure.order.map(index => closure.objects[index]?.name);
    assert.deepEqual(names, ['/bin/program', 'liba.so']);
  });

  test('an object that is preloaded twice, or is the program, stands once', () => {
    const closure = load(
      { soname: 'libself.so', runpath: '/s' },
      { '/s/libpre.so': {} },
      { preload: ['libpre.so', '/no/such.so', 'libself.so', 'libpre.so'] },
    );
    const names = closure.order.map(index => closure.objects[index]?.name);
    assert.deepEqual(names, ['/bin/program', 'libpre.so']);
  });

  test('a missing auxiliary object does not matter, a missing filter object does', () => {
    const closure = load(
      {
        more: [
          [DT_AUXILIARY, 'libaux.so'],
          [DT_FILTER, 'libf.so'],
        ],
        runpath: '/s',
      },
      {},
    );
    assert.deepEqual(
      closure.lookups.map(({ tag, outcome }) => [tag, outcome]),
      [
        ['auxiliary', 'missing'],
        ['filter', 'missing'],
      ],
    );
  });
});

describe('what is loaded already', () => {
  test('a soname is satisfied by an earlier object of that soname, whatever its file is called', () => {
    const closure = load(
      { needed: ['liba.so', 'libreal.so.1'], runpath: '/s' },
      { '/s/liba.so': { soname: 'libreal.so.1' }, '/s/libreal.so.1': {} },
    );
    assert.deepEqual(outcomes(closure), ['liba.so loaded /s/liba.so', 'libreal.so.1 known /s/liba.so']);
    assert.deepEqual(calls(closure), ['open /s/liba.so']);
  });

  test('of two builds of one soname, the one that is asked for first serves all', () => {
    const closure = load(
      { needed: ['liba.so', 'libz.so.1'], runpath: '/two:/s' },
      {
        '/s/liba.so': { needed: ['libz.so.1'], runpath: '/one' },
        '/one/libz.so.1': { soname: 'libz.so.1' },
        '/two/libz.so.1': { soname: 'libz.so.1' },
      },
    );
    assert.deepEqual(loaded(closure), ['/s/liba.so', '/two/libz.so.1']);
    assert.equal(outcomes(closure).at(-1), 'libz.so.1 known /two/libz.so.1');
  });

  test('a file under another name is opened, told by its inode, and loaded once', () => {
    const closure = load(
      { needed: ['liba.so.1', 'liba.so', 'liba.so'], runpath: '/s' },
      { '/s/liba.so.1': {}, '/s/liba.so': { link: 'liba.so.1' } },
    );
    assert.deepEqual(outcomes(closure), [
      'liba.so.1 loaded /s/liba.so.1',
      'liba.so same-file /s/liba.so.1',
      'liba.so known /s/liba.so.1',
    ]);
  });

  test('the loader is loaded already, by the name in PT_INTERP', () => {
    const closure = load({ needed: ['ld-linux-x86-64.so.2'] }, {});
    assert.deepEqual(outcomes(closure), ['ld-linux-x86-64.so.2 known /lib64/ld-linux-x86-64.so.2']);
  });

  test('the kernel’s own object is loaded already, by each of its names', () => {
    const needed = ['linux-vdso.so.1', 'linux-vdso64.so.1', 'linux-gate.so.1'];
    const { lookups, objects } = load({ needed }, {});
    for (const { outcome, result } of lookups)
      assert.deepEqual([outcome, objects[result ?? 0]?.kind], ['known', 'vdso']);
    assert.deepEqual(
      objects.map(({ kind, path }) => `${kind} ${path}`),
      ['library /bin/program', 'vdso linux-vdso.so.1', 'loader /lib64/ld-linux-x86-64.so.2'],
    );
  });

  test('what was not found is looked for anew', () => {
    const closure = load(
      { needed: ['libno.so', 'liba.so'], runpath: '/s' },
      { '/s/liba.so': { needed: ['libno.so'], runpath: '/t' }, '/t/libno.so': {} },
    );
    assert.deepEqual(loaded(closure), ['/s/liba.so', '/t/libno.so']);
  });
});

describe('where a name is looked for', () => {
  test('DT_RUNPATH is that of the object that asks, and of no other', () => {
    const closure = load(
      { needed: ['liba.so'], runpath: '/s:/t' },
      { '/s/liba.so': { needed: ['libb.so'] }, '/t/libb.so': {} },
    );
    assert.equal(outcomes(closure).at(-1), 'libb.so missing');
  });

  test('DT_RPATH is inherited: the own first, then that of the loaders, then that of the program', () => {
    const things = {
      '/p/liba.so': { needed: ['libb.so'], rpath: '/a' },
      '/a/libb.so': { needed: ['libc.so'], rpath: '/b' },
    };
    const closure = load({ needed: ['liba.so'], rpath: '/p' }, { ...things, '/lib/libc.so': {} });
    assert.deepEqual(
      calls(closure).filter(call => call.startsWith('open') && call.includes('libc')),
      ['open /b/libc.so ENOENT', 'open /a/libc.so ENOENT', 'open /p/libc.so ENOENT', 'open /lib/libc.so'],
    );
  });

  test('an object with DT_RUNPATH inherits none, and passes its DT_RPATH to none', () => {
    const closure = load(
      { needed: ['liba.so'], rpath: '/p' },
      {
        '/p/liba.so': { needed: ['libb.so', 'libc.so'], rpath: '/x', runpath: '/a' },
        '/a/libb.so': { needed: ['libd.so'] },
        '/p/libc.so': {},
        '/x/libd.so': {},
        '/p/libd.so': {},
      },
    );
    assert.deepEqual(outcomes(closure), [
      'liba.so loaded /p/liba.so',
      'libb.so loaded /a/libb.so',
      'libc.so missing',
      // liba has no DT_RPATH that counts; the program's does.
      'libd.so loaded /p/libd.so',
    ]);
    assert.deepEqual(
      calls(closure).filter(call => call.includes('libd')),
      ['open /p/libd.so'],
    );
  });

  test('LD_LIBRARY_PATH comes after DT_RPATH and before DT_RUNPATH', () => {
    const things = { '/e/liba.so': {}, '/s/liba.so': {} };
    assert.deepEqual(loaded(load({ needed: ['liba.so'], runpath: '/s' }, things, { libraryPath: '/e' })), [
      '/e/liba.so',
    ]);
    assert.deepEqual(loaded(load({ needed: ['liba.so'], rpath: '/s' }, things, { libraryPath: '/e' })), [
      '/s/liba.so',
    ]);
  });

  test('LD_LIBRARY_PATH is split at ; too; an empty part is the current directory; each counts once', () => {
    const closure = load({ needed: ['liba.so'] }, {}, { libraryPath: '/x;/y//::/x/' });
    assert.deepEqual(calls(closure).slice(0, 5), [
      'open /x/liba.so ENOENT',
      'stat /x ENOENT',
      'open /y/liba.so ENOENT',
      'stat /y ENOENT',
      'open liba.so ENOENT',
    ]);
  });

  test('$ORIGIN is the directory of the path that was opened, not of the real one', () => {
    const closure = load(
      { needed: ['liba.so'], runpath: '$ORIGIN/../links' },
      {
        '/links/liba.so': { link: '../real/liba.so' },
        '/real/liba.so': { needed: ['libb.so'], runpath: `\${ORIGIN}` },
        '/links/libb.so': {},
        '/real/libb.so': {},
      },
    );
    assert.deepEqual(loaded(closure), ['/bin/../links/liba.so', '/bin/../links/libb.so']);
  });

  test('a token without a value takes its directory out', () => {
    const unknown = { e_machine: 0x9999, needed: ['liba.so'] };
    const closure = load({ ...unknown, runpath: '/s/$PLATFORM:/t' }, {});
    assert.deepEqual(
      calls(closure).filter(call => /^open \/[st]/.test(call)),
      ['open /t/liba.so ENOENT'],
    );
  });

  test('$LIB and $PLATFORM are the loader’s', () => {
    const closure = load({ needed: ['liba.so'], runpath: '/s/$LIB/$PLATFORM:/s/$LIBX' }, {});
    assert.deepEqual(
      calls(closure).filter(call => call.startsWith('open /s')),
      ['open /s/lib64/x86_64/liba.so ENOENT', 'open /s/$LIBX/liba.so ENOENT'],
    );
  });

  test('a name with a slash is opened as it is, and searched for nowhere', () => {
    const closure = load(
      { needed: ['/s/liba.so', '$ORIGIN/libb.so'], runpath: '/t' },
      { '/s/liba.so': {}, '/t/libb.so': {} },
    );
    assert.deepEqual(calls(closure), ['open /s/liba.so', 'open /bin/libb.so ENOENT']);
  });

  test('DF_1_NODEFLIB: no default directory', () => {
    const closure = load(
      { needed: ['liba.so'], more: [[DT_FLAGS_1, DF_1_NODEFLIB]] },
      { '/usr/lib/liba.so': {} },
    );
    assert.deepEqual(calls(closure), ['cache /etc/ld.so.cache ENOENT']);
  });
});

describe('what the loader remembers of directories', () => {
  test('an absent one is told by one stat after the first miss, and met again it costs nothing', () => {
    const closure = load(
      { needed: ['liba.so', 'libb.so'], runpath: '/none:/s' },
      { '/s/liba.so': { needed: ['libc.so'], runpath: '/none/:/s' }, '/s/libb.so': {}, '/s/libc.so': {} },
    );
    assert.deepEqual(calls(closure), [
      'open /none/liba.so ENOENT',
      'stat /none ENOENT',
      'open /s/liba.so',
      'open /s/libb.so',
      'open /s/libc.so',
    ]);
  });

  test('one that is there is asked once whether it is, unless a file was found in it first', () => {
    const closure = load(
      { needed: ['liba.so', 'libb.so', 'libc.so'], runpath: '/one:/two' },
      { '/one/libx.so': {}, '/two/liba.so': {}, '/two/libb.so': {}, '/one/libc.so': {} },
    );
    assert.deepEqual(calls(closure), [
      'open /one/liba.so ENOENT',
      'stat /one',
      'open /two/liba.so',
      'open /one/libb.so ENOENT',
      'open /two/libb.so',
      'open /one/libc.so',
    ]);
  });

  test('a relative one is never taken for absent', () => {
    const closure = load({ needed: ['liba.so', 'libb.so'], runpath: 'rel' }, {});
    assert.deepEqual(
      calls(closure).filter(call => call.includes('rel')),
      ['open rel/liba.so ENOENT', 'open rel/libb.so ENOENT'],
    );
  });

  test('subdirectories for processors are each remembered for themselves, best first', () => {
    const closure = load(
      { needed: ['liba.so', 'libb.so'], runpath: '/s' },
      { '/s/glibc-hwcaps/x86-64-v2/liba.so': {}, '/s/libb.so': {} },
      { hwcaps: 'x86-64-v3' },
    );
    assert.deepEqual(calls(closure), [
      'open /s/glibc-hwcaps/x86-64-v3/liba.so ENOENT',
      'stat /s/glibc-hwcaps/x86-64-v3 ENOENT',
      'open /s/glibc-hwcaps/x86-64-v2/liba.so',
      'open /s/glibc-hwcaps/x86-64-v2/libb.so ENOENT',
      'open /s/libb.so',
    ]);
  });

  test('a file that cannot be opened for another reason ends the list, up to 2.38 also ENOTDIR', () => {
    const at = (error: string, glibc: number) =>
      loaded(
        load(
          { needed: ['liba.so'], runpath: '/one:/two' },
          { '/one/liba.so': { error }, '/two/liba.so': {}, '/lib/liba.so': {} },
          { loader: { glibc } },
        ),
      );
    assert.deepEqual(at('EACCES', 37), ['/two/liba.so']);
    assert.deepEqual(at('ELOOP', 37), ['/lib/liba.so']);
    assert.deepEqual(at('ENOTDIR', 38), ['/lib/liba.so']);
    assert.deepEqual(at('ENOTDIR', 39), ['/two/liba.so']);
  });
});

describe('what objects declare to dlopen', () => {
  const declaring = (spec: ElfSpec, ...soname: readonly string[]): ElfSpec => ({
    ...spec,
    notes: [{ bytes: makeNote('FDO', 0x407c0c0a, Buffer.from(JSON.stringify([{ soname }]))) }],
  });
  const program = declaring({ needed: ['liba.so'], runpath: '/s' }, 'libno.so', 'libx.so', 'libx.so');
  const things = {
    '/s/liba.so': declaring({ runpath: '/s' }, 'libtext.so', 'liby.so'),
    '/s/libx.so': declaring({ needed: ['libz.so', 'libgone.so'], runpath: '/s' }, 'libw.so'),
    '/s/libtext.so': { bytes: Buffer.from('text') },
    '/s/liby.so': {},
    '/s/libz.so': {},
    '/s/libw.so': {},
  };

  test('is opened when all is loaded, with what it needs and declares, and may be absent or no library', () => {
    const closure = load(program, things, { dlopen: true });
    assert.deepEqual(
      closure.lookups.map(({ requester, tag, name, outcome }) => `${requester} ${tag} ${name} ${outcome}`),
      [
        '0 needed liba.so loaded',
        '0 dlopen libno.so missing',
        '0 dlopen libx.so loaded',
        '4 needed libz.so loaded',
        '4 needed libgone.so missing',
        '3 dlopen libtext.so fatal',
        '3 dlopen liby.so loaded',
        '4 dlopen libw.so loaded',
      ],
    );
    assert.equal(closure.fatal, undefined);
    const names = closure.order.map(index => closure.objects[index]?.name);
    assert.deepEqual(names, ['/bin/program', 'liba.so']);
  });

  test('is not opened unless asked for, nor by a program that does not start', () => {
    assert.deepEqual(loaded(load(program, things)), ['/s/liba.so']);
    const ended = load(declaring({ needed: ['libtext.so'], runpath: '/s' }, 'libz.so'), things, {
      dlopen: true,
    });
    assert.deepEqual(outcomes(ended), ['libtext.so fatal']);
    assert.equal(ended.fatal?.name, 'libtext.so');
  });

  test('what an opened library cannot do without ends only that', () => {
    const needy = { ...things, '/s/libx.so': { needed: ['libtext.so', 'libz.so'], runpath: '/s' } };
    const closure = load(program, needy, { dlopen: true });
    assert.deepEqual(loaded(closure), ['/s/liba.so', '/s/libx.so', '/s/liby.so']);
    assert.equal(closure.fatal, undefined);
  });
});

describe('the place where a name was found', () => {
  test('tells the rule, the directory and whose word it was', () => {
    const cache = { '/etc/ld.so.cache': { bytes: buildLdCache([{ name: 'libc.so', path: '/c/libc.so' }]) } };
    const rest = { needed: ['libr.so', 'libe.so', 'libu.so', 'libc.so', 'libd.so', '/p/libp.so'] };
    const things = {
      '/a/liba.so': { ...rest, rpath: '/r' },
      '/b/libb.so': { needed: ['libu.so'], runpath: '/u' },
      '/r/libr.so': {},
      '/e/libe.so': {},
      '/u/libu.so': {},
      '/c/libc.so': {},
      '/lib/libd.so': {},
      '/p/libp.so': {},
    };
    const program = { needed: ['libb.so', 'liba.so'], rpath: '/a:/b' };
    const closure = load(program, { ...things, ...cache }, { libraryPath: '/e' });
    const places = new Map(closure.objects.map(({ name, place }) => [name, place]));
    assert.deepEqual(places.get('libb.so'), { directory: '/b/', how: 'rpath', owner: 0 });
    assert.deepEqual(places.get('libr.so'), { directory: '/r/', how: 'rpath', owner: 4 });
    assert.deepEqual(places.get('libe.so'), { directory: '/e/', how: 'library-path' });
    assert.deepEqual(places.get('libu.so'), { directory: '/u/', how: 'runpath', owner: 3 });
    assert.deepEqual(places.get('libc.so'), { how: 'ld.so.cache' });
    assert.deepEqual(places.get('libd.so'), { directory: '/lib/', how: 'default' });
    assert.deepEqual(places.get('/p/libp.so'), { how: 'path' });
  });

  test('is told of what ends the program too, which has no list of places', () => {
    const { fatal } = load({ needed: ['liba.so'], runpath: '/s' }, { '/s/liba.so': { e_type: ET_EXEC } });
    assert.deepEqual(fatal?.place, { directory: '/s/', how: 'runpath', owner: 0 });
    assert.ok(fatal !== undefined && !('places' in fatal) && !('answer' in fatal));
  });
});

describe('ld.so.cache in a search', () => {
  const bytes = buildLdCache([
    { name: 'liba.so', path: '/c/liba.so' },
    { name: 'libb.so', path: '/usr/lib/libb.so' },
  ]);
  const cache = { '/etc/ld.so.cache': { bytes } };

  test('comes behind the run path, and is read once', () => {
    const closure = load(
      { needed: ['liba.so', 'libb.so', 'libno.so'], runpath: '/s' },
      { ...cache, '/c/liba.so': {}, '/s/libb.so': {} },
      { loader: { systemDirectories: [] } },
    );
    assert.deepEqual(calls(closure), [
      'open /s/liba.so ENOENT',
      'stat /s',
      'cache /etc/ld.so.cache',
      'open /c/liba.so',
      'open /s/libb.so',
      'open /s/libno.so ENOENT',
    ]);
    const [last] = closure.lookups.at(-1)?.places?.slice(-1) ?? [];
    assert.deepEqual(last, { how: 'ld.so.cache', directory: '/etc/ld.so.cache', isAbsent: false });
  });

  test('of an object with DF_1_NODEFLIB it counts but for what is in default directories', () => {
    const program = { needed: ['liba.so', 'libb.so'], more: [[DT_FLAGS_1, DF_1_NODEFLIB]] } as const;
    const closure = load(program, { ...cache, '/c/liba.so': {}, '/usr/lib/libb.so': {} });
    assert.deepEqual(outcomes(closure), ['liba.so loaded /c/liba.so', 'libb.so missing']);
    const places = closure.lookups[1]?.places?.map(({ how }) => how);
    assert.deepEqual(places, ['ld.so.cache']);
  });

  test('comes in front of the run path for a loader that asks it first, as that of Guix', () => {
    const things = { ...cache, '/c/liba.so': {}, '/s/liba.so': {} };
    const program = { needed: ['liba.so'], runpath: '/s' };
    assert.deepEqual(loaded(load(program, things, { with: 'cache' })), ['/c/liba.so']);
    assert.deepEqual(loaded(load(program, things)), ['/s/liba.so']);
  });
});

describe('which candidates count', () => {
  test('one of the wrong machine or class is passed over, and is no failing open', () => {
    const closure = load(
      { needed: ['liba.so'], runpath: '/one:/two:/three' },
      {
        '/one/liba.so': { e_machine: AARCH64 },
        '/two/liba.so': { is64: false, e_machine: 3 },
        '/three/liba.so': {},
      },
    );
    assert.deepEqual(loaded(closure), ['/three/liba.so']);
    const results = closure.lookups[0]?.steps
      .filter(({ call }) => call === 'open')
      .map(({ result }) => result);
    assert.deepEqual(results, ['passed-over', 'passed-over', 'found']);
  });

  test('one that is no ELF file, or a directory, ends the program', () => {
    for (const thing of [{ bytes: Buffer.from('#!/bin/sh\n') }, { directory: true } as const]) {
      const closure = load(
        { needed: ['liba.so', 'libb.so'], runpath: '/one:/two' },
        { '/one/liba.so': thing, '/two/liba.so': {}, '/two/libb.so': {} },
      );
      assert.deepEqual(outcomes(closure), ['liba.so fatal']);
      assert.equal(closure.fatal?.name, 'liba.so');
    }
  });

  test('a program in the place of a library ends the program, a preloaded one is passed over', () => {
    const things = {
      '/s/liba.so': { more: [[DT_FLAGS_1, DF_1_PIE]] },
      '/s/libb.so': { e_type: ET_EXEC },
    } as const;
    for (const needed of [['liba.so'], ['libb.so']]) {
      const closure = load({ needed, runpath: '/s' }, things);
      assert.equal(closure.fatal?.steps[0]?.why, 'is a program, not a library');
    }
    assert.equal(load({ runpath: '/s' }, things, { preload: ['liba.so'] }).fatal, undefined);
  });

  test('what is no library ends the program in the place of a filter object, not of an auxiliary one', () => {
    const things = { '/s/liba.so': { bytes: Buffer.from('text') }, '/s/libb.so': {} };
    const asking = (tag: number) =>
      load({ needed: ['libb.so'], more: [[tag, 'liba.so']], runpath: '/s' }, things);
    const auxiliary = asking(DT_AUXILIARY);
    assert.ok(outcomes(auxiliary).includes('liba.so fatal'));
    assert.deepEqual([auxiliary.fatal, loaded(auxiliary)], [undefined, ['/s/libb.so']]);
    assert.equal(asking(DT_FILTER).fatal?.name, 'liba.so');
  });

  test('a file that asks for more look-ups than a program could is refused by name', () => {
    const program = { needed: ['liba.so', 'libb.so'], runpath: 'one:two:three' };
    const run = { loader: { systemDirectories: [] }, mostLookups: 5 };
    assert.throws(() => load(program, {}, run), /asks for more than 5 look-ups/);
    assert.equal(load(program, {}, { ...run, mostLookups: 6 }).lookups.length, 2);
  });

  test('DT_RPATH is searched once, and an empty run path not at all', () => {
    const closure = load({ needed: ['liba.so'], rpath: '/s' }, { '/s/libx.so': {} });
    const inRpath = calls(closure).filter(call => call.includes('/s'));
    assert.deepEqual(inRpath, ['open /s/liba.so ENOENT', 'stat /s']);
    const [first, second] = closure.lookups[0]?.places ?? [];
    assert.deepEqual(first, { how: 'rpath', directory: '/s/', owner: 0, isAbsent: false });
    assert.equal(second?.how, 'ld.so.cache');
    const empty = load({ needed: ['liba.so'], runpath: '' }, {});
    assert.ok(!calls(empty).some(call => call.startsWith('open liba.so')));
  });

  test('of a name with a slash there are no places', () => {
    assert.equal(load({ needed: ['/s/liba.so'] }, {}).lookups[0]?.places, undefined);
  });

  test('a missing one tells every place, also those that are known to be absent', () => {
    const closure = load(
      { needed: ['liba.so', 'libno.so'], runpath: '/none:/s' },
      { '/s/liba.so': {} },
      { libraryPath: '/e' },
    );
    assert.deepEqual(
      closure.lookups[1]?.places?.map(({ how, directory, isAbsent }) => `${how} ${directory} ${isAbsent}`),
      [
        'library-path /e/ true',
        'runpath /none/ true',
        'runpath /s/ false',
        'ld.so.cache /etc/ld.so.cache true',
        'default /lib/ true',
        'default /usr/lib/ true',
      ],
    );
  });
});
