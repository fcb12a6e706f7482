import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readAttributes } from '../../src/files/attributes.js';
import { runOk } from '../support/cli.js';
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
