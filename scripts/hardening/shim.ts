import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/**
 * What happens to a call: the system refuses it, the process dies before or in the middle of it, it writes less, or it is
 * not carried out and says that it was: that takes away what a harness guards.
 */
export type Fault =
  | { readonly kind: 'fail'; readonly code: string }
  | { readonly kind: 'kill' }
  | { readonly kind: 'kill-midway' }
  | { readonly kind: 'short' }
  | { readonly kind: 'skip' };

/** One call of Node's that touches a file below the watched directory. */
export interface Call {
  readonly name: string;
  /** From 0, among the calls that touch. */
  readonly index: number;
  readonly args: readonly unknown[];
  /** The path it touches, or that of its open file. */
  readonly path: string;
}

export type Rule = (call: Call) => Fault | undefined;

/** Stands for the end of the process: nothing that would come later is done. */
export class Killed extends Error {
  override readonly name = 'Killed';
}

/** Every synchronous function of node:fs that the sources use. */
const WATCHED = [
  'accessSync',
  'chmodSync',
  'closeSync',
  'copyFileSync',
  'existsSync',
  'fchmodSync',
  'fchownSync',
  'fstatSync',
  'fsyncSync',
  'ftruncateSync',
  'futimesSync',
  'lchownSync',
  'linkSync',
  'lstatSync',
  'lutimesSync',
  'mkdirSync',
  'openSync',
  'readSync',
  'readdirSync',
  'readlinkSync',
  'realpathSync',
  'renameSync',
  'rmSync',
  'statSync',
  'statfsSync',
  'symlinkSync',
  'unlinkSync',
  'writeSync',
] as const;

type Name = (typeof WATCHED)[number];

/** Every function of node:fs that the sources have carried out by another thread, and what it does there. */
const LATER = { close: 'closeSync', copyFile: 'copyFileSync', fsync: 'fsyncSync' } as const;
const LATER_NAMES = ['close', 'copyFile', 'fsync'] as const;

/** Untyped: its functions have many shapes, which are passed on as they are. */
const TABLE: object = fs;

type SystemCall = (...args: unknown[]) => unknown;

/** Throws a number from 0 to below that of its sides. */
export type Dice = (sides: number) => number;

/** Numbers that are the same in every run, and others for every start. */
export function diceFrom(start: number): Dice {
  let state = start;
  return sides => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >> 16) % sides;
  };
}

/**
 * Carries out what other threads would, one call after the other, each when the others of this thread have had their turn:
 * the same dice give the same order in every run.
 */
class Pool {
  readonly #dice: Dice;
  readonly #waiting: (() => void)[] = [];

  constructor(dice: Dice) {
    this.#dice = dice;
  }

