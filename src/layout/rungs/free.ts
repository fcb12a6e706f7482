import { tableEnd } from '../model/occupied.js';
import { type Change, NOTHING_MOVED, newEntries, type Target } from './change.js';
import type { Ground } from './ground.js';
import { NO_SPARE, type StillRoom } from './room.js';

/** `free`: nothing moves; unused bytes behind the table that no section claims, or `PT_NULL` entries. */
export function free(ground: Ground, needed: number): StillRoom | undefined {
  const nulls = Math.min(needed, ground.nulls());
  const added = needed - nulls;
  const tableNow = tableEnd(ground.image);
  const next = ground.nextBehind(tableNow);
  const end = ground.tableEndWith(added > 0 ? added + ground.spareFor(next) : added);
  if (next !== undefined && next < end) return undefined;
  if (end > tableNow && !ground.hasSections()) return undefined;
  if (!ground.loadHolds(end)) return undefined;
  if (!ground.isUnused(tableNow, ground.tableEndWith(added))) return undefined;
  const spare = nulls === 0 ? NO_SPARE : { ...NO_SPARE, nulls };
  return { kind: 'free', spare, front: undefined, note: undefined, load: undefined };
}

/** For each room in which nothing moves. */
export function applyStill({ spare }: StillRoom, target: Target): Change {
  return { programHeaders: newEntries(target, spare, undefined, undefined), ...NOTHING_MOVED };
}
