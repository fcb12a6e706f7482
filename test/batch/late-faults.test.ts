import assert from 'node:assert/strict';
import { linkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Call, diceFrom, withFaultsLater } from '../../scripts/hardening/shim.js';
import { runOver } from '../../src/batch/run.js';
import { findFiles } from '../../src/batch/walk.js';
import { ROOT } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { completeOf, copies } from '../support/tree.js';

/** Outcomes of a run over a directory in which one call fails for want of room, the first for which `isIt`. */
async function runWithout(dir: string, isIt: (call: Call) => boolean): Promise<string[]> {
  const outcomes: string[] = [];
  let isDone = false;
  const rule = (call: Call) => {
    if (isDone || !isIt(call)) return undefined;
    isDone = true;
    return { kind: 'fail', code: 'ENOSPC' } as const;
  };
  const { error } = await withFaultsLater(
    dir,
    rule,
    async () => {
      const job = { kind: 'build', options: { root: ROOT } } as const;
      for await (const { outcome } of runOver(await findFiles([dir]), job))
        outcomes.push(outcome.action === 'failed' ? outcome.error.message : outcome.action);
    },
    undefined,
    diceFrom(1),
  );
  assert.equal(error, undefined);
  return outcomes;
}

describe('a failure that comes when the file is written already', () => {
  test('is told of as it is, and nothing is done once more: a copy has its name', async t => {
    const dir = tempDir(t);
    const files = copies(dir, 3);
    const outcomes = await runWithout(dir, ({ name, path }) => name === 'fsyncSync' && path === dir);
    const late = 'is written, but its new name may not be on the disk yet: no space left on device';
    assert.deepEqual(outcomes.sort(), [late, 'written', 'written']);
    assert.deepEqual(completeOf(dir, files), files);
  });

  test('and so it is of a file that was edited in place', async t => {
    const dir = tempDir(t);
    const files = copies(dir, 3);
    const [, , last = ''] = files;
    linkSync(last, join(tempDir(t), 'link'));
    const outcomes = await runWithout(dir, ({ name, path }) => name === 'closeSync' && path === last);
    assert.deepEqual(outcomes, ['written', 'written', 'cannot close after writing: no space left on device']);
    assert.deepEqual(completeOf(dir, files), files);
  });
});
