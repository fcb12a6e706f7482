import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { BufferSource } from '../../src/elf/bytes.js';
import { readImage } from '../../src/elf/read.js';
import { ElfnoteError } from '../../src/errors.js';
import { type BuildOptions, buildCache, removeCache } from '../../src/pipeline.js';
import { run } from '../../test/support/cli.js';

/** What became of many hostile files. */
export interface InputCounts {
  inputs: number;
  /** How often each outcome came: an action, or an error's code. */
  readonly outcomes: Map<string, number>;
  /** What the verifier has refused: plans that should not have been made. */
  readonly refusals: Map<string, { count: number; readonly first: string }>;
  /** Notes that were taken out again, and how many of those files are again what they were. */
  removed: number;
  restored: number;
  judged: number;
  /** In milliseconds: for whoever runs this alone on a machine. */
  slowest: { readonly what: string; readonly took: number };
  readonly wrong: string[];
}

export function noInputs(): InputCounts {
  return {
    inputs: 0,
    outcomes: new Map(),
    refusals: new Map(),
    removed: 0,
    restored: 0,
    judged: 0,
    slowest: { what: 'none', took: 0 },
    wrong: [],
  };
}

/** In MiB, with Node, what compiles TypeScript, and all that the harness itself holds. */
const MOST_MEMORY = 256;

/** In MiB; by getrusage(2) it never falls. */
export function memoryUsed(): number {
  return process.resourceUsage().maxRSS / 1024;
}

/** So many files that were written are shown to readelf: a process each costs more than all the rest. */
const JUDGED_EVERY = Number(process.env.ELFNOTE_JUDGED_EVERY ?? 97);

/** Writes hostile files to one path, lets elfnote work on them, and looks at what it leaves. */
export class Subject {
  readonly #path: string;
  readonly #options: BuildOptions;
  readonly #counts: InputCounts;
  #isOverMemory = false;

  constructor(path: string, options: BuildOptions, counts: InputCounts) {
    this.#path = path;
    this.#options = { attributes: { found: new Map(), knowsAll: true }, fast: true, ...options };
    this.#counts = counts;
  }

  /** Building, and removing what that built; for a file that has a note, removing it too. */
  try(bytes: Buffer, what: string): void {
    this.#counts.inputs++;
    const built = this.#operate(bytes, `${what}: build`, () => buildCache(this.#path, this.#options).action);
    if (built !== undefined) {
      const back = this.#operate(built, `${what}: build, then remove`, this.#remove);
      if (back !== undefined) {
        this.#counts.removed++;
        if (back.equals(bytes)) this.#counts.restored++;
      } else if (readImage(new BufferSource(built)).cacheNotes.length > 0) {
        this.#wrong(what, 'a note that was written cannot be removed');
      }
    }
    this.#operate(bytes, `${what}: remove`, this.#remove);
  }

  readonly #remove = () => removeCache(this.#path, this.#options).action;

  #wrong(what: string, text: string): void {
    this.#counts.wrong.push(`${what}: ${text}`);
  }

  /** @returns the bytes that were written; undefined where the file was left alone. */
  #operate(bytes: Buffer, what: string, work: () => string): Buffer | undefined {
    writeFileSync(this.#path, bytes);
    utimesSync(this.#path, 1e9, 1e9);
    const started = performance.now();
    const outcome = this.#outcomeOf(what, work);
    const took = performance.now() - started;
    if (took > this.#counts.slowest.took) this.#counts.slowest = { what, took };
    this.#checkMemory(what);
    const { outcomes } = this.#counts;
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    const now = readFileSync(this.#path);
    if (outcome !== 'written') {
      if (!now.equals(bytes)) this.#wrong(what, `the outcome is ${outcome}, and the file has changed`);
      return undefined;
    }
    if ((outcomes.get('written') ?? 0) % JUDGED_EVERY === 0) this.#judge(what, bytes);
    return now;
  }

  /** Once: of the first file that it took so much for. */
  #checkMemory(what: string): void {
    if (this.#isOverMemory || memoryUsed() <= MOST_MEMORY) return;
    this.#isOverMemory = true;
    this.#wrong(what, `it took ${Math.round(memoryUsed())} MiB`);
  }

  #outcomeOf(what: string, work: () => string): string {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof ElfnoteError)) {
        this.#wrong(what, `a raw exception: ${error instanceof Error ? error.stack : String(error)}`);
        return 'exception';
      }
      if (error.code === 'verify') {
        const message = error.message.replace(/\d+/g, 'N');
        const known = this.#counts.refusals.get(message) ?? { count: 0, first: what };
        this.#counts.refusals.set(message, { ...known, count: known.count + 1 });
      }
      if (error.code === 'internal' || error.path !== this.#path || error.message.includes('\n')) {
        this.#wrong(what, `no line of its file: ${error.line}`);
      }
      return error.code;
    }
  }

  /** What readelf says of needed libraries, run path and symbols is the same before and after. */
  #judge(what: string, before: Buffer): void {
    this.#counts.judged++;
    const after = saidOf(this.#path);
    const kept = readFileSync(this.#path);
    writeFileSync(this.#path, before);
    if (saidOf(this.#path) !== after) this.#wrong(what, 'readelf reads it otherwise');
    writeFileSync(this.#path, kept);
  }
}

/** Without the addresses and offsets of what may have moved. */
function saidOf(path: string): string {
  const { stdout } = run('readelf', ['--wide', '--dynamic', '--dyn-syms', path]);
  return stdout
    .split('\n')
    .filter(line => /\((NEEDED|RUNPATH|RPATH|SONAME|FLAGS|FLAGS_1)\)|^ +\d+: /.test(line))
    .map(line => line.replace(/^ 0x\S+/, ''))
    .join('\n');
}

/** Cut off after each byte, or each so many. */
export function* truncations(bytes: Buffer, stride: number): Generator<Buffer> {
  for (let length = 0; length < bytes.length; length += stride) yield bytes.subarray(0, length);
}

export function sayInputs(counts: InputCounts): string {
  const { inputs, outcomes, refusals, removed, restored, judged, slowest, wrong } = counts;
  const list = [...outcomes].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${count} ${name}`);
  const refused = [...refusals.values()].reduce((sum, { count }) => sum + count, 0);
  return [
    `${inputs} inputs: ${list.join(', ')}`,
    `${removed} notes taken out again, ${restored} files of these are what they were`,
    `${judged} judged by readelf; slowest ${Math.round(slowest.took)} ms; ${wrong.length} wrong`,
    `the verifier refused ${refused}`,
    ...[...refusals].map(([message, { count, first }]) => `  ${count}: ${message} (${first})`),
  ].join('\n  ');
}
