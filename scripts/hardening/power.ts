import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { runOver } from '../../src/batch/run.js';
import { findFiles } from '../../src/batch/walk.js';
import { type BuildOptions, buildCache, removeCache } from '../../src/pipeline.js';
import { isProved } from './faults.js';
import { EXPECTED, type Kind } from './kinds.js';
import { type Call, type Dice, diceFrom, type Fault, PAGE, withFaults, withFaultsLater } from './shim.js';
import { die, passTime, restore, type Snapshot, snapshotOf } from './state.js';

export interface PowerCounts {
  /** Moments at which the power went, and the different disks that were found afterwards. */
  cuts: number;
  disks: number;
  readonly wrong: string[];
  /** A run that has to find something ends with it. */
  readonly proof?: RegExp;
}

/** What a run has asked of the disk. A file is known by a number, whatever its names are. */
type Asked =
  | { readonly kind: 'data'; readonly file: number; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'size'; readonly file: number; readonly size: number }
  | { readonly kind: 'sync'; readonly file: number }
  | { readonly kind: 'name'; readonly name: string; readonly file: number | undefined }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  /** Not asked, but told: the file of that name is reported as written. */
  | { readonly kind: 'told'; readonly name: string }
  | { readonly kind: 'sync-names' };

/** Follows a run's calls and notes what they ask of the disk. */
class Recorder {
  readonly asked: Asked[] = [];
  readonly first: readonly Buffer[];
  readonly names: ReadonlyMap<string, number>;
  readonly #dir: string;
  readonly #now: Map<string, number>;
  readonly #open = new Map<number, number>();
  #next: number;

  constructor(dir: string, snapshot: Snapshot, linked: boolean) {
    this.#dir = dir;
    this.first = linked ? [...snapshot.values()].slice(0, 1) : [...snapshot.values()];
    this.names = new Map([...snapshot.keys()].map((name, i) => [name, linked ? 0 : i]));
    this.#now = new Map(this.names);
    this.#next = this.first.length;
  }

  tell(name: string): void {
    this.asked.push({ kind: 'told', name });
  }

  note({ name, args, path }: Call, result: unknown): void {
    const fd = Number(args[0]);
    const file = this.#open.get(fd) ?? -1;
    switch (name) {
      case 'openSync':
        if (path !== this.#dir) this.#opened(basename(path), Number(result));
        break;
      case 'writeSync':
        this.#write(file, Number(args[4]), readingOf(args[1], Number(args[2]), Number(result)));
        break;
      case 'copyFileSync': {
        const to = Number(/\d+$/.exec(String(args[1]))?.[0]);
        this.#write(this.#open.get(to) ?? -1, 0, readFileSync(`/proc/self/fd/${to}`));
        break;
      }
      case 'ftruncateSync':
        this.asked.push({ kind: 'size', file, size: Number(args[1]) });
        break;
      case 'fsyncSync':
        this.asked.push(path === this.#dir ? { kind: 'sync-names' } : { kind: 'sync', file });
        break;
      case 'renameSync':
        this.#rename(basename(String(args[0])), basename(String(args[1])));
        break;
      case 'unlinkSync':
        this.#now.delete(basename(path));
        this.asked.push({ kind: 'name', name: basename(path), file: undefined });
        break;
      default:
    }
  }

  #opened(name: string, fd: number): void {
    let file = this.#now.get(name);
    if (file === undefined) {
      file = this.#next++;
      this.#now.set(name, file);
      this.asked.push({ kind: 'name', name, file });
    }
    this.#open.set(fd, file);
  }

  #write(file: number, offset: number, bytes: Buffer): void {
    for (let from = 0; from < bytes.length; ) {
      const to = Math.min(bytes.length, from + PAGE - ((offset + from) % PAGE));
      const piece = Buffer.from(bytes.subarray(from, to));
      this.asked.push({ kind: 'data', file, offset: offset + from, bytes: piece });
      from = to;
    }
  }

  #rename(from: string, to: string): void {
    const file = this.#now.get(from);
    this.#now.delete(from);
    if (file !== undefined) this.#now.set(to, file);
    this.asked.push({ kind: 'rename', from, to });
  }
}

