import { Command, InvalidArgumentError, Option } from 'commander';
import type { ColorWhen } from '../colours.js';
import { colorOption, GROUP, repeated } from './file-command.js';

export interface TraceFlags {
  readonly libraryPath?: string;
  readonly preload?: string;
  readonly with?: 'none' | 'patched' | 'audit' | 'cache';
  readonly loader?: string;
  readonly hwcaps?: string;
  readonly root?: string;
  readonly ldCache?: string;
  readonly storeDir?: string[];
  readonly why?: string[];
  readonly depth?: number;
  readonly flat?: boolean;
  readonly json?: boolean;
  readonly dot?: boolean;
  readonly svg?: string;
  readonly color?: ColorWhen;
}

const EXAMPLE = `
Example:
  $ elfnote trace ./result/bin/hello
  2 libraries, 3 failing opens and 2 failing stats; with notes everywhere none

Nothing of the program is run.

Exit status: 0 everything was found, 1 a library is missing or the program
would not start, 2 the file cannot be read.`;

export function traceCommand(): Command {
  return new Command('trace')
    .description('show how the loader finds every library of a program, and what it looks for in vain')
    .argument('<program>', 'a program, or a library as if it were one')
    .optionsGroup(GROUP.common)
    .option('--why <soname>', 'show each probe for this name, in order (repeatable)', repeated)
    .option('--depth <n>', 'show so many levels of the tree', levels)
    .option('--flat', 'show one line an object, in the order in which they are loaded')
    .option('--json', 'print one JSON object (docs/trace.md); with --why, with each probe for those names')
    .option('--dot', 'print the graph for Graphviz')
    .option('--svg <file>', 'write a picture of the graph there as well')
    .addOption(colorOption())
    .helpOption('-h, --help', 'show this help')
    .optionsGroup(GROUP.lookup)
    .option('--library-path <dirs>', 'search these directories as LD_LIBRARY_PATH (default: none)')
    .option('--preload <names>', 'load these first, as LD_PRELOAD')
    .addOption(
      new Option(
        '--with <reader>',
        'who reads the notes (default: audit where the program asks for it)',
      ).choices(['none', 'patched', 'audit', 'cache']),
    )
    .option('--loader <version>', 'take the loader for this one, as glibc-2.36 (default: what its file says)')
    .option('--hwcaps <names>', "the processor's capabilities, or none (default: this machine's)")
    .option('--root <dir>', 'look everything up in the file system below this directory')
    .option('--ld-cache <file>', 'read this file as ld.so.cache')
    .addOption(
      new Option(
        '--store-dir <dir>',
        'directory whose contents never change (repeatable; default: $NIX_STORE)',
      ).argParser(repeated),
    )
    .addHelpText('after', EXAMPLE)
    .action(async (program: string, flags: TraceFlags) => {
      const { traceProgram } = await import('./trace-program.js');
      process.exitCode = await traceProgram(program, flags);
    });
}

function levels(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError('It must be a number from 1 to 9999.');
  return Number(text);
}
