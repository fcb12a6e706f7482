import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { EXTENT, share } from './extent.js';
import {
  breaksAnyInterpreter,
  dumpAll,
  foundNoRoom,
  hashesOf,
  judgeComplaints,
  judgeRun,
  LATER_TOOLS,
  type LaterTool,
  makeTrial,
  type Noted,
  runTrials,
  type State,
  type Trial,
  Twins,
  type Verdict,
  writeNotes,
} from './later-tools.js';
import { type CellGroup, mayBeQuick, numberOf } from './matrix.js';
import { suiteScope, tempDir, whenAsked } from './temp.js';
import { needs, type Skip } from './tools.js';
import { buildCells, type Cell, Workshop } from './workshop.js';

// The tools that every cell needs. Everything else is asked for by the cells and tools themselves.
export const MATRIX_SKIP: Skip = needs('gcc', 'readelf', 'eu-readelf');

/** Files that no rung fits; every other cell has to get its note. */
const WITHOUT_ROOM = new Set([
  ...['gold shared', 'lld pie', 'lld shared', 'mold pie', 'mold shared'].map(
    kind => `x86_64 ${kind} sectionless`,
  ),
  'x86_64 bfd pie sea',
  'mips bfd shared no-build-id',
  'mips lld shared',
]);

/** One group of cells: built, noted and put through the tools before its tests look at what came out. */
export class Round {
  readonly #cells: readonly Cell[];
  readonly #chains: (cell: Cell) => readonly (readonly LaterTool[])[];
  readonly #further: boolean;
  #shop: Workshop | undefined;
  #twins: Twins | undefined;
  #failures = new Map<Cell, string>();
  #noted = new Map<Cell, Noted>();
  readonly #trials = new Map<string, Trial>();

  constructor(
    cells: readonly Cell[],
    chains: (cell: Cell) => readonly (readonly LaterTool[])[],
    further: boolean,
  ) {
    this.#cells = cells;
    this.#chains = chains;
    this.#further = further;
  }

