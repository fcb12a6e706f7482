import { type ByteString, displayBytes } from '../elf/bytes.js';
import { isWithin } from '../files/paths.js';
import type { FileOutcome } from '../outcome.js';
import type { Attempt } from '../resolve/resolve.js';

interface Cost {
  /** Pairs of a file and a soname for which the loader looks here before it opens an exact path. */
  searches: number;
  readonly files: Set<string>;
}

/** The run path directories outside the store that the loader still has to search, and what that costs. */
export class OutsideDirectories {
  readonly #storeRoots: readonly string[] | undefined;
  readonly #costs = new Map<ByteString, Cost>();

  /** @param storeRoots undefined when none are known: then nothing is outside. */
  constructor(storeRoots: readonly ByteString[] | undefined) {
    this.#storeRoots = storeRoots;
  }

  add(outcome: FileOutcome): void {
    if (this.#storeRoots === undefined || outcome.action === 'failed') return;
    const { entries = [], unresolved = [] } = outcome.resolution ?? {};
    for (const { attempts } of [...entries, ...unresolved]) this.#add(outcome.path, attempts);
  }

  #add(path: string, attempts: readonly Attempt[]): void {
    let found = false;
    for (const attempt of attempts) {
      found ||= attempt.outcome === 'recorded';
      if (!this.#isOutside(attempt)) continue;
      const cost = this.#costs.get(attempt.component) ?? { searches: 0, files: new Set() };
      this.#costs.set(attempt.component, cost);
      cost.files.add(path);
      if (!found) cost.searches++;
    }
  }

  /** `$ORIGIN` may well lie in the store, and `glibc-hwcaps` is a hint wherever it is. */
  #isOutside({ component, outcome, why }: Attempt): boolean {
    if (this.#storeRoots === undefined || outcome !== 'hint') return false;
    if (why === 'token' || why === 'hwcaps') return false;
    return !component.startsWith('/') || !this.#storeRoots.some(root => isWithin(component, root));
  }

  /** Each directory once, and what it costs. */
  lines(): { directory: string; message: string }[] {
    return [...this.#costs].map(([directory, { searches, files }]) => {
      const when =
        searches === 0
          ? 'when an exact path before it is gone'
          : `at every start, for ${counted(searches, 'library', 'libraries')}`;
      return {
        directory: directory === '' ? 'the current directory (an empty component)' : displayBytes(directory),
        message: `run path directory outside the store: ${counted(files.size, 'file searches', 'files search')} it ${when}`,
      };
    });
  }
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
