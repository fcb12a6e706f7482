import { Command, Option } from 'commander';
import type { ColorWhen } from '../colours.js';
import { colorOption, GROUP, repeated, walkOptions } from './file-command.js';

export interface VerifyFlags {
  readonly json?: boolean;
  readonly require?: boolean;
  readonly with: 'patched' | 'audit';
  readonly root?: string;
  readonly systemLibraries?: boolean;
  readonly dlopen?: boolean;
  readonly storeDir?: string[];
  readonly include?: string[];
  readonly exclude?: string[];
  readonly crossFileSystems?: boolean;
  readonly preserveRoot: boolean;
  readonly filesFrom?: string;
  readonly null?: boolean;
  readonly progress: boolean;
  readonly color?: ColorWhen;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

const EXAMPLE = `
Example:
  $ elfnote verify --store-dir /nix/store ./result
  12 files: 9 fresh, 3 without a note

Nothing is written.

Exit status: 0 every note is right, 1 a note is stale, absent or malformed, a
file cannot be read, or (--require) a note is missing, 2 nothing could be read.`;

export function verifyCommand(): Command {
  const command = new Command('verify')
    .description('resolve libraries anew and compare: is each note still right?')
    .argument('[path...]', 'ELF files, or directories to walk')
    .optionsGroup(GROUP.common)
    .option('--require', 'a file that would gain a note by build-cache, and has none, is a finding')
    .option('--json', 'print one JSON object a file, then a summary object')
    .option('-q, --quiet', 'print errors only; the exit status tells')
    .option('-v, --verbose', 'name files whose note is right, and those that need none')
    .helpOption('-h, --help', 'show this help')
    .optionsGroup(GROUP.lookup)
    .addOption(
      new Option('--with <reader>', 'what reads the notes: a patched loader, or the audit module')
        .choices(['patched', 'audit'])
        .default('patched'),
    )
    .option('--root <dir>', 'look run paths up in the file system below this directory')
    .option(
      '--store-dir <dir>',
      'directory whose contents never change (repeatable; default: $NIX_STORE)',
      repeated,
    )
    .option('--system-libraries', 'the notes were written with this option')
    .option('--dlopen', 'the notes were written with this option');
  return walkOptions(command)
    .optionsGroup(GROUP.run)
    .option('--no-progress', 'show no progress bar on a terminal')
    .addOption(colorOption())
    .addHelpText('after', EXAMPLE)
    .action(async (paths: string[], flags: VerifyFlags) => {
      const { verifyPaths } = await import('./verify-files.js');
      process.exitCode = await verifyPaths(paths, flags);
    });
}
