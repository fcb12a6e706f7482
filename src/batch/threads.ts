import { Tinypool } from 'tinypool';
import { type FileOutcome, failedOutcome } from '../outcome.js';
import { type Batch, batchesOf } from './batches.js';
import type { Job } from './job.js';
import type { Result } from './run.js';
import type { Found } from './walk.js';
import { fromWire, type WireOutcome } from './wire.js';

export interface ThreadOptions {
  readonly jobs: number;
  readonly readsAttributes: boolean;
  readonly signal: AbortSignal | undefined;
}

/** What a thread gets; it sends back an outcome for each file, fewer when it was told to stop. */
export interface Task {
  readonly job: Job;
  readonly batch: Batch;
  /** Not 0: begin no further file. */
  readonly stop: Int32Array;
}

const LARGEST_BATCH = 64;
/** So that the last ones to be worked on do not leave threads idle. */
const BATCHES_PER_THREAD = 8;
/** Batches that are done but not yet due are kept; this bounds them. */
const AHEAD_PER_THREAD = 3;

/** Outcomes come in the order of the files, so that reports are the same for every number of threads. */
export async function* runInThreads(
  found: readonly Found[],
  job: Job,
  { jobs, readsAttributes, signal }: ThreadOptions,
): AsyncGenerator<Result> {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const onAbort = () => Atomics.store(stop, 0, 1);
  signal?.addEventListener('abort', onAbort);
  const pool = new Tinypool({
    filename: new URL('./worker.js', import.meta.url).href,
    name: 'work',
    minThreads: jobs,
    maxThreads: jobs,
    isolateWorkers: false,
  });
  const ahead: Promise<Result[]>[] = [];
  try {
    const size = Math.max(1, Math.min(LARGEST_BATCH, Math.ceil(found.length / (jobs * BATCHES_PER_THREAD))));
    for (const batch of batchesOf(found, size, readsAttributes)) {
      if (signal?.aborted) break;
      ahead.push(runBatch(pool, { job, batch, stop }));
      if (ahead.length > jobs * AHEAD_PER_THREAD) yield* (await ahead.shift()) ?? [];
    }
    for (const results of ahead) yield* await results;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    // A thread is not killed over a file that it writes.
    Atomics.store(stop, 0, 1);
    await Promise.all(ahead);
    await pool.destroy();
  }
}

async function runBatch(pool: Tinypool, task: Task): Promise<Result[]> {
  const outcomes = await pool.run(task).then(
    (wired: readonly WireOutcome[]) => wired.map(fromWire),
    (error: unknown): FileOutcome[] => task.batch.files.map(({ path }) => failedOutcome(path, error)),
  );
  return task.batch.files.flatMap((file, i) => {
    const outcome = outcomes[i];
    return outcome === undefined ? [] : [{ file, outcome }];
  });
}
