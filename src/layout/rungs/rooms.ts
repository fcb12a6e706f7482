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

/** A way to make room. */
export interface Way {
  readonly find: Finder;
  /** Takes as many entries and moves nothing, so that this one is dearer wherever that one fits. */
  readonly rather?: Way;
}

const FREE_ONE: Way = { find: ground => free(ground, 1) };
const FREE_TWO: Way = { find: ground => free(ground, 2) };
const FREE_AND_PHDR: Way = { find: ground => withPhdr(ground, () => free(ground, 1)) };
const FREE_AND_TWIN: Way = { find: ground => withTwin(ground, () => free(ground, 1)) };

/**
 * Every way, those first that move nothing. A note in slack needs one entry, one in a tail two. A `PT_PHDR` or a `PT_NOTE`
 * that nobody needs gives one each; what is missing then comes from free room, from another `PT_NOTE`, or from what moves
 * away.
 */
export const WAYS: Readonly<Record<'slack' | 'tail', readonly Way[]>> = {
  slack: [
    FREE_ONE,
    { find: extendNote },
    { find: phdr },
    { find: property },
    { find: ground => moveNotes(ground, 1), rather: FREE_ONE },
    { find: ground => moveTables(ground, 1), rather: FREE_ONE },
    { find: ground => reuseNote(ground, 0) },
  ],
  tail: [
    FREE_TWO,
    FREE_AND_PHDR,
    FREE_AND_TWIN,
    { find: ground => withTwin(ground, () => phdr(ground)) },
    { find: ground => moveNotes(ground, 2), rather: FREE_TWO },
    { find: ground => moveTables(ground, 2), rather: FREE_TWO },
    { find: ground => reuseNote(ground, 1) },
    { find: ground => moveNotesAndReuse(ground, 1) },
    { find: ground => withPhdr(ground, () => moveNotes(ground, 1)), rather: FREE_AND_PHDR },
    { find: ground => withPhdr(ground, () => moveTables(ground, 1)), rather: FREE_AND_PHDR },
    { find: ground => withPhdr(ground, () => reuseNote(ground, 0)) },
    { find: ground => movedWithTwin(ground, () => moveNotes(ground, 1)), rather: FREE_AND_TWIN },
    { find: ground => movedWithTwin(ground, () => moveTables(ground, 1)), rather: FREE_AND_TWIN },
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