function readingOf(bytes: unknown, start: number, length: number): Buffer {
  if (!Buffer.isBuffer(bytes)) throw new Error('only buffers are written');
  return bytes.subarray(start, start + length);
}

const isOfNames = ({ kind }: Asked) => kind === 'name' || kind === 'rename';

/**
 * What the disk may hold when the power goes after so many calls: what was synced, and of the rest any part of the bytes
 * and any first part of the names. All of it and none of it come first, then some parts at random.
 */
function* disksAfter(recorder: Recorder, asked: readonly Asked[], dice: Dice): Generator<Snapshot> {
  const isLater = asked.map((one, i) => {
    const rest = asked.slice(i + 1);
    if (isOfNames(one)) return !rest.some(({ kind }) => kind === 'sync-names');
    return 'file' in one && !rest.some(other => other.kind === 'sync' && other.file === one.file);
  });
  const names = asked.flatMap((one, i) => (isOfNames(one) ? [i] : []));
  const first = names.filter(i => isLater[i] === false).length;
  const parts = [() => true, () => false, ...Array.from({ length: 16 }, () => () => dice(2) === 1)];
  for (const part of parts) {
    for (let kept = first; kept <= names.length; kept++) {
      const last = names[kept] ?? asked.length;
      yield diskOf(
        recorder,
        asked.filter((one, i) => (isOfNames(one) ? i < last : isLater[i] === false || part())),
      );
    }
  }
}

function diskOf(recorder: Recorder, done: readonly Asked[]): Snapshot {
  const files = new Map(recorder.first.map((bytes, i) => [i, Buffer.from(bytes)]));
  const names = new Map(recorder.names);
  for (const one of done) {
    if (one.kind === 'data') {
      const old = files.get(one.file) ?? Buffer.alloc(0);
      const now = Buffer.alloc(Math.max(old.length, one.offset + one.bytes.length));
      old.copy(now);
      one.bytes.copy(now, one.offset);
      files.set(one.file, now);
    } else if (one.kind === 'size') {
      const now = Buffer.alloc(one.size);
      files.get(one.file)?.copy(now);
      files.set(one.file, now);
    } else if (one.kind === 'name') {
      if (one.file === undefined) names.delete(one.name);
      else names.set(one.name, one.file);
    } else if (one.kind === 'rename') {
      const file = names.get(one.from);
      names.delete(one.from);
      if (file !== undefined) names.set(one.to, file);
    }
  }
  return new Map([...names].map(([name, file]) => [name, files.get(file) ?? Buffer.alloc(0)]));
}

const COMMON = { attributes: { found: new Map<string, string[]>(), knowsAll: true } };

/**
 * The power goes after every call of building and of removing, and what was not synced is lost in part.
 *
 * @param sabotage takes away what is guarded.
 */
export function tryPowerCuts(
  kind: Kind,
  options: BuildOptions,
  counts: PowerCounts,
  sabotage: (call: Call) => Fault | undefined = () => undefined,
): void {
  const all = { ...COMMON, ...kind.options, ...options };
  const original = snapshotOf(kind.file);
  const isLinked = original.size > 1;
  restore(kind.file, original, isLinked);
  buildCache(kind.file, all);
  const built = snapshotOf(kind.file);
  for (const operation of ['build', 'remove'] as const) {
    const [before, after] = operation === 'build' ? [original, built] : [built, original];
    const run = () => (operation === 'build' ? buildCache(kind.file, all) : removeCache(kind.file, all));
    restore(kind.file, before, isLinked);
    passTime();
    const recorder = new Recorder(dirname(kind.file), before, isLinked);
    withFaults(dirname(kind.file), sabotage, run, (call, result) => recorder.note(call, result));
    const dice = diceFrom(1);
    const seen = new Set<string>();
    for (let done = 0; done <= recorder.asked.length && !isProved(counts); done++) {
      counts.cuts++;
      for (const disk of disksAfter(recorder, recorder.asked.slice(0, done), dice)) {
        const key = [...disk].map(([name, bytes]) => `${name}\0${bytes.toString('latin1')}`).join('\0');
        if (seen.has(key)) continue;
        seen.add(key);
        counts.disks++;
        const wrong = (text: string) =>
          counts.wrong.push(
            `${kind.name}: ${operation}${options.fast ? ' --fast' : ''}: power cut after call ${done}: ${text}`,
          );
        judge({ kind, before, after, isLinked, run }, disk, wrong);
        if (isProved(counts)) break;
      }
    }
  }
  restore(kind.file, original, isLinked);
}

