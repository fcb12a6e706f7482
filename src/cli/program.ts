import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { Command } from 'commander';
import { buildCacheCommand } from './commands/build-cache.js';
import { completionCommand } from './commands/completion.js';
import { dumpCommand } from './commands/dump.js';
import { execCommand } from './commands/exec.js';
import { readerCommand } from './commands/reader.js';
import { removeCacheCommand } from './commands/remove-cache.js';
import { traceCommand } from './commands/trace.js';
import { verifyCommand } from './commands/verify.js';
import { refuseEmpty } from './given.js';
import { printError, printOut, writeError } from './output.js';

function version(): string {
  const text = readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8');
  const parsed: unknown = JSON.parse(text);
  const found = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : '';
  return String(found);
}

const EXAMPLE = `
Example:
  $ elfnote build-cache ./result
  $ elfnote dump ./result/bin/hello`;

type Named = Readonly<Record<string, () => Command>>;

const GROUPS: readonly (readonly [heading: string, commands: Named])[] = [
  [
    'Notes:',
    {
      'build-cache': buildCacheCommand,
      verify: verifyCommand,
      dump: dumpCommand,
      'remove-cache': removeCacheCommand,
    },
  ],
  ['Programs:', { trace: traceCommand, exec: execCommand, reader: readerCommand }],
  ['Help:', { completion: completionCommand }],
];

/**
 * The command line; help, completions, the manual page and docs/cli.md are made from it.
 *
 * @param first the first argument, where it is known: what it does not ask for is not made, for a quick start.
 */
export function createProgram(first?: string): Command {
  const program = new Command('elfnote')
    .description('Notes in ELF files that tell the dynamic loader where each library is.')
    .helpOption('-h, --help', 'show this help')
    // Options behind a command's name are that command's, so that `exec` can pass them on.
    .enablePositionalOptions()
    .addHelpText('after', EXAMPLE);
  const isNamed = isCommand(first);
  if (!isNamed) program.version(version(), '-V, --version', 'print the version');
  const isWanted = wanted(first);
  for (const [heading, commands] of GROUPS) {
    program.commandsGroup(heading);
    for (const [name, make] of Object.entries(commands)) if (isWanted(name)) program.addCommand(make());
  }
  if (!isNamed) program.helpCommand('help [command]', 'show the help of a command');
  program.hook('preAction', (_, command) => refuseEmpty(command));
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureHelp(LOOKS).configureOutput(OUTPUT);
  }
  return program;
}

function wanted(first: string | undefined): (name: string) => boolean {
  if (first === '--version' || first === '-V') return () => false;
  return isCommand(first) ? name => name === first : () => true;
}

function isCommand(first: string | undefined): boolean {
  return first !== undefined && GROUPS.some(([, commands]) => Object.hasOwn(commands, first));
}

/** Commander takes colours out again where there is no terminal, and for NO_COLOR. Of Node, since that is loaded. */
const LOOKS = {
  showGlobalOptions: false,
  styleTitle: (text: string) => styleText('bold', text),
  styleCommandText: (text: string) => styleText('cyan', text),
  styleSubcommandText: (text: string) => styleText('cyan', text),
  styleOptionText: (text: string) => styleText('cyan', text),
};

/** Without these, help that cannot be written ends in a stack. */
const OUTPUT = { writeOut: printOut, writeErr: writeError, outputError: printUsageError };

function printUsageError(text: string): void {
  printError(
    text
      .replace(/^error: /, '')
      .trimEnd()
      .replaceAll('\n', ' '),
  );
}
