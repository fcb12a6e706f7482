import {
  appendFileSync,
  closeSync,
  openSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename } from 'node:path';
import { ElfnoteError } from '../../src/errors.js';
import { type BuildOptions, buildCache, removeCache } from '../../src/pipeline.js';
import { EXPECTED, type Kind } from './kinds.js';
import { type Call, type Rule, withFaults } from './shim.js';
import { passTime, restore, type Snapshot, snapshotOf } from './state.js';

export interface RaceCounts {
  races: number;
  /** How often the file was reported as changed by others, and as written. */
  changed: number;
  written: number;
  readonly wrong: string[];
}

const COMMON = { attributes: { found: new Map<string, string[]>(), knowsAll: true } };

/** What another process does to a file, whatever it holds by then. */
const STRANGERS: Readonly<Record<string, (file: string) => void>> = {
  'is appended to': file => appendFileSync(file, 'appended by another'),
  'is written over': file => {
    const fd = openSync(file, 'r+');
    // A byte of ELF's padding, which nobody reads.
    writeSync(fd, Buffer.from('x'), 0, 1, 15);
    closeSync(fd);
  },
  'is cut': file => truncateSync(file, 5000),
  'is replaced': file => {
    const bytes = readFileSync(file);
    bytes[14] = 1;
    writeFileSync(`${file}.new`, bytes, { mode: 0o755 });
    renameSync(`${file}.new`, file);
  },
};

const ELFNOTES: Readonly<Record<string, (file: string) => void>> = {
  'loses its note to another elfnote': file => void removeCache(file, COMMON),
  'gets its note from another elfnote': file => void buildCache(file, COMMON),
  // A later run renews it; one that writes over it loses it.
  'gets a closure note from another elfnote': file => void buildCache(file, { ...COMMON, closure: true }),
};

/**
 * Nothing that Node offers is between these and the look before them: `renameat2` and file locks are not. A stranger who
 * comes in there is not seen; another elfnote is held off by the lock.
 */
const UNSEEN = ['renameSync', 'writeSync', 'ftruncateSync'];

const LEAVES_SIZE = 'is written over';

/** Who waits for nothing looks only at the size between the first and the last write to the file itself. */
function betweenWrites(calls: readonly Call[], file: string): (index: number) => boolean {
  const isWrite = ({ name, path }: Call) => path === file && ['writeSync', 'ftruncateSync'].includes(name);
  const [first, last] = [calls.findIndex(isWrite), calls.findLastIndex(isWrite)];
  return index => first < index && index < last;
}

/**
 * For every call of a run, but for strangers the writing ones: another process does something to the file right before
 * it. Two that did one after the other what they report must have led to the same file, or one of them has reported a
 * failure.
 */
export function tryRaces(
  kind: Kind,
  below: string,
  options: BuildOptions,
  counts: RaceCounts,
  sabotage: Rule = () => undefined,
): void {
  const original = snapshotOf(kind.file);
  const isLinked = original.size > 1;
  const run = () => buildCache(kind.file, { ...COMMON, ...kind.options, ...options }).action;
  const start = () => {
    restore(kind.file, original, isLinked);
    passTime();
  };
  const name = basename(kind.file);
  for (const [what, act] of Object.entries({ ...STRANGERS, ...ELFNOTES })) {
    const meanwhile = () => attempt(() => act(kind.file));
    const inOrder = [
      [run, meanwhile],
      [meanwhile, run],
    ].map(both => {
      start();
      for (const one of both) attempt(one);
      return snapshotOf(kind.file).get(name) ?? Buffer.alloc(0);
    });
    start();
    const calls: Call[] = [];
    const note: Rule = call => {
      calls.push(call);
      return undefined;
    };
    withFaults(below, note, run);
    const isUnseen = options.fast && what === LEAVES_SIZE ? betweenWrites(calls, kind.file) : () => false;
    for (let index = 0; index < calls.length; index++) {
      if (isUnseen(index)) continue;
      start();
      let at = '';
      let failed: unknown;
      const rule = (call: Call) => {
        if (call.index !== index) return sabotage(call);
        at = call.name;
        failed = meanwhile();
        return undefined;
      };
      const { result, error } = withFaults(below, rule, run);
      if (what in STRANGERS && UNSEEN.includes(at)) continue;
      counts.races++;
      judge({ kind, original, inOrder, result, error, failed }, counts, text =>
        counts.wrong.push(
          `${kind.name}${options.fast ? ' --fast' : ''}: ${what} before call ${index} (${at}): ${text}`,
        ),
      );
    }
  }
  restore(kind.file, original, isLinked);
}

interface Race {
  readonly kind: Kind;
  readonly original: Snapshot;
  readonly inOrder: readonly Buffer[];
  readonly result: string | undefined;
  readonly error: unknown;
  /** What the other one has met with. */
  readonly failed: unknown;
}

function judge(race: Race, counts: RaceCounts, wrong: (text: string) => void): void {
  const { kind, inOrder, result, error, failed } = race;
  if (error !== undefined && !(error instanceof ElfnoteError)) wrong(`a raw exception: ${String(error)}`);
  if (error instanceof ElfnoteError && ['internal', 'verify'].includes(error.code)) wrong(error.line);
  if (error instanceof ElfnoteError && error.code === 'changed') counts.changed++;
  if (result === 'written') counts.written++;
  const now = readFileSync(kind.file);
  if (error !== undefined || failed !== undefined || inOrder.some(bytes => bytes.equals(now))) return;
  wrong(
    `both report success (${result}), and what is there is ${kind.says() === EXPECTED ? 'neither' : 'broken'}`,
  );
}

function attempt(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}

export function sayRaces({ races, changed, written, wrong }: RaceCounts): string {
  return `${races} races: ${changed} reported as changed, ${written} written; ${wrong.length} wrong`;
}
