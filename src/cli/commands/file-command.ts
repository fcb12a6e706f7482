import { Command, Option } from 'commander';
import type { ColorWhen } from '../colours.js';
import type { LogFlags } from '../log-options.js';
import { LOG_LEVELS } from '../log-options.js';

/** Options of every command that writes files. */
export interface RunFlags extends LogFlags {
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly output?: string;
  readonly outputDir?: string;
  readonly report?: string;
  readonly include?: string[];
  readonly exclude?: string[];
  readonly crossFileSystems?: boolean;
  readonly preserveRoot: boolean;
  readonly filesFrom?: string;
  readonly null?: boolean;
  readonly failFast?: boolean;
  readonly color?: ColorWhen;
  readonly progress: boolean;
  readonly force?: boolean;
  readonly preserveDates?: boolean;
  readonly fast?: boolean;
  // Of build-cache alone, but for the reports of both.
  readonly storeDir?: string[];
  readonly check?: boolean;
  readonly strict?: boolean;
  readonly hook?: boolean;
}

/** Of the help of every command, in this order; what is used most comes first. */
export const GROUP = {
  common: 'Common options:',
  note: 'The note:',
  lookup: 'Where libraries are looked up:',
  files: 'Which files:',
  writing: 'How files are written:',
  run: 'The run:',
} as const;

/** A command that works on files and directories, with the options of its own for the note. */
export function fileCommand(name: string, description: string, own: readonly Option[]): Command {
  const command = new Command(name)
    .description(description)
    .argument('[path...]', 'ELF files, or directories to walk')
    .optionsGroup(GROUP.common)
    .option('-n, --dry-run', 'say what would be written and change nothing (with -v each range of bytes)')
    .option('-o, --output <file>', 'write the result here and leave the input alone (one input only)')
    .option('--output-dir <dir>', 'write copies of the files and trees below this directory')
    .option('--json', 'print one JSON object a file, then a summary object')
    .option('-q, --quiet', 'print errors only')
    .option('-v, --verbose', 'a line for every file, and where its note is; log more')
    .helpOption('-h, --help', 'show this help')
    .optionsGroup(GROUP.note);
  for (const option of own) command.addOption(option);
  return walkOptions(command)
    .optionsGroup(GROUP.writing)
    .option('--force', 'write although capabilities, extended attributes or hard links get lost')
    .option('--preserve-dates', 'keep access and modification times (to the microsecond)')
    .option('--fast', 'edit in place and do not wait for the disk (see docs/safety.md)')
    .optionsGroup(GROUP.run)
    .option('--report <file>', 'write the summary object there as well')
    .option('--fail-fast', 'stop at the first file that fails')
    .option('--no-progress', 'show no progress bar on a terminal')
    .addOption(colorOption())
    .addOption(
      new Option('--log-level <level>', 'least level to log (default: warn)').choices([...LOG_LEVELS]),
    )
    .addOption(
      new Option('--log-format <format>', 'form of the log').choices(['pretty', 'json']).default('pretty'),
    );
}

/** Which files of the paths that are named. */
export function walkOptions(command: Command): Command {
  return command
    .optionsGroup(GROUP.files)
    .option('--include <glob>', 'take only such files of a directory (repeatable)', repeated)
    .option('--exclude <glob>', 'leave such files and directories of a directory out (repeatable)', repeated)
    .option('--cross-file-systems', 'walk other file systems too that are mounted below a directory')
    .option('--no-preserve-root', 'do not refuse to walk the root directory')
    .option('--files-from <file>', 'read paths from a file, one a line, 64 MiB at most; - is standard input')
    .option('-0, --null', 'the paths of --files-from end with NUL');
}

export function colorOption(): Option {
  return new Option('--color <when>', 'colours (default: on a terminal, unless NO_COLOR is set)').choices([
    'auto',
    'always',
    'never',
  ]);
}

export function repeated(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}
