import assert from 'node:assert/strict';
import { copyFileSync, cpSync, linkSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { BIN, elfnote, FIXTURES, ROOT, type RunResult, run } from '../support/cli.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import { copies, IN_PLACE } from '../support/tree.js';

const scope = suiteScope();

/** Every kind of fixture, damaged files, foreign ones, hard links, and enough others that threads take turns. */
let tree: string;
before(() => {
  tree = tempDir(scope);
  cpSync(join(FIXTURES, 'kinds'), join(tree, 'kinds'), { recursive: true, verbatimSymlinks: true });
  copies(join(tree, 'many'), 40);
  for (const [name, length] of Object.entries({ b: 40, k: 100, y: 4000 })) {
    writeFileSync(join(tree, 'many', `0017${name}`), IN_PLACE.original.subarray(0, length));
    writeFileSync(join(tree, 'many', `0018${name}.txt`), 'text');
  }
  writeFileSync(Buffer.from([...Buffer.from(join(tree, 'many/0019')), 0xff]), '');
  linkSync(join(tree, 'many/0002'), join(tree, 'many/0030-link'));
  copyFileSync(join(FIXTURES, 'kinds/rpath'), join(tree, 'many/0033-rpath'));
});

interface Run extends RunResult {
  readonly content: ReadonlyMap<string, Buffer>;
}

/** Runs over a fresh copy of the tree, which is called `tree`. */
function runOver(jobs: number, args: readonly string[]): Run {
  const cwd = tempDir(scope);
  // Hard links stay, as with `cp -a`.
  run('cp', ['-a', tree, join(cwd, 'tree')]);
  const result = elfnote([...args, '--root', ROOT, '-j', String(jobs), 'tree'], { cwd });
  return { ...result, content: contentOf(cwd) };
}

function contentOf(cwd: string): Map<string, Buffer> {
  const names = readdirSync(cwd, { recursive: true, encoding: 'utf8' }).filter(
    name => statSync(join(cwd, name), { throwIfNoEntry: false })?.isFile() === true,
  );
  return new Map(names.sort().map(name => [name, readFileSync(join(cwd, name))]));
}

describe('the number of jobs changes neither output, its order nor the bytes written', () => {
  const WAYS: Readonly<Record<string, readonly string[]>> = {
    'as text, with the skipped ones': ['build-cache', '-v'],
    'as JSON': ['build-cache', '--json'],
    'as JSON, with the edits of a dry run': ['build-cache', '--json', '-n'],
    'as text, with --strict, so that most fail': ['build-cache', '--strict'],
  };
  for (const [what, args] of Object.entries(WAYS)) {
    test(what, () => {
      const one = runOver(1, args);
      assert.equal(one.status, 1, 'there are failures');
      assert.ok(one.stdout.length + one.stderr.length > 1000);
      for (const jobs of [2, 3]) assert.deepEqual(runOver(jobs, args), one);
    });
  }
});

test('remove-cache with several jobs gives the bytes back', () => {
  const cwd = tempDir(scope);
  run('cp', ['-a', tree, join(cwd, 'tree')]);
  const before = contentOf(cwd);
  for (const args of [['build-cache', '--root', ROOT], ['remove-cache']]) {
    assert.equal(elfnote([...args, '-j', '2', 'tree'], { cwd }).status, 1);
  }
  assert.deepEqual(contentOf(cwd), before);
});

test('there are no more threads than files', { skip: needs('strace') }, () => {
  const threads = (jobs: number) => {
    const dir = tempDir(scope);
    copies(join(dir, 'tree'), 2);
    const trace = join(dir, 'trace');
    const command = [process.execPath, BIN, 'build-cache', '--root', ROOT, '-j', String(jobs), 'tree'];
    const { status } = run('strace', ['-f', '-qq', '-e', 'trace=clone,clone3', '-o', trace, ...command], {
      cwd: dir,
    });
    assert.equal(status, 0);
    return readFileSync(trace, 'utf8').match(/CLONE_THREAD/g)?.length ?? 0;
  };
  const two = threads(2);
  assert.ok(two >= 2);
  assert.equal(threads(12), two);
});
