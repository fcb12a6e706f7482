import { createHash } from 'node:crypto';
import { closeSync, copyFileSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isObject, type JsonObject, jsonLines, listIn, type RunResult, run, runOk } from './cli.js';
import { elfnoteHere } from './cli-here.js';
import { entriesIn } from './dump.js';
import { Elf, INTERP } from './elf-reader.js';
import { generation } from './generations.js';
import { complaints, complaintsOfAll, withoutComplaints } from './readelf.js';
import { type Chain, runAll } from './run-all.js';
import { needs, type Skip } from './tools.js';
import type { Cell, Sample, Target, Workshop } from './workshop.js';

/** Something that is done to a file after elfnote has written its note. */
export interface LaterTool {
  readonly name: string;
  /** Unpacks what it needs. */
  readonly skip: () => Skip;
  /** Why it has nothing to do for a sample. */
  readonly omit?: (sample: Sample) => string | undefined;
  readonly work: 'build-cache' | 'remove-cache' | ((file: string, sample: Sample, shop: Workshop) => Chain);
}

/** A set of tools of one age: this machine's, or those of a later Debian. */
interface Age {
  /** What precedes a tool's name. */
  readonly name: string;
  readonly skip: (tool: string) => Skip;
  readonly path: (tool: string) => string;
  /** binutils for a target; undefined where this age has none. */
  readonly binutils: (tool: string, target: Target) => string | undefined;
}

const OWN: Age = {
  name: '',
  skip: tool => needs(tool),
  path: tool => tool,
  binutils: (tool, { prefix }) => `${prefix}${tool}`,
};

const TRIXIE = generation('trixie');

const LATER: Age = {
  name: 'trixie ',
  skip: () => TRIXIE.skip,
  path: tool => TRIXIE.tool(tool),
  // What is unpacked is made for one machine and its smaller brother.
  binutils: (tool, target) =>
    target.emulator === undefined || target.name === 'i686' ? TRIXIE.tool(tool) : undefined,
};

function binutils(age: Age, tool: string, ...args: readonly string[]): LaterTool {
  return {
    name: age.name + [tool, ...args].join(' '),
    skip: () => age.skip(tool),
    omit: ({ cell }) => withoutBinutils(age, cell),
    work: (file, { cell }) => [[age.binutils(tool, cell.target) ?? tool, ...args, file]],
  };
}

const withoutBinutils = (age: Age, { target }: Cell): string | undefined =>
  age.binutils('strip', target) === undefined ? 'no binutils of this age for this machine' : undefined;

function plain(
  age: Age,
  tool: string,
  name: string,
  args: (sample: Sample, shop: Workshop) => string[],
): LaterTool {
  return {
    name: `${age.name}${tool} ${name}`.trimEnd(),
    skip: () => age.skip(tool),
    work: (file, sample, shop) => [[age.path(tool), ...args(sample, shop), file]],
  };
}

const kitOf = ({ cell }: Sample, shop: Workshop) => shop.kit(cell.target);

/** Writes debug information to a file of its own, and a link to it into the program. */
function debugLink(age: Age): LaterTool {
  return {
    name: `${age.name}objcopy --only-keep-debug and --add-gnu-debuglink`,
    skip: () => age.skip('objcopy'),
    omit: ({ cell }) => withoutBinutils(age, cell),
    work(file, { cell }) {
      const objcopy = age.binutils('objcopy', cell.target) ?? 'objcopy';
      return [
        [objcopy, '--only-keep-debug', file, `${file}.debug`],
        [objcopy, `--add-gnu-debuglink=${file}.debug`, file],
      ];
    },
  };
}

function setInterpreter(age: Age): LaterTool {
  return {
    name: `${age.name}patchelf --set-interpreter`,
    skip: () => age.skip('patchelf'),
    omit: ({ cell }) => (cell.form === 'shared' ? 'a library has no interpreter' : undefined),
    work(file) {
      const [tool, path] = [age.path('patchelf'), interpreterOf(file)];
      return [
        path === undefined ? [tool, '--print-interpreter', file] : [tool, '--set-interpreter', path, file],
      ];
    },
  };
}

/** Undefined where a file has none, or is too damaged to say: patchelf then says what it thinks of it. */
function interpreterOf(file: string): string | undefined {
  try {
    const elf = new Elf(readFileSync(file));
    const interp = elf.phdrs.find(p => p.type === INTERP);
    return interp && elf.string(interp.offset);
  } catch {
    return undefined;
  }
}

