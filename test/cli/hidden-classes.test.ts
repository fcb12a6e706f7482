import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BIN, FIXTURES, PROJECT, ROOT, run } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { copies } from '../support/tree.js';

/** Of each of three kinds: one that is edited in place, one that is replaced, and one that gets no note. */
const FILES = 12;

const MAIN = join(PROJECT, 'dist/cli/main.js');

const RUNS: readonly (readonly string[])[] = [
  ['build-cache', '--root', ROOT, 'tree'],
  ['build-cache', '--root', ROOT, 'tree'],
  ['build-cache', '--root', ROOT, '--closure', 'tree'],
  ['verify', '--root', ROOT, 'tree'],
  ['remove-cache', 'tree'],
  ['build-cache', '--root', ROOT, '--fast', 'tree'],
];

/**
 * Of an object literal that starts with `...` and goes on with a new property, Node 20 gives each object a class of its
 * own: it takes a microsecond, nothing that reads the object runs fast, and only a full collection takes it away again.
 */
test('no line makes a hidden class for each file', t => {
  const cwd = tempDir(t);
  copies(join(cwd, 'tree'), 2 * FILES);
  for (let i = 0; i < FILES; i++)
    copyFileSync(join(FIXTURES, 'kinds/nosections'), join(cwd, 'tree', `n${i}`));
  const log = ['--log-maps', '--no-logfile-per-isolate', '--logfile=v8.log'];
  const oftenMadeBy = (...args: readonly string[]) => {
    const { status } = run(process.execPath, [...log, ...args], { cwd });
    assert.ok(status === 0 || status === 1, `status ${status}`);
    return oftenMade(readFileSync(join(cwd, 'v8.log'), 'utf8'));
  };
  const known = 'const known = { a: 1 }; for (let i = 0; i < 99; i++)';
  const such = oftenMadeBy('--eval', `${known} ({ ...known, more: i });`);
  // From Node 22 on V8 makes one class of them all.
  assert.equal(such.length, Number.parseInt(process.versions.v8, 10) < 12 ? 1 : 0, such.join());
  assert.equal(oftenMadeBy('--eval', `${known} ({ more: i, ...known });`).length, 0);
  // One process for all: a class that each file makes anew is made for more files, and nothing else so often.
  const runs = RUNS.map(args => JSON.stringify([BIN, ...args])).join();
  const all = join(cwd, 'all.cjs');
  writeFileSync(
    all,
    `const { main } = require(${JSON.stringify(MAIN)});
    (async () => { for (const args of [${runs}]) { process.argv = [process.execPath, ...args]; await main(); if (process.exitCode > 1) return; } })();`,
  );
  assert.deepEqual(oftenMadeBy(all), []);
});

/** Line, column and new property in the bundle. */
function oftenMade(log: string): string[] {
  assert.match(log, /^map,Transition,/m);
  const counts = new Map<string, number>();
  for (const event of log.split('\n')) {
    // map, kind, time, from, to, code, line, column, reason, property
    const [, kind, , , , , ...where] = event.split(',');
    if (kind === 'Transition') counts.set(where.join(), (counts.get(where.join()) ?? 0) + 1);
  }
  return [...counts].flatMap(([where, count]) => (count < FILES ? [] : [where]));
}
