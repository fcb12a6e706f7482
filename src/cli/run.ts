import { Command, Option } from 'commander';
import type { Logger } from 'pino';
import { escapeControls } from '../elf/bytes.js';
import { ElfnoteError, EXIT, exitStatusOf } from '../errors.js';
import type { FileOutcome, RemoveOptions } from '../pipeline.js';
import { type Found, findFiles } from '../store/walk.js';
import { readAttributes } from '../write/attributes.js';
import { LOG_LEVELS, type LogFormat, type LogLevel } from './log-options.js';
import { printOut } from './output.js';
import { jsonOf, summaryJson } from './report-json.js';
import { summaryLine, textOf } from './report-text.js';
import { addToSummary, emptySummary } from './summary.js';

/** Options that every command has that writes files. */
export interface RunFlags {
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly output?: string;
  readonly force?: boolean;
  readonly preserveDates?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly logLevel?: LogLevel;
  readonly logFormat: LogFormat;
}

type Work = (path: string) => Exclude<FileOutcome, { action: 'failed' }>;

/** A command that works on files and directories; the options that are its own come first in its help. */
export function fileCommand(name: string, description: string, own: readonly Option[]): Command {
  const command = new Command(name)
    .description(description)
    .argument('<path...>', 'ELF files, or directories to walk')
    .option('-n, --dry-run', 'print the plan and change nothing')
    .option('--json', 'print one JSON object a file, then a summary object');
  for (const option of own) command.addOption(option);
  return command
    .option('-o, --output <file>', 'write the result here and leave the input alone (one input only)')
    .option('--force', 'write although capabilities, extended attributes or hard links get lost')
    .option('--preserve-dates', 'keep access and modification times (to the microsecond)')
    .option('-q, --quiet', 'print errors only')
    .option('-v, --verbose', 'name files that are left alone too, and log more')
    .addOption(
      new Option('--log-level <level>', 'least level to log (default: warn)').choices([...LOG_LEVELS]),
    )
    .addOption(
      new Option('--log-format <format>', 'form of the log').choices(['pretty', 'json']).default('pretty'),
    );
}

/**
 * Runs a command over the files that the paths name.
 * @returns the exit status.
 */
export async function runOverFiles(
  paths: readonly string[],
  flags: RunFlags,
  work: (path: string, options: RemoveOptions) => ReturnType<Work>,
): Promise<number> {
  const { createLogger } = await import('./logger.js');
  const level = flags.logLevel ?? (flags.quiet ? 'error' : flags.verbose ? 'debug' : 'warn');
  const log = createLogger(level, flags.logFormat);
  const found = [...findFiles(paths)];
  if (flags.output !== undefined && (found.length !== 1 || found[0]?.explicit !== true)) {
    throw new ElfnoteError('usage', '--output takes exactly one input file');
  }
  const attributes = flags.dryRun ? { found: undefined } : readAttributes(found.map(({ path }) => path));
  if (attributes.found === undefined && !flags.dryRun) {
    log.info('extended attributes are not checked: neither getfattr nor getcap is there');
  }
  const { dryRun, output, force, preserveDates } = flags;
  const options: RemoveOptions = { dryRun, output, force, preserveDates, attributes };
  return new Run(flags, path => work(path, options), log).all(found);
}

/** Works on files one after the other and reports each. */
export class Run {
  readonly #flags: RunFlags;
  readonly #work: Work;
  readonly #log: Logger;
  #status = 0;

  constructor(flags: RunFlags, work: Work, log: Logger) {
    this.#flags = flags;
    this.#work = work;
    this.#log = log;
  }

  all(found: readonly Found[]): number {
    const summary = emptySummary(this.#flags.dryRun === true);
    for (const file of found) {
      const outcome = this.#one(file);
      addToSummary(summary, outcome);
      this.#report(outcome, file);
    }
    if (this.#flags.json) printOut(`${JSON.stringify(summaryJson(summary))}\n`);
    else if (!this.#flags.quiet && (found.length !== 1 || found[0]?.explicit === false)) {
      printOut(`${summaryLine(summary)}\n`);
    }
    return this.#status;
  }

  #one(file: Found): FileOutcome {
    try {
      if (file.error !== undefined) throw file.error;
      return this.#work(file.path);
    } catch (error) {
      const known = asElfnoteError(error, file.path);
      if (known.code === 'not-elf' && !file.explicit) {
        const detail = known.message;
        return {
          path: file.path,
          action: 'skipped',
          reason: 'not-elf',
          detail,
          resolution: undefined,
          warnings: [],
        };
      }
      const status = file.explicit ? exitStatusOf(known.code) : EXIT.findings;
      this.#status = Math.max(this.#status, status);
      return { path: file.path, action: 'failed', error: known };
    }
  }

  #report(outcome: FileOutcome, { explicit }: Found): void {
    const path = escapeControls(outcome.path);
    if (outcome.action === 'failed') {
      const { code, offset } = outcome.error;
      const where = offset === undefined ? '' : ` (at offset ${offset})`;
      this.#log.error({ path, code, offset }, `${escapeControls(outcome.error.message)}${where}`);
    } else {
      for (const warning of outcome.warnings) this.#log.warn({ path }, warning);
      if (outcome.action === 'skipped' && outcome.reason === 'no-room')
        this.#log.warn({ path }, outcome.detail);
      if ('lost' in outcome && outcome.lost.length > 0) {
        this.#log.warn({ path }, `gave up ${outcome.lost.join(', ')}`);
      }
    }
    if (this.#flags.json) {
      printOut(`${JSON.stringify(jsonOf(outcome))}\n`);
    } else if (!this.#flags.quiet) {
      const verbose = this.#flags.verbose === true;
      for (const line of textOf(outcome, { verbose, explicit })) printOut(`${line}\n`);
    }
  }
}

/** A mistake of elfnote's own is reported like any failure, so that it does not stop the other files. */
function asElfnoteError(error: unknown, path: string): ElfnoteError {
  if (error instanceof ElfnoteError) return error;
  const what = error instanceof Error ? error.message : String(error);
  return new ElfnoteError('internal', `internal error, please report it: ${what}`, { path, cause: error });
}