const BIG_ENDIAN: ReadonlySet<string> = new Set(['s390x', 'powerpc', 'mips']);

/** The segment that patchelf 0.18 adds to such a program has a nonsensical address, with a note and without. */
const breaksFixedBigEndian = (age: Age, { target, form }: Cell): string | undefined =>
  age === LATER && form === 'nopie' && BIG_ENDIAN.has(target.name)
    ? 'patchelf 0.18 breaks big-endian programs at fixed addresses'
    : undefined;

const patchelf = (age: Age): LaterTool[] => [
  {
    ...plain(age, 'patchelf', '--set-rpath longer', (sample, shop) => {
      const { dir, runPath } = kitOf(sample, shop);
      return ['--set-rpath', [join(dir, 'absent', 'x'.repeat(200)), ...runPath].join(':')];
    }),
    omit: ({ cell }) => breaksFixedBigEndian(age, cell),
  },
  plain(age, 'patchelf', '--set-rpath shorter', (sample, shop) => [
    '--set-rpath',
    join(kitOf(sample, shop).dir, 'both'),
  ]),
  plain(age, 'patchelf', '--shrink-rpath', () => ['--shrink-rpath']),
  setInterpreter(age),
];

const stripping = (age: Age): LaterTool[] => [
  binutils(age, 'strip'),
  binutils(age, 'strip', '-g'),
  binutils(age, 'objcopy'),
  debugLink(age),
];

const ELFNOTE: readonly LaterTool[] = [
  { name: 'elfnote build-cache', skip: () => false, work: 'build-cache' },
  { name: 'elfnote remove-cache', skip: () => false, work: 'remove-cache' },
];

const OWN_TOOLS: readonly LaterTool[] = [
  ...stripping(OWN),
  plain(OWN, 'eu-strip', '', () => []),
  plain(OWN, 'llvm-strip', '', () => []),
  ...patchelf(OWN),
  ...ELFNOTE,
];
const TRIXIE_TOOLS: readonly LaterTool[] = [...stripping(LATER), ...patchelf(LATER)];

export const LATER_TOOLS: readonly LaterTool[] = [
  { name: 'nothing', skip: () => false, work: () => [] },
  ...OWN_TOOLS,
  ...TRIXIE_TOOLS,
];

const pairsOf = (tools: readonly LaterTool[]): LaterTool[][] =>
  tools.flatMap(first => tools.map(second => [first, second]));

/** Ordered pairs of tools that do something; nobody has two generations of one tool. */
export const TOOL_PAIRS: readonly (readonly LaterTool[])[] = [
  ...pairsOf(OWN_TOOLS),
  ...pairsOf([...TRIXIE_TOOLS, ...ELFNOTE]).filter(pair => pair.some(tool => TRIXIE_TOOLS.includes(tool))),
];

/** Whether a directory is there, as far as these tests make any. */
const isThere = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;

/** What readelf says of the dynamic section of each file. */
function dynamicOf(files: readonly string[]): { needed: string[]; runPath: string[] }[] {
  return batch(files, part => {
    // One file's name is not printed.
    const { stdout } = run('readelf', ['-dW', ...part, part[0] ?? '']);
    return stdout
      .split(/^File: .*$/m)
      .slice(1, -1)
      .map(text => {
        const valuesOf = (tag: string) =>
          [...text.matchAll(new RegExp(`\\(${tag}\\)[^\\n]*\\[([^\\]]*)\\]`, 'g'))].map(
            match => match[1] ?? '',
          );
        return { needed: valuesOf('NEEDED'), runPath: valuesOf('RUNPATH').join(':').split(':') };
      });
  });
}

/** The entries that notes of these files should have now, by readelf's word and a look at the directories. */
export function entriesDueOf(files: readonly string[]): string[][] {
  return dynamicOf(files).map(({ needed, runPath }) =>
    [...new Set(needed)].sort().flatMap(soname => {
      const elements = runPath.flatMap(dir => {
        if (!isThere(dir)) return [`?${dir}`];
        return isThere(join(dir, soname)) ? [`=${join(dir, soname)}`] : [];
      });
      // Behind the last path the loader searches the run path itself.
      const last = elements.findLastIndex(element => element.startsWith('='));
      return last >= 0 ? [`${soname}: ${elements.slice(0, last + 1).join(' ')}`] : [];
    }),
  );
}

export function entriesDue(file: string): string[] {
  return entriesDueOf([file])[0] ?? [];
}

