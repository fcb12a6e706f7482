import { basename, dirname } from 'node:path';
import { ElfnoteError } from '../../src/errors.js';
import { type BuildOptions, buildCache, removeCache } from '../../src/pipeline.js';
import { EXPECTED, type Kind } from './kinds.js';
import { type Call, type Fault, Killed, pageEndIn, type Rule, withFaults } from './shim.js';
import { die, isSame, passTime, restore, type Snapshot, snapshotOf } from './state.js';

export interface Counts {
  faults: number;
  /** How the file was found after the fault. */
  old: number;
  new: number;
  unfinished: number;
  /** Copies and locks that the faulty run has left, and the next one has removed. */
  leftovers: number;
  /** One line each: what must not be. */
  readonly wrong: string[];
  /** A run that has to find something ends with it. */
  readonly proof?: RegExp;
}

export function noCounts(proof?: RegExp): Counts {
  const counts = { faults: 0, old: 0, new: 0, unfinished: 0, leftovers: 0, wrong: [] };
  return proof === undefined ? counts : { ...counts, proof };
}

export function isProved({ proof, wrong }: Pick<Counts, 'proof' | 'wrong'>): boolean {
  return proof !== undefined && wrong.some(text => proof.test(text));
}

type Operation = 'build' | 'remove';

/** The tools of the system that are asked for attributes are no calls of ours. */
const COMMON = { attributes: { found: new Map<string, string[]>(), knowsAll: true } };

function operate(kind: Kind, operation: Operation, options: BuildOptions): string {
  const all = { ...COMMON, ...options };
  return operation === 'build' ? buildCache(kind.file, all).action : removeCache(kind.file, all).action;
}

const MAY_FILL = new Set([
  'writeSync',
  'ftruncateSync',
  'copyFileSync',
  'symlinkSync',
  'renameSync',
  'openSync',
  'fsyncSync',
  'closeSync',
  'linkSync',
  'mkdirSync',
]);

/** Errors of a full disk. */
export const FULL_DISK: readonly string[] = ['ENOSPC', 'EDQUOT'];

/** Those that can happen to a call; `codes` are of `FULL_DISK`. */
export function faultsOf(call: Call, codes: readonly string[] = FULL_DISK): Fault[] {
  const { name } = call;
  const faults: Fault[] = [{ kind: 'kill' }, { kind: 'fail', code: 'EIO' }];
  if (MAY_FILL.has(name)) for (const code of codes) faults.push({ kind: 'fail', code });
  if (name === 'writeSync') faults.push({ kind: 'short' });
  if (name === 'copyFileSync' || (name === 'writeSync' && pageEndIn(call) > 0))
    faults.push({ kind: 'kill-midway' });
  return faults;
}

interface Trial {
  readonly kind: Kind;
  readonly operation: Operation;
  readonly options: BuildOptions;
  readonly before: Snapshot;
  readonly after: Snapshot;
  readonly counts: Counts;
  readonly sabotage: Rule;
}

interface Bounds {
  readonly stride?: number;
  readonly sabotage?: Rule;
  readonly codes?: readonly string[];
}

/**
 * Every fault at every call of building and of removing, for one kind of file.
 *
 * @param below what is watched: the file, and the libraries that it names.
 * @param stride every n-th call, for a short run; `codes` as for `faultsOf`.
 * @param sabotage takes away what is guarded.
 */
export function tryFaults(
  kind: Kind,
  below: string,
  options: BuildOptions,
  counts: Counts,
  { stride = 1, sabotage = () => undefined, codes }: Bounds = {},
): void {
  const all = { ...kind.options, ...options };
  const original = snapshotOf(kind.file);
  const isLinked = original.size > 1;
  restore(kind.file, original, isLinked);
  if (kind.says() !== EXPECTED) throw new Error(`${kind.name} does not run before anything is done to it`);
  kind.prepare?.();
  operate(kind, 'build', all);
  const built = snapshotOf(kind.file);
  try {
    for (const operation of ['build', 'remove'] as const) {
      if (operation === 'remove' && all.output !== undefined) continue;
      const [before, after] = operation === 'build' ? [original, built] : [built, original];
      const trial = { kind, operation, options: all, before, after, counts, sabotage };
      const calls: Call[] = [];
      start(trial);
      // Also those that the system refuses: each of them counts.
      const note: Rule = call => {
        calls.push(call);
        return undefined;
      };
      withFaults(below, note, () => operate(kind, operation, all));
      for (let i = 0; i < calls.length; i += stride) {
        const call = calls[i];
        for (const fault of call === undefined ? [] : faultsOf(call, codes)) tryFault(trial, below, i, fault);
      }
    }
  } finally {
    restore(kind.file, original, isLinked);
    kind.end?.();
  }
}

