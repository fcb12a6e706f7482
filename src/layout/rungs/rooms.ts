import type { TableRoom } from '../model/plan.js';
import { free } from './free.js';
import type { Ground } from './ground.js';
import { moveNotes, moveNotesAndReuse } from './move-notes.js';
import { moveTables } from './move-tables.js';
import { needlessPhdr } from './phdr.js';
import { twinOfProperty } from './property.js';
import { extendNote, reuseNote } from './reuse-note.js';
import type { Room } from './room.js';

/**
 * Every way to make room for the entries that a note needs. A `PT_PHDR` or a `PT_NOTE` that nobody needs gives one
 * each; what is missing then comes from free room, from another `PT_NOTE`, or from what moves away.
 *
 * @param needed one for a note in slack, two for a tail.
 */
export function roomsFor(ground: Ground, needed: 1 | 2): Room[] {
  const twin = twinOfProperty(ground.image);
  const phdr = needlessPhdr(ground.image);
  const withTwin = (room: Room): Room => {
    const kind = room.kind === 'free' ? 'property' : room.kind;
    return { ...room, kind, reused: twin, vacated: true };
  };
  const withPhdr = (room: Room): Room => ({ ...room, dropped: phdr });
  const nothing = (kind: TableRoom): Room => ({ kind, block: undefined, nullsUsed: 0, reused: undefined });
  const rooms = roomsWithout(ground, needed);
  if (phdr !== undefined)
    rooms.push(...(needed === 1 ? [nothing('phdr')] : roomsWithout(ground, 1)).map(withPhdr));
  if (twin !== undefined)
    rooms.push(...(needed === 1 ? [nothing('property')] : movedRooms(ground, 1)).map(withTwin));
  if (twin !== undefined && phdr !== undefined && needed === 2)
    rooms.push(withTwin(withPhdr(nothing('property'))));
  return rooms;
}

function roomsWithout(ground: Ground, needed: number): Room[] {
  const reused =
    needed === 1
      ? [extendNote(ground), reuseNote(ground, 0)]
      : [reuseNote(ground, needed - 1), moveNotesAndReuse(ground, needed - 1)];
  return [...movedRooms(ground, needed), ...reused.filter(room => room !== undefined)];
}

/** Rooms that do not take a `PT_NOTE`. */
function movedRooms(ground: Ground, needed: number): Room[] {
  return [free(ground, needed), moveNotes(ground, needed), moveTables(ground, needed)].filter(
    room => room !== undefined,
  );
}
