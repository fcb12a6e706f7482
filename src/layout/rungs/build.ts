import type { ByteSource } from '../../elf/bytes.js';
import type { ElfImage } from '../../elf/image.js';
import { hasSections } from '../model/occupied.js';
import { type Edit, type NoteCommit, type Payload, STEP } from '../model/plan.js';
import type { Cost } from './cost.js';
import { headerPlan } from './header.js';
import type { Place } from './place.js';
import type { Room } from './room.js';
import { apply, rungOf } from './rooms.js';
import { movedSectionEdits, type SectionTableRoom } from './section-table.js';

/** A room that fits, with all that is needed to use it. */
export interface Placed {
  readonly room: Room;
  readonly place: Place;
  readonly sections: SectionTableRoom | undefined;
}

export interface Candidate extends Placed {
  readonly cost: Cost;
}

/** Turns a candidate into edits in commit order. */
export function buildPlan(
  image: ElfImage,
  source: ByteSource,
  payload: Payload,
  { room, place, sections, cost }: Candidate,
): NoteCommit {
  const { bytes } = payload;
  const { note } = place;
  const change = apply(room, { image, source, place, noteSize: bytes.length });
  // First of all: whoever comes after a stopped run finds the undo record, which is a part of it.
  const edits: Edit[] = [{ offset: note.offset, bytes, step: STEP.payload, why: 'the notes' }];
  edits.push(...change.edits);
  const range = { offset: note.offset, address: note.address, size: bytes.length };
  const table = sections?.plan(range, change.moved, change.copied);
  edits.push(...(table?.edits ?? movedSectionEdits(image, image.header.e_shoff, change.moved)));
  const header = headerPlan(image, source, {
    programHeaders: change.programHeaders,
    table: change.table,
    e_shoff: table?.e_shoff ?? image.header.e_shoff,
    e_shnum: table?.e_shnum ?? image.header.e_shnum,
  });
  edits.push(...header.edits);
  return {
    kind: 'note',
    rung: { note: place.kind, table: rungOf(room) },
    at: note.offset,
    edits: edits.sort((a, b) => a.step - b.step),
    size: Math.max(image.size, table?.fileEnd ?? 0, place.end),
    losses: cost.losses,
    moved: room.front?.names ?? [],
    addedLoads: place.newLoad === undefined ? 0 : 1,
    inPlaceIsSafe: header.atomic && change.hasOrder,
    hasSection: table !== undefined || !hasSections(image),
  };
}
