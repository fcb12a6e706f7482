import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { traceFile } from '../../src/loader/trace.js';
import { run, runOk } from '../../test/support/cli.js';
import { median } from '../bench/measure.js';
import type { Store } from './store.js';
import type { Prepared } from './variants.js';

/** What a start costs. Times are medians in milliseconds. */
export interface Cost {
  readonly failingOpens: number | undefined;
  readonly failingStats: number | undefined;
  /** Of all kinds until the program ends; undefined where there was only a simulation. */
  readonly calls: number | undefined;
  readonly warm: number | undefined;
  /** With so many microseconds more for each call that looks a path up. */
  readonly delayed: Readonly<Record<number, number | undefined>>;
}

const LOOKUPS = 'openat,newfstatat,faccessat2,access,readlink';
const ROUNDS = { warm: 21, delayed: 3 } as const;

export interface Runnable {
  readonly program: string;
  readonly args: readonly string[];
  readonly prepared: Prepared;
}

/** Whether a program ends well at all. */
export function starts({ program, args, prepared }: Runnable): boolean {
  return run(program, args, { env: { ...prepared.environment } }).status === 0;
}

export const NOTHING = { failingOpens: undefined, failingStats: undefined, calls: undefined } as const;

/** Failing look-ups and calls, by strace, or by simulation where no loader here does it. */
export function counts({ program, args, prepared }: Runnable, dir: string): Omit<Cost, 'warm' | 'delayed'> {
  const { simulatedCache, environment = {} } = prepared;
  if (simulatedCache !== undefined) {
    const { counts } = traceFile(program, { with: 'cache', ldCache: simulatedCache });
    return { failingOpens: counts.opens, failingStats: counts.stats, calls: undefined };
  }
  const log = join(dir, 'strace.log');
  const variables = Object.entries(environment).flatMap(([key, value]) => ['-E', `${key}=${value}`]);
  runOk('strace', ['-f', '-o', log, ...variables, program, ...args]);
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
  const end = lines.findIndex(line => line.includes('RLIMIT_STACK'));
  const start = end < 0 ? lines : lines.slice(0, end);
  const failing = (pattern: RegExp) =>
    start.filter(
      line => pattern.test(line) && / = -1 E(?:NOENT|NOTDIR)/.test(line) && !/ld\.so\.preload/.test(line),
    ).length;
  return {
    failingOpens: failing(/ open(?:at)?\(/),
    failingStats: failing(/ (?:newfstatat|stat|access|faccessat2?)\(/),
    calls: lines.length,
  };
}

/** Start-up of several ways of running, in turn, so that whatever else goes on strikes all of them. */
export function times(runnables: readonly Runnable[], launch: string, delay: number): number[] {
  const prefix =
    delay === 0
      ? []
      : [
          runOk('sh', ['-c', 'command -v strace']).stdout.trim(),
          ...['-f', '--seccomp-bpf', '-e', `trace=${LOOKUPS}`, '-o', '/dev/null'],
          ...['-e', `inject=${LOOKUPS}:delay_enter=${delay}`],
        ];
  const commands = runnables.map(({ program, args, prepared }) => {
    const variables = Object.entries(prepared.environment ?? {}).map(([key, value]) => `${key}=${value}`);
    const set = delay === 0 ? variables : variables.flatMap(variable => ['-E', variable]);
    return delay === 0 ? [...set, program, ...args] : [...prefix, ...set, program, ...args];
  });
  const rounds = delay === 0 ? ROUNDS.warm : ROUNDS.delayed;
  const joined = commands.flatMap((command, i) => (i === 0 ? command : ['--', ...command]));
  const found = commands.map((): number[] => []);
  for (const line of runOk(launch, [String(rounds), ...joined])
    .stdout.trimEnd()
    .split('\n')) {
    const [number = 0, nanoseconds = 0] = line.split(' ').map(Number);
    found[number]?.push(nanoseconds / 1e6);
  }
  return found.map(median);
}

/** Files, directories and links, and bytes of files, below a store. */
export function sizeOf({ dir }: Store): { bytes: number; inodes: number } {
  const list = runOk('find', [join(dir, 'store'), '-printf', '%y %s\n'])
    .stdout.trimEnd()
    .split('\n');
  const bytes = list.reduce((sum, line) => sum + (line.startsWith('f ') ? Number(line.slice(2)) : 0), 0);
  return { bytes, inodes: list.length };
}
