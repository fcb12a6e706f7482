import type { Result } from '../../batch/run.js';
import { addToSummary, emptySummary, type Summary } from './summary.js';

/** What became of the files below each path that was named, in the order of the paths. */
export class PathSummaries implements Iterable<readonly [path: string, summary: Summary]> {
  readonly #summaries: ReadonlyMap<string, Summary>;

  constructor(paths: readonly string[], dryRun: boolean) {
    this.#summaries = new Map(paths.map(path => [path, emptySummary(dryRun)]));
  }

  add({ file, outcome }: Result): void {
    const summary = this.#summaries.get(file.named ?? file.path);
    if (summary !== undefined) addToSummary(summary, outcome);
  }

  [Symbol.iterator](): Iterator<readonly [string, Summary]> {
    return this.#summaries.entries();
  }
}
