import type { Encoding } from '../elf/bytes.js';
import { PF_R, PT_LOAD } from '../elf/constants.js';
import { isProgram, ownAuditModule } from '../elf/dt-audit.js';
import type { CacheNoteLocation } from '../elf/image.js';
import type { ElfView } from '../elf/view.js';
import { encodeNote, NOTE_ALIGN } from '../note/cache.js';
import { OWN_TYPE, ownNotesBehind } from '../note/own.js';
import { noRoomForAudit } from './dt-audit/plan.js';
import { releaseAudit } from './dt-audit/release.js';
import type { Commit, Plan, PlanOptions, SkipPlan, Wanted, WritePlan } from './model/plan.js';
import { refuse } from './rungs/ladder.js';
import { refuseRelease } from './undo/releasable.js';
import { releaseNote } from './undo/release.js';
import { isNothingBegun, type OwnWork, ownWork } from './undo/undo.js';
import { planWithRecord } from './undo/with-record.js';

/**
 * Decides what becomes of a file, given what its notes should say: nothing, new notes, others, none. A program's notes
 * may have an audit module beside them, which comes and goes with them.
 *
 * What elfnote has done before is undone first, by the file's own record, so that an update gives the bytes of a first
 * run; also what a run that was stopped has begun.
 *
 * @param isWhole whether it is known already that the file's record is there, and all that it tells of as it was written.
 * @throws ElfnoteError `unsupported` for a program that cannot have the audit module it is to get.
 */
export function planFile(view: ElfView, wanted: Wanted, options: PlanOptions = {}, isWhole = false): Plan {
  const { image, source } = view;
  const own = ownAuditModule(image, source);
  const auditModule = isProgram(image) ? (options.auditModule ?? own) : own;
  if (own === auditModule && areNotesRight(view, wanted) && (isWhole || isNothingBegun(view)))
    return { kind: 'keep' };
  const work = ownWork(view);
  const isBegun = work !== undefined && !work.isWhole;
  if (image.cacheNotes.length === 0 && own === undefined && !isBegun) {
    if (wanted.entries.length > 0) return planNew(view, wanted, options);
    return { kind: 'skip', reason: 'nothing-to-record', detail: 'no soname was found over the run path' };
  }
  const isRight = !isBegun && areNotesRight(view, wanted);
  if (isRight && own === auditModule) return { kind: 'keep' };
  const refusal = refuse(image) ?? (work === undefined ? refuseRelease(view) : undefined);
  if (refusal !== undefined) return refusal;
  const plan = replan(view, work, wanted, { ...options, auditModule });
  if (isRight && plan.rung.note === 'removed') throw noRoomForAudit(image);
  return plan;
}

/** Takes every note out, and the audit module; `skip` when there is neither, and nothing that a stopped run has begun. */
export function planRemoval(view: ElfView): WritePlan | SkipPlan {
  const work = ownWork(view);
  const { image, source } = view;
  if (image.cacheNotes.length === 0 && ownAuditModule(image, source) === undefined && work === undefined)
    return { kind: 'skip', reason: 'no-note', detail: 'has no cache note' };
  const refusal = refuse(image) ?? (work === undefined ? refuseRelease(view) : undefined);
  return refusal ?? replan(view, work, { entries: [] }, {});
}

/** The notes say what they should, and are where every reader finds them. */
function areNotesRight({ image, source }: ElfView, wanted: Wanted): boolean {
  const [note, ...more] = image.cacheNotes;
  if (note === undefined || more.length > 0 || wanted.entries.length === 0) return false;
  const due = notesOf(image.encoding, wanted);
  const size = Math.min(due.length, source.size - note.offset);
  if (!isReadable(image, note) || !source.read(note.offset, size).equals(due)) return false;
  const others = ownNotesBehind(image, source, note).filter(({ n_type }) => n_type !== OWN_TYPE.undo);
  return others.length === (wanted.extraNotes ?? []).length;
}

function isReadable({ programHeaders }: ElfView['image'], note: CacheNoteLocation): boolean {
  const segment = note.segment === undefined ? undefined : programHeaders[note.segment];
  if (segment?.p_align !== NOTE_ALIGN || segment.p_vaddr % NOTE_ALIGN !== 0) return false;
  return programHeaders.some(
    p =>
      p.p_type === PT_LOAD &&
      (p.p_flags & PF_R) !== 0 &&
      p.p_offset <= segment.p_offset &&
      segment.p_offset + segment.p_filesz <= p.p_offset + p.p_filesz &&
      p.p_vaddr - p.p_offset === segment.p_vaddr - segment.p_offset,
  );
}

