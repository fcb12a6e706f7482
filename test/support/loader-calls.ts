import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Trace } from '../../src/loader/trace.js';
import { type RunOptions, run, runOk } from './cli.js';

/** What a loader asked the system by path before the program's own code ran. */
export interface LoaderCalls {
  /** Paths opened, in order. */
  readonly opened: readonly string[];
  /** Every failing call: `open PATH` or `stat PATH`, in order. */
  readonly failed: readonly string[];
}

const CALL =
  /\b(openat|open|newfstatat|stat|stat64|fstatat64)\((?:AT_FDCWD, )?"([^"]*)"[^=]*(?:=(?! -?\d)[^=]*)* = (-?\d+)(?: (E\w+))?/;

/**
 * Runs a program below strace, and takes the loader's calls up to where libc starts: with the C library's first
 * `prlimit64` for the stack, which `__libc_early_init` makes before any constructor runs. Calls that come from inside
 * an audit module are told by the instruction pointer, and left out.
 */
export function straceLoader(
  dir: string,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: RunOptions = {},
): LoaderCalls {
  const log = join(dir, 'strace-loader.log');
  const variables = Object.entries(env).flatMap(([name, value]) => ['-E', `${name}=${value}`]);
  run('strace', ['-i', '-o', log, '-s', '4096', ...variables, program, ...args], options);
  const lines = readFileSync(log, 'utf8').split('\n');
  const start = lines.findIndex(line => line.includes('] execve('));
  const end = lines.findIndex(line => line.includes('RLIMIT_STACK'));
  if (end < 0) throw new Error(`${program}: libc never started:\n${lines.slice(-5).join('\n')}`);
  const modules = (env.LD_AUDIT ?? '').split(':').filter(path => path !== '');
  const own = lines.slice(start + 1, end);
  const ranges = modules.flatMap(module => mappingOf(own, module));
  return callsIn(
    own.filter(line => !ranges.some(([from, to]) => isWithin(line, from, to))),
    modules,
  );
}

type Range = readonly [from: bigint, to: bigint];

/** Where a file was mapped after it had been opened. */
function mappingOf(lines: readonly string[], path: string): Range[] {
  const opened = lines.findIndex(line => line.includes(`"${path}"`) && / = \d+$/.test(line));
  const fd = / = (\d+)$/.exec(lines[opened] ?? '')?.[1];
  if (fd === undefined) throw new Error(`the loader did not open ${path}`);
  const mapped = lines.slice(opened).find(line => line.includes('mmap(NULL') && line.includes(`, ${fd}, 0)`));
  const [, size, address] = /mmap\(NULL, (\d+),.* = (0x[0-9a-f]+)/.exec(mapped ?? '') ?? [];
  if (size === undefined || address === undefined) throw new Error(`the loader did not map ${path}`);
  return [[BigInt(address), BigInt(address) + BigInt(size)]];
}

function isWithin(line: string, from: bigint, to: bigint): boolean {
  const pointer = /^\[([0-9a-f]+)\]/.exec(line)?.[1];
  return pointer !== undefined && BigInt(`0x${pointer}`) >= from && BigInt(`0x${pointer}`) < to;
}

function callsIn(lines: readonly string[], modules: readonly string[]): LoaderCalls {
  const opened: string[] = [];
  const failed: string[] = [];
  for (const line of lines) {
    const [, call = '', path = '', status = ''] = CALL.exec(line) ?? [];
    // An empty path is fstat(2) of what is open.
    if (call === '' || path === '' || modules.includes(path)) continue;
    const kind = call.startsWith('open') ? 'open' : 'stat';
    // Later loaders leave the slash behind a directory.
    if (status.startsWith('-')) failed.push(`${kind} ${path.replace(/(?<=.)\/$/, '')}`);
    else if (kind === 'open') opened.push(path);
  }
  return { opened, failed };
}

/** The same of a simulation. */
export function tracedCalls({ lookups }: Trace): LoaderCalls {
  const steps = lookups.flatMap(lookup => lookup.steps);
  return {
    opened: steps
      .filter(({ call, result }) => call !== 'stat' && result !== 'failed')
      .map(({ path }) => path),
    failed: steps
      .filter(({ result }) => result === 'failed')
      .map(({ call, path }) => `${call === 'stat' ? 'stat' : 'open'} ${path}`),
  };
}

const QEMU_CALL =
  /(openat|open|newfstatat|stat64|fstatat64|stat|statx)\((?:AT_FDCWD|-100)?,?"([^"]*)".*= (-?\d+)/;

/** The same of a program of another machine, below qemu, whose loader starts libc with the same call. */
export function qemuLoader(qemu: string, prefix: string, program: string): LoaderCalls {
  const { stderr } = run(qemu, ['-strace', '-L', prefix, program], { env: { QEMU_LD_PREFIX: undefined } });
  const opened: string[] = [];
  const failed: string[] = [];
  for (const line of stderr.split('\n')) {
    if (/RLIMIT_STACK|prlimit64\(0,3,/.test(line)) break;
    const [, call = '', path = '', status = ''] = QEMU_CALL.exec(line) ?? [];
    if (path === '') continue;
    const kind = call.startsWith('open') ? 'open' : 'stat';
    if (status.startsWith('-')) failed.push(`${kind} ${path}`);
    else if (kind === 'open') opened.push(path);
  }
  return { opened, failed };
}

/** The sonames and paths that the loader lists for itself (`LD_TRACE_LOADED_OBJECTS`), sorted. */
export function listedObjects(
  program: string,
  env: Readonly<Record<string, string>> = {},
  options: RunOptions = {},
): string[] {
  const result = runOk(program, [], { ...options, env: { ...env, LD_TRACE_LOADED_OBJECTS: '1' } });
  return result.stdout
    .split('\n')
    .map(line => line.replace(/\(0x[0-9a-f]+\)/, '').trim())
    .filter(line => line !== '')
    .sort();
}

/** The same of a simulation. */
export function tracedObjects({ objects }: Trace): string[] {
  return objects
    .slice(1)
    .map(({ kind, name, path }) => {
      if (kind === 'vdso') return name;
      return kind === 'loader' || name === path ? path : `${name} => ${path}`;
    })
    .sort();
}
