import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { ElfnoteError } from '../../src/errors.js';
import { type TraceOptions, traceFile } from '../../src/loader/trace.js';
import { buildElf, type ElfSpec } from '../support/elf-builder.js';
import { buildLdCache } from '../support/ld-cache-builder.js';
import { tempDir } from '../support/temp.js';

type Context = Parameters<typeof tempDir>[0];

/** Files below a directory: objects, or text. */
function tree(t: Context, files: Readonly<Record<string, ElfSpec | string | Buffer>>): string {
  const root = tempDir(t);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    const isText = typeof content === 'string' || Buffer.isBuffer(content);
    writeFileSync(join(root, path), isText ? content : buildElf(content).bytes);
  }
  return root;
}

const PROGRAM: ElfSpec = { needed: ['liba.so'], runpath: '/s' };

/** Paths of the objects of `/bin/program` in a tree, but for the kernel's and the loader. */
function paths(root: string, options: TraceOptions = {}): string[] {
  const { objects } = traceFile(join(root, 'bin/program'), { root, hwcaps: 'none', ...options });
  return objects.filter(({ kind }) => kind === 'library').map(({ path }) => path);
}

describe('a trace of a file', () => {
  test('is in the file system of its root, by paths inside it', t => {
    const root = tree(t, { 'bin/program': PROGRAM, 's/liba.so': {} });
    assert.deepEqual(paths(root), ['/bin/program', '/s/liba.so']);
    const trace = traceFile(join(root, 'bin/program'), { root, hwcaps: 'none' });
    assert.equal(trace.file, join(root, 'bin/program'));
    assert.equal(trace.with, 'none');
    assert.deepEqual(trace.subdirectories, ['']);
    assert.deepEqual(trace.counts, { opens: 0, stats: 0 });
    assert.equal(trace.loader.versionFrom, 'default');
  });

  test('of a library is by the path that it is opened by, also through a link', t => {
    const root = tree(t, { 'real/program': { needed: ['liba.so'], runpath: '$ORIGIN' }, 'bin/liba.so': {} });
    symlinkSync('../real/program', join(root, 'bin/program'));
    assert.deepEqual(paths(root), ['/bin/program', '/bin/liba.so']);
  });

  test('of a program is by its real path', t => {
    const spec: ElfSpec = { needed: ['liba.so'], runpath: '$ORIGIN' };
    const notes = [{ bytes: Buffer.from('/lib64/ld.so\0'), segment: false }];
    const [at = 0] = buildElf({ ...spec, notes, extra: [{}] }).at.notes;
    const interp = { p_type: 3, p_offset: at, p_vaddr: 0x10000 + at, p_filesz: 13 };
    const root = tree(t, { 'real/program': { ...spec, notes, extra: [interp] }, 'real/liba.so': {} });
    mkdirSync(join(root, 'bin'));
    symlinkSync('../real/program', join(root, 'bin/program'));
    const { objects, loader } = traceFile(join(root, 'bin/program'), { root, hwcaps: 'none' });
    assert.deepEqual(
      objects.map(({ kind, path }) => `${kind} ${path}`).filter(text => !text.startsWith('vdso')),
      ['program /real/program', 'loader /lib64/ld.so', 'library /real/liba.so'],
    );
    assert.equal(loader.path, '/lib64/ld.so');
  });

  test('of one outside its root is by its own path', t => {
    const root = tree(t, { 's/liba.so': {} });
    const outside = join(tree(t, { program: PROGRAM }), 'program');
    const { objects } = traceFile(outside, { root, hwcaps: 'none' });
    assert.equal(objects[0]?.path, outside);
    assert.equal(objects.at(-1)?.path, '/s/liba.so');
  });

  test('of a static program is refused by name', t => {
    const root = tree(t, { 'bin/program': { dynamic: false } });
    assert.throws(
      () => paths(root),
      (error: unknown) =>
        error instanceof ElfnoteError &&
        error.code === 'unsupported' &&
        /is statically linked: no loader searches for it/.test(error.message),
    );
  });
});

describe('how the process is started', () => {
  const files = {
    'bin/program': PROGRAM,
    's/liba.so': {},
    'e/liba.so': {},
    'e/libp.so': {},
    'q/libq.so': {},
  };

  test('LD_LIBRARY_PATH and LD_PRELOAD are as in the environment', t => {
    const root = tree(t, files);
    assert.deepEqual(paths(root, { libraryPath: '/e' }), ['/bin/program', '/e/liba.so']);
    const preload = ' /e/libp.so:/q/libq.so ';
    assert.deepEqual(paths(root, { preload }).slice(1), ['/e/libp.so', '/q/libq.so', '/s/liba.so']);
    const { lookups } = traceFile(join(root, 'bin/program'), { root, hwcaps: 'none', preload });
    assert.deepEqual(
      lookups.map(({ tag, name }) => `${tag} ${name}`),
      ['preload /e/libp.so', 'preload /q/libq.so', 'needed liba.so'],
    );
  });

  test('what /etc/ld.so.preload names comes behind, but for comments', t => {
    const root = tree(t, { ...files, 'etc/ld.so.preload': '# /s/x.so\n/q/libq.so:/s/liba.so #/y\n' });
    assert.deepEqual(paths(root, { preload: '/e/libp.so' }).slice(1), [
      '/e/libp.so',
      '/q/libq.so',
      '/s/liba.so',
    ]);
  });

  test('another ld.so.cache takes the place of that of the root', t => {
    const root = tree(t, {
      'bin/program': { needed: ['liba.so'] },
      'c/liba.so': {},
      'd/liba.so': {},
      'etc/ld.so.cache': buildLdCache([{ name: 'liba.so', path: '/c/liba.so' }]),
      other: buildLdCache([{ name: 'liba.so', path: '/d/liba.so' }]),
    });
    assert.deepEqual(paths(root).slice(1), ['/c/liba.so']);
    assert.deepEqual(paths(root, { ldCache: join(root, 'other') }).slice(1), ['/d/liba.so']);
    assert.throws(
      () => paths(root, { ldCache: join(root, 'gone') }),
      (error: unknown) =>
        error instanceof ElfnoteError &&
        error.code === 'unreadable' &&
        /cannot read this ld\.so\.cache: no such file/.test(error.message),
    );
  });

  test('a loader is named by its version', t => {
    const root = tree(t, files);
    const of = (loader: string) => traceFile(join(root, 'bin/program'), { root, hwcaps: 'none', loader });
    assert.deepEqual([of('glibc-2.36').loader.glibc, of('glibc-2.36').loader.versionFrom], [36, 'option']);
    assert.ok(of('glibc-2.36').subdirectories.includes('tls/'));
    for (const name of ['glibc-2', '2.36', 'glibc-2.36.1', 'xglibc-2.36', 'glibc-2.1234', 'musl'])
      assert.throws(
        () => of(name),
        (error: unknown) =>
          error instanceof ElfnoteError &&
          error.code === 'usage' &&
          error.message.includes(`the loader is named like glibc-2.36, not ${name}`),
      );
  });
});
