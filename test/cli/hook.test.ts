import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { FIXTURES, jsonLines, ROOT } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
import { tempDir } from '../support/temp.js';

/** Two outputs: one with a program and a file that is no good, one that is a text. */
function outputs(t: { after(hook: () => void): void }): { dir: string; out: string; text: string } {
  const dir = tempDir(t);
  const [out, text] = [join(dir, 'out'), join(dir, 'text')];
  mkdirSync(out);
  cpSync(join(FIXTURES, 'kinds/pie-bfd'), join(out, 'program'));
  cpSync(join(FIXTURES, 'kinds/norunpath'), join(out, 'plugin'));
  writeFileSync(join(out, 'broken'), '\x7fELF, or so it says'.padEnd(100));
  writeFileSync(text, 'text\n');
  return { dir, out, text };
}

const hook = (...args: readonly string[]) => elfnoteHere(['build-cache', '--hook', '--root', ROOT, ...args]);
const sourceless = (text: string, dir: string) => text.replaceAll(`${dir}/`, '');

describe('build-cache --hook', () => {
  test('prints one line for each path, in their order, and none for a file', t => {
    const { dir, out, text } = outputs(t);
    const { stdout } = hook(text, out);
    assert.deepEqual(
      sourceless(stdout, dir)
        .trimEnd()
        .split('\n')
        .map(line => line.split(';')[0]),
      ['text: 1 file', 'out: 3 files, 3 ELF'],
    );
  });

  test('warns of a file that fails and of one that gets no note, and exits with 0', t => {
    const { dir, out, text } = outputs(t);
    const { status, stderr } = hook(out, text);
    assert.equal(status, 0);
    assert.deepEqual(
      sourceless(stderr, dir)
        .trimEnd()
        .split('\n')
        .map(line => line.replace(/(broken): .*/, '$1')),
      ['elfnote: warning: out/broken', 'elfnote: warning: out/plugin: gets no note: has no run path'],
    );
  });

  test('with --strict a file that fails is an error, and the exit status is 1', t => {
    const { dir, out, text } = outputs(t);
    const { status, stderr } = hook('--strict', out, text);
    assert.equal(status, 1);
    assert.match(sourceless(stderr, dir), /^elfnote: out\/broken: /);
  });

  test('a path that is not there is a failure: it was named', t => {
    const { status, stderr } = hook(join(tempDir(t), 'gone'));
    assert.equal(status, 2);
    assert.match(stderr, /^elfnote: \S+gone: cannot open: no such file or directory\n$/);
  });

  test('what it could not run at all is exit status 2 still', t => {
    const { out } = outputs(t);
    assert.equal(hook('--no-such-flag', out).status, 2);
    assert.equal(hook('--output', 'x', out).status, 2);
  });

  test('with --verbose the files are named too, with --quiet nothing but failures', t => {
    const { dir, out } = outputs(t);
    assert.match(sourceless(hook('--verbose', out).stdout, dir), /^out\/program: note written /m);
    assert.equal(hook('--quiet', out).stdout, '');
  });

  test('with --json the summary of each path names it', t => {
    const { out, text } = outputs(t);
    const lines = jsonLines(hook('--json', out, text).stdout);
    assert.deepEqual(
      lines
        .filter(({ type }) => type === 'summary')
        .map(({ path, files, written }) => ({ path, files, written })),
      [
        { path: out, files: 3, written: 1 },
        { path: text, files: 1, written: 0 },
      ],
    );
    assert.equal(lines.filter(({ type }) => type === 'file').length, 4);
  });
});

describe('run path directories outside the store', () => {
  /** The run path of this file begins with a missing, an empty and a relative directory, and one with `$LIB`. */
  const runtimeDirs = (t: { after(hook: () => void): void }, ...args: readonly string[]) => {
    const dir = tempDir(t);
    for (const name of ['first', 'second']) cpSync(join(FIXTURES, 'kinds/runtime-dirs'), join(dir, name));
    const { stderr } = elfnoteHere(['build-cache', '--root', ROOT, ...args, dir]);
    return stderr.trimEnd().split('\n');
  };
  const COST = 'run path directory outside the store: 2 files search it at every start, for 6 libraries';

  test('are named once each, with the files and libraries that they cost a search', t => {
    assert.deepEqual(runtimeDirs(t, '--store-dir', '/nix/store'), [
      `elfnote: warning: /run/opengl-driver/lib: ${COST}`,
      `elfnote: warning: the current directory (an empty component): ${COST}`,
      `elfnote: warning: plugins/lib: ${COST}`,
    ]);
  });

  test('are not named where no store is known', t => {
    assert.deepEqual(runtimeDirs(t), ['']);
  });

  test('are not named where they are in a store', t => {
    const warnings = runtimeDirs(t, '--store-dir', '/nix/store', '--store-dir', '/run');
    assert.equal(warnings.length, 2);
    assert.doesNotMatch(warnings.join('\n'), /opengl/);
  });
});
