import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { readAttributes } from '../../src/files/attributes.js';
import { buildCache } from '../../src/index.js';
import { ROOT, runOk } from '../support/cli.js';
import { program } from '../support/commits.js';
import { tempDir } from '../support/temp.js';
import { needs, needsSuccess, toolPath } from '../support/tools.js';

const SKIP = needs('getfattr') || needsSuccess('setfattr', '-n', 'user.origin', '-v', 'trial');

/** Files of these names, all but the last with an attribute. */
function filesOf(t: TestContext, names: readonly string[]): string[] {
  const dir = tempDir(t);
  return names.map((name, i) => {
    const file = join(dir, name);
    writeFileSync(file, '');
    if (i < names.length - 1) runOk('setfattr', ['-n', `user.n${i}`, '-v', 'value', file]);
    return file;
  });
}

test('many files are asked for at once, names with blanks, line ends and backslashes too', {
  skip: SKIP,
}, t => {
  const files = filesOf(t, ['a b', 'new\nline', 'back\\slash', '# file: x', 'é', '-n', 'without']);
  const { found } = readAttributes(files);
  assert.deepEqual(
    [...(found ?? [])],
    files.slice(0, -1).map((file, i) => [file, [`user.n${i}`]]),
  );
});

test('a file that is not there does not hide those of the others', { skip: SKIP }, t => {
  const [file = '', other = ''] = filesOf(t, ['a', 'b']);
  const { found } = readAttributes([join(file, '../none'), other, file]);
  assert.deepEqual([...(found ?? [])], [[file, ['user.n0']]]);
});

test('a tool that was killed, as by Ctrl-C on a terminal, is asked again', { skip: SKIP }, t => {
  const [file = ''] = filesOf(t, ['a', 'b']);
  const dir = tempDir(t);
  const script = `#!/bin/sh\nmkdir '${dir}/asked' 2>/dev/null && kill -KILL $$\nexec '${toolPath('getfattr')}' "$@"\n`;
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'getfattr'), script);
  chmodSync(join(bin, 'getfattr'), 0o755);
  const { PATH } = process.env;
  t.after(() => {
    process.env.PATH = PATH;
  });
  process.env.PATH = `${bin}${delimiter}${PATH}`;
  assert.deepEqual([...(readAttributes([file]).found ?? [])], [[file, ['user.n0']]]);
});

test('an attribute that was set since many files were asked for is kept all the same', {
  skip: SKIP,
}, async t => {
  const file = program(t);
  // Time stamps are as exact as the kernel's clock for them.
  await setTimeout(50);
  const attributes = readAttributes([file]);
  assert.deepEqual([...(attributes.found ?? [])], []);
  runOk('setfattr', ['-n', 'user.origin', '-v', 'upstream', file]);
  assert.equal(buildCache(file, { root: ROOT, attributes }).action, 'written');
  assert.match(runOk('getfattr', ['-d', file]).stdout, /^user\.origin="upstream"$/m);
});

test('a file that has not changed since many files were asked for is not asked for again', {
  skip: SKIP,
}, async t => {
  const file = program(t);
  await setTimeout(50);
  const { asked } = readAttributes([file]);
  // Nobody would write this one away.
  const attributes = { found: new Map([[file, ['security.capability']]]), knowsAll: true, asked };
  assert.throws(() => buildCache(file, { root: ROOT, attributes }), /would lose security\.capability/);
});
