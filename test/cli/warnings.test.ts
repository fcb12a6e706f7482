import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FIXTURES } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
import { tempDir } from '../support/temp.js';

test('a note without a section header is warned of, since the next strip drops it', t => {
  const file = join(tempDir(t), 'appended');
  copyFileSync(join(FIXTURES, 'kinds/appended'), file);
  const args = ['build-cache', '--root', join(FIXTURES, 'root'), file];
  for (const more of [['--dry-run'], []]) {
    const { stderr } = elfnoteHere([...args, ...more]);
    assert.match(stderr, /its note has no section header, so that the next strip drops it/);
  }
});
