import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PROJECT, run, runOk } from '../support/cli.js';
import { EXTENT, share } from '../support/extent.js';
import { generation } from '../support/generations.js';
import {
  type Dumped,
  dumpAll,
  elfnoteAll,
  entriesDue,
  foundNoRoom,
  judgeComplaints,
  type Verdict,
} from '../support/later-tools.js';
import { pairCells } from '../support/matrix.js';
import { complaints } from '../support/readelf.js';
import { suiteScope, tempDir, whenAsked } from '../support/temp.js';
import { needs } from '../support/tools.js';
import { buildCells, type Cell, type Sample, Workshop } from '../support/workshop.js';

/**
 * Another run of the same kind: `SEQUENCE_SEED=<seed> SEQUENCE_RUNS=<n> node --import tsx --test
 * test/e2e/sequence.test.ts`. A failing file is kept in `test-artifacts/`, next to the one it was made from.
 */
const SEED = Number(process.env.SEQUENCE_SEED ?? 20240911);
const RUNS = Number(process.env.SEQUENCE_RUNS ?? EXTENT.walks);
const STEPS = 12;
const LATER = generation('trixie');
const ARTIFACTS = join(PROJECT, 'test-artifacts');

/** mulberry32: the same numbers from the same seed, on every machine. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return below => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

interface Step {
  readonly name: string;
  readonly command?: 'build-cache' | 'remove-cache';
  /** What is called with the file; nothing for elfnote itself. */
  readonly call: readonly string[];
}

/** Run paths over which the program finds its libraries. */
function runPaths(dir: string): string[] {
  const at = (...subs: readonly string[]) => subs.map(sub => join(dir, sub)).join(':');
  return [
    at('both'),
    at('a', 'b'),
    at('a', 'b', 'spare'),
    at('spare', 'both', 'a', 'b'),
    at(`absent-${'x'.repeat(120)}`, 'a', 'b'),
    at(...Array.from({ length: 30 }, (_, i) => `absent-${i}`), 'both'),
  ];
}

const BUILD: Step = { name: 'build-cache', command: 'build-cache', call: [] };
const STEPS_BUT_PATCHELF: readonly Step[] = [
  BUILD,
  BUILD,
  BUILD,
  { name: 'remove-cache', command: 'remove-cache', call: [] },
  { name: 'strip', call: ['strip'] },
  { name: 'objcopy', call: ['objcopy'] },
];

function setRunPath(dir: string, number: number): Step {
  const path = runPaths(dir)[number] ?? '';
  return { name: `set-rpath ${number}`, call: ['patchelf', '--set-rpath', path] };
}

function drawStep(next: (below: number) => number, dir: string): Step {
  const chosen = STEPS_BUT_PATCHELF[next(STEPS_BUT_PATCHELF.length + 3)];
  return chosen ?? setRunPath(dir, next(runPaths(dir).length));
}

/** Sequences that broke a program once. */
const REMEMBERED: readonly { readonly cell: string; readonly steps: readonly string[] }[] = [
  {
    // The second note took the room in the table that the first had left for patchelf.
    cell: 'x86_64 mold pie',
    steps: ['objcopy', 'build-cache', 'set-rpath 0', 'objcopy', 'build-cache', 'set-rpath 1'],
  },
  {
    // The segment of the note alone stands before one that patchelf added.
    cell: 'x86_64 lld shared',
    steps: ['build-cache', 'strip', 'set-rpath 0', 'build-cache', 'set-rpath 3', 'remove-cache'],
  },
  {
    // strip leaves patchelf's segment without bytes, at an offset that is not congruent.
    cell: 'x86_64 lld pie',
    steps: ['set-rpath 5', 'set-rpath 2', 'build-cache', 'objcopy', 'set-rpath 3', 'build-cache', 'objcopy'],
  },
  {
    // patchelf sorts .bss first, strip gives it its offset, and patchelf does not see what its table grows over.
    cell: 'x86_64 mold pie',
    steps: [
      'set-rpath 0',
      'build-cache',
      'set-rpath 1',
      'build-cache',
      'strip',
      'set-rpath 0',
      'set-rpath 2',
    ],
  },
];

