import { existsSync, statSync } from 'node:fs';
import { escapeControls } from '../../elf/bytes.js';
import { ElfnoteError } from '../../errors.js';
import { type Program, readProgram } from '../../loader/program.js';
import { joinTunable, staticTlsOf, TUNABLE_FOR_ALL, tunableFor } from '../../loader/static-tls.js';
import { traceFile } from '../../loader/trace.js';
import { findProgram, modulePath } from '../module-path.js';
import { printError, printOut } from '../output.js';
import { runProgram, sayNoProgram } from '../run-program.js';
import type { CachedFlags } from './exec-cached.js';

/**
 * Runs a program with the audit module and takes over how it ends, or prints the variables that do it.
 *
 * @param name undefined only to print the variables for this machine's programs.
 * @param cached how the closure note is made that is kept for the program; undefined for none.
 * @throws ElfnoteError when there is no module for the program.
 */
export async function execProgram(
  name: string | undefined,
  args: readonly string[],
  printEnv: boolean,
  cached?: CachedFlags,
): Promise<void> {
  const path = name === undefined ? undefined : findProgram(name);
  if (printEnv && name !== undefined && !(path !== undefined && existsSync(path))) return sayNoProgram(name);
  const program = path === undefined ? undefined : inspect(path);
  if (path !== undefined && program !== undefined) warn(path, program);
  if (name !== undefined && !printEnv && program !== undefined && !canUseModule(program)) {
    return runProgram(path ?? name, name, args, process.env);
  }
  const variables = { ...variablesFor(path, program), ...(await closureFor(path, program, cached)) };
  if (printEnv) printVariables(variables);
  else if (name !== undefined) await runProgram(path ?? name, name, args, { ...process.env, ...variables });
}

function printVariables(variables: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(variables)) {
    printOut(`${key}=${value}\n`);
    if (/\s/.test(value))
      printError(`the value of ${key} has a blank, where a shell splits what stands in $(...): quote it`);
  }
}

/** What a script starts is not known, and has no closure. */
async function closureFor(
  path: string | undefined,
  program: Program | undefined,
  cached: CachedFlags | undefined,
): Promise<Record<string, string>> {
  if (cached === undefined || path === undefined || program === undefined) return {};
  const { cachedClosure } = await import('./exec-cached.js');
  const ELFNOTE_CLOSURE = cachedClosure(path, cached);
  return ELFNOTE_CLOSURE === undefined ? {} : { ELFNOTE_CLOSURE };
}

/** `LD_AUDIT`; and `GLIBC_TUNABLES`, where the program's loader knows the tunable. */
function variablesFor(path: string | undefined, program: Program | undefined): Record<string, string> {
  const LD_AUDIT = withModule(process.env.LD_AUDIT, modulePath(program));
  if (program?.interpreter?.hasTlsTunable === false) return { LD_AUDIT };
  const needed =
    path === undefined || program === undefined ? 0 : tunableOf(path, LD_AUDIT.split(':').length);
  // What the program starts inherits the module, and is not known.
  const value = Math.max(TUNABLE_FOR_ALL, needed);
  return { LD_AUDIT, GLIBC_TUNABLES: joinTunable(process.env.GLIBC_TUNABLES, value) };
}

/** What the program itself needs; zero where that cannot be told. */
function tunableOf(path: string, auditors: number): number {
  try {
    return tunableFor(staticTlsOf(traceFile(path, { hwcaps: 'none', with: 'audit' })), auditors) ?? 0;
  } catch (error) {
    if (error instanceof ElfnoteError) return 0;
    throw error;
  }
}

/** Undefined for a script, and for what cannot be read: it may run all the same. */
function inspect(path: string): Program | undefined {
  try {
    return readProgram(path);
  } catch (error) {
    if (error instanceof ElfnoteError) return undefined;
    throw error;
  }
}

function canUseModule({ interpreter }: Program): boolean {
  return interpreter?.hasAudit === true;
}

function withModule(modules: string | undefined, module: string): string {
  const others = modules === undefined || modules === '' ? [] : modules.split(':');
  return others.includes(module) ? others.join(':') : [...others, module].join(':');
}

/** Says why the notes of a program will not help it, or at what price. It runs all the same. */
function warn(path: string, { interpreter }: Program): void {
  const say = (what: string) => printError(`${escapeControls(path)}: ${what}`);
  if (interpreter === undefined) {
    say('is statically linked: no loader reads its notes');
  } else if (!interpreter.hasAudit) {
    say(
      `${escapeControls(interpreter.path)} is no glibc (musl is not supported), and ignores the audit module`,
    );
  } else if (interpreter.slowsCalls) {
    say(
      `${escapeControls(interpreter.path)} is older than glibc 2.35: with an audit module, every call between libraries is slower (LD_BIND_NOW=1 avoids it)`,
    );
  }
  if ((statSync(path).mode & 0o6000) !== 0) {
    say('is set-user-ID or set-group-ID: the loader ignores LD_AUDIT unless you are that user or group');
  }
}
