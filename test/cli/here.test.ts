import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { elfnote, FIXTURES, ROOT } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
import { tempDir } from '../support/temp.js';

test('the command line says and returns in a thread of a test what it does in a process', t => {
  const file = join(tempDir(t), 'file');
  copyFileSync(join(FIXTURES, 'kinds/pie-bfd'), file);
  assert.equal(elfnoteHere(['build-cache', '--quiet', '--root', ROOT, file]).status, 0);
  const calls = [
    ['--version'],
    ['dump', '--json', '--root', ROOT, file],
    ['dump', '--raw', file],
    ['dump', FIXTURES],
    ['build-cache', '--json', '--root', ROOT, file],
    ['build-cache', '--no-such-option'],
  ];
  // Twice: nothing of a call is left for the next one.
  for (const args of [...calls, ...calls]) assert.deepEqual(elfnoteHere(args), elfnote(args), args.join(' '));
  const env = { NIX_STORE: '/elsewhere' };
  const args = ['build-cache', '--dry-run', '--json', '--root', ROOT, join(FIXTURES, 'kinds/rpath')];
  assert.deepEqual(elfnoteHere(args, { env }), elfnote(args, { env }));
});
