import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { type TraceOptions, traceFile } from '../../src/loader/trace.js';
import { runOk } from '../support/cli.js';
import { elfnoteHereOk } from '../support/cli-here.js';
import { EXTENT, RUN, share } from '../support/extent.js';
import { generation, SUITES } from '../support/generations.js';
import { listedObjects, straceLoader, tracedCalls, tracedObjects } from '../support/loader-calls.js';
import { annotateStore, makePackageStore, type PackageStore } from '../support/package-store.js';
import { describeInQuick } from '../support/quick.js';
import { buildReader, needsTracing } from '../support/reader.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { isSkipped, type Skip, unavailable } from '../support/tools.js';

/** Where a program may be, and arguments with which it starts and soon ends. */
type Program = readonly [name: string, places: readonly string[], args: readonly string[]];

const QUICK: readonly Program[] = [['curl', ['/usr/bin/curl'], ['--version']]];

const MORE: readonly Program[] = [
  ['git', ['/usr/bin/git'], ['--version']],
  ['convert', ['/usr/bin/convert-im6.q16', '/usr/bin/magick'], ['--version']],
  ['gdb', ['/usr/bin/gdb'], ['--version']],
  ['ffmpeg', ['/usr/bin/ffmpeg'], ['-version']],
  ['emacs', ['/usr/bin/emacs-gtk', '/usr/bin/emacs-nox'], ['--version']],
  ['python3', ['/usr/bin/python3'], ['-c', 'pass']],
  ['node', ['/usr/bin/node', process.execPath], ['--version']],
  ['clang', ['/usr/bin/clang'], ['--version']],
  ['ld.lld', ['/usr/bin/ld.lld'], ['--version']],
  ['as', ['/usr/bin/as'], ['--version']],
  ['eu-readelf', ['/usr/bin/eu-readelf'], ['--version']],
  ['strace', ['/usr/bin/strace'], ['--version']],
  ['qemu-aarch64', ['/usr/bin/qemu-aarch64'], ['--version']],
  ['perl', ['/usr/bin/perl'], ['-e', '1']],
];

/** No checks of a change need these. */
const IF_THERE: readonly Program[] = [
  ['inkscape', ['/usr/bin/inkscape'], ['--version']],
  ['ldc2', ['/usr/bin/ldc2'], ['--version']],
  ['cmake', ['/usr/bin/cmake'], ['--version']],
  ['vim', ['/usr/bin/vim.basic'], ['--version']],
  ['ssh', ['/usr/bin/ssh'], ['-V']],
  ['gpg', ['/usr/bin/gpg'], ['--version']],
];

/** patchelf leaves some programs without room for another program header. */
const BUILD_CLOSURE = ['build-cache', '--quiet', '--closure', '--move-table'];

/** The same paths opened, in the same order; the same failing calls, in the same order; and the same objects. */
function assertTraced(
  t: TestContext,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: TraceOptions = {},
): void {
  const trace = traceFile(program, { libraryPath: env.LD_LIBRARY_PATH, preload: env.LD_PRELOAD, ...options });
  const [seen, traced] = [straceLoader(tempDir(t), program, args, env), tracedCalls(trace)];
  assert.ok(seen.opened.length > 1, 'the loader opened nothing');
  assert.deepEqual(traced.opened, seen.opened);
  assert.deepEqual(traced.failed, seen.failed);
  const opens = seen.failed.filter(call => call.startsWith('open ')).length;
  assert.deepEqual(trace.counts, { opens, stats: seen.failed.length - opens });
  assert.deepEqual(tracedObjects(trace), listedObjects(program, env));
  t.diagnostic(`${seen.opened.length} opened, ${opens} failing opens, ${trace.counts.stats} failing stats`);
}

function makeStore(t: TestContext, binary: string): PackageStore {
  const dir = join(tempDir(t), 'store');
  mkdirSync(dir);
  return makePackageStore(dir, binary);
}

/** How an object names a directory. */
type Form = (object: string, dir: string) => string;

/** Over the store's own directory, so that all libraries say the same. */
const byOrigin =
  ({ dir: store }: PackageStore): Form =>
  (object, dir) =>
    `$ORIGIN/${relative(join(object, '..'), store)}/${relative(store, dir)}`;

/** Gives each object of a store the same directories in another form. */
function setRunPath({ program, libraries }: PackageStore, form: Form): void {
  const dirs = libraries.map(path => join(path, '..'));
  const objects = [program, ...libraries.filter(path => !/\/libc\.so\.6$/.test(path))];
  // One patchelf for all that get the same.
  const byRunPath = new Map<string, string[]>();
  for (const object of objects) {
    const runPath = dirs.map(dir => form(object, dir)).join(':');
    byRunPath.set(runPath, [...(byRunPath.get(runPath) ?? []), object]);
  }
  for (const [runPath, alike] of byRunPath) {
    const kind = runPath.startsWith('$') ? [] : ['--force-rpath'];
    runOk('patchelf', [...kind, '--set-rpath', runPath, ...alike]);
  }
}

