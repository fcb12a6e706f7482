import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildCache } from '../../src/pipeline.js';
import { FileSystemProbe } from '../../src/resolve/fs-probe.js';
import { FIXTURES, PROJECT, ROOT } from '../../test/support/cli.js';
import { type CrowdCounts, sayCrowd, tryCrowd } from './crowd.js';
import { noCounts, sayCounts, tryFaults } from './faults.js';
import { fieldsOf, poked, pokesOf } from './fields.js';
import { runFuzzer } from './fuzz.js';
import { type InputCounts, memoryUsed, noInputs, Subject, sayInputs, truncations } from './inputs.js';
import { makeKinds } from './kinds.js';
import { sayCopies, tryOutputDir } from './output-dir.js';
import { type PowerCounts, sayPower, tryPowerCuts, tryPowerTogether } from './power.js';
import { BREAKS, proofOf } from './prove.js';
import { type RaceCounts, sayRaces, tryRaces } from './races.js';
import { sayTogether, tryTogether } from './together.js';

const parts: Readonly<Record<string, (dir: string) => boolean | Promise<boolean>>> = {
  faults,
  together,
  'output-dir': outputDir,
  races,
  power,
  crowd,
  pokes,
  cuts,
  fuzz,
};

/** ELFNOTE_STRIDE=n takes each n-th call, poke or cut only. */
const STRIDE = Number(process.env.ELFNOTE_STRIDE ?? 1);

/** Memory, where there is some to be had: what is tried is what is written, not the disk. */
function placeForWork(): string {
  const memory = statSync('/dev/shm', { throwIfNoEntry: false });
  const base = memory?.isDirectory() ? '/dev/shm' : tmpdir();
  return realpathSync(mkdtempSync(join(base, 'elfnote-hardening-')));
}

/** ELFNOTE_KINDS, with commas between them; all of them otherwise. */
const ONLY = process.env.ELFNOTE_KINDS?.split(',');

