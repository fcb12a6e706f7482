import { Command, Option } from 'commander';
import type { Logger } from 'pino';
import { escapeControls } from '../elf/bytes.js';
import { ElfnoteError, EXIT, exitStatusOf } from '../errors.js';
import { type BuildOptions, buildCache, type FileOutcome } from '../pipeline.js';
import { FileSystemProbe } from '../resolve/fs-probe.js';
import { type Found, findFiles } from '../store/walk.js';
import { readAttributes } from '../write/attributes.js';
import { LOG_LEVELS, type LogFormat, type LogLevel } from './log-options.js';
import { printOut } from './output.js';
import { jsonOf, summaryJson } from './report-json.js';
import { summaryLine, textOf } from './report-text.js';
import { addToSummary, emptySummary } from './summary.js';

interface Flags {
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly root?: string;
  readonly storeDir?: string[];
  readonly output?: string;
  readonly strict?: boolean;
  readonly force?: boolean;
  readonly preserveDates?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly logLevel?: LogLevel;
  readonly logFormat: LogFormat;
}

const EXAMPLE = `
Example:
  $ elfnote build-cache --store-dir /nix/store ./result/bin/hello
  ./result/bin/hello: note written in slack, table move-notes: 2 exact, +366 bytes

A directory is walked. Exit status: 0 done or nothing to do, 1 a file failed or (--strict) a soname is
unresolved, 2 could not run.`;

export function buildCacheCommand(): Command {
  return new Command('build-cache')
    .description('write into each ELF file a note that says where its DT_NEEDED libraries are')
    .argument('<path...>', 'ELF files, or directories to walk')
    .option('-n, --dry-run', 'print the plan and change nothing')
    .option('--json', 'print one JSON object a file, then a summary object')
    .option('--root <dir>', 'look run paths up in the file system below this directory')
    .option(
      '--store-dir <dir>',
      'directory whose contents never change (repeatable; default: $NIX_STORE)',
      collect,
    )
    .option('-o, --output <file>', 'write the result here and leave the input alone (one input only)')
    .option('--strict', 'fail on a file with a soname that its run path does not resolve')
    .option('--force', 'write although capabilities, extended attributes or hard links get lost')
    .option('--preserve-dates', 'keep access and modification times (to the microsecond)')
    .option('-q, --quiet', 'print errors only')
    .option('-v, --verbose', 'name skipped files too, and log more')
    .addOption(
      new Option('--log-level <level>', 'least level to log (default: warn)').choices([...LOG_LEVELS]),
    )
    .addOption(
      new Option('--log-format <format>', 'form of the log').choices(['pretty', 'json']).default('pretty'),
    )
    .addHelpText('after', EXAMPLE)
    .action(async (paths: string[], flags: Flags) => {
      process.exitCode = await runBuildCache(paths, flags);
    });
}

function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

async function runBuildCache(paths: readonly string[], flags: Flags): Promise<number> {
  const { createLogger } = await import('./logger.js');
  const level = flags.logLevel ?? (flags.quiet ? 'error' : flags.verbose ? 'debug' : 'warn');
  const log = createLogger(level, flags.logFormat);
  const found = [...findFiles(paths)];
  if (flags.output !== undefined && (found.length !== 1 || found[0]?.explicit !== true)) {
    throw new ElfnoteError('usage', '--output takes exactly one input file');
  }
  const options: BuildOptions = {
    root: flags.root,
    storeDirs: flags.storeDir,
    probe: new FileSystemProbe(flags.root),
    dryRun: flags.dryRun,
    output: flags.output,
    strict: flags.strict,
    force: flags.force,
    preserveDates: flags.preserveDates,
    attributes: flags.dryRun ? { found: undefined } : readAttributes(found.map(({ path }) => path)),
  };
  if (options.attributes?.found === undefined && !flags.dryRun) {
    log.info('extended attributes are not checked: neither getfattr nor getcap is there');
  }
  return new Run(flags, options, log).all(found);
}

class Run {
  readonly #flags: Flags;
  readonly #options: BuildOptions;
  readonly #log: Logger;
  #status = 0;

  constructor(flags: Flags, options: BuildOptions, log: Logger) {
    this.#flags = flags;
    this.#options = options;
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
      return buildCache(file.path, this.#options);
    } catch (error) {
      if (!(error instanceof ElfnoteError)) throw error;
      if (error.code === 'not-elf' && !file.explicit) {
        const detail = error.message;
        return {
          path: file.path,
          action: 'skipped',
          reason: 'not-elf',
          detail,
          resolution: undefined,
          warnings: [],
        };
      }
      const status = file.explicit ? exitStatusOf(error.code) : EXIT.findings;
      this.#status = Math.max(this.#status, status);
      return { path: file.path, action: 'failed', error };
    }
  }

  #report(outcome: FileOutcome, { explicit }: Found): void {
    const path = escapeControls(outcome.path);
    if (outcome.action === 'failed') {
      const { code, offset } = outcome.error;
      const where = offset === undefined ? '' : ` (at offset ${offset})`;
      this.#log.error({ path, code, offset }, `${outcome.error.message}${where}`);
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