/** What `elfnote dump` says of a file's note: its entries, that there is none, or why it is no good. */
export type Dumped = readonly string[] | 'gone' | { readonly error: string };

function dumpedOf(object: JsonObject): Dumped {
  if (isObject(object.error)) return { error: JSON.stringify(object.error) };
  return object.note === null ? 'gone' : entriesIn(object);
}

/** The exit status that is due: as dump looks paths up on this machine, most notes name libraries that are not there. */
function dueStatus(object: JsonObject): number {
  if (isObject(object.error)) return object.error.code === 'unsupported' ? 1 : 2;
  if (!isObject(object.note) || object.note.agreesWithRunPath !== true) return 1;
  const states = listIn(object.note, 'entries').flatMap(entry => listIn(entry, 'elements'));
  return states.every(({ state }) => state === 'accepted' || state === 'searched') ? 0 : 1;
}

/** One call for all; the paths keep their order. */
export function dumpAll(files: readonly string[]): Dumped[] {
  return batch(files, part => {
    const { status, stdout, stderr } = elfnoteHere(['dump', '--json', ...part]);
    const objects = jsonLines(stdout);
    const dumped = objects.map(dumpedOf);
    if (dumped.length !== part.length) throw new Error(`dump: ${stderr}`);
    const worst = Math.max(...objects.map(dueStatus));
    if (status !== worst) throw new Error(`dump: exit ${status} where ${worst} is due\n${stderr}`);
    return dumped;
  });
}

export function elfnoteAll(
  command: 'build-cache' | 'remove-cache',
  files: readonly string[],
  options: readonly string[] = [],
): JsonObject[] {
  return batch(files, part => {
    const { stdout, stderr } = elfnoteHere([command, '--json', ...options, ...part]);
    const outcomes = jsonLines(stdout).slice(0, -1);
    if (outcomes.length !== part.length) throw new Error(`${command}: ${stderr}`);
    return outcomes;
  });
}

/** `build-cache` found no room: it left a file without a note alone, or took an old one out. */
export function foundNoRoom({ action, reason, rung }: JsonObject): boolean {
  if (action === 'skipped') return reason === 'no-room';
  return action === 'written' && isObject(rung) && rung.note === 'removed';
}

function batch<T>(files: readonly string[], work: (part: readonly string[]) => T[]): T[] {
  const results: T[] = [];
  for (let i = 0; i < files.length; i += 500) results.push(...work(files.slice(i, i + 500)));
  return results;
}

/** A file with a note, and the tools that are run over it, one after the other. */
export interface Trial {
  readonly sample: Sample;
  readonly tools: readonly LaterTool[];
  readonly file: string;
  /** What a note should say: what was due when one was last written. */
  due: readonly string[] | undefined;
  /** Tools that would not have this file. */
  readonly refused: string[];
  readonly found: {
    /** After the tools. */
    after?: State;
    /** After `build-cache` on top. */
    rebuilt?: State & { readonly due: readonly string[] };
    /** After `remove-cache` on top of that. */
    removed?: State;
  };
}

export interface State {
  readonly run: RunResult;
  readonly complaints: readonly string[];
  readonly dump: Dumped;
  /** What elfnote said when it was run last, before this. */
  readonly outcome: JsonObject | undefined;
  /** Of the file's bytes. */
  readonly hash: string;
}

/** Piece by piece: whole files would fill this process, and a large process takes long to start another one. */
export function hashesOf(files: readonly string[]): string[] {
  return files.map(file => {
    const hash = createHash('sha256');
    const fd = openSync(file, 'r');
    try {
      for (let size = readSync(fd, PIECE); size > 0; size = readSync(fd, PIECE))
        hash.update(PIECE.subarray(0, size));
    } finally {
      closeSync(fd);
    }
    return hash.digest('hex');
  });
}

const PIECE = Buffer.alloc(1 << 16);

/** Files with their notes as `build-cache` wrote them. */
export interface Noted {
  readonly sample: Sample;
  readonly file: string;
  readonly outcome: JsonObject;
  readonly due: readonly string[];
}

export function writeNotes(samples: readonly Sample[], options: readonly string[] = []): Noted[] {
  const files = samples.map(({ file }) => `${file}.noted`);
  for (const [i, { file }] of samples.entries()) copyFileSync(file, files[i] ?? '');
  const outcomes = elfnoteAll('build-cache', files, options);
  const due = entriesDueOf(samples.map(({ file }) => file));
  return samples.map((sample, i) => {
    return { sample, file: files[i] ?? '', outcome: outcomes[i] ?? {}, due: due[i] ?? [] };
  });
}

