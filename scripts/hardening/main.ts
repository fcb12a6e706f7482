import { mkdtempSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noCounts, sayCounts, tryFaults } from './faults.js';
import { makeKinds } from './kinds.js';
import { type PowerCounts, sayPower, tryPowerCuts } from './power.js';
import { type RaceCounts, sayRaces, tryRaces } from './races.js';

const parts: Readonly<Record<string, (dir: string) => boolean>> = { faults, races, power };

/** Memory, where there is some to be had: what is tried is what is written, not the disk. */
function placeForWork(): string {
  const memory = statSync('/dev/shm', { throwIfNoEntry: false });
  const base = memory?.isDirectory() ? '/dev/shm' : tmpdir();
  return realpathSync(mkdtempSync(join(base, 'elfnote-hardening-')));
}

function faults(dir: string): boolean {
  const { kinds, missing } = makeKinds(dir);
  for (const name of missing) console.log(`  left out, not on this machine: ${name}`);
  const total = noCounts();
  for (const kind of kinds) {
    for (const fast of [false, true]) {
      const counts = noCounts();
      tryFaults(kind, dir, { fast }, counts);
      console.log(`  ${kind.name}${fast ? ' --fast' : ''}: ${sayCounts(counts)}`);
      for (const line of counts.wrong.slice(0, 10)) console.log(`    ${line}`);
      total.faults += counts.faults;
      total.old += counts.old;
      total.new += counts.new;
      total.unfinished += counts.unfinished;
      total.leftovers += counts.leftovers;
      total.wrong.push(...counts.wrong);
    }
  }
  console.log(`  all: ${sayCounts(total)}`);
  return total.wrong.length === 0;
}

function races(dir: string): boolean {
  const total: RaceCounts = { races: 0, changed: 0, written: 0, wrong: [] };
  for (const kind of makeKinds(dir).kinds) {
    if (kind.prepare !== undefined || kind.options.output !== undefined) continue;
    for (const fast of [false, true]) tryRaces(kind, join(kind.file, '..'), { fast }, total);
  }
  console.log(`  ${sayRaces(total)}`);
  for (const line of total.wrong.slice(0, 20)) console.log(`    ${line}`);
  return total.wrong.length === 0;
}

/** `--fast` promises nothing here; that it fails shows that the others are really tried. */
function power(dir: string): boolean {
  const safe: PowerCounts = { cuts: 0, disks: 0, wrong: [] };
  const fast: PowerCounts = { cuts: 0, disks: 0, wrong: [] };
  for (const kind of makeKinds(dir).kinds) {
    if (kind.prepare !== undefined || kind.options.output !== undefined) continue;
    tryPowerCuts(kind, {}, safe);
    tryPowerCuts(kind, { fast: true }, fast);
  }
  console.log(`  ${sayPower(safe)}`);
  for (const line of safe.wrong.slice(0, 20)) console.log(`    ${line}`);
  console.log(`  --fast, which promises nothing: ${sayPower(fast)}`);
  return safe.wrong.length === 0 && fast.wrong.length > 0;
}

const wanted = process.argv.slice(2);
let isWell = true;
for (const [name, work] of Object.entries(parts)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`${name}, ${new Date().toISOString().slice(0, 10)}:`);
  const dir = placeForWork();
  try {
    isWell = work(dir) && isWell;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
process.exitCode = isWell ? 0 : 1;