describe('trace and the stock loader', { skip: needsTracing('patchelf', 'ldd', 'gcc') }, () => {
  const scope = suiteScope();
  let reader: string;
  before(() => {
    reader = buildReader(tempDir(scope));
  });

  /** Without the module and with it, before the notes are there and then. */
  function assertEveryWay(t: TestContext, store: PackageStore, args: readonly string[]): void {
    const audited = () => assertTraced(t, store.program, args, { LD_AUDIT: reader }, { with: 'audit' });
    assertTraced(t, store.program, args);
    audited();
    annotateStore(store);
    assertTraced(t, store.program, args);
    audited();
  }

  const programs = [...(RUN === 'rest' ? [] : QUICK), ...[...MORE, ...IF_THERE].slice(0, EXTENT.programs)];
  for (const [name, places, args] of programs) {
    const found = places.find(place => existsSync(place));
    const why = `not on this machine: ${name}`;
    const isOptional = IF_THERE.some(([optional]) => optional === name);
    const skip: Skip = found !== undefined ? false : isOptional ? why : unavailable(why);
    const binary = found ?? '';

    test(`${name} where it is installed`, { skip }, t => assertTraced(t, binary, args));

    test(`${name} with LD_LIBRARY_PATH`, { skip }, t => {
      const absent = join(tempDir(t), 'absent');
      const dirs = [absent, '/usr/lib/x86_64-linux-gnu/', tempDir(t), '/usr/lib'].join(':');
      assertTraced(t, binary, args, { LD_LIBRARY_PATH: dirs });
    });

    test(`${name} in a store of one directory a package, with notes and without`, { skip }, t =>
      assertEveryWay(t, makeStore(t, binary), args),
    );
  }

  const [curl, , options] = ['/usr/bin/curl', '', ['--version']];
  const skip = existsSync(curl) ? false : unavailable('not on this machine: curl');

  const kinds: readonly [string, (store: PackageStore) => Form][] = [
    ['DT_RPATH, as Spack makes them', () => (_, dir) => dir],
    ['$ORIGIN, as conda makes them', byOrigin],
  ];
  for (const [kind, form] of share(kinds, EXTENT.stores)) {
    test(`a store with ${kind}`, { skip }, t => {
      const store = makeStore(t, curl);
      setRunPath(store, form(store));
      assertEveryWay(t, store, options);
    });
  }

  test('LD_LIBRARY_PATH in front of a store, also with the audit module', { skip }, t => {
    const store = makeStore(t, curl);
    annotateStore(store);
    const own = join(store.libraries[3] ?? '', '..');
    const paths = [`/nowhere;${own}/::relative`, '/nowhere', Array(9).fill(own).join(':')];
    for (const dirs of share(paths, EXTENT.libraryPaths)) {
      const env = { LD_LIBRARY_PATH: dirs };
      assertTraced(t, store.program, options, env);
      assertTraced(t, store.program, options, { ...env, LD_AUDIT: reader }, { with: 'audit' });
    }
  });

  describeInQuick('LD_PRELOAD', { skip }, () => {
    test('by a name and by a path', t => {
      const store = makeStore(t, curl);
      const [first = '', second = ''] = store.libraries.slice(5);
      const name = second.slice(second.lastIndexOf('/') + 1);
      assertTraced(t, store.program, options, { LD_PRELOAD: `${name} ${first}` });
    });
  });

  const forms: readonly [string, ((store: PackageStore) => Form) | undefined][] = [
    ['DT_RUNPATH', undefined],
    ['DT_RPATH', () => (_, dir) => dir],
    ['$ORIGIN', byOrigin],
  ];
  for (const [kind, form] of share(forms, EXTENT.closures)) {
    test(`a closure note on the program alone, in a store with ${kind}`, { skip }, t => {
      const store = makeStore(t, curl);
      if (form !== undefined) setRunPath(store, form(store));
      elfnoteHereOk([...BUILD_CLOSURE, '--store-dir', store.dir, store.program]);
      const audited = { LD_AUDIT: reader };
      assertTraced(t, store.program, options, audited, { with: 'audit' });
      const { counts } = traceFile(store.program, { with: 'audit' });
      assert.ok(counts.opens < 10, `${counts.opens} failing opens`);
      assertTraced(t, store.program, options, { ...audited, LD_LIBRARY_PATH: store.dir }, { with: 'audit' });
    });
  }

  for (const suite of share(SUITES, EXTENT.suites)) {
    const later = generation(suite);
    test(`the loader of Debian ${suite}, which searches fewer subdirectories`, {
      skip,
    }, t => {
      if (isSkipped(t, later.skip)) return;
      const store = makeStore(t, curl);
      for (const library of store.libraries) {
        const own = join(later.libraries, basename(library));
        if (existsSync(own)) copyFileSync(own, library);
      }
      runOk('patchelf', ['--set-interpreter', later.loader, store.program]);
      const { loader, subdirectories } = traceFile(store.program);
      assert.ok(loader.glibc >= 41 && loader.versionFrom === 'file', `2.${loader.glibc}`);
      assert.ok(!subdirectories.some(name => name.includes('tls')));
      assertEveryWay(t, store, options);
      assertTraced(t, store.program, options, { LD_LIBRARY_PATH: '/nowhere:/usr/lib' });
    });
  }
});