function start({ kind, before }: Trial): void {
  restore(kind.file, before, before.size > 1 && kind.options.output === undefined);
  kind.prepare?.();
  passTime();
}

function tryFault(trial: Trial, below: string, index: number, fault: Fault): void {
  const { kind, operation, options, counts } = trial;
  start(trial);
  let at = '';
  const rule = (call: Call) => {
    if (call.index !== index) return trial.sabotage(call);
    at = `${call.name} ${basename(call.path)}`;
    return fault;
  };
  const { result, error } = withFaults(below, rule, () => operate(kind, operation, options));
  counts.faults++;
  const what = fault.kind === 'fail' ? fault.code : fault.kind;
  const way = options.fast ? ' --fast' : '';
  const wrong = (text: string) =>
    counts.wrong.push(`${kind.name}: ${operation}${way}: ${what} at call ${index} (${at}): ${text}`);
  checkReport(trial, fault, result, error, wrong);
  checkState(trial, result, wrong);
  checkNext(trial, wrong);
}

type Wrong = (text: string) => void;

function checkReport(
  { kind }: Trial,
  fault: Fault,
  result: string | undefined,
  error: unknown,
  wrong: Wrong,
): void {
  if (fault.kind === 'kill' || fault.kind === 'kill-midway') return;
  if (error === undefined) {
    if (result !== 'written') wrong(`the outcome is ${result}`);
    return;
  }
  if (error instanceof Killed) return;
  if (!(error instanceof ElfnoteError)) {
    wrong(`a raw exception: ${String(error)}`);
    return;
  }
  if (error.code === 'internal' || error.code === 'verify') wrong(error.line);
  if (error.path !== kind.file || error.message.includes('\n'))
    wrong(`not one line of its file: ${error.line}`);
}

/** The bytes under each name are old, new, or run. */
function checkState({ kind, before, after, counts }: Trial, result: string | undefined, wrong: Wrong): void {
  const now = snapshotOf(kind.file);
  const names = new Set([...before.keys(), ...after.keys()]);
  counts.leftovers += [...now.keys()].filter(name => !names.has(name)).length;
  const has = (snapshot: Snapshot) =>
    [...snapshot].every(([name, bytes]) => now.get(name)?.equals(bytes) === true);
  if (has(after)) counts.new++;
  else if (result === 'written') wrong('it is reported as written, and is not');
  else if (has(before) && [...now.keys()].every(name => before.has(name) || !after.has(name))) counts.old++;
  else {
    counts.unfinished++;
    if (kind.says() !== EXPECTED) wrong('what is left does not run');
  }
}

/** The next run brings what a run without a fault brings, and nothing else. */
function checkNext({ kind, operation, options, after, sabotage }: Trial, wrong: Wrong): void {
  die(kind.file);
  passTime();
  const { error } = withFaults(dirname(kind.file), sabotage, () => operate(kind, operation, options));
  if (error !== undefined) {
    wrong(`the next run fails: ${error instanceof ElfnoteError ? error.line : String(error)}`);
    return;
  }
  const now = snapshotOf(kind.file);
  if (isSame(now, after)) return;
  const more = [...now.keys()].filter(name => !after.has(name));
  if (more.length > 0) wrong(`the next run leaves ${more.join(', ')}`);
  else wrong(`the next run does not finish it${kind.says() === EXPECTED ? '' : ', and it does not run'}`);
}

export function sayCounts({ faults, old, new: finished, unfinished, leftovers, wrong }: Counts): string {
  return `${faults} faults: ${old} files old, ${finished} new, ${unfinished} unfinished that run; ${leftovers} leftovers; ${wrong.length} wrong`;
}
