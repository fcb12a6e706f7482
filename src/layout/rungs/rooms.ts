import type { TableRoom } from '../model/plan.js';
import type { Change, Target } from './change.js';
import { applyStill, free } from './free.js';
import type { Ground } from './ground.js';
import { applyMove, moveNotes, moveNotesAndReuse } from './move-notes.js';
import { applyTableMove } from './move-table.js';
import { moveTables } from './move-tables.js';
import { phdr, withPhdr } from './phdr.js';
import { movedWithTwin, property, withTwin } from './property.js';
import { applyExtended, applyReuse, extendNote, reuseNote } from './reuse-note.js';
import type { Room } from './room.js';

/** Looks for one way to make room for the entries that a note needs. */
export type Finder = (ground: Ground) => Room | undefined;

/**
 * Every way, those first that move nothing. A note in slack needs one entry. A `PT_PHDR` or a `PT_NOTE` that nobody
 * needs gives one each; what is missing then comes from free room, from another `PT_NOTE`, or from what moves away.
 */
export const FINDERS: Readonly<Record<'slack' | 'tail', readonly Finder[]>> = {
  slack: [
    ground => free(ground, 1),
    extendNote,
    phdr,
    property,
    ground => moveNotes(ground, 1),
    ground => moveTables(ground, 1),
    ground => reuseNote(ground, 0),
  ],
  // A tail needs two.
  tail: [
    ground => free(ground, 2),
    ground => withPhdr(ground, () => free(ground, 1)),
    ground => withTwin(ground, () => free(ground, 1)),
    ground => withTwin(ground, () => phdr(ground)),
    ground => moveNotes(ground, 2),
    ground => moveTables(ground, 2),
    ground => reuseNote(ground, 1),
    ground => moveNotesAndReuse(ground, 1),
    ground => withPhdr(ground, () => moveNotes(ground, 1)),
    ground => withPhdr(ground, () => moveTables(ground, 1)),
    ground => withPhdr(ground, () => reuseNote(ground, 0)),
    ground => movedWithTwin(ground, () => moveNotes(ground, 1)),
    ground => movedWithTwin(ground, () => moveTables(ground, 1)),
  ],
};

/** What it takes to use a room for a note in its place. */
export function apply(room: Room, target: Target): Change {
  switch (room.kind) {
    case 'free':
    case 'phdr':
    case 'property':
      return applyStill(room, target);
    case 'extend-note':
      return applyExtended(room, target);
    case 'reuse-note':
      return applyReuse(room, target);
    case 'move-notes':
    case 'move-tables':
      return applyMove(room, target);
    case 'move-table':
      return applyTableMove(room, target);
  }
}

/** The name of a room's rung. */
export function rungOf({ kind }: Room): TableRoom {
  return kind === 'extend-note' ? 'reuse-note' : kind;
}
