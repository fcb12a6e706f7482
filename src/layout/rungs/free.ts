import { tableEnd } from '../model/occupied.js';
import type { Ground } from './ground.js';
import type { Room } from './room.js';

/** `free`: nothing moves; unused bytes behind the table that no section claims, or `PT_NULL` entries. */
export function free(ground: Ground, needed: number): Room | undefined {
  const { image } = ground;
  const nullsUsed = Math.min(needed, ground.nulls());
  const added = needed - nullsUsed;
  const next = ground.after(tableEnd(image))[0];
  const end = ground.tableEndWith(added > 0 ? added + ground.spareFor(next) : added);
  if (next !== undefined && next.start < end) return undefined;
  if (end > tableEnd(image) && !ground.hasSections()) return undefined;
  if (!ground.loadHolds(end)) return undefined;
  if (!ground.isUnused(tableEnd(image), ground.tableEndWith(added))) return undefined;
  return { kind: 'free', block: undefined, nullsUsed, reused: undefined };
}
