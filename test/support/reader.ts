import { createHash } from 'node:crypto';
import { copyFileSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT, type RunOptions, type RunResult, run, runOk } from './cli.js';
import { keptDirectory, makeOnce } from './made.js';
import { needs, type Skip, toolPath, unavailable } from './tools.js';

export const READER_SOURCES = join(PROJECT, 'audit');

/** Built when the package is installed, where there is a compiler. */
export const INSTALLED = join(READER_SOURCES, 'build/elfnote-audit-x86_64.so');

/**
 * A copy of the reader, built from its sources as they are now: the one that was installed may be older. Each compiler
 * builds it once for all test files.
 */
export function buildReader(dir: string, compiler: readonly [string, ...string[]] = ['gcc']): string {
  const [command, ...args] = compiler;
  const name = `reader-${compiler.join('').replace(/[^a-z0-9]/g, '')}.so`;
  const file = join(dir, name);
  copyFileSync(makeOnce(join(keptDirectory('reader', keyOf(command)), name), compile), file);
  return file;

  function compile(made: string): void {
    runOk(command, [...args, '@cflags', '-o', made, ...sources('.c')], { cwd: READER_SOURCES });
  }
}

function sources(...endings: readonly string[]): string[] {
  const isWanted = (name: string) => endings.some(ending => name.endsWith(ending));
  return readdirSync(READER_SOURCES, { recursive: true, encoding: 'utf8' }).filter(isWanted).sort();
}

/** Of the sources and of the compiler. */
function keyOf(command: string): string {
  const hash = createHash('sha256');
  for (const name of sources('.c', '.h', 'cflags')) hash.update(readFileSync(join(READER_SOURCES, name)));
  const path = realpathSync(toolPath(command) ?? command);
  const { size, mtimeMs } = statSync(path);
  return hash.update(`${path} ${size} ${mtimeMs}`).digest('hex').slice(0, 8);
}

/** Where strace may not trace, as in some containers, there is nothing to see. */
export function needsTracing(...tools: readonly string[]): Skip {
  const missing = needs('strace', ...tools);
  if (missing !== false) return missing;
  const { status, stderr } = run('strace', ['-o', '/dev/null', 'true']);
  return status === 0 ? false : unavailable(`strace cannot trace here: ${stderr.split('\n')[0]}`);
}

/** What a program did, and how it looked for libraries until its end. */
export interface Traced extends RunResult {
  /** Paths of shared objects that were opened, in order; not the auditing modules. */
  readonly opened: readonly string[];
  /** Paths of shared objects that were looked for and not found, by whatever system call. */
  readonly missed: readonly string[];
  /** System calls in all. */
  readonly calls: number;
}

/** A system call that names a file by a path, with its outcome: a number, or an error's name. */
const FILE_CALL = /\b(?:open|openat|access|faccessat2?|newfstatat|statx)\([^"]*"([^"]*)"[^=]*= (-?\d+)/;
const SHARED_OBJECT = /\.so(?:\.[^/]*)?$/;

/**
 * Without what other programs do that it starts and does not wait for (gdb asks iconv for its names): how much of that is
 * done before the end differs from run to run.
 */
function ofOneProgram(lines: readonly string[]): string[] {
  const pidOf = (line: string) => line.slice(0, line.indexOf(' '));
  const [first = ''] = lines;
  const others = new Set(lines.filter(line => line.includes(' execve(')).map(pidOf));
  others.delete(pidOf(first));
  return lines.filter(line => !others.has(pidOf(line)));
}

/** Runs a program below strace; `env` reaches the program alone. */
export function trace(
  dir: string,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: RunOptions = {},
): Traced {
  const log = join(dir, 'strace.log');
  const variables = Object.entries(env).flatMap(([name, value]) => ['-E', `${name}=${value}`]);
  const result = run('strace', ['-f', '-o', log, ...variables, program, ...args], options);
  const lines = ofOneProgram(readFileSync(log, 'utf8').trimEnd().split('\n'));
  const modules = new Set((env.LD_AUDIT ?? '').split(':'));
  const named = lines.flatMap(line => {
    const [, path = '', status = ''] = FILE_CALL.exec(line) ?? [];
    return SHARED_OBJECT.test(path) && !modules.has(path) ? [{ path, found: !status.startsWith('-') }] : [];
  });
  const isOpen = (line: string) => /\bopen(?:at)?\(/.test(line);
  return {
    ...result,
    opened: lines.filter(isOpen).flatMap(line => {
      const [, path = '', status = '-'] = FILE_CALL.exec(line) ?? [];
      return SHARED_OBJECT.test(path) && !modules.has(path) && !status.startsWith('-') ? [path] : [];
    }),
    missed: named.filter(({ found }) => !found).map(({ path }) => path),
    calls: lines.length,
  };
}