export function makeTrial(noted: Noted, tools: readonly LaterTool[], number: number): Trial {
  const file = `${noted.sample.file}.${number}`;
  copyFileSync(noted.file, file);
  return { sample: noted.sample, tools, file, due: noted.due, refused: [], found: {} };
}

/** Runs every trial's tools, step by step, so that elfnote is called once a step. */
export async function runTrials(shop: Workshop, trials: readonly Trial[], further: boolean): Promise<void> {
  const known: Known = new Map();
  const steps = Math.max(0, ...trials.map(({ tools }) => tools.length));
  for (let step = 0; step < steps; step++) {
    await applyTools(
      shop,
      trials.flatMap(trial => ({ trial, tool: trial.tools[step] })),
    );
    for (const command of ['build-cache', 'remove-cache'] as const) {
      applyElfnote(
        command,
        trials.filter(({ tools }) => tools[step]?.work === command),
      );
    }
  }
  await observe(shop, known, trials, undefined, (trial, state) => {
    trial.found.after = state;
  });
  const rebuilt = elfnoteAll(
    'build-cache',
    trials.map(({ file }) => file),
  );
  const due = entriesDueOf(trials.map(({ file }) => file));
  await observe(shop, known, trials, rebuilt, (trial, state, i) => {
    trial.found.rebuilt = { ...state, due: due[i] ?? [] };
  });
  if (!further) return;
  const removed = elfnoteAll(
    'remove-cache',
    trials.map(({ file }) => file),
  );
  await observe(shop, known, trials, removed, (trial, state) => {
    trial.found.removed = state;
  });
}

async function applyTools(
  shop: Workshop,
  steps: readonly { readonly trial: Trial; readonly tool: LaterTool | undefined }[],
): Promise<void> {
  const work = steps.flatMap(({ trial, tool }) =>
    tool === undefined || typeof tool.work === 'string'
      ? []
      : [{ trial, tool, chain: tool.work(trial.file, trial.sample, shop) }],
  );
  const results = await runAll(work.map(({ chain }) => chain));
  for (const [i, { trial, tool }] of work.entries()) {
    const { status, stderr } = results[i] ?? { status: null, stderr: '' };
    if (status !== 0) trial.refused.push(`${tool.name}: exit ${status}: ${nameless(stderr, trial.file)}`);
  }
}

function nameless(text: string, file: string): string {
  return text
    .replaceAll(file, 'FILE')
    .replaceAll(/FILE\S*/g, 'FILE')
    .trim();
}

function applyElfnote(command: 'build-cache' | 'remove-cache', trials: readonly Trial[]): void {
  const outcomes = elfnoteAll(
    command,
    trials.map(({ file }) => file),
  );
  const due = entriesDueOf(trials.map(({ file }) => file));
  for (const [i, trial] of trials.entries()) {
    const outcome = outcomes[i] ?? {};
    const { action, reason, error } = outcome;
    if (command === 'remove-cache' && (action === 'written' || reason === 'no-note')) trial.due = undefined;
    else if (foundNoRoom(outcome)) trial.due = undefined;
    else if (action === 'written' || action === 'up-to-date') trial.due = due[i];
    else trial.refused.push(`elfnote ${command}: ${JSON.stringify(reason ?? error)}`);
  }
}

interface Behaviour {
  readonly run: RunResult;
  readonly complaints: readonly string[];
}

/** How files behave that were seen already: the same program in the same bytes does the same again. */
type Known = Map<string, Behaviour>;

const behaviourKey = (trial: Trial, hash: string): string => `${trial.sample.cell.name} ${hash}`;

