import { setImmediate } from 'node:timers/promises';
import type { FileOutcome } from '../outcome.js';
import { batchesOf } from './batches.js';
import { type Job, startJob } from './job.js';
import type { Found } from './walk.js';

export interface RunOptions {
  /** Worker threads; by default none but the caller's, which was the fastest where it was measured (docs/performance.md). */
  readonly jobs?: number | undefined;
  /** Stop after the first failure; files are then worked on one after the other. */
  readonly failFast?: boolean | undefined;
  /** The files in hand are finished, no further one is begun. */
  readonly signal?: AbortSignal | undefined;
}

export interface Result {
  readonly file: Found;
  readonly outcome: FileOutcome;
}

/** Works on the files, one process for all; outcomes come in the order of the files, whatever the number of jobs. */
export async function* runOver(
  found: readonly Found[],
  job: Job,
  options: RunOptions = {},
): AsyncGenerator<Result> {
  const jobs = options.failFast ? 1 : Math.min(options.jobs ?? 1, found.length);
  const readsAttributes = job.options.dryRun !== true;
  if (jobs > 1) {
    const { runInThreads } = await import('./threads.js');
    yield* runInThreads(found, job, { jobs, readsAttributes, signal: options.signal });
    return;
  }
  const work = startJob(job);
  const turn = new Turn();
  for (const { files, attributes } of batchesOf(found, found.length, readsAttributes)) {
    for (const file of files) {
      if (options.signal?.aborted) return;
      const outcome = work(file, attributes);
      yield { file, outcome };
      if (options.failFast && outcome.action === 'failed') return;
      await turn.give();
    }
  }
}

const TURN_MILLISECONDS = 50;

/** Lets signals and timers in now and then: the work itself is synchronous. */
class Turn {
  #last = performance.now();

  async give(): Promise<void> {
    if (performance.now() - this.#last < TURN_MILLISECONDS) return;
    await setImmediate();
    this.#last = performance.now();
  }
}
