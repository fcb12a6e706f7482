import assert from 'node:assert/strict';
import { copyFileSync, cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { FIXTURES, jsonLines, numberIn, ROOT } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
import { tempDir } from '../support/temp.js';
import { library } from '../support/tree.js';

/** A copy of a program that needs libgreet, libname and libc.so.6; the run path has the first two below ROOT. */
function program(t: TestContext, name = 'pie-bfd'): string {
  const dir = join(tempDir(t), 'tree');
  mkdirSync(dir);
  copyFileSync(join(FIXTURES, 'kinds', name), join(dir, name));
  return join(dir, name);
}

/** ROOT with a file of the program's kind in a default directory of its loader. */
function rootWith(t: TestContext, place: string, from = 'lib/libgreet.so.1'): string {
  const root = join(tempDir(t), 'root');
  cpSync(ROOT, root, { recursive: true, verbatimSymlinks: true });
  mkdirSync(join(root, place, '..'), { recursive: true });
  copyFileSync(join(FIXTURES, 'kinds', from), join(root, place));
  return root;
}

const strict = (file: string, root: string, ...args: readonly string[]) =>
  elfnoteHere(['build-cache', '--strict', '--root', root, ...args, file]);

describe('--strict', () => {
  test('fails on a library that neither the run path nor the system has', t => {
    const file = program(t);
    const { status, stderr } = strict(file, ROOT);
    assert.deepEqual([status, stderr], [1, `elfnote: ${file}: not found over the run path: libc.so.6\n`]);
  });

  for (const place of ['lib64/libc.so.6', 'usr/lib64/libc.so.6']) {
    test(`does not fail on one that is in a default directory below --root: ${place}`, t => {
      const { status, stderr } = strict(program(t), rootWith(t, place));
      assert.deepEqual([status, stderr], [0, '']);
    });
  }

  test('fails where the file there is of another machine', t => {
    const other = '../root/nix/store/zkvb90pbfk1x08yskgkczsw033vrz5cb-libname-aarch64/lib/libname.so.2';
    assert.equal(strict(program(t), rootWith(t, 'lib64/libc.so.6', other)).status, 1);
  });

  test('--allow-missing lets sonames be missing, by globs', t => {
    const file = program(t);
    assert.equal(strict(file, ROOT, '--allow-missing', 'libm.so*').status, 1);
    assert.equal(strict(file, ROOT, '--allow-missing', 'libm.so*', '--allow-missing', 'libc.so.?').status, 0);
  });

  test('the library takes the same', t => {
    const file = program(t);
    const options = { root: ROOT, strict: true };
    assert.throws(() => library.buildCache(file, options), { code: 'unresolved' });
    assert.equal(library.buildCache(file, { ...options, allowMissing: ['libc*'] }).action, 'written');
  });
});

describe('a file that has no room for its note', () => {
  /** lld leaves no slack. */
  const NO_ROOM = ['--placement', 'slack', '--allow-missing', 'libc.so.6', '--root', ROOT];
  const WHY = /: gets no note: the program header table has no room/;

  test('is skipped with a warning', t => {
    const { status, stdout, stderr } = elfnoteHere(['build-cache', ...NO_ROOM, program(t, 'pie-lld')]);
    assert.equal(status, 0);
    assert.match(stdout, /: skipped: /);
    assert.match(stderr, WHY);
  });

  for (const flags of [['--strict'], ['--strict', '--hook']]) {
    test(`fails with ${flags.join(' ')}, named and in a walk, and is unchanged`, t => {
      const file = program(t, 'pie-lld');
      const before = readFileSync(file);
      for (const path of [file, join(file, '..')]) {
        const { status, stderr } = elfnoteHere(['build-cache', ...flags, ...NO_ROOM, path]);
        assert.equal(status, 1, path);
        assert.match(stderr, WHY);
      }
      assert.ok(readFileSync(file).equals(before));
    });
  }
});

test('the summary counts new segments, and notes without a section', t => {
  const summaryOf = (name: string) => {
    const { stdout } = elfnoteHere(['build-cache', '--json', '--root', ROOT, program(t, name)]);
    const summary = jsonLines(stdout).at(-1) ?? {};
    return [numberIn(summary, 'addedSegments'), numberIn(summary, 'withoutSection')];
  };
  assert.deepEqual(summaryOf('pie-lld'), [1, 0]);
  assert.deepEqual(summaryOf('appended'), [0, 1]);
  const { stdout } = elfnoteHere(['build-cache', '-n', '--root', ROOT, join(program(t, 'appended'), '..')]);
  assert.match(stdout, /\n {2}size +1 note without a section\n$/);
});
