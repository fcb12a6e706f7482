import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BIN, FIXTURES, ROOT, run } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { copies } from '../support/tree.js';

/** Of each of three kinds: one that is edited in place, one that is replaced, and one that gets no note. */
const FILES = 12;

const RUNS: readonly (readonly string[])[] = [
  ['build-cache', '--root', ROOT, 'tree'],
  ['build-cache', '--root', ROOT, 'tree'],
  ['build-cache', '--root', ROOT, '--closure', 'tree'],
  ['verify', '--root', ROOT, 'tree'],
  ['remove-cache', 'tree'],
  ['build-cache', '--root', ROOT, '--fast', 'tree'],
];

/**
 * Of an object literal that starts with `...` and goes on with a new property, V8 gives each object a class of its own:
 * it takes a microsecond, nothing that reads the object runs fast, and a full collection alone takes it away again.
 */
test('no line makes a hidden class for each file', t => {
  const cwd = tempDir(t);
  copies(join(cwd, 'tree'), 2 * FILES);
  for (let i = 0; i < FILES; i++)
    copyFileSync(join(FIXTURES, 'kinds/nosections'), join(cwd, 'tree', `n${i}`));
  const log = ['--log-maps', '--no-logfile-per-isolate', '--logfile=v8.log'];
  const found = RUNS.map(args => {
    run(process.execPath, [...log, BIN, ...args], { cwd });
    return [args[0], oftenMade(readFileSync(join(cwd, 'v8.log'), 'utf8'))];
  });
  assert.deepEqual(
    found,
    RUNS.map(([command]) => [command, []]),
  );
});

/** Line, column and new property in the bundle. */
function oftenMade(log: string): string[] {
  const counts = new Map<string, number>();
  for (const event of log.split('\n')) {
    // map, kind, time, from, to, code, line, column, reason, property
    const [, kind, , , , , ...where] = event.split(',');
    if (kind === 'Transition') counts.set(where.join(), (counts.get(where.join()) ?? 0) + 1);
  }
  return [...counts].flatMap(([where, count]) => (count < FILES ? [] : [where]));
}
