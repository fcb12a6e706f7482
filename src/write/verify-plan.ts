import type { ByteSource } from '../elf/bytes.js';
import { DT_AUDIT } from '../elf/constants.js';
import { ownReader } from '../elf/dt-audit.js';
import { changed, type ElfView } from '../elf/view.js';
import type { Commit, WritePlan } from '../layout/model/plan.js';
import { planFile } from '../layout/plan-file.js';
import { OWN_TYPE, ownNotesBehind } from '../note/own.js';
import { decodeUndo, type UndoRecord } from '../note/undo.js';
import { type Check, checkOf, checkOrder, checkPlaced, checkReleased } from './verify.js';
import { checkReaderReleased, checkReaderWritten } from './verify-dt-audit.js';

/**
 * Checks each commit of a plan on what the one before it leaves, then the whole: the record leads back to what was
 * there, and a second run would change nothing.
 *
 * @throws ElfnoteError `verify`, a bug of elfnote's own; the file is left alone.
 */
export function verifyPlan(view: ElfView, plan: WritePlan): void {
  const check = checkOf(view.image);
  const undo = plan.commits.filter(({ kind }) => kind === 'undo');
  for (const commit of plan.commits) checkOrder(commit.edits, check);
  const base = view.with(...undo);
  if (undo.length > 0) checkUndone(view, base, check);
  let now = base;
  for (const commit of plan.commits.slice(undo.length)) {
    const next = now.with(commit);
    checkCommit(now, next, commit, plan, check);
    now = next;
  }
  if (plan.rung.note === 'removed') return;
  const added = plan.commits.findIndex(({ kind }) => kind === 'note' || kind === 'reader-in');
  const before = changed(view.source, plan.commits.slice(0, added));
  if (plan.hasRecord) checkRecord(before, now, plan.commits.slice(added), check);
  const { reader } = plan;
  const again = planFile(now, plan.wanted, { reader });
  check(again.kind === 'keep', 'a second run would change the file again');
}

function checkCommit(old: ElfView, now: ElfView, commit: Commit, plan: WritePlan, check: Check): void {
  switch (commit.kind) {
    case 'note':
      checkPlaced(old, now, commit, plan, check);
      break;
    case 'release':
      checkReleased(old, now, commit, check);
      break;
    case 'reader-in':
      checkReaderWritten(old, now, commit, plan.reader, check);
      break;
    case 'reader-out':
      checkReaderReleased(old, now, commit, check);
      break;
    case 'undo':
      check(false, 'what is undone is not undone first');
  }
}

/** The hashes say that the old bytes are back; the file they make is the same program, without a note or a reader. */
function checkUndone({ image }: ElfView, now: ElfView, check: Check): void {
  check(now.image.cacheNotes.length === 0, 'the old note is still there');
  check(ownReader(now.image, now.source) === undefined, 'the old reader is still there');
  const said = ({ header, dynamic }: ElfView['image']) =>
    JSON.stringify([
      header.e_type,
      header.e_machine,
      header.e_flags,
      dynamic?.needed,
      dynamic?.runpath,
      dynamic?.rpath,
      dynamic?.soname,
      dynamic?.entries.map(entry => entry.d_tag).filter(tag => tag !== DT_AUDIT),
    ]);
  check(said(image) === said(now.image), 'undone, the file says something else');
}

/** Whoever follows the record gets every byte back that the commits change. */
function checkRecord(before: ByteSource, now: ElfView, commits: readonly Commit[], check: Check): void {
  const [location] = now.image.cacheNotes;
  const notes = location === undefined ? [] : ownNotesBehind(now.image, now.source, location);
  const note = notes.find(({ n_type }) => n_type === OWN_TYPE.undo);
  const record = note && decodeUndo(now.source.read(note.descOffset, note.n_descsz));
  check(record !== undefined, 'there is no undo record');
  if (record === undefined) return;
  check(record.oldSize === before.size, `the undo record has ${record.oldSize}, not ${before.size} bytes`);
  const undone = followed(now.source, record);
  for (const { offset, bytes } of commits.flatMap(({ edits }) => edits)) {
    const length = Math.min(bytes.length, before.size - offset);
    if (length <= 0) continue;
    const same = undone.read(offset, length).equals(before.read(offset, length));
    check(same, `the undo record does not lead back to the ${length} bytes at ${offset}`);
  }
}

function followed(source: ByteSource, { writes, oldSize }: UndoRecord): ByteSource {
  const edits = writes.flat().map(({ offset, length, was }) => {
    if (was.kind === 'literal') return { offset, bytes: was.bytes };
    if (was.kind === 'copy') return { offset, bytes: source.read(was.from, length) };
    return { offset, bytes: Buffer.alloc(length) };
  });
  return changed(source, [{ edits, size: oldSize }]);
}
