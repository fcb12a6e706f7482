import assert from 'node:assert/strict';
import fs, { appendFileSync, linkSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { FileOutcome } from '../../src/outcome.js';
import { tempDir } from '../support/temp.js';
import { completeOf, copies, IN_PLACE, library, malformed, OPTIONS, stateOf } from '../support/tree.js';

const { annotateTree, cleanTree } = library;

async function all(outcomes: AsyncIterable<FileOutcome>): Promise<FileOutcome[]> {
  const result: FileOutcome[] = [];
  for await (const outcome of outcomes) result.push(outcome);
  return result;
}

function lineOf(outcome: FileOutcome): string {
  const name = basename(outcome.path);
  if (outcome.action === 'failed') return `${name} failed: ${outcome.error.code}: ${outcome.error.message}`;
  return `${name} ${outcome.action}${outcome.action === 'skipped' ? `: ${outcome.reason}` : ''}`;
}

describe('a tree', () => {
  test('annotateTree writes what cleanTree takes out again', async t => {
    const dir = tempDir(t);
    const files = copies(dir, 12);
    assert.deepEqual(
      (await all(annotateTree([dir], OPTIONS))).map(({ path, action }) => [path, action]),
      files.map(path => [path, 'written']),
    );
    assert.deepEqual(completeOf(dir, files), files);
    assert.ok((await all(annotateTree([dir], OPTIONS))).every(({ action }) => action === 'up-to-date'));
    await all(cleanTree([dir]));
    assert.deepEqual(completeOf(dir, files), []);
  });

  test('hard links are written once, and stay links', async t => {
    const dir = tempDir(t);
    const [file = ''] = copies(dir, 1);
    const links = ['a', 'b'].map(name => join(dir, name));
    for (const link of links) linkSync(file, link);
    const outcomes = await all(annotateTree([dir], OPTIONS));
    assert.deepEqual(outcomes.map(lineOf), ['0000 written', 'a skipped: same-file', 'b skipped: same-file']);
    for (const link of links) {
      assert.equal(statSync(link).ino, statSync(file).ino);
      assert.equal(stateOf(link), 'complete');
    }
  });

  test('a file that has gone when its turn comes fails, and the others are done', async t => {
    const dir = tempDir(t);
    const files = copies(dir, 12);
    const [first = '', last = ''] = [files[0], files.at(-1)];
    const outcomes: FileOutcome[] = [];
    for await (const outcome of annotateTree([dir], OPTIONS)) {
      if (outcome.path === first) rmSync(last);
      outcomes.push(outcome);
    }
    assert.deepEqual(outcomes.slice(-2).map(lineOf), [
      '0010 written',
      '0011 failed: unreadable: cannot open: no such file or directory',
    ]);
    assert.deepEqual(completeOf(dir, files.slice(0, -1)), files.slice(0, -1));
  });

  test('an aborted signal finishes the files in hand, and no outcome is missing', async t => {
    const dir = tempDir(t);
    const files = copies(dir, 60);
    const stopper = new AbortController();
    const done: string[] = [];
    for await (const { path } of annotateTree([dir], { ...OPTIONS, signal: stopper.signal })) {
      done.push(path);
      stopper.abort();
    }
    assert.ok(done.length < files.length, 'it stopped');
    assert.deepEqual(completeOf(dir, files), done.sort());
  });

  test('a signal that was aborted before the start does nothing', async t => {
    const dir = tempDir(t);
    const files = copies(dir, 3);
    assert.deepEqual(await all(annotateTree([dir], { ...OPTIONS, signal: AbortSignal.abort() })), []);
    assert.deepEqual(completeOf(dir, files), []);
  });

  test('ending the iteration early leaves every file original or complete', async t => {
    const dir = tempDir(t);
    const files = copies(dir, 60);
    for (let round = 0; round < 4; round++) {
      for await (const { action } of annotateTree([dir], OPTIONS)) {
        if (action === 'written') break;
      }
      const complete = completeOf(dir, files);
      await setTimeout(20);
      assert.deepEqual(completeOf(dir, files), complete, 'nobody goes on behind our back');
    }
    assert.notEqual(stateOf(files.at(-1) ?? ''), 'complete', 'it stopped early');
  });

  test('failFast ends with the first failure', async t => {
    const dir = tempDir(t);
    const files = copies(dir, 100);
    for (const broken of [files[3] ?? '', files[50] ?? ''])
      writeFileSync(broken, malformed(IN_PLACE.original));
    const outcomes = await all(annotateTree([dir], { ...OPTIONS, failFast: true }));
    assert.deepEqual(
      outcomes.map(({ action }) => action),
      ['written', 'written', 'written', 'failed'],
    );
    assert.deepEqual(
      files.filter(file => stateOf(file) === 'complete'),
      files.slice(0, 3),
    );
  });

  test('outcomes are not kept once they are taken', async t => {
    const dir = tempDir(t);
    copies(dir, 300);
    const taken: WeakRef<FileOutcome>[] = [];
    let alive = 0;
    for await (const outcome of annotateTree([dir], { ...OPTIONS, dryRun: true })) {
      taken.push(new WeakRef(outcome));
      if (taken.length === 250) alive = await stillAlive(taken);
    }
    assert.equal(taken.length, 300);
    assert.ok(alive < 100, `${alive} of 250 outcomes are still alive`);
  });
});

setFlagsFromString('--expose-gc');
const collectGarbage: unknown = runInNewContext('gc');

async function stillAlive(refs: readonly WeakRef<FileOutcome>[]): Promise<number> {
  assert.ok(typeof collectGarbage === 'function');
  for (let round = 0; round < 3; round++) {
    await setImmediate();
    collectGarbage();
  }
  return refs.filter(ref => ref.deref() !== undefined).length;
}

test('a file that changes between reading and writing fails and is left as it is, and the others are done', async t => {
  const dir = tempDir(t);
  const files = copies(dir, 3);
  const victim = files[2] ?? '';
  meanwhile(t, victim, () => appendFileSync(victim, 'by another process'));
  const outcomes = await all(annotateTree([dir], OPTIONS));
  assert.deepEqual(outcomes.map(lineOf), [
    '0000 written',
    '0001 written',
    '0002 failed: changed: the file changed while it was read',
  ]);
  assert.ok(
    readFileSync(victim).equals(Buffer.concat([IN_PLACE.original, Buffer.from('by another process')])),
  );
});

/** Lets something happen when a file has been read and is about to be opened for writing. */
function meanwhile(t: TestContext, victim: string, happens: () => void): void {
  const { openSync } = fs;
  t.mock.method(fs, 'openSync', (path: string, flags: number) => {
    if (path === victim && (flags & fs.constants.O_RDWR) !== 0) happens();
    return openSync(path, flags);
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
}
