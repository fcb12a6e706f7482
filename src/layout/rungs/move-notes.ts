import { PT_NOTE } from '../../elf/constants.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import { tableEnd } from '../model/occupied.js';
import { type Change, NOTHING_MOVED, newEntries, type Target } from './change.js';
import type { Ground } from './ground.js';
import type { Group } from './movable.js';
import { moveEdits } from './move.js';
import { type MovedRoom, NO_SPARE } from './room.js';

/** `move-notes`: `.interp` and the toolchain's notes right behind the table move. */
export function moveNotes(ground: Ground, needed: number): MovedRoom | undefined {
  return moveLeading(ground, 'move-notes', needed)?.room;
}

/** What moves is there twice until the header write grows the table over the old place. */
export function applyMove({ kind, spare, front, note }: MovedRoom, target: Target): Change {
  const { image, source, place } = target;
  const programHeaders = newEntries(target, spare, front, note);
  if (place.front === undefined) return { programHeaders, ...NOTHING_MOVED };
  const { edits, places } = moveEdits(image, source, front, place.front);
  // A program that runs already reads a table in its old place, where the header write puts program headers.
  const hasOrder = kind !== 'move-tables';
  return { programHeaders, ...NOTHING_MOVED, edits, moved: places, hasOrder };
}

/** `move-notes` and `reuse-note` at once: what moves ends with a 4-aligned `PT_NOTE`, which then covers the cache note too. */
export function moveNotesAndReuse(ground: Ground, needed: number): MovedRoom | undefined {
  const found = moveLeading(ground, 'move-notes', needed);
  const note = found && onlyNoteOf(ground, found.last);
  return found && note !== undefined ? { ...found.room, note } : undefined;
}

/**
 * What stands right behind the table moves, as much as it takes, and room for an entry is left free behind the new
 * end. patchelf 0.14 makes room for its own segment by moving sections in the order of their headers, and stops at
 * the first that stands further off: where `.interp` is away already, it overwrites what follows the table.
 */
export function moveLeading(
  ground: Ground,
  kind: MovedRoom['kind'],
  needed: number,
): { room: MovedRoom; last: Group } | undefined {
  const { image, movable } = ground;
  const nulls = Math.min(needed, ground.nulls());
  const end = ground.tableEndWith(needed - nulls + ground.spares());
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
  const front = movable.block(chosen);
  if (front === undefined) return undefined;
  const spare = { ...NO_SPARE, nulls };
  return { room: { kind, spare, front, note: undefined, load: undefined }, last };
}

function onlyNoteOf({ image }: Ground, group: Group): number | undefined {
  const segments = group.members.filter(m => m.kind === 'segment');
  const [only] = segments;
  const p = only && image.programHeaders[only.index];
  if (only === undefined || segments.length !== 1 || p?.p_type !== PT_NOTE) return undefined;
  if (p.p_align !== NOTE_ALIGN || p.p_filesz !== p.p_memsz) return undefined;
  return only.start === group.start && only.end === group.end ? only.index : undefined;
}