function namedStep(name: string, dir: string): Step {
  const number = /^set-rpath (\d)$/.exec(name)?.[1];
  if (number !== undefined) return setRunPath(dir, Number(number));
  const step = STEPS_BUT_PATCHELF.find(other => other.name === name);
  if (step === undefined) throw new Error(`no step ${name}`);
  return step;
}

/** One file on its way, and the same file without elfnote. */
interface Walk {
  readonly sample: Sample;
  readonly seed: number;
  readonly steps: readonly Step[];
  readonly file: string;
  readonly twin: string;
  /** The path of a tool: this machine's, or that of a later Debian. */
  readonly pathOf: (tool: string) => string;
  /** What a note should say. */
  due: string | undefined;
  /** A tool has broken the twin: nothing can be said of the file any more. */
  over: string | undefined;
  failure: string | undefined;
  /** There was an abandoned segment when strip or objcopy was last called. */
  abandoned: boolean;
  notes: number;
}

/**
 * Each time patchelf needs more room it adds a writable segment, and once `.dynstr` has moved on, the one before may
 * hold no section any more. strip and objcopy leave of that an empty segment that ld.so refuses, and may lose
 * `.bss`. The twin comes to it later, for it has more room behind its program header table.
 */
function hasAbandonedSegment(file: string): boolean {
  const { stdout } = run('readelf', ['-lW', file]);
  const [headers = '', mapping = ''] = stdout.split('Section to Segment mapping');
  const rows = headers.split('\n').filter(line => /^ {2}[A-Z_]+ +0x/.test(line));
  const held = new Map(
    [...mapping.matchAll(/^ {3}(\d+) +(.*)$/gm)].map(match => [Number(match[1]), match[2]?.trim() ?? '']),
  );
  return rows.some((row, i) => /^ {2}LOAD .* RW +0x/.test(row) && held.get(i) === '');
}

/** Bytes that are in memory and not in the file. */
function bssSize(file: string): number {
  const { stdout } = runOk('readelf', ['-lW', file]);
  const sizes = [...stdout.matchAll(/^ {2}LOAD +\S+ \S+ \S+ (\S+) (\S+)/gm)];
  return sizes.reduce((sum, [, filesz, memsz]) => sum + Number(memsz) - Number(filesz), 0);
}

/**
 * Whether the tools have broken a file that never had a note. One that has lost `.bss` may start all the same, by the
 * zeros that happen to stand there in the file: mold gives `.bss` the offset 0, patchelf takes that for a place that
 * its program headers need and moves it, and strip goes by that.
 */
function isBroken(shop: Workshop, sample: Sample, twin: string): boolean {
  return !works(shop, sample, twin) || losesBss(sample, twin);
}

function losesBss(sample: Sample, file: string): boolean {
  return bssSize(file) < bssSize(sample.file);
}

/** Whether strip or objcopy breaks the twin too, after another run or a few of patchelf. */
function breaksWornTwin(shop: Workshop, { sample, twin, pathOf }: Walk, tool: string): boolean {
  const { dir } = shop.kit(sample.cell.target);
  const worn = `${twin}-worn`;
  copyFileSync(twin, worn);
  let path = runPaths(dir).join(':');
  for (let round = 0; round < 4; round++) {
    path += `:${path}`;
    runOk(pathOf('patchelf'), ['--set-rpath', path, worn]);
    if (isBroken(shop, sample, worn)) return false;
    copyFileSync(worn, `${worn}-${tool}`);
    runOk(pathOf(tool), [`${worn}-${tool}`]);
    if (isBroken(shop, sample, `${worn}-${tool}`)) return true;
  }
  return false;
}

