/**
 * A short run of `npm run hardening`: two kinds of files, every call. Each harness is proved by taking away what it
 * guards: then it has to find something.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { FULL_DISK, noCounts, tryFaults } from '../../scripts/hardening/faults.js';
import { type Kind, makeKinds } from '../../scripts/hardening/kinds.js';
import { tryOutputDir } from '../../scripts/hardening/output-dir.js';
import { type PowerCounts, tryPowerCuts, tryPowerTogether } from '../../scripts/hardening/power.js';
import { type RaceCounts, tryRaces } from '../../scripts/hardening/races.js';
import type { Call, Fault } from '../../scripts/hardening/shim.js';
import { tryTogether } from '../../scripts/hardening/together.js';
import { EXTENT } from '../support/extent.js';
import { memoryDir, suiteScope } from '../support/temp.js';
import { needs } from '../support/tools.js';

const NAMES = ['pie-bfd', 'hard-linked'];

/** Calls of this name below the directory are not carried out. */
const without =
  (...names: readonly string[]) =>
  ({ name, path }: Call): Fault | undefined =>
    names.includes(name) && !path.endsWith('/link') ? { kind: 'skip' } : undefined;

/** Nobody makes a lock; taking away one that is not there fails as ever. */
const withoutLock = ({ name, path }: Call): Fault | undefined =>
  name === 'symlinkSync' && path.includes('.elfnote-lock-') ? { kind: 'skip' } : undefined;

/** The walk asks for types as well. */
const withoutSweep = ({ name, args }: Call): Fault | undefined =>
  name === 'readdirSync' && args.length === 1 ? { kind: 'skip' } : undefined;

describe('a file of each way of writing', { skip: needs('gcc', 'patchelf') }, () => {
  const scope = suiteScope();
  let dir: string;
  let kinds: readonly Kind[];
  before(() => {
    dir = memoryDir(scope);
    kinds = makeKinds(dir, NAMES).kinds;
    assert.equal(kinds.length, NAMES.length);
  });
  const below = (kind: Kind) => join(kind.file, '..');

  test('is the old, the new, or one that runs and is finished by the next run, after a fault at any call', () => {
    const counts = noCounts();
    const codes = FULL_DISK.slice(0, EXTENT.fullDisk);
    for (const kind of kinds) tryFaults(kind, dir, {}, counts, { codes });
    assert.deepEqual(counts.wrong, []);
    assert.ok(counts.faults > 300 && counts.old > 100 && counts.new > 50 && counts.unfinished > 10);
    assert.ok(counts.leftovers > 50);
  });

  test('and without the sweep what a dead run left is found', () => {
    const counts = noCounts();
    for (const kind of kinds.slice(0, 1)) {
      tryFaults(kind, below(kind), {}, counts, { stride: 5, sabotage: without('readdirSync') });
    }
    assert.match(counts.wrong.join('\n'), /the next run leaves \.file\.elfnote-/);
  });

  test('is whole or not there below --output-dir, and what is missing is told of', async () => {
    const counts = noCounts();
    await tryOutputDir(kinds.slice(0, 1), join(dir, 'copies'), false, counts, {
      stride: EXTENT.faultyOutputDir,
    });
    assert.deepEqual(counts.wrong, []);
    assert.ok(
      counts.faults > 20 && counts.new > 2 && counts.unfinished > 8 && counts.leftovers > 0,
      JSON.stringify(counts),
    );
  });

  test('and where copies do not get their names, that is found', async () => {
    const counts = noCounts();
    const sabotage = without('renameSync');
    await tryOutputDir(kinds.slice(0, 1), join(dir, 'no-names'), false, counts, { stride: 150, sabotage });
    assert.match(counts.wrong.join('\n'), /does not bring it: tree\/pie-bfd.link is missing/);
  });

  test('is old or new, and told of as it is, beside others whose slow calls are under way', async () => {
    const counts = noCounts();
    for (const kind of kinds.slice(0, 1))
      await tryTogether(kind, dir, counts, { stride: EXTENT.faultyTogether });
    assert.deepEqual(counts.wrong, []);
    assert.ok(
      counts.faults > 12 && counts.old > 12 && counts.new > 24 && counts.leftovers > 8,
      JSON.stringify(counts),
    );
  });

  test('and without the sweep what a dead run has left of several files is found', async () => {
    const proof = /the next run leaves one\/\.\S+\.elfnote-/;
    const counts = noCounts(proof);
    for (const kind of kinds.slice(0, 1)) {
      await tryTogether(kind, dir, counts, { stride: 40, sabotage: withoutSweep });
    }
    assert.match(counts.wrong.join('\n'), proof);
  });

  test('is on the disk once it is told of, whatever is under way beside it when the power goes', async () => {
    const counts: PowerCounts = { cuts: 0, disks: 0, wrong: [] };
    for (const kind of kinds.slice(0, 1)) await tryPowerTogether(kind, join(dir, 'together'), counts, 1);
    assert.deepEqual(counts.wrong, []);
    assert.ok(counts.cuts > 40 && counts.disks > 1000);
  });

  test('and without waiting for the disk it is not', async () => {
    const proof = /reported as written, and is not the new one/;
    const counts: PowerCounts = { cuts: 0, disks: 0, wrong: [], proof };
    const [kind] = kinds;
    if (kind !== undefined) await tryPowerTogether(kind, join(dir, 'lost'), counts, 1, without('fsyncSync'));
    assert.match(counts.wrong.join('\n'), proof);
  });

  test('is whole after a power cut, whatever part of what was not synced is lost', () => {
    const counts: PowerCounts = { cuts: 0, disks: 0, wrong: [] };
    for (const kind of kinds) tryPowerCuts(kind, {}, counts);
    assert.deepEqual(counts.wrong, []);
    assert.ok(counts.cuts > 40 && counts.disks > 150);
  });

  test('and without fsync power cuts leave files that do not run, of both ways of writing', () => {
    for (const kind of kinds) {
      const proof = /does not run|the next run fails/;
      const counts: PowerCounts = { cuts: 0, disks: 0, wrong: [], proof };
      tryPowerCuts(kind, {}, counts, without('fsyncSync'));
      assert.match(counts.wrong.join('\n'), proof, kind.name);
    }
  });

  test('is what both did, or one is told, when another process comes in at any call', () => {
    const counts: RaceCounts = { races: 0, changed: 0, written: 0, wrong: [] };
    for (const kind of kinds) tryRaces(kind, below(kind), {}, counts);
    // In place without waiting: it looks less often.
    for (const kind of kinds.slice(0, 1)) tryRaces(kind, below(kind), { fast: true }, counts);
    assert.deepEqual(counts.wrong, []);
    assert.ok(counts.races > 200 && counts.changed > 100 && counts.written > 50);
  });

  test('and without the lock an elfnote takes away what another has done, and both report success', () => {
    // In place the looks notice it too.
    const counts: RaceCounts = { races: 0, changed: 0, written: 0, wrong: [] };
    for (const kind of kinds.slice(0, 1)) tryRaces(kind, below(kind), {}, counts, withoutLock);
    assert.match(
      counts.wrong.join('\n'),
      /another elfnote before call \d+ \(renameSync\): both report success/,
    );
  });
});