  add(call: () => void): void {
    this.#waiting.push(call);
    if (this.#waiting.length === 1) setImmediate(() => this.#turn());
  }

  #turn(): void {
    const [call] = this.#waiting.splice(this.#dice(this.#waiting.length), 1);
    if (this.#waiting.length > 0) setImmediate(() => this.#turn());
    call?.();
  }
}

export function systemError(code: string, call: string): Error {
  return Object.assign(new Error(`${code}: made up, ${call}`), { code, syscall: call });
}

/** `/proc/self/fd/N` too. */
function pathOf(args: readonly unknown[], name: Name, open: ReadonlyMap<number, string>): string {
  const [first, second] = args;
  if (typeof first === 'number') return open.get(first) ?? '';
  // Of a symbolic link to be made, the first is what it says.
  const text = String(name === 'symlinkSync' ? second : first);
  const fd = /^\/proc\/self\/fd\/(\d+)$/.exec(text)?.[1];
  return fd === undefined ? text : (open.get(Number(fd)) ?? text);
}

interface Watching {
  readonly below: string;
  readonly pool: Pool;
  readonly rule: Rule;
  readonly onDone?: ((call: Call, result: unknown) => void) | undefined;
  readonly open: Map<number, string>;
  count: number;
  isDead: boolean;
}

function watched(name: Name, original: SystemCall, watching: Watching): SystemCall {
  const apply = (target: SystemCall, self: unknown, args: unknown[]): unknown => {
    const path = pathOf(args, name, watching.open);
    if (!path.startsWith(watching.below)) return Reflect.apply(target, self, args);
    if (watching.isDead) throw new Killed();
    const call = { name, index: watching.count++, args, path };
    const fault = watching.rule(call);
    if (fault?.kind === 'skip') return name === 'readdirSync' ? [] : undefined;
    const given = fault === undefined ? args : suffer(fault, call, target, watching);
    const result = Reflect.apply(target, self, given);
    if (name === 'openSync' && typeof result === 'number') watching.open.set(result, path);
    if (name === 'closeSync') watching.open.delete(Number(args[0]));
    watching.onDone?.(call, result);
    return result;
  };
  return new Proxy(original, { apply });
}

/** A call that tells its end: what fails it is told too, and nothing is thrown. */
function watchedLater(original: SystemCall, now: SystemCall, name: Name, watching: Watching): SystemCall {
  const apply = (target: SystemCall, self: unknown, args: unknown[]): unknown => {
    const done = args.at(-1);
    if (typeof done !== 'function' || !pathOf(args, name, watching.open).startsWith(watching.below))
      return Reflect.apply(target, self, args);
    watching.pool.add(() => {
      let failure: unknown = null;
      try {
        now(...args.slice(0, -1));
      } catch (error) {
        failure = error;
      }
      Reflect.apply(done, undefined, [failure]);
    });
    return undefined;
  };
  return new Proxy(original, { apply });
}

/**
 * How much of a write comes before a border of pages, 0 where it passes none: the kernel looks for signals between
 * pages, and brings a page to the disk whole.
 */
export function pageEndIn({ args }: Call): number {
  const [length, offset] = [Number(args[3]), Number(args[4])];
  const first = PAGE - (offset % PAGE);
  return first < length ? first : 0;
}

export const PAGE = 4096;

function copyHalf({ args }: Call, copy: SystemCall): void {
  Reflect.apply(copy, fs, [...args]);
  const to = String(args[1]);
  fs.truncateSync(to, Math.floor(fs.statSync(to).size / 2));
}

/** @returns the arguments with which the call goes on. */
function suffer(fault: Fault, call: Call, target: SystemCall, watching: Watching): unknown[] {
  const half = Math.max(1, Math.floor(Number(call.args[3]) / 2));
  const shorter = call.args.map((arg, i) => (i === 3 && call.name === 'writeSync' ? half : arg));
  const [fd, bytes, start, , offset] = call.args;
  switch (fault.kind) {
    case 'fail':
      // A file descriptor is gone after `close`, whatever that says.
      if (call.name === 'closeSync') {
        Reflect.apply(target, fs, call.args);
        watching.open.delete(Number(fd));
      }
      throw systemError(fault.code, call.name.replace('Sync', ''));
    case 'kill-midway':
      if (call.name === 'writeSync') Reflect.apply(target, fs, [fd, bytes, start, pageEndIn(call), offset]);
      if (call.name === 'copyFileSync') copyHalf(call, target);
      watching.isDead = true;
      throw new Killed();
    case 'kill':
      watching.isDead = true;
      throw new Killed();
    default:
      return shorter;
  }
}

interface Watched<T> {
  readonly calls: number;
  readonly result?: T;
  readonly error?: unknown;
}

/**
 * Runs `work` while every call that touches something below a directory is asked of the rule first. What a killed run
 * leaves open is closed.
 *
 * @param onDone told of each call that the system has carried out.
 * @returns how many calls there were, and what `work` gave or threw.
 */
export function withFaults<T>(
  below: string,
  rule: Rule,
  work: () => T,
  onDone?: (call: Call, result: unknown) => void,
): Watched<T> {
  const { watching, end } = watch(below, rule, onDone);
  try {
    return { result: work(), calls: watching.count };
  } catch (error) {
    return { error, calls: watching.count };
  } finally {
    end();
  }
}

/**
 * As `withFaults`, of work that waits in between.
 *
 * @param dice which of the calls that are waited for is carried out next.
 */
export async function withFaultsLater<T>(
  below: string,
  rule: Rule,
  work: () => Promise<T>,
  onDone?: (call: Call, result: unknown) => void,
  dice: Dice = () => 0,
): Promise<Watched<T>> {
  const { watching, end } = watch(below, rule, onDone, dice);
  try {
    return { result: await work(), calls: watching.count };
  } catch (error) {
    return { error, calls: watching.count };
  } finally {
    end();
  }
}

function watch(
  below: string,
  rule: Rule,
  onDone: Watching['onDone'],
  dice: Dice = () => 0,
): { watching: Watching; end(): void } {
  const pool = new Pool(dice);
  const watching: Watching = { below, pool, rule, onDone, open: new Map(), count: 0, isDead: false };
  const originals = new Map<Name | keyof typeof LATER, SystemCall>();
  for (const name of WATCHED) originals.set(name, Reflect.get(TABLE, name));
  for (const name of WATCHED) {
    const original: SystemCall = Reflect.get(TABLE, name);
    const proxy = watched(name, original, watching);
    const native: SystemCall | undefined = Reflect.get(original, 'native');
    if (native !== undefined) {
      const watchedNative = watched(name, native, watching);
      const get = (target: SystemCall, key: string | symbol) =>
        key === 'native' ? watchedNative : Reflect.get(target, key);
      Reflect.set(fs, name, new Proxy(proxy, { get }));
    } else Reflect.set(fs, name, proxy);
  }
  for (const name of LATER_NAMES) {
    const original: SystemCall = Reflect.get(TABLE, name);
    originals.set(name, original);
    const now: SystemCall = Reflect.get(TABLE, LATER[name]);
    Reflect.set(fs, name, watchedLater(original, now, LATER[name], watching));
  }
  syncBuiltinESMExports();
  const end = () => {
    for (const [name, original] of originals) Reflect.set(fs, name, original);
    syncBuiltinESMExports();
    for (const fd of watching.open.keys()) fs.closeSync(fd);
  };
  return { watching, end };
}