interface Cut {
  readonly kind: Kind;
  readonly before: Snapshot;
  readonly after: Snapshot;
  readonly isLinked: boolean;
  readonly run: () => unknown;
}

function judge(
  { kind, before, after, isLinked, run }: Cut,
  disk: Snapshot,
  wrong: (text: string) => void,
): void {
  const name = basename(kind.file);
  const now = disk.get(name);
  restore(kind.file, disk, isLinked);
  const isOne = [before, after].some(snapshot => now !== undefined && snapshot.get(name)?.equals(now));
  if (!isOne && kind.says() !== EXPECTED) {
    wrong('what is left does not run');
    return;
  }
  die(kind.file);
  passTime();
  try {
    run();
  } catch (error) {
    wrong(`the next run fails: ${String(error)}`);
    return;
  }
  const next = snapshotOf(kind.file);
  if (next.get(name)?.equals(after.get(name) ?? Buffer.alloc(0)) !== true)
    wrong('the next run does not finish it');
  else if (next.size > after.size) wrong(`the next run leaves ${[...next.keys()].join(', ')}`);
}

/** So many are under way at once, in one directory. */
const TOGETHER = ['a', 'b', 'c'];

/**
 * The power goes after every call of a run over several files at once. Each is the old one or the new one, and what was
 * reported as written is the new one, whatever part of what was not synced is lost.
 *
 * @param orders in how many orders the slow calls are carried out. @param sabotage takes away what is guarded.
 */
export async function tryPowerTogether(
  kind: Kind,
  dir: string,
  counts: PowerCounts,
  orders = 4,
  sabotage: (call: Call) => Fault | undefined = () => undefined,
): Promise<void> {
  const first = join(dir, TOGETHER[0] ?? '');
  const holding = (bytes: Buffer): Snapshot => new Map(TOGETHER.map(name => [name, bytes]));
  const original = holding(readFileSync(kind.file));
  mkdirSync(dir);
  restore(first, original, false);
  buildCache(first, COMMON);
  const built = holding(readFileSync(first));
  for (const operation of ['build', 'remove'] as const) {
    const [before, after] = operation === 'build' ? [original, built] : [built, original];
    for (let order = 1; order <= orders; order++) {
      restore(first, before, false);
      passTime();
      const recorder = new Recorder(dir, before, false);
      const run = async () => {
        const found = await findFiles([dir]);
        for await (const { outcome } of runOver(found, { kind: operation, options: {} }))
          if (outcome.action === 'written') recorder.tell(basename(outcome.path));
      };
      const note = (call: Call, result: unknown) => recorder.note(call, result);
      await withFaultsLater(dir, sabotage, run, note, diceFrom(order));
      const { asked } = recorder;
      for (let done = 0; done <= asked.length && !isProved(counts); done++) {
        counts.cuts++;
        const told = new Set(asked.slice(0, done).flatMap(one => (one.kind === 'told' ? [one.name] : [])));
        for (const disk of disksAfter(recorder, asked.slice(0, done), diceFrom(1))) {
          counts.disks++;
          for (const name of TOGETHER) {
            const may = told.has(name) ? [after] : [before, after];
            const now = disk.get(name);
            if (may.some(snapshot => now !== undefined && snapshot.get(name)?.equals(now))) continue;
            const what = told.has(name) ? 'is reported as written, and is not the new one' : 'is a third one';
            counts.wrong.push(`together: ${operation}: power cut after call ${done}: ${name} ${what}`);
          }
        }
      }
    }
  }
  rmSync(dir, { recursive: true });
}

export function sayPower({ cuts, disks, wrong }: PowerCounts): string {
  return `${cuts} power cuts, ${disks} different disks; ${wrong.length} wrong`;
}
