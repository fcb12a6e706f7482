import { Command, InvalidArgumentError, Option } from 'commander';
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
  readonly jobs?: number;
  readonly failFast?: boolean;
  readonly progress: boolean;
  readonly force?: boolean;
  readonly preserveDates?: boolean;
  readonly fast?: boolean;
  // Of build-cache alone, but for the reports of both.
  readonly storeDir?: string[];
  readonly strict?: boolean;
  readonly hook?: boolean;
}

/** A command that works on files and directories; the options that are its own come first in its help. */
export function fileCommand(name: string, description: string, own: readonly Option[]): Command {
  const command = new Command(name)
    .description(description)
    .argument('[path...]', 'ELF files, or directories to walk')
    .option('-n, --dry-run', 'print the plan and change nothing')
    .option('--json', 'print one JSON object a file, then a summary object');
  for (const option of own) command.addOption(option);
  return command
    .option('-o, --output <file>', 'write the result here and leave the input alone (one input only)')
    .option('--output-dir <dir>', 'write copies of the files and trees below this directory')
    .option('--report <file>', 'write the summary object there as well')
    .option('--include <glob>', 'take only such files of a directory (repeatable)', repeated)
    .option('--exclude <glob>', 'leave such files and directories of a directory out (repeatable)', repeated)
    .option('--cross-file-systems', 'walk other file systems too that are mounted below a directory')
    .option('--no-preserve-root', 'do not refuse to walk the root directory')
    .option('--files-from <file>', 'read paths from a file, one a line; - is standard input')
    .option('-0, --null', 'the paths of --files-from end with NUL')
    .option('-j, --jobs <n>', 'worker threads (default: 1, see docs/performance.md)', count)
    .option('--fail-fast', 'stop at the first file that fails')
    .option('--no-progress', 'show no progress bar on a terminal')
    .option('--force', 'write although capabilities, extended attributes or hard links get lost')
    .option('--preserve-dates', 'keep access and modification times (to the microsecond)')
    .option('--fast', 'edit in place and do not wait for the disk (see docs/safety.md)')
    .option('-q, --quiet', 'print errors only')
    .option('-v, --verbose', 'name files that are left alone too, and log more')
    .addOption(
      new Option('--log-level <level>', 'least level to log (default: warn)').choices([...LOG_LEVELS]),
    )
    .addOption(
      new Option('--log-format <format>', 'form of the log').choices(['pretty', 'json']).default('pretty'),
    );
}

export function repeated(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

function count(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError('It must be a number from 1 to 9999.');
  return Number(text);
}
