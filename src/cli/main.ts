import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { escapeControls } from '../elf/bytes.js';
import { ElfnoteError, EXIT, exitStatusOf, unforeseenSystemError } from '../errors.js';
import { buildCacheCommand } from './commands/build-cache.js';
import { dumpCommand } from './commands/dump.js';
import { execCommand } from './commands/exec.js';
import { readerCommand } from './commands/reader.js';
import { removeCacheCommand } from './commands/remove-cache.js';
import { traceCommand } from './commands/trace.js';
import { verifyCommand } from './commands/verify.js';
import { flushOut, outputLost, printError } from './output.js';

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const parsed: unknown = JSON.parse(text);
  const found = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : '';
  return String(found);
}

function createProgram(): Command {
  const program = new Command('elfnote')
    .description('Notes in ELF files that tell the dynamic loader where each library is.')
    .version(version())
    // Options behind a command's name are that command's, so that `exec` can pass them on.
    .enablePositionalOptions()
    .addHelpText(
      'after',
      '\nExample:\n  $ elfnote build-cache ./result\n  $ elfnote dump ./result/bin/hello',
    );
  const commands = [
    buildCacheCommand,
    removeCacheCommand,
    dumpCommand,
    verifyCommand,
    traceCommand,
    execCommand,
    readerCommand,
  ];
  for (const make of commands) program.addCommand(make());
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      outputError: text =>
        printError(
          text
            .replace(/^error: /, '')
            .trimEnd()
            .replaceAll('\n', ' '),
        ),
    });
  }
  return program;
}

/** Runs the command line and sets the exit status; never throws and never prints a stack for a known error. */
async function main(): Promise<void> {
  try {
    await createProgram().parseAsync();
    flushOut();
    if (outputLost()) process.exitCode = Math.max(Number(process.exitCode ?? 0), EXIT.findings);
  } catch (error) {
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
