import type { FileOutcome } from '../outcome.js';
import { isWithin } from '../store/paths.js';
import { addToSummary, emptySummary, type Summary } from './summary.js';

/** What became of the files below each path that was named, in the order of the paths. */
export class PathSummaries implements Iterable<readonly [path: string, summary: Summary]> {
  readonly #summaries: ReadonlyMap<string, Summary>;

  constructor(paths: readonly string[], dryRun: boolean) {
    this.#summaries = new Map(paths.map(path => [path, emptySummary(dryRun)]));
  }

  add(outcome: FileOutcome): void {
    for (const [path, summary] of this.#summaries) {
      if (!isWithin(outcome.path, path)) continue;
      addToSummary(summary, outcome);
      return;
    }
  }

  [Symbol.iterator](): Iterator<readonly [string, Summary]> {
    return this.#summaries.entries();
  }
}
