import type { ByteString } from '../../elf/bytes.js';
import type { ElfImage } from '../../elf/image.js';
import type { ElfView } from '../../elf/view.js';
import { ElfnoteError } from '../../errors.js';
import type { Commit, NoteCommit, Payload, PlanOptions, SkipPlan } from '../model/plan.js';
import { planNote } from '../rungs/ladder.js';
import { planAudit } from './edit.js';

/** What places a payload in a file that has none of elfnote's, and an audit module beside it where one is wanted. */
export interface Stages {
  readonly note: NoteCommit;
  /** In the order in which they are written: `note`, and before or after it what writes the audit module. */
  readonly commits: readonly Commit[];
}

/**
 * A place for a payload, and for its audit module: on top of the note, where need be in a segment of its own, or below it,
 * where the file's end is the only room for the string table to grow.
 *
 * @throws ElfnoteError `unsupported` where no segment has room for the audit module.
 */
export function planStages(view: ElfView, payload: Payload, options: PlanOptions): Stages | SkipPlan {
  const { auditModule, placement = 'auto' } = options;
  const plan = (at: ElfView, placed: PlanOptions = options) => planNote(at.image, at.source, payload, placed);
  const note = plan(view);
  if (note.kind === 'skip') return note;
  if (auditModule === undefined) return { note, commits: [note] };
  const stages =
    auditAbove(view, note, auditModule) ??
    (placement === 'auto'
      ? auditAbove(view, plan(view, { ...options, placement: 'tail' }), auditModule)
      : undefined) ??
    auditBelow(view, auditModule, plan);
  if (stages !== undefined) return stages;
  throw noRoomForAudit(view.image);
}

export function noRoomForAudit(image: ElfImage): ElfnoteError {
  return new ElfnoteError('unsupported', 'cannot have an audit module: no segment has room for its path', {
    path: image.path,
  });
}

function auditAbove(view: ElfView, note: NoteCommit | SkipPlan, auditModule: ByteString): Stages | undefined {
  if (note.kind === 'skip') return undefined;
  const added = planAudit(view.with(note), auditModule);
  return added && { note, commits: [note, added] };
}

/** The record comes after what it has to undo, so such a file is copied, edited and renamed. */
function auditBelow(
  view: ElfView,
  auditModule: ByteString,
  plan: (at: ElfView) => NoteCommit | SkipPlan,
): Stages | undefined {
  const added = planAudit(view, auditModule);
  if (added === undefined) return undefined;
  const note = plan(view.with(added));
  return note.kind === 'skip' ? undefined : { note, commits: [{ ...added, inPlaceIsSafe: false }, note] };
}