  async prepare(dir: string): Promise<void> {
    const shop = new Workshop(dir);
    this.#shop = shop;
    this.#twins = new Twins(shop);
    const { samples, failures } = buildCells(shop, this.#cells);
    this.#failures = failures;
    this.#noted = new Map(writeNotes([...samples.values()]).map(noted => [noted.sample.cell, noted]));
    for (const [cell, noted] of this.#noted) {
      if (noted.outcome.action !== 'written') continue;
      for (const tools of this.#chains(cell)) {
        if (whyNoTrial(noted, tools) !== undefined) continue;
        this.#trials.set(key(cell, tools), makeTrial(noted, tools, this.#trials.size));
      }
    }
    await runTrials(shop, [...this.#trials.values()], this.#further);
  }

  noted(cell: Cell): Noted {
    assert.equal(this.#failures.get(cell), undefined);
    const noted = this.#noted.get(cell);
    assert.ok(noted !== undefined, 'the cell was not built');
    return noted;
  }

  trial(t: TestContext, cell: Cell, tools: readonly LaterTool[]): Trial | undefined {
    const noted = this.noted(cell);
    const why =
      noted.outcome.action === 'written' ? whyNoTrial(noted, tools) : 'there is no note to begin with';
    if (why !== undefined) {
      t.skip(why);
      return undefined;
    }
    const trial = this.#trials.get(key(cell, tools));
    assert.ok(trial !== undefined);
    return trial;
  }

  async judge(t: TestContext, trial: Trial): Promise<void> {
    const { after, rebuilt, removed } = trial.found;
    const verdict: Verdict = { wrong: [], toolsOwn: [] };
    const twin = () => this.#twins?.of(trial) ?? assert.fail();
    assert.ok(after !== undefined && rebuilt !== undefined);
    await judgeRefusals(trial, async () => (await twin()).refused, verdict);
    const states = [after, rebuilt, ...(removed === undefined ? [] : [removed])];
    const crashed = states.some(({ run }) => run.status === null);
    if (crashed && breaksAnyInterpreter(this.#shop ?? assert.fail(), trial)) {
      t.skip('broken by the tool itself: llvm-strip, where patchelf has moved .interp alone');
      return;
    }
    for (const state of states) {
      await judgeRun(trial, state, twin, verdict);
      await judgeComplaints(state, twin, verdict);
    }
    judgeNote(trial, after, verdict);
    judgeRebuilt(trial, after, rebuilt, verdict);
    if (removed !== undefined && removed.dump !== 'gone') verdict.wrong.push('remove-cache left a note');
    judgeBytes(trial, this.noted(trial.sample.cell), after, verdict);
    assert.deepEqual(verdict.wrong, []);
    if (verdict.toolsOwn.length > 0) {
      t.skip(`broken by the tool itself, without a note too: ${verdict.toolsOwn[0]}`);
      return;
    }
    // Where the note has a section, every one of these tools knows of it.
    const { hasSection } = this.noted(trial.sample.cell).outcome;
    if (hasSection === true && trial.due !== undefined) assert.notEqual(after.dump, 'gone');
  }
}

const key = (cell: Cell, tools: readonly LaterTool[]): string =>
  [cell.name, ...tools.map(({ name }) => name)].join(' + ');

/** What a tool has nothing to do for, or what of it is not on this machine. */
function whyNoTrial({ sample }: Noted, tools: readonly LaterTool[]): string | undefined {
  const omitted = tools.map(tool => tool.omit?.(sample)).find(why => why !== undefined);
  return omitted ?? tools.map(tool => tool.skip()).find(why => typeof why === 'string');
}

/** Refusals name temporary files, so only the tool and its exit status count. */
const sameTool = (one: string, other: string): boolean =>
  one.split(': ', 2).join() === other.split(': ', 2).join();

/** A tool may refuse a file when it refuses the original too. */
async function judgeRefusals(
  { refused }: Trial,
  twin: () => Promise<readonly string[]>,
  verdict: Verdict,
): Promise<void> {
  for (const words of refused) {
    if (words.startsWith('elfnote ') || !(await twin()).some(other => sameTool(words, other)))
      verdict.wrong.push(words);
    else verdict.toolsOwn.push(words);
  }
}

/** A note says what was due when it was written, or is gone; it is never unreadable. */
function judgeNote({ due }: Trial, { dump }: State, verdict: Verdict): void {
  if (dump === 'gone') return;
  if (typeof dump === 'object' && 'error' in dump) verdict.wrong.push(`the note is damaged: ${dump.error}`);
  else if (due === undefined) verdict.wrong.push('the note is back');
  else if (dump.join('\n') !== due.join('\n')) verdict.wrong.push(`the note says ${dump.join(', ')}`);
}

/** `build-cache` leaves a right note alone, and only that. */
function judgeRebuilt(
  trial: Trial,
  after: State,
  { outcome, dump, hash, due }: State & { readonly due: readonly string[] },
  verdict: Verdict,
): void {
  const had = Array.isArray(after.dump) ? after.dump.join('\n') : undefined;
  const { action } = outcome ?? {};
  if (had === due.join('\n')) {
    if (action !== 'up-to-date')
      verdict.wrong.push(`build-cache on a right note: ${JSON.stringify(outcome)}`);
    if (hash !== after.hash) verdict.wrong.push('build-cache changed a file that was up to date');
    return;
  }
  if (outcome !== undefined && foundNoRoom(outcome) && dump === 'gone') return;
  if (action !== 'written') verdict.wrong.push(`build-cache: ${JSON.stringify(outcome)}`);
  const says = Array.isArray(dump) ? dump.join('\n') : JSON.stringify(dump);
  if (says !== due.join('\n'))
    verdict.wrong.push(`build-cache after ${trial.tools.length} tools wrote ${says}`);
}

/** elfnote on its own file changes nothing, or takes everything back. */
function judgeBytes({ tools, sample }: Trial, noted: Noted, after: State, verdict: Verdict): void {
  const own = tools.every(({ work, name }) => typeof work === 'string' || name === 'nothing');
  if (!own) return;
  const last = tools.findLast(({ work }) => typeof work === 'string')?.work;
  // Where there was no room for the record, elfnote says that removal will not be exact.
  if (last === 'remove-cache' && noted.outcome.hasRecord === false) return;
  const [expected] = hashesOf([last === 'remove-cache' ? sample.file : noted.file]);
  if (after.hash !== expected) verdict.wrong.push('the bytes are not what they were');
}

/** Each cell sees other tools than the one before it, where it does not see all. */
export const toolsFor = (cell: Cell): LaterTool[] =>
  share(
    LATER_TOOLS,
    cell.target.emulator === undefined ? EXTENT.toolsPerCell : EXTENT.toolsPerForeignCell,
    numberOf(cell),
    mayBeQuick(cell),
  );

/** The tests of a group: each cell gets its note, and keeps running under the tools of its share. */
export function testGroup({ name, cells }: CellGroup): void {
  describe(`${name}: a file with a note`, { skip: MATRIX_SKIP }, () => {
    const round = new Round(
      cells,
      cell => toolsFor(cell).map(tool => [tool]),
      // qemu is slow, and restore.test.ts takes every one of these notes out again.
      cells.every(({ target }) => target.emulator === undefined),
    );
    const scope = suiteScope();
    const ready = whenAsked(() => round.prepare(tempDir(scope)));

    for (const cell of cells) {
      test(`${cell.name}: is built, runs, and gets the note that its run path is due`, {
        skip: cell.skip,
      }, async t => {
        await ready();
        const { file, outcome, due } = round.noted(cell);
        assert.ok(due.length >= 2);
        if (WITHOUT_ROOM.has(cell.name) && foundNoRoom(outcome)) {
          t.diagnostic(`no note: ${String(outcome.detail)}`);
          return;
        }
        assert.equal(outcome.action, 'written', JSON.stringify(outcome));
        assert.deepEqual(dumpAll([file]), [due]);
        t.diagnostic(
          `${JSON.stringify(outcome.rung)}, ${String(outcome.bytesAdded)} bytes, moved ${JSON.stringify(outcome.moved)}`,
        );
      });

      for (const tool of toolsFor(cell)) {
        test(`${cell.name}, then ${tool.name}: runs, with a right note or none`, {
          skip: cell.skip,
        }, async t => {
          await ready();
          const trial = round.trial(t, cell, [tool]);
          if (trial !== undefined) await round.judge(t, trial);
        });
      }
    }
  });
}
