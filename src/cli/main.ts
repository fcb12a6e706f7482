import { CommanderError } from 'commander';
import { ElfnoteError, EXIT, exitStatusOf, unforeseenSystemError } from '../errors.js';
import { refuseForeignArguments } from './given.js';
import { flushOut, outputLost, printError, printInternalError } from './output.js';
import { createProgram } from './program.js';

/** Runs the command line and sets the exit status; never throws and never prints a stack for a known error. */
export async function main(): Promise<void> {
  try {
    refuseForeignArguments(process.argv.slice(2));
    await createProgram(process.argv[2]).parseAsync();
  } catch (error) {
    process.exitCode = statusOf(error);
  }
  flushOut();
  if (outputLost()) process.exitCode = Math.max(Number(process.exitCode ?? 0), EXIT.findings);
}

function statusOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.failure;
  const known = error instanceof ElfnoteError ? error : unforeseenSystemError(error);
  if (known !== undefined) {
    printError(known.line);
    return exitStatusOf(known.code);
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  printInternalError(text);
  return EXIT.failure;
}
