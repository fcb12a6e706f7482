import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { systemCode } from '../../src/errors.js';
import { makeDirectories } from '../../src/files/paths.js';
import { tempDir } from '../support/temp.js';

describe('directories that are made', () => {
  test('have those above them, and may be there', t => {
    const dir = join(tempDir(t), 'a/b/c');
    for (let times = 0; times < 2; times++) makeDirectories(dir, 0o700);
    assert.deepEqual(
      [dir, join(dir, '..')].map(path => statSync(path).mode & 0o777),
      [0o700, 0o700],
    );
  });

  test('fail where something else is in the way, and where nothing can be made', t => {
    const file = join(tempDir(t), 'file');
    writeFileSync(file, '');
    const codeOf = (path: string) => {
      try {
        makeDirectories(path);
        return 'made';
      } catch (error) {
        return systemCode(error);
      }
    };
    assert.deepEqual([file, join(file, 'a'), '/proc/self/none/a'].map(codeOf), [
      'EEXIST',
      'ENOTDIR',
      'ENOENT',
    ]);
  });
});
