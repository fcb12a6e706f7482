import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { BIN, jsonLines, numberIn, ROOT, runOk } from '../support/cli.js';
import { elfnoteHereOk } from '../support/cli-here.js';
import { EXTENT } from '../support/extent.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import { complete, completeOf, copies } from '../support/tree.js';

interface Ended {
  readonly status: number | null;
  readonly killedBy: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs elfnote and does something to it after its first output. */
async function elfnoteWith(args: readonly string[], act: (child: ChildProcess) => void): Promise<Ended> {
  const child = spawn(process.execPath, [BIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (output.stdout === '') act(child);
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const ended = once(child, 'close');
  await ended;
  return { status: child.exitCode, killedBy: child.signalCode, ...output };
}

function big(t: TestContext): { dir: string; files: string[] } {
  const dir = join(tempDir(t), 'tree');
  return { dir, files: copies(dir, 400) };
}

const STATUS = { SIGINT: 130, SIGTERM: 143 } as const;

for (const signal of EXTENT.reportedSignals) {
  const status = STATUS[signal];
  test(`${signal} finishes the files in hand, reports them and exits with ${status}`, async t => {
    const { dir, files } = big(t);
    const report = join(dir, '../report.json');
    const args = ['build-cache', '--json', '--root', ROOT, '--report', report, dir];
    const ended = await elfnoteWith(args, child => child.kill(signal));
    assert.deepEqual([ended.status, ended.killedBy, ended.stderr], [status, null, '']);

    const done = completeOf(dir, files);
    assert.ok(done.length < files.length, 'it was stopped');
    const objects = jsonLines(ended.stdout);
    const summary = objects.pop() ?? {};
    assert.deepEqual(
      objects.map(({ path, action }) => [path, action]),
      done.map(path => [path, 'written']),
    );
    assert.equal(summary.stopped, signal);
    assert.deepEqual([numberIn(summary, 'files'), numberIn(summary, 'written')], [done.length, done.length]);
    assert.deepEqual(JSON.parse(readFileSync(report, 'utf8')), summary);
  });
}

test('the text says that it was stopped, and a later run finishes the work', async t => {
  const { dir, files } = big(t);
  const args = ['build-cache', '-v', '--root', ROOT, dir];
  const ended = await elfnoteWith(args, child => child.kill('SIGTERM'));
  assert.deepEqual([ended.status, ended.killedBy, ended.stderr], [STATUS.SIGTERM, null, '']);
  const done = completeOf(dir, files).length;
  assert.ok(done < files.length, 'it was stopped');
  const lines = ended.stdout.trimEnd().split('\n');
  const stop = lines.indexOf('stopped by SIGTERM');
  assert.equal(stop, done);
  assert.equal(lines[stop + 1], `${done} files, ${done} ELF; ${done} written`);
  const { stdout } = elfnoteHereOk(['build-cache', '--json', '--root', ROOT, dir]);
  const later = jsonLines(stdout).at(-1) ?? {};
  assert.deepEqual(
    [numberIn(later, 'upToDate'), numberIn(later, 'written'), later.stopped],
    [done, files.length - done, null],
  );
  assert.deepEqual(completeOf(dir, files), files);
});

test('remove-cache is stopped in the same way', async t => {
  const { dir, files } = big(t);
  complete(files);
  const ended = await elfnoteWith(['remove-cache', '-v', dir], child => child.kill('SIGINT'));
  assert.equal(ended.status, STATUS.SIGINT);
  const kept = completeOf(dir, files);
  assert.ok(kept.length > 0 && kept.length < files.length);
  assert.match(ended.stdout, new RegExp(`\\nstopped by SIGINT\\n${files.length - kept.length} files, `));
});

test('while a report waits for somebody to read its pipe, a signal ends the process', {
  skip: needs('mkfifo'),
}, async t => {
  const pipe = join(tempDir(t), 'pipe');
  runOk('mkfifo', [pipe]);
  const files = copies(join(tempDir(t), 'tree'), 1);
  const args = ['build-cache', '-n', '--root', ROOT, '--report', pipe, ...files];
  let timer: NodeJS.Timeout | undefined;
  const ended = await elfnoteWith(args, child => {
    // One that comes before the report stops the run, and no more.
    timer = setInterval(() => child.kill('SIGTERM'), 200);
  });
  clearInterval(timer);
  assert.equal(ended.killedBy, 'SIGTERM');
});