function faults(dir: string): boolean {
  const { kinds, missing } = makeKinds(dir, ONLY);
  for (const name of missing) console.log(`  left out, not on this machine: ${name}`);
  const total = noCounts();
  for (const kind of kinds) {
    for (const fast of [false, true]) {
      const counts = noCounts();
      tryFaults(kind, dir, { fast }, counts, { stride: STRIDE });
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

async function together(dir: string): Promise<boolean> {
  const counts = noCounts();
  const [kind] = makeKinds(dir, ['pie-bfd']).kinds;
  if (kind !== undefined) await tryTogether(kind, dir, counts, { stride: STRIDE });
  console.log(`  ${sayTogether(counts)}`);
  for (const line of counts.wrong.slice(0, 20)) console.log(`    ${line}`);
  return counts.wrong.length === 0 && counts.faults > 0;
}

/** Both files are in one tree, which is small: the calls are those of directories and of what is no ELF file too. */
async function outputDir(dir: string): Promise<boolean> {
  const { kinds } = makeKinds(dir, ['pie-bfd', 'library-bfd']);
  let isWell = true;
  for (const fast of [false, true]) {
    const counts = noCounts();
    await tryOutputDir(kinds, join(dir, 'output-dir'), fast, counts, { stride: STRIDE });
    console.log(`  ${fast ? '--fast: ' : ''}${sayCopies(counts)}`);
    for (const line of counts.wrong.slice(0, 10)) console.log(`    ${line}`);
    isWell = isWell && counts.wrong.length === 0;
  }
  return isWell;
}

function races(dir: string): boolean {
  const total: RaceCounts = { races: 0, changed: 0, written: 0, wrong: [] };
  for (const kind of makeKinds(dir, ONLY).kinds) {
    if (kind.prepare !== undefined || kind.options.output !== undefined) continue;
    for (const fast of [false, true]) tryRaces(kind, join(kind.file, '..'), { fast }, total);
  }
  console.log(`  ${sayRaces(total)}`);
  for (const line of total.wrong.slice(0, 20)) console.log(`    ${line}`);
  return total.wrong.length === 0;
}

/** `--fast` promises nothing here; that it fails shows that the others are really tried. */
async function power(dir: string): Promise<boolean> {
  const safe: PowerCounts = { cuts: 0, disks: 0, wrong: [] };
  const fast: PowerCounts = { cuts: 0, disks: 0, wrong: [] };
  for (const kind of makeKinds(dir, ONLY).kinds) {
    if (kind.prepare !== undefined || kind.options.output !== undefined) continue;
    tryPowerCuts(kind, {}, safe);
    tryPowerCuts(kind, { fast: true }, fast);
  }
  const [kind] = makeKinds(join(dir, 'more'), ['pie-bfd']).kinds;
  if (kind !== undefined) await tryPowerTogether(kind, join(dir, 'together'), safe);
  console.log(`  ${sayPower(safe)}`);
  for (const line of safe.wrong.slice(0, 20)) console.log(`    ${line}`);
  console.log(`  --fast, which promises nothing: ${sayPower(fast)}`);
  return safe.wrong.length === 0 && fast.wrong.length > 0;
}

const ROUNDS = 50;

async function crowd(dir: string): Promise<boolean> {
  const counts: CrowdCounts = { rounds: 0, outcomes: new Map(), wrong: [] };
  const [kind] = makeKinds(dir, ['pie-bfd']).kinds;
  if (kind !== undefined) await tryCrowd(kind, dir, ROUNDS, counts);
  console.log(`  ${sayCrowd(counts)}`);
  for (const line of counts.wrong.slice(0, 20)) console.log(`    ${line}`);
  return counts.wrong.length === 0 && counts.rounds === ROUNDS;
}

const KINDS = join(FIXTURES, 'kinds');

/** Every fixture that is an ELF file, without a note and with one. */
function fixtures(dir: string): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const name of readdirSync(KINDS)) {
    const path = join(KINDS, name);
    if (!statSync(path).isFile()) continue;
    found.set(name, readFileSync(path));
    const copy = join(dir, 'fixture');
    copyFileSync(path, copy);
    if (buildCache(copy, { root: ROOT, fast: true }).action === 'written') {
      found.set(`${name} with a note`, readFileSync(copy));
    }
  }
  return found;
}

/** One field at a time. */
function pokes(dir: string): boolean {
  const counts = noInputs();
  const subject = new Subject(join(dir, 'subject'), { probe: new FileSystemProbe(ROOT) }, counts);
  let count = 0;
  for (const [name, bytes] of fixtures(dir)) {
    for (const field of fieldsOf(bytes)) {
      for (const value of pokesOf(bytes, field)) {
        if (count++ % STRIDE !== 0) continue;
        subject.try(poked(bytes, field, value), `${name}: ${field.name} = 0x${value.toString(16)}`);
      }
    }
  }
  return said(counts);
}

/** The first fixture is cut at every byte, the others at every 61st. */
function cuts(dir: string): boolean {
  const counts = noInputs();
  const subject = new Subject(join(dir, 'subject'), { probe: new FileSystemProbe(ROOT) }, counts);
  for (const [name, bytes] of fixtures(dir)) {
    const stride = name.startsWith('pie-bfd') ? STRIDE : 61 * STRIDE;
    for (const cut of truncations(bytes, stride)) subject.try(cut, `${name} cut at ${cut.length}`);
  }
  return said(counts);
}

/** ELFNOTE_FUZZ_SECONDS is how long; what breaks something is kept in test-artifacts. */
function fuzz(dir: string): boolean {
  const seconds = Number(process.env.ELFNOTE_FUZZ_SECONDS ?? 60);
  const { said, broken } = runFuzzer(dir, join(dir, 'found'), seconds, SLOWEST);
  console.log(`  ${said}`);
  for (const name of broken) cpSync(join(dir, name), join(PROJECT, 'test-artifacts', name));
  console.log(`  ${broken.length} inputs broke something ${broken.join(' ')}`);
  return broken.length === 0;
}

/** In seconds for one input. */
const SLOWEST = 2;

function said(counts: InputCounts): boolean {
  console.log(`  ${sayInputs(counts)}`);
  console.log(`  at most ${Math.round(memoryUsed())} MiB of memory`);
  const { what, took } = counts.slowest;
  const slow = took > 1000 * SLOWEST ? [`${what}: it took ${Math.round(took)} ms`] : [];
  const wrong = [...counts.wrong, ...slow];
  for (const line of wrong.slice(0, 20)) console.log(`    ${line}`);
  return wrong.length === 0;
}

/** `--prove`: each net is tried on sources from which that is taken away which it guards. It has to find that. */
function prove(dir: string): boolean {
  const lines = BREAKS.map((one, i) => {
    const line = proofOf(one, join(dir, String(i)));
    console.log(`  ${one.part}, without ${one.what}: ${line ?? 'NOTHING FOUND'}`);
    return line;
  });
  return lines.every(line => line !== undefined);
}

const wanted = process.argv.slice(2);
const isProof = wanted.includes('--prove');
let isWell = true;
for (const [name, work] of Object.entries(isProof ? { '--prove': prove } : parts)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`${name}, ${new Date().toISOString().slice(0, 10)}:`);
  const dir = placeForWork();
  try {
    isWell = (await work(dir)) && isWell;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
process.exitCode = isWell ? 0 : 1;
