import { CommanderError } from 'commander';
import { escapeControls } from '../elf/bytes.js';
import { ElfnoteError, EXIT, exitStatusOf, unforeseenSystemError } from '../errors.js';
import { flushOut, outputLost, printError } from './output.js';
import { createProgram } from './program.js';

/** Runs the command line and sets the exit status; never throws and never prints a stack for a known error. */
async function main(): Promise<void> {
  try {
    await createProgram(process.argv[2]).parseAsync();
    flushOut();
    if (outputLost()) process.exitCode = Math.max(Number(process.exitCode ?? 0), EXIT.findings);
  } catch (error) {
    flushOut();
    process.exitCode = statusOf(error);
  }
}

function statusOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.failure;
  const known = error instanceof ElfnoteError ? error : unforeseenSystemError(error);
  if (known !== undefined) {
    printError(escapeControls(known.line));
    return exitStatusOf(known.code);
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  printError(`internal error, please report it: ${text}`);
  return EXIT.failure;
}

await main();
