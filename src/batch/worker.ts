import { startJob, type WorkOnFile } from './job.js';
import type { Task } from './threads.js';
import { toWire, type WireOutcome } from './wire.js';

let workOn: WorkOnFile | undefined;

/** The entry point of a worker thread, which keeps one job as long as it lives. */
export function work({ job, batch, stop }: Task): WireOutcome[] {
  workOn ??= startJob(job);
  const outcomes: WireOutcome[] = [];
  for (const file of batch.files) {
    if (Atomics.load(stop, 0) !== 0) break;
    outcomes.push(toWire(workOn(file, batch.attributes)));
  }
  return outcomes;
}