async function observe(
  shop: Workshop,
  known: Known,
  trials: readonly Trial[],
  outcomes: readonly JsonObject[] | undefined,
  keep: (trial: Trial, state: State, i: number) => void,
): Promise<void> {
  const files = trials.map(({ file }) => file);
  const dumps = dumpAll(files);
  const hashes = hashesOf(files);
  const unknown = new Map<string, Trial>();
  for (const [i, trial] of trials.entries()) {
    const key = behaviourKey(trial, hashes[i] ?? '');
    if (!known.has(key)) unknown.set(key, trial);
  }
  const keys = [...unknown.keys()];
  const fresh = [...unknown.values()];
  const runs = await runAll(fresh.map(({ sample, file }) => [shop.command(sample.cell, file)]));
  const clean = new Set(withoutComplaints(fresh.map(({ file }) => file)));
  const unclean = fresh.map(({ file }) => file).filter(file => !clean.has(file));
  const said = await complaintsOfAll(unclean);
  for (const [i, { file }] of fresh.entries()) {
    const result = runs[i];
    const complained = clean.has(file) ? [] : (said[unclean.indexOf(file)] ?? []);
    if (result !== undefined) known.set(keys[i] ?? '', { run: result, complaints: complained });
  }
  for (const [i, trial] of trials.entries()) {
    const hash = hashes[i] ?? '';
    const behaviour = known.get(behaviourKey(trial, hash));
    if (behaviour === undefined) throw new Error(`${trial.file} was not run`);
    keep(trial, { ...behaviour, dump: dumps[i] ?? 'gone', outcome: outcomes?.[i], hash }, i);
  }
}

/** What becomes of the original, which never had a note, when the same tools are run over it. */
export interface Twin {
  readonly run: RunResult;
  readonly complaints: readonly string[];
  readonly refused: readonly string[];
}

export class Twins {
  readonly #shop: Workshop;
  readonly #known = new Map<string, Twin>();

  constructor(shop: Workshop) {
    this.#shop = shop;
  }

  async of({ sample, tools }: Trial): Promise<Twin> {
    const foreign = tools.filter(({ work }) => typeof work !== 'string');
    const key = [sample.cell.name, ...foreign.map(({ name }) => name)].join(' + ');
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const file = `${sample.file}.twin-${this.#known.size}`;
    copyFileSync(sample.file, file);
    const trial: Trial = { sample, tools: foreign, file, due: undefined, refused: [], found: {} };
    for (const tool of foreign) await applyTools(this.#shop, [{ trial, tool }]);
    const twin = {
      run: this.#shop.start(sample.cell, file),
      complaints: complaints(file),
      refused: trial.refused,
    };
    this.#known.set(key, twin);
    return twin;
  }
}

/**
 * llvm-strip 14 breaks a program in which patchelf has moved `.interp` and nothing else: `PT_INTERP` and the new
 * `PT_LOAD` start at the same byte, and it lays the one out by the other. The original comes to that when patchelf
 * has been there before and made room.
 */
export function breaksAnyInterpreter(shop: Workshop, { sample, tools }: Trial): boolean {
  const names = tools.map(({ name }) => name);
  if (names.join() !== 'patchelf --set-interpreter,llvm-strip') return false;
  const file = `${sample.file}.interpreter`;
  copyFileSync(sample.file, file);
  let path = runOk('patchelf', ['--print-interpreter', file]).stdout.trim();
  const works = (program: string) => shop.start(sample.cell, program).status === 0;
  for (let round = 0; round < 4; round++) {
    runOk('patchelf', ['--set-interpreter', path, file]);
    if (!works(file)) return false;
    copyFileSync(file, `${file}.stripped`);
    runOk('llvm-strip', [`${file}.stripped`]);
    if (!works(`${file}.stripped`)) return true;
    path = `/.${path}`;
  }
  return false;
}

/** The twin, which is made only where something has to be excused. */
export type Twining = () => Pick<Twin, 'run' | 'complaints'> | Promise<Pick<Twin, 'run' | 'complaints'>>;

/** What is wrong with a state, and what the tools do to the original as well. */
export interface Verdict {
  readonly wrong: string[];
  readonly toolsOwn: string[];
}

export async function judgeRun(trial: Trial, state: State, twin: Twining, verdict: Verdict): Promise<void> {
  const { said } = trial.sample;
  if (state.run.status === 0 && state.run.stdout === said) return;
  const words = `exit ${state.run.status}: ${state.run.stdout}${nameless(state.run.stderr, trial.file)}`;
  const other = (await twin()).run;
  if (other.status === state.run.status && other.stdout === state.run.stdout) verdict.toolsOwn.push(words);
  else if (other.status !== 0) verdict.toolsOwn.push(`${words}, the original: exit ${other.status}`);
  else verdict.wrong.push(`it does not run: ${words}`);
}

export async function judgeComplaints(state: State, twin: Twining, verdict: Verdict): Promise<void> {
  if (state.complaints.length === 0) return;
  const known = [...(await twin()).complaints];
  for (const line of state.complaints) {
    const at = known.indexOf(line);
    if (at >= 0) known.splice(at, 1);
    else verdict.wrong.push(line);
  }
}
