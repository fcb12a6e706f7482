import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { closureFiles } from '../../src/loader/closure-files.js';
import { closureOfFile } from '../../src/loader/file-closure.js';
import { FileLoaderProbe } from '../../src/loader/file-probe.js';
import { traceFile } from '../../src/loader/trace.js';
import { FileSystemProbe } from '../../src/resolve/fs-probe.js';
import { buildElf, type ElfSpec } from '../support/elf-builder.js';
import { makeNote } from '../support/elf-file.js';
import { tempDir } from '../support/temp.js';

type Context = Parameters<typeof tempDir>[0];

/** Objects below a directory. */
function tree(t: Context, files: Readonly<Record<string, ElfSpec>>): string {
  const root = tempDir(t);
  for (const [path, spec] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), buildElf(spec).bytes);
  }
  return root;
}

const PROGRAM: ElfSpec = { needed: ['liba.so', 'libb.so', 'libc.so'], runpath: '/s/lib:/opt' };
const FILES = { 's/program': PROGRAM, 's/lib/liba.so': {}, 'opt/libb.so': {} };

describe('the files of a closure', () => {
  const filesOf = (root: string, ...directories: readonly string[]) => {
    const probe = new FileLoaderProbe(root);
    const trace = traceFile(join(root, 's/program'), { hwcaps: 'none', root, probe });
    return closureFiles(trace, probe, directories, root);
  };

  test('are inside or outside of directories, the program first', t => {
    const root = tree(t, FILES);
    const at = (...names: readonly string[]) => names.map(name => join(root, name));
    assert.deepEqual(filesOf(root, '/s'), {
      inside: at('s/program', 's/lib/liba.so'),
      outside: at('opt/libb.so'),
    });
    assert.deepEqual(filesOf(root, '/s//', '/opt'), {
      inside: at('s/program', 's/lib/liba.so', 'opt/libb.so'),
      outside: [],
    });
  });

  test('lie where links lead, each once', t => {
    const root = tree(t, FILES);
    symlinkSync('../../opt/libb.so', join(root, 's/lib/libc.so'));
    symlinkSync('s', join(root, 'store'));
    assert.deepEqual(filesOf(root, '/store'), {
      inside: [join(root, 's/program'), join(root, 's/lib/liba.so')],
      outside: [join(root, 'opt/libb.so')],
    });
  });

  test('of a program outside of them are refused by name', t => {
    const root = tree(t, FILES);
    for (const dir of ['/opt', '/s/prog', '/gone'])
      assert.throws(() => filesOf(root, dir, '/x'), {
        code: 'refused',
        message: `lies outside the store directories (${dir}, /x)`,
      });
  });
});

describe('the closure note of a file', () => {
  const closureOf = (root: string, more: Partial<Parameters<typeof closureOfFile>[1]> = {}) =>
    closureOfFile(join(root, 's/program'), {
      root,
      libraries: new FileSystemProbe(root),
      objects: new FileLoaderProbe(root),
      ...more,
    });
  const pathsOf = (found: ReturnType<typeof closureOf>) =>
    found.note === undefined ? found.why : found.content.objects.map(({ path, size }) => `${path} ${size}`);
  const size = buildElf({}).bytes.length;

  test('has every answer, and the size of each file that it names', t => {
    const root = tree(t, FILES);
    const found = closureOf(root);
    assert.deepEqual(pathsOf(found), [' undefined', `/s/lib/liba.so ${size}`, `/opt/libb.so ${size}`]);
    assert.equal(found.note === undefined ? undefined : found.answers, 2);
  });

  test('keeps to the stores, whose paths may be trusted', t => {
    const root = tree(t, FILES);
    const storeRoots = ['/s/'];
    assert.deepEqual(pathsOf(closureOf(root, { storeRoots })), [' undefined', `/s/lib/liba.so ${size}`]);
    const trusted = closureOf(root, { storeRoots, trustStore: true });
    assert.deepEqual(pathsOf(trusted), [' undefined', '/s/lib/liba.so trusted']);
    const both = closureOf(root, { storeRoots, trustStore: true, systemLibraries: true });
    assert.deepEqual(pathsOf(both), [' undefined', '/s/lib/liba.so trusted', `/opt/libb.so ${size}`]);
  });

  test('has what is declared to dlopen only where it is asked for', t => {
    const json = JSON.stringify([{ soname: ['libb.so'] }]);
    const notes = [{ bytes: makeNote('FDO', 0x407c0c0a, Buffer.from(json)) }];
    const program = { needed: ['liba.so'], runpath: '/s/lib:/opt', notes };
    const root = tree(t, { ...FILES, 's/program': program });
    assert.deepEqual(pathsOf(closureOf(root)), [' undefined', `/s/lib/liba.so ${size}`]);
    const found = closureOf(root, { dlopen: true });
    assert.deepEqual(pathsOf(found), [' undefined', `/s/lib/liba.so ${size}`, `/opt/libb.so ${size}`]);
  });

  test('is none where nothing can be answered, or the program does not start', t => {
    const none = tree(t, { 's/program': { needed: ['liba.so'], runpath: '/s/lib' } });
    assert.equal(pathsOf(closureOf(none)), 'no library of its closure can be recorded');
    const ended = tree(t, { ...FILES, 'opt/libb.so': { e_type: 2 } });
    assert.equal(pathsOf(closureOf(ended)), 'the loader ends the program before it starts');
  });
});
