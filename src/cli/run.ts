import { constants } from 'node:os';
import { ElfnoteError } from '../errors.js';
import { readPathList } from '../store/path-list.js';
import { type Found, findFiles } from '../store/walk.js';
import type { Job } from '../tree/job.js';
import { runOver } from '../tree/run.js';
import { writeReport } from '../write/report.js';
import type { RunFlags } from './file-command.js';
import { summaryJson } from './report-json.js';
import { Reporter } from './reporter.js';
import { Target } from './target.js';
import { REGISTERED_STORE } from './warnings.js';

/** What the flags say that every job has in common. */
export function commonOptions(flags: RunFlags): Job['options'] {
  const { dryRun, output, force, preserveDates } = flags;
  return { dryRun, output, force, preserveDates };
}

/**
 * Runs a job over the files that the paths name.
 * @returns the exit status.
 */
export async function runOverFiles(paths: readonly string[], flags: RunFlags, job: Job): Promise<number> {
  const interrupt = new Interrupt();
  const { named, found } = await filesOf(paths, flags);
  const target = new Target(named, found, flags);
  const { jobs, failFast } = flags;
  const reporter = new Reporter(flags, named, found.length);
  for (const store of target.registered) await reporter.warn(store, REGISTERED_STORE);
  let done = 0;
  for await (const result of runOver(target.files(), job, { jobs, failFast, signal: interrupt.signal })) {
    await reporter.report(target.done(result));
    done++;
  }
  const stopped = interrupt.name ?? (done < found.length ? '--fail-fast' : undefined);
  if (stopped === undefined) for (const error of target.complete()) await reporter.fail(error);
  const summary = await reporter.finish(found, stopped);
  if (flags.report !== undefined) writeReport(flags.report, `${JSON.stringify(summaryJson(summary))}\n`);
  return interrupt.status ?? reporter.status;
}

interface Files {
  /** The paths that the caller named, files and directories. */
  readonly named: readonly string[];
  readonly found: readonly Found[];
}

async function filesOf(paths: readonly string[], flags: RunFlags): Promise<Files> {
  const { include, exclude, filesFrom } = flags;
  if (filesFrom === undefined && paths.length === 0) {
    throw new ElfnoteError('usage', 'name a file or directory, or --files-from');
  }
  if (filesFrom === undefined && flags.null) {
    throw new ElfnoteError('usage', '--null needs --files-from');
  }
  const listed = filesFrom === undefined ? undefined : readPathList(filesFrom, flags.null === true);
  const found = await findFiles(paths, { include, exclude, listed });
  return {
    named: [...paths, ...(listed?.paths ?? [])],
    // An output of a build may be any file.
    found: flags.hook ? found.map(file => ({ ...file, explicit: false })) : found,
  };
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** The first SIGINT or SIGTERM ends the run after the files in hand; the next one kills. */
class Interrupt {
  readonly #controller = new AbortController();
  #name: NodeJS.Signals | undefined;

  constructor() {
    const onSignal = (name: NodeJS.Signals) => {
      for (const other of SIGNALS) process.removeListener(other, onSignal);
      this.#name = name;
      this.#controller.abort();
    };
    for (const name of SIGNALS) process.on(name, onSignal);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get name(): string | undefined {
    return this.#name;
  }

  /** As a shell gives it for a program that the signal killed. */
  get status(): number | undefined {
    return this.#name === undefined ? undefined : 128 + constants.signals[this.#name];
  }
}
