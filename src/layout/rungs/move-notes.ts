import { PT_NOTE } from '../../elf/constants.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import { tableEnd } from '../model/occupied.js';
import type { Ground } from './ground.js';
import type { Group } from './movable.js';
import type { Room } from './room.js';

type Moving = 'move-notes' | 'move-tables';

/** `move-notes`: `.interp` and the toolchain's notes right behind the table move. */
export function moveNotes(ground: Ground, needed: number): Room | undefined {
  return moveLeading(ground, 'move-notes', needed)?.room;
}

/** `move-notes` and `reuse-note` at once: what moves ends with a 4-aligned `PT_NOTE`, which then covers the cache note too. */
export function moveNotesAndReuse(ground: Ground, needed: number): Room | undefined {
  const found = moveLeading(ground, 'move-notes', needed);
  const reused = found && onlyNoteOf(ground, found.last);
  return found && reused !== undefined ? { ...found.room, reused } : undefined;
}

/**
 * What stands right behind the table moves, as much as it takes, and room for an entry is left free behind the new
 * end. patchelf 0.14 makes room for its own segment by moving sections in the order of their headers, and stops at
 * the first that stands further off: where `.interp` is away already, it overwrites what follows the table.
 */
export function moveLeading(
  ground: Ground,
  kind: Moving,
  needed: number,
): { room: Room; last: Group } | undefined {
  const { image, movable } = ground;
  const nullsUsed = Math.min(needed, ground.nulls());
  const end = ground.tableEndWith(needed - nullsUsed + ground.spares());
  const chosen: Group[] = [];
  for (const group of ground.after(tableEnd(image))) {
    if (group.start >= end) break;
    if (!movable.mayMove(group, kind === 'move-tables')) return undefined;
    chosen.push(group);
  }
  const last = chosen.at(-1);
  if (last === undefined || !ground.loadHolds(end)) return undefined;
  // Without sections nothing tells what stands between and behind the parts.
  if (!ground.hasSections() && end > last.end) return undefined;
  let at = tableEnd(image);
  for (const group of chosen) {
    if (!ground.unclaimedIsZero(at, Math.min(group.start, end))) return undefined;
    at = group.end;
  }
  if (!ground.unclaimedIsZero(at, end)) return undefined;
  const block = movable.block(chosen);
  return block && { room: { kind, block, nullsUsed, reused: undefined }, last };
}

function onlyNoteOf({ image }: Ground, group: Group): number | undefined {
  const segments = group.members.filter(m => m.kind === 'segment');
  const [only] = segments;
  const p = only && image.programHeaders[only.index];
  if (only === undefined || segments.length !== 1 || p?.p_type !== PT_NOTE) return undefined;
  if (p.p_align !== NOTE_ALIGN || p.p_filesz !== p.p_memsz) return undefined;
  return only.start === group.start && only.end === group.end ? only.index : undefined;
}
