import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { BIN, elfnoteOk, jsonLines, objectIn, ROOT, runMany } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { completeOf, copies } from '../support/tree.js';

const DEADLINE = 60_000;

function command(...args: readonly string[]): [string, ...string[]] {
  return [process.execPath, BIN, ...args];
}

const build = (dir: string, jobs: number) =>
  command('build-cache', '--json', '--root', ROOT, '-j', String(jobs), dir);
const remove = (dir: string, jobs: number) => command('remove-cache', '--json', '-j', String(jobs), dir);

/** A file that the other has half-written, and is kept from finishing, may look as if it had no room. */
const EXPECTED = ['written', 'up-to-date', 'changed', 'skipped'];

/** What became of each file by the run's own account, the error's code where it failed. */
function outcomesOf(stdout: string): string[] {
  const named = jsonLines(stdout)
    .filter(({ type }) => type === 'file')
    .map(object => ({
      ...object,
      outcome: object.action === 'failed' ? String(objectIn(object, 'error').code) : String(object.action),
    }));
  assert.deepEqual(
    named.filter(({ outcome }) => !EXPECTED.includes(outcome)),
    [],
  );
  return named.map(({ outcome }) => outcome);
}

for (const jobs of [1, 2]) {
  test(`two runs over one tree at once, with ${jobs} jobs each, do all of its files`, async t => {
    const dir = join(tempDir(t), 'tree');
    const files = copies(dir, 300);
    const results = await runMany([build(dir, jobs), build(dir, jobs)], DEADLINE);
    for (const { status, stdout } of results) {
      const outcomes = outcomesOf(stdout);
      assert.equal(outcomes.length, files.length);
      assert.equal(status, outcomes.includes('changed') ? 1 : 0);
    }
    assert.deepEqual(completeOf(dir, files), files);
  });
}

test('build-cache against remove-cache leaves every file with its whole note or without', async t => {
  const dir = join(tempDir(t), 'tree');
  const files = copies(dir, 300);
  elfnoteOk(['build-cache', '-q', '--root', ROOT, ...files.slice(0, 150)]);
  for (let round = 0; round < 3; round++) {
    const results = await runMany([build(dir, 1), remove(dir, 1)], DEADLINE);
    for (const { stdout } of results) outcomesOf(stdout);
    completeOf(dir, files);
  }
});