function works(shop: Workshop, { cell, said }: Sample, file: string): boolean {
  const { status, stdout } = shop.start(cell, file);
  return status === 0 && stdout === said;
}

function makeWalk(shop: Workshop, sample: Sample, number: number): Walk {
  const seed = SEED + number;
  const next = random(seed);
  const { dir } = shop.kit(sample.cell.target);
  const steps = Array.from({ length: STEPS }, () => drawStep(next, dir));
  // Every other walk is that of a later Debian's tools.
  const pathOf = number % 2 === 1 && LATER.skip === false ? LATER.tool : own;
  return startWalk(sample, seed, steps, `walk-${number}`, pathOf);
}

const own = (tool: string): string => tool;

function startWalk(
  sample: Sample,
  seed: number,
  steps: readonly Step[],
  name: string,
  pathOf: Walk['pathOf'] = own,
): Walk {
  const file = `${sample.file}.${name}`;
  const twin = `${file}-twin`;
  copyFileSync(sample.file, file);
  copyFileSync(sample.file, twin);
  const none = { due: undefined, over: undefined, failure: undefined, abandoned: false, notes: 0 };
  return { sample, seed, steps, file, twin, pathOf, ...none };
}

const asText = (dump: Dumped): string => (Array.isArray(dump) ? dump.join('\n') : JSON.stringify(dump));

/** Every walk takes one step; elfnote and its dump are called once for all of them. */
async function takeStep(shop: Workshop, walks: readonly Walk[], index: number): Promise<void> {
  const active = walks.filter(
    ({ over, failure, steps }) => over === undefined && failure === undefined && index < steps.length,
  );
  for (const walk of active) callTool(walk, walk.steps[index]);
  for (const command of ['build-cache', 'remove-cache'] as const) {
    const chosen = active.filter(({ steps }) => steps[index]?.command === command);
    const outcomes = elfnoteAll(
      command,
      chosen.map(({ file }) => file),
    );
    for (const [i, walk] of chosen.entries()) {
      const outcome = outcomes[i] ?? {};
      if (outcome.action === 'failed') walk.failure = JSON.stringify(outcome);
      else if (command === 'remove-cache' || foundNoRoom(outcome)) walk.due = undefined;
      else if (outcome.action === 'skipped')
        walk.failure = `build-cache skipped it: ${String(outcome.reason)}`;
      else walk.due = entriesDue(walk.file).join('\n');
    }
  }
  const dumps = dumpAll(active.map(({ file }) => file));
  for (const [i, walk] of active.entries()) {
    if (walk.over === undefined && walk.failure === undefined)
      await check(shop, walk, index, dumps[i] ?? 'gone');
  }
}

function callTool(walk: Walk, step: Step | undefined): void {
  const [tool, ...args] = step?.call ?? [];
  if (tool === undefined) return;
  walk.abandoned = tool !== 'patchelf' && hasAbandonedSegment(walk.file);
  const [mine, other] = [walk.file, walk.twin].map(file => run(walk.pathOf(tool), [...args, file]));
  if (mine?.status !== 0 && other?.status !== 0) walk.over = `${tool} refuses it without a note too`;
  else if (mine?.status !== 0) walk.failure = `${tool} refuses it: ${mine?.stderr}`;
  else if (other?.status !== 0) walk.over = `${tool} refuses the original: ${other?.stderr}`;
}

