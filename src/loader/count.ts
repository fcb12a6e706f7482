import type { Closure } from './closure.js';
import type { Lookup, Step } from './record.js';

/** How often the loader asked the system in vain. */
export interface Counts {
  /** Failed open(2), also that of ld.so.cache. */
  readonly opens: number;
  /** Failed stat(2) of directories whose existence was not known. */
  readonly stats: number;
}

export const NO_COUNTS: Counts = { opens: 0, stats: 0 };

/** Objects that were opened; the program, the loader and the kernel's vDSO are none of them. */
export function libraryCount({ objects }: Closure): number {
  return objects.filter(({ kind }, index) => kind === 'library' && index > 0).length;
}

export function countSteps(steps: readonly Step[]): Counts {
  let [opens, stats] = [0, 0];
  for (const { call, result } of steps) {
    if (result !== 'failed') continue;
    if (call === 'stat') stats++;
    else opens++;
  }
  return { opens, stats };
}

export function addCounts(a: Counts, b: Counts): Counts {
  return { opens: a.opens + b.opens, stats: a.stats + b.stats };
}

export function countLookups(lookups: readonly Lookup[]): Counts {
  return lookups.map(({ steps }) => countSteps(steps)).reduce(addCounts, NO_COUNTS);
}

/** What each object's own requests cost, by its index. */
export function countByRequester({ lookups }: Closure): Map<number, Counts> {
  const costs = new Map<number, Counts>();
  for (const { requester, steps } of lookups) {
    costs.set(requester, addCounts(costs.get(requester) ?? NO_COUNTS, countSteps(steps)));
  }
  return costs;
}
