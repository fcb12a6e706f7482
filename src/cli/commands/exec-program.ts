import { statSync } from 'node:fs';
import { escapeControls } from '../../elf/bytes.js';
import { ElfnoteError } from '../../errors.js';
import { type Program, readProgram } from '../../loader/program.js';
import { findProgram, modulePath } from '../module-path.js';
import { printError, printOut } from '../output.js';
import { runProgram } from '../run-program.js';

/**
 * Runs a program with the reader and takes over how it ends, or prints the variable that does it.
 *
 * @param name undefined only to print the variable for this machine's programs.
 * @throws ElfnoteError when there is no reader for the program.
 */
export async function execProgram(
  name: string | undefined,
  args: readonly string[],
  printEnv: boolean,
): Promise<void> {
  const path = name === undefined ? undefined : findProgram(name);
  const program = path === undefined ? undefined : inspect(path);
  if (path !== undefined && program !== undefined) warn(path, program);
  if (name !== undefined && !printEnv && program !== undefined && !canUseReader(program)) {
    return runProgram(path ?? name, name, args, process.env);
  }
  const LD_AUDIT = withReader(process.env.LD_AUDIT, modulePath(program));
  if (printEnv) printOut(`LD_AUDIT=${LD_AUDIT}\n`);
  else if (name !== undefined) await runProgram(path ?? name, name, args, { ...process.env, LD_AUDIT });
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

function canUseReader({ interpreter }: Program): boolean {
  return interpreter?.hasAudit === true;
}

function withReader(modules: string | undefined, reader: string): string {
  const others = modules === undefined || modules === '' ? [] : modules.split(':');
  return others.includes(reader) ? others.join(':') : [...others, reader].join(':');
}

/** Says why the notes of a program will not help it, or at what price. It runs all the same. */
function warn(path: string, { interpreter }: Program): void {
  const say = (what: string) => printError(`${escapeControls(path)}: ${what}`);
  if (interpreter === undefined) {
    say('is statically linked: no loader reads its notes');
  } else if (!interpreter.hasAudit) {
    say(`${escapeControls(interpreter.path)} is no glibc (musl is not supported), and ignores the reader`);
  } else if (interpreter.slowsCalls) {
    say(
      `${escapeControls(interpreter.path)} is older than glibc 2.35: with a reader, every call between libraries is slower (LD_BIND_NOW=1 avoids it)`,
    );
  }
  if ((statSync(path).mode & 0o6000) !== 0) {
    say('is set-user-ID or set-group-ID: the loader ignores LD_AUDIT unless you are that user or group');
  }
}