async function check(shop: Workshop, walk: Walk, index: number, dump: Dumped): Promise<void> {
  const { sample, file, twin, steps } = walk;
  const mine = shop.start(sample.cell, file);
  if (mine.status !== 0 || mine.stdout !== sample.said) {
    const [tool = ''] = steps[index]?.call ?? [];
    if (isBroken(shop, sample, twin)) walk.over = 'the tools break it without a note too';
    else if ((walk.abandoned || losesBss(sample, file)) && breaksWornTwin(shop, walk, tool)) {
      walk.over = `${tool} breaks it without a note too, when patchelf has run more often`;
    } else walk.failure = `does not run: exit ${mine.status}: ${mine.stdout}${mine.stderr}`;
    return;
  }
  const command = steps[index]?.command;
  const verdict: Verdict = { wrong: [], toolsOwn: [] };
  const said = { run: mine, complaints: complaints(file), dump, outcome: undefined, hash: '' };
  await judgeComplaints(said, () => ({ run: mine, complaints: complaints(twin) }), verdict);
  if (verdict.wrong.length > 0) walk.failure = verdict.wrong.join('; ');
  else if (command === 'build-cache' && dump !== 'gone' && asText(dump) !== walk.due)
    walk.failure = `the note: ${asText(dump)}`;
  else if (dump === 'gone' && command === 'build-cache' && walk.due !== undefined) walk.failure = 'no note';
  else if (command === 'remove-cache' && dump !== 'gone') walk.failure = 'remove-cache left the note';
  else if (dump !== 'gone' && asText(dump) !== walk.due) walk.failure = `a wrong note: ${asText(dump)}`;
  if (dump !== 'gone') walk.notes++;
  if (walk.failure !== undefined) walk.failure = `step ${index + 1}, ${steps[index]?.name}: ${walk.failure}`;
}

function keepArtifact({ sample, file, seed }: Walk): string {
  mkdirSync(ARTIFACTS, { recursive: true });
  const place = join(ARTIFACTS, `sequence-${seed}`);
  copyFileSync(file, place);
  copyFileSync(sample.file, `${place}.original`);
  return place;
}

const skip = needs('gcc', 'readelf', 'eu-readelf', 'strip', 'objcopy', 'patchelf');

describe(`random sequences of elfnote, strip, objcopy and patchelf, SEQUENCE_SEED=${SEED}`, { skip }, () => {
  const scope = suiteScope();
  const cells = share(pairCells(), EXTENT.walkedCells);
  const walks = new Map<Cell, Walk[]>();
  const ready = whenAsked(async () => {
    const shop = new Workshop(tempDir(scope));
    const { samples } = buildCells(shop, cells);
    for (const [cell, sample] of samples) {
      const numbers = Array.from({ length: RUNS }, (_, i) => cells.indexOf(cell) * RUNS + i);
      walks.set(
        cell,
        numbers.map(number => makeWalk(shop, sample, number)),
      );
    }
    for (const [i, { cell, steps }] of REMEMBERED.entries()) {
      const sample = [...samples.values()].find(one => one.cell.name === cell);
      if (sample === undefined) continue;
      const { dir } = shop.kit(sample.cell.target);
      const named = steps.map(name => namedStep(name, dir));
      walks.get(sample.cell)?.push(startWalk(sample, i, named, `remembered-${i}`));
    }
    for (let index = 0; index < STEPS; index++) await takeStep(shop, [...walks.values()].flat(), index);
    for (const walk of [...walks.values()].flat()) {
      if (walk.failure !== undefined) walk.failure += `\nkept: ${keepArtifact(walk)}`;
    }
  });

  for (const cell of cells) {
    test(`${cell.name}: runs after every step, and its note is right or gone`, {
      skip: cell.skip,
    }, async t => {
      await ready();
      const own = walks.get(cell);
      assert.ok(own !== undefined && own.length >= RUNS, 'the cell was not built');
      for (const { seed, steps, failure, over, notes } of own) {
        const path = steps.map(({ name }) => name).join(', ');
        assert.equal(failure, undefined, `SEQUENCE_SEED=${SEED} (${seed}): ${path}`);
        t.diagnostic(
          `${notes} of ${steps.length} steps with a note${over === undefined ? '' : `, ended: ${over}`}`,
        );
      }
      // A seed with which hardly anything happens would prove nothing.
      assert.ok(own.some(({ notes }) => notes > 0));
    });
  }
});
