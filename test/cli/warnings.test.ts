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

test('of notes behind DT_RPATH each file that is named is warned of, and a tree once', t => {
  const dir = tempDir(t);
  const files = ['a', 'b'].map(name => join(dir, name));
  for (const file of files) copyFileSync(join(FIXTURES, 'kinds/rpath'), file);
  const warned = (...args: readonly string[]) =>
    elfnoteHere(['build-cache', '-n', '--root', join(FIXTURES, 'root'), ...args]).stderr;
  const of = (file: string) =>
    `elfnote: warning: ${file}: has DT_RPATH and no DT_RUNPATH: a patched loader finds its libraries before it looks at the note\n`;
  const ofAll = (path: string) =>
    `elfnote: warning: ${path}: 2 files have notes behind DT_RPATH: a patched loader never gets to them, the audit module does\n`;
  assert.equal(warned(...files.slice(0, 1)), of(files[0] ?? ''));
  assert.equal(warned(dir), ofAll(dir));
  assert.equal(warned('--hook', dir), ofAll(dir));
  assert.equal(warned(...files), `${files.map(of).join('')}${ofAll(files.join(' and '))}`);
});
