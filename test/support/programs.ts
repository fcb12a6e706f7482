import { cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { FIXTURES, isObject, type RunResult, run } from './cli.js';
import type { Command } from './run-all.js';

/** One entry of fixtures/architectures.json. */
export interface Architecture {
  readonly arch: string;
  readonly qemu: string;
  readonly libDir: string;
  readonly interpreter: string;
  readonly program: string;
  readonly libraries: readonly string[];
}

export const GREETING = 'hello from libgreet and libname\n';

export function architectures(): Architecture[] {
  const parsed: unknown = JSON.parse(readFileSync(`${FIXTURES}/architectures.json`, 'utf8'));
  if (!Array.isArray(parsed)) throw new Error('architectures.json is no list');
  return parsed.map((entry: unknown) => {
    if (!isObject(entry) || !Array.isArray(entry.libraries)) throw new Error('architectures.json: an entry');
    return {
      arch: String(entry.arch),
      qemu: String(entry.qemu),
      libDir: String(entry.libDir),
      interpreter: String(entry.interpreter),
      program: String(entry.program),
      libraries: entry.libraries.map(String),
    };
  });
}

export function architecture(name: string): Architecture {
  const found = architectures().find(({ arch }) => arch === name);
  if (found === undefined) throw new Error(`no fixture for ${name}`);
  return found;
}

/**
 * A qemu-user prefix, a directory that stands for `/`: the store below `store`, and a libc.
 * It is made at `prefix` (see fixtures/README.md).
 */
export function makePrefix(prefix: string, store: string, libDir: string): void {
  mkdirSync(prefix, { recursive: true });
  symlinkSync(join(store, 'nix'), join(prefix, 'nix'));
  symlinkSync(libDir, join(prefix, 'lib'));
  symlinkSync(libDir, join(prefix, 'lib64'));
}

/** Runs a program of another architecture, or of another root; `variables` reach the program, not qemu. */
export function runInPrefix(
  qemu: string,
  prefix: string,
  program: string,
  variables: Readonly<Record<string, string>> = {},
): RunResult {
  const [command, ...args] = inPrefix(qemu, prefix, program, variables);
  return run(command, args);
}

/** `-L` comes before `QEMU_LD_PREFIX` of the environment. */
export function inPrefix(
  qemu: string,
  prefix: string,
  program: string,
  variables: Readonly<Record<string, string>> = {},
): Command {
  const env = Object.entries(variables).flatMap(([name, value]) => ['-E', `${name}=${value}`]);
  return [qemu, '-L', prefix, ...env, program];
}

/** The libraries that ld.so lists for a program, addresses taken out. */
export function loadedObjects(stdout: string): string[] {
  return stdout
    .split('\n')
    .map(line => line.replace(/\(0x[0-9a-f]+\)/, '').trim())
    .filter(line => line !== '');
}

/** A copy of the fixtures that may be written to: `root` and `kinds` below `dir`. */
export function copyFixtures(dir: string): void {
  for (const part of ['root', 'kinds']) {
    cpSync(join(FIXTURES, part), join(dir, part), { recursive: true, verbatimSymlinks: true });
  }
}