/** Planning and verifying ask for the same, one behind the other. */
let last: { readonly wanted: Wanted; readonly littleEndian: boolean; readonly notes: Buffer } | undefined;

function notesOf(encoding: Encoding, wanted: Wanted): Buffer {
  const { littleEndian } = encoding;
  if (last?.wanted !== wanted || last.littleEndian !== littleEndian)
    last = { wanted, littleEndian, notes: encoded(encoding, wanted) };
  return last.notes;
}

function encoded(encoding: Encoding, { entries, extraNotes = [] }: Wanted): Buffer {
  const note = encodeNote(entries, encoding);
  return extraNotes.length === 0 ? note : Buffer.concat([note, ...extraNotes]);
}

function planNew(view: ElfView, wanted: Wanted, options: PlanOptions): WritePlan | SkipPlan {
  const auditModule = isProgram(view.image) ? options.auditModule : undefined;
  const plan = planWithRecord(view, notesOf(view.image.encoding, wanted), { ...options, auditModule });
  if ('reason' in plan) return plan;
  const { note, commits, hasRecord } = plan;
  return {
    kind: 'write',
    rung: note.rung,
    commits,
    size: commits.at(-1)?.size ?? note.size,
    wanted,
    auditModule,
    exact: undefined,
    hasRecord,
    moved: note.moved,
    addedLoads: note.addedLoads,
    hasSection: note.hasSection,
    inPlaceIsSafe: commits.every(commit => commit.inPlaceIsSafe),
    whyRemoved: undefined,
  };
}

/** Takes out what is there, then plans on what is left: separate commits, each safe at every step. */
function replan(view: ElfView, work: OwnWork | undefined, wanted: Wanted, options: PlanOptions): WritePlan {
  const out = takenOut(view, work, wanted, options);
  const own = ownAuditModule(out.left.image, out.left.source);
  const next =
    wanted.entries.length > 0
      ? planNew(out.left, wanted, own === undefined ? options : { ...options, auditModule: undefined })
      : undefined;
  const { exact } = out;
  if (next?.kind === 'write') {
    const commits = [...out.commits, ...next.commits];
    return {
      ...next,
      exact,
      commits,
      auditModule: own ?? next.auditModule,
      inPlaceIsSafe: commits.every(commit => commit.inPlaceIsSafe),
    };
  }
  return {
    kind: 'write',
    rung: { note: 'removed', table: 'none' },
    commits: out.commits,
    size: out.left.source.size,
    wanted: { entries: [] },
    auditModule: own,
    exact,
    hasRecord: false,
    moved: [],
    addedLoads: 0,
    hasSection: true,
    inPlaceIsSafe: out.commits.every(commit => commit.inPlaceIsSafe),
    whyRemoved: next === undefined ? 'nothing to record' : next.detail,
  };
}

interface TakenOut {
  readonly commits: readonly Commit[];
  readonly left: ElfView;
  /** The file has the bytes that it had before elfnote. */
  readonly exact: boolean;
}

/**
 * What is there by its record; without one, notes are released. An audit module that is to stay does, where no record says what
 * was there before it. One that is not to stay goes also where it is older than the record: another tool has changed
 * the file since, and the note that was written then kept the audit module.
 */
function takenOut(view: ElfView, work: OwnWork | undefined, wanted: Wanted, options: PlanOptions): TakenOut {
  const commits: Commit[] = [...(work?.undo ?? [])];
  let left = work?.original ?? view;
  const commit = (next: Commit) => {
    commits.push(next);
    left = left.with(next);
  };
  const own = ownAuditModule(left.image, left.source);
  const wantedModule = wanted.entries.length > 0 ? options.auditModule : undefined;
  if (own !== undefined && own !== wantedModule) {
    const out = releaseAudit(left);
    if (out !== undefined) commit(out);
  }
  for (let note = left.image.cacheNotes[0]; note !== undefined; note = left.image.cacheNotes[0])
    commit(releaseNote(left, note));
  return { commits, left, exact: work?.isProved === true && commits.length === work.undo.length };
}
