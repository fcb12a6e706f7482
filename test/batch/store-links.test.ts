import assert from 'node:assert/strict';
import { copyFileSync, linkSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { FileOutcome } from '../../src/outcome.js';
import { BIN, run } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { IN_PLACE, library, OPTIONS, stateOf } from '../support/tree.js';

/** A store as `nix-store --optimise` leaves it: one content under three names, one of them in `.links`. */
function store(t: TestContext) {
  const top = join(tempDir(t), 'nix/store');
  const [mine, own, neighbour, link] = ['mine/bin/p', 'mine/bin/q', 'neighbour/bin/p', '.links/0abc'].map(
    name => join(top, name),
  );
  assert.ok(mine && own && neighbour && link);
  for (const path of [mine, neighbour, link]) mkdirSync(join(path, '..'), { recursive: true });
  copyFileSync(IN_PLACE.fixture, mine);
  for (const path of [own, neighbour, link]) linkSync(mine, path);
  return { pkg: join(top, 'mine'), mine, own, neighbour, link };
}

async function drain(outcomes: AsyncIterable<FileOutcome>): Promise<string[]> {
  const actions: string[] = [];
  for await (const { action } of outcomes) actions.push(action);
  return actions;
}

describe('a file of a Nix store leaves the content of its other names alone', () => {
  test('with annotateTree and cleanTree; names of the same run stay one file', async t => {
    const { pkg, mine, own, neighbour, link } = store(t);
    assert.deepEqual(await drain(library.annotateTree([pkg], OPTIONS)), ['written', 'skipped']);
    const states = () => [mine, own, neighbour, link].map(stateOf);
    assert.deepEqual(states(), ['complete', 'complete', 'original', 'original']);
    assert.equal(statSync(mine).ino, statSync(own).ino);
    linkSync(mine, join(link, '../0def'));
    assert.deepEqual(await drain(library.cleanTree([pkg])), ['written', 'skipped']);
    assert.deepEqual(states(), ['original', 'original', 'original', 'original']);
    assert.equal(stateOf(join(link, '../0def')), 'complete');
  });

  test('with buildCache and removeCache', t => {
    const { mine, own, neighbour, link } = store(t);
    assert.equal(library.buildCache(mine, OPTIONS).action, 'written');
    assert.deepEqual([mine, own, neighbour, link].map(stateOf), [
      'complete',
      'original',
      'original',
      'original',
    ]);
    linkSync(mine, join(link, '../0def'));
    assert.equal(library.removeCache(mine).action, 'written');
    assert.deepEqual([stateOf(mine), stateOf(join(link, '../0def'))], ['original', 'complete']);
  });

  test('with the command line, also where a directory around the store is walked', t => {
    const { mine, own, neighbour, link, pkg } = store(t);
    const args = ['build-cache', '--root', OPTIONS.root, '--exclude', 'neighbour', join(pkg, '../..')];
    const { status } = run(process.execPath, [BIN, ...args]);
    assert.equal(status, 0);
    assert.deepEqual([mine, own, neighbour, link].map(stateOf), [
      'complete',
      'complete',
      'original',
      'original',
    ]);
  });

  test('where all names are in the run they stay one file', async t => {
    const { pkg, mine, own, neighbour, link } = store(t);
    const { ino } = statSync(mine);
    await drain(library.annotateTree([pkg, neighbour, link], OPTIONS));
    assert.deepEqual([mine, own, neighbour, link].map(stateOf), Array(4).fill('complete'));
    assert.deepEqual(new Set([mine, own, neighbour, link].map(path => statSync(path).ino)), new Set([ino]));
  });

  test('outside a store the names of a file share its note', async t => {
    const dir = tempDir(t);
    const [a, b] = [join(dir, 'a'), join(dir, 'b')];
    copyFileSync(IN_PLACE.fixture, a);
    linkSync(a, b);
    await drain(library.annotateTree([a], OPTIONS));
    assert.ok(readFileSync(b).equals(IN_PLACE.complete));
  });
});
