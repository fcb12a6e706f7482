import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readPathList } from '../../src/batch/lists.js';
import { ElfnoteError } from '../../src/errors.js';
import { tempDir } from '../support/temp.js';

function listOf(t: TestContext, content: string | Buffer): string {
  const file = join(tempDir(t), 'list');
  writeFileSync(file, content);
  return file;
}

test('lines are paths; blanks and carriage returns are part of them', t => {
  const list = listOf(t, 'a\n b \n\n./c\r\nd');
  assert.deepEqual(readPathList(list, false), { paths: ['a', ' b ', './c\r', 'd'], failures: [] });
});

test('with NUL, line ends are part of the paths', t => {
  const list = listOf(t, 'a\nb\0\0\nc\0last');
  assert.deepEqual(readPathList(list, true), { paths: ['a\nb', '\nc', 'last'], failures: [] });
});

test('an empty list has no paths, with and without separators', t => {
  for (const content of ['', '\n\n']) {
    assert.deepEqual(readPathList(listOf(t, content), false), { paths: [], failures: [] });
  }
});

test('names that are not UTF-8 are failures that show their bytes, the others are paths', t => {
  const foreign = Buffer.from('d/\xe9\0d/\xe8\0', 'latin1');
  const list = listOf(t, Buffer.concat([foreign, Buffer.from('é\0\ufffd\0')]));
  const { paths, failures } = readPathList(list, true);
  assert.deepEqual(paths, ['é', '\ufffd']);
  const unreadable = 'cannot open: its name is not UTF-8';
  assert.deepEqual(failures, [
    { path: 'd/\\xe9', explicit: false, unreadable },
    { path: 'd/\\xe8', explicit: false, unreadable },
  ]);
});

test('a list of lines with a NUL is a mistake of the caller', t => {
  const list = listOf(t, 'a\0b');
  assert.throws(
    () => readPathList(list, false),
    isMistake(list, 'the list of files has NUL bytes: it needs --null'),
  );
});

test('a list that cannot be read is a mistake of the caller', t => {
  const missing = join(tempDir(t), 'none');
  const what = 'cannot read the list of files: no such file or directory';
  assert.throws(() => readPathList(missing, false), isMistake(missing, what));
});

test('a list without end is not read to its end, but refused by name', () => {
  assert.throws(
    () => readPathList('/dev/zero', true),
    isMistake('/dev/zero', 'the list of files is longer than 67108864 bytes: split it'),
  );
});

function isMistake(path: string, what: string): (error: unknown) => boolean {
  return error =>
    error instanceof ElfnoteError && error.code === 'usage' && error.line === `${path}: ${what}`;
}
