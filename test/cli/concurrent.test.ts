import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, linkSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { BIN, jsonLines, objectIn, ROOT, runMany } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
import { EXTENT } from '../support/extent.js';
import { needsTracing } from '../support/reader.js';
import { tempDir } from '../support/temp.js';
import { complete, completeOf, copies } from '../support/tree.js';

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
  const files = copies(dir, 150);
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
  const files = copies(dir, 200);
  complete(files.slice(0, 100));
  for (let round = 0; round < EXTENT.concurrentRounds; round++) {
    const results = await runMany([build(dir), remove(dir)], DEADLINE);
    for (const { stdout } of results) outcomesOf(stdout);
    completeOf(dir, files);
  }
});

/** Runs while every such call that touches the file takes long, and says what the run says. */
async function slowRun(file: string, call: string, args: readonly string[], meanwhile: () => void) {
  const slow = ['-f', '-o', '/dev/null', '-P', file, '-e', `inject=${call}:delay_exit=600000`];
  const child = spawn('strace', [...slow, ...build(file, ...args)], { stdio: ['ignore', 'ignore', 'pipe'] });
  const said: Buffer[] = [];
  child.stderr?.on('data', (piece: Buffer) => said.push(piece));
  while (statSync(file).mtimeMs === 0) await setTimeout(10);
  await setTimeout(200);
  meanwhile();
  const [status] = await once(child, 'close');
  return { status, stderr: Buffer.concat(said).toString() };
}

const TOLD = (file: string) => ({
  status: 1,
  stderr: `elfnote: ${file}: another process wrote to the file at the same time\n`,
});

describe('another process that writes to a file between two writes of a run', {
  skip: needsTracing(),
}, () => {
  test('stops one that waits for the disk: nothing leads to what was written', async t => {
    const [file = ''] = copies(tempDir(t), 1);
    linkSync(file, `${file}.link`);
    utimesSync(file, 0, 0);
    const result = await slowRun(file, 'statx', [], () => utimesSync(file, 1, 1));
    assert.deepEqual(result, TOLD(file));
    assert.match(elfnoteHere(['dump', file]).stdout, /has no cache note/);
  });

  test('and changes its size is told by one that waits for nothing', async t => {
    const [file = ''] = copies(tempDir(t), 1);
    utimesSync(file, 0, 0);
    const result = await slowRun(file, 'pwrite64', ['--fast'], () => appendFileSync(file, 'more'));
    assert.deepEqual(result, TOLD(file));
  });
});
