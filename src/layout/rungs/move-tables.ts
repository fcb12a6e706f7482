import type { Ground } from './ground.js';
import { moveLeading } from './move-notes.js';
import type { Block, MovedRoom } from './room.js';

/** `move-tables`: as `move-notes`, and the tables that only `.dynamic` leads to move too, as many as it takes. */
export function moveTables(ground: Ground, needed: number): MovedRoom | undefined {
  return moveLeading(ground, 'move-tables', needed)?.room;
}

/** What stands in [start, start + size), where that is whole tables that only a dynamic entry leads to. */
export function tablesIn(ground: Ground, start: number, size: number): Block | undefined {
  const { movable } = ground;
  const end = start + size;
  const groups = ground.after(start).filter(group => group.start < end);
  let at = start;
  for (const group of groups) {
    const isTable = group.members.length === 1 && group.members.every(m => movable.tableTag(m) !== undefined);
    if (group.start < at || !isTable || !movable.mayMove(group, true)) return undefined;
    if (!ground.unclaimedIsZero(at, group.start)) return undefined;
    at = group.end;
  }
  return groups.length > 0 && ground.unclaimedIsZero(at, end) ? movable.block(groups) : undefined;
}
