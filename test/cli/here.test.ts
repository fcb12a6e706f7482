import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { elfnote, FIXTURES, ROOT } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
import { RUN } from '../support/extent.js';
import { tempDir } from '../support/temp.js';

/** Of commands that are among the others. */
const MORE = [
  ['--version'],
  ['dump', FIXTURES],
  ['dump', '--json', join(FIXTURES, 'kinds')],
  ['verify', '--strict', '--root', ROOT, join(FIXTURES, 'kinds')],
];

test('the command line says and returns in a thread of a test what it does in a process', t => {
  const file = join(tempDir(t), 'file');
  copyFileSync(join(FIXTURES, 'kinds/pie-bfd'), file);
  assert.equal(elfnoteHere(['build-cache', '--quiet', '--root', ROOT, file]).status, 0);
  // Every command that can, each exit status, and what each writes to standard output and standard error.
  const calls = [
    ...(RUN === 'every' ? MORE : []),
    ['verify', '--help'],
    ['dump', '--raw', file],
    ['dump', join(FIXTURES, 'kinds/pie-bfd'), join(FIXTURES, 'none')],
    ['build-cache', '--json', '--root', ROOT, file],
    ['build-cache', '--dry-run', '--verbose', '--root', ROOT, join(FIXTURES, 'kinds')],
    ['build-cache', '--no-such-option'],
    ['remove-cache', '--dry-run', file],
    ['verify', '--root', ROOT, file],
    ['trace', '--json', '--root', ROOT, file],
    ['completion', 'bash'],
  ];
  const expected = calls.map(args => elfnote(args));
  assert.deepEqual(new Set(expected.map(({ status }) => status)), new Set([0, 1, 2]));
  // Twice: nothing of a call is left for the next one.
  for (const _ of [1, 2]) {
    for (const [i, args] of calls.entries()) assert.deepEqual(elfnoteHere(args), expected[i], args.join(' '));
  }
  const cwd = dirname(file);
  // A warning that has fewer characters than bytes.
  copyFileSync(join(FIXTURES, 'kinds/appended'), join(cwd, 'é'));
  for (const args of [
    ['dump', 'file'],
    ['build-cache', 'none'],
    ['build-cache', '--dry-run', '--root', ROOT, 'é'],
  ])
    assert.deepEqual(elfnoteHere(args, { cwd }), elfnote(args, { cwd }), args.join(' '));
  const env = { NIX_STORE: '/elsewhere' };
  const args = ['build-cache', '--dry-run', '--json', '--root', ROOT, join(FIXTURES, 'kinds/rpath')];
  assert.deepEqual(elfnoteHere(args, { env }), elfnote(args, { env }));
});
