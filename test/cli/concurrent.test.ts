import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { BIN, elfnote, elfnoteOk, jsonLines, objectIn, ROOT, runMany } from '../support/cli.js';
import { needsTracing } from '../support/reader.js';
import { tempDir } from '../support/temp.js';
import { completeOf, copies } from '../support/tree.js';

const DEADLINE = 60_000;

function command(...args: readonly string[]): [string, ...string[]] {
  return [process.execPath, BIN, ...args];
}

const build = (dir: string, ...more: readonly string[]) =>
  command('build-cache', '--json', '--root', ROOT, ...more, dir);
const remove = (dir: string) => command('remove-cache', '--json', dir);

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

test('two runs over one tree at once do all of its files', async t => {
  const dir = join(tempDir(t), 'tree');
  const files = copies(dir, 300);
  const results = await runMany([build(dir), build(dir)], DEADLINE);
  for (const { status, stdout } of results) {
    const outcomes = outcomesOf(stdout);
    assert.equal(outcomes.length, files.length);
    assert.equal(status, outcomes.includes('changed') ? 1 : 0);
  }
  assert.deepEqual(completeOf(dir, files), files);
});

test('build-cache against remove-cache leaves every file with its whole note or without', async t => {
  const dir = join(tempDir(t), 'tree');
  const files = copies(dir, 300);
  elfnoteOk(['build-cache', '-q', '--root', ROOT, ...files.slice(0, 150)]);
  for (let round = 0; round < 3; round++) {
    const results = await runMany([build(dir), remove(dir)], DEADLINE);
    for (const { stdout } of results) outcomesOf(stdout);
    completeOf(dir, files);
  }
});

/** A run that waits after each look at the file's time stamp. */
function slowRun(file: string): ChildProcess {
  const args = ['-f', '-o', '/dev/null', '-P', file, '-e', 'inject=statx:delay_exit=600000'];
  return spawn('strace', [...args, ...build(file, '--fast')], { stdio: ['ignore', 'ignore', 'pipe'] });
}

test('a run stops between two writes where another process has written to the file', {
  skip: needsTracing(),
}, async t => {
  const [file = ''] = copies(tempDir(t), 1);
  utimesSync(file, 0, 0);
  const child = slowRun(file);
  const said: Buffer[] = [];
  child.stderr?.on('data', (piece: Buffer) => said.push(piece));
  while (statSync(file).mtimeMs === 0) await setTimeout(10);
  await setTimeout(200);
  utimesSync(file, 1, 1);
  const [status] = await once(child, 'close');
  assert.equal(
    Buffer.concat(said).toString(),
    `elfnote: ${file}: another process wrote to the file at the same time\n`,
  );
  assert.equal(status, 1);
  assert.match(elfnote(['dump', file]).stdout, /has no cache note/, 'nothing leads to what was written');
});
