import { constants } from 'node:os';
import type { Job } from '../batch/job.js';
import { type Result, runOver } from '../batch/run.js';
import { type Found, findFiles, type PathList } from '../batch/walk.js';
import { jsonText } from '../elf/bytes.js';
import { ElfnoteError } from '../errors.js';
import { writeReport } from '../files/report.js';
import { failedOutcome } from '../outcome.js';
import type { RunFlags } from './commands/file-command.js';
import { listOf } from './paths.js';
import { summaryJson } from './reports/json.js';
import { Reporter } from './reports/reporter.js';
import type { Summary } from './reports/summary.js';
import { Target } from './target.js';
import { REGISTERED_STORE } from './warnings.js';

/** What the flags say that every job has in common. */
export function commonOptions(flags: RunFlags): Job['options'] {
  const { dryRun, output, force, preserveDates, fast } = flags;
  return { dryRun, output, force, preserveDates, fast };
}

/**
 * Runs a job over the files that the paths name.
 * @param listed more paths; by default those of --files-from.
 * @returns the exit status.
 */
export async function runOverFiles(
  paths: readonly string[],
  flags: RunFlags,
  job: Job,
  listed: PathList | undefined = listOf(paths, flags),
): Promise<number> {
  // Only now: a list that somebody types can be interrupted as ever.
  const interrupt = new Interrupt();
  const { include, exclude, crossFileSystems, preserveRoot, hook } = flags;
  const files = await findFiles(paths, { include, exclude, crossFileSystems, preserveRoot, listed });
  // An output of a build may be any file, but has to be there.
  const found = hook ? files.map(file => ({ ...file, explicit: isMissing(file) })) : files;
  const named = [...paths, ...(listed?.paths ?? []), ...(listed?.failures ?? []).map(({ path }) => path)];
  const target = new Target(named, found, flags);
  const { failFast } = flags;
  const reporter = new Reporter(flags, named, found.length);
  for (const store of target.registered) await reporter.warn(store, REGISTERED_STORE);
  let done = 0;
  // What kept a file from its copy may well do so once more.
  const told = new Set<string>();
  for await (const result of runOver(target.files(), job, { failFast, signal: interrupt.signal })) {
    if (result.outcome.action === 'failed') told.add(result.outcome.error.line);
    await reporter.report(result);
    done++;
  }
  const signal = done < found.length ? AbortSignal.abort() : interrupt.signal;
  for await (const error of target.complete(signal)) {
    if (!told.has(error.line)) await reporter.report(notCopied(error));
  }
  // A signal that came during the last files has its turn only now.
  await new Promise(resolve => setImmediate(resolve));
  const stopped = interrupt.name ?? (done < found.length ? '--fail-fast' : undefined);
  const summary = await reporter.finish(found, stopped);
  interrupt.stop();
  await writeSummary(summary, flags, reporter);
  return interrupt.status ?? reporter.status;
}

function notCopied(error: ElfnoteError): Result {
  const path = error.path ?? '';
  return { file: { path, explicit: false }, outcome: failedOutcome(path, error) };
}

function isMissing({ explicit, unreadable }: Found): boolean {
  return explicit && unreadable !== undefined;
}

/** A report that cannot be written is a failure, and does not hide how the run ended. */
async function writeSummary(summary: Summary, { report }: RunFlags, reporter: Reporter): Promise<void> {
  if (report === undefined) return;
  try {
    writeReport(report, `${jsonText(summaryJson(summary))}\n`);
  } catch (error) {
    if (!(error instanceof ElfnoteError)) throw error;
    await reporter.fail(error);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** The first SIGINT or SIGTERM ends the run after the files in hand; the next one kills. */
class Interrupt {
  readonly #controller = new AbortController();
  #name: NodeJS.Signals | undefined;

  readonly #onSignal = (name: NodeJS.Signals) => {
    this.stop();
    this.#name = name;
    this.#controller.abort();
  };

  constructor() {
    for (const name of SIGNALS) process.on(name, this.#onSignal);
  }

  /** From now on a signal ends the process: nobody listens while a pipe waits for its reader. */
  stop(): void {
    for (const name of SIGNALS) process.removeListener(name, this.#onSignal);
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
