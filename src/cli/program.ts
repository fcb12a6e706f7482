import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import picocolors from 'picocolors';
import { buildCacheCommand } from './commands/build-cache.js';
import { completionCommand } from './commands/completion.js';
import { dumpCommand } from './commands/dump.js';
import { execCommand } from './commands/exec.js';
import { readerCommand } from './commands/reader.js';
import { removeCacheCommand } from './commands/remove-cache.js';
import { traceCommand } from './commands/trace.js';
import { verifyCommand } from './commands/verify.js';
import { printError } from './output.js';

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const parsed: unknown = JSON.parse(text);
  const found = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : '';
  return String(found);
}

const EXAMPLE = `
Example:
  $ elfnote build-cache ./result
  $ elfnote dump ./result/bin/hello`;

const GROUPS: readonly (readonly [heading: string, commands: readonly (() => Command)[]])[] = [
  ['Notes:', [buildCacheCommand, verifyCommand, dumpCommand, removeCacheCommand]],
  ['Programs:', [traceCommand, execCommand, readerCommand]],
  ['Help:', [completionCommand]],
];

/** The whole command line; help, completions, the manual page and docs/cli.md are made from it. */
export function createProgram(): Command {
  const program = new Command('elfnote')
    .description('Notes in ELF files that tell the dynamic loader where each library is.')
    .version(version())
    // Options behind a command's name are that command's, so that `exec` can pass them on.
    .enablePositionalOptions()
    .addHelpText('after', EXAMPLE);
  for (const [heading, commands] of GROUPS) {
    program.commandsGroup(heading);
    for (const make of commands) program.addCommand(make());
  }
  program.helpCommand('help [command]', 'show the help of a command');
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureHelp(LOOKS).configureOutput({ outputError: printUsageError });
  }
  return program;
}

/** Commander takes colours out again where there is no terminal, and for NO_COLOR. */
const colours = picocolors.createColors(true);
const LOOKS = {
  showGlobalOptions: false,
  styleTitle: (text: string) => colours.bold(text),
  styleCommandText: (text: string) => colours.cyan(text),
  styleSubcommandText: (text: string) => colours.cyan(text),
  styleOptionText: (text: string) => colours.cyan(text),
};

function printUsageError(text: string): void {
  printError(
    text
      .replace(/^error: /, '')
      .trimEnd()
      .replaceAll('\n', ' '),
  );
}
