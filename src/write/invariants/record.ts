import { alignUp, type ByteSource, isZero, largest, type Patch } from '../../elf/bytes.js';
import { ownAuditModule } from '../../elf/dt-audit.js';
import { changed, type ElfView } from '../../elf/view.js';
import { hasSections, occupiedRanges } from '../../layout/model/occupied.js';
import type { Commit, WritePlan } from '../../layout/model/plan.js';
import { findRecord } from '../../layout/undo/find.js';
import { hashOfOld, hashOfWritten } from '../../layout/undo/hash.js';
import { OWN_TYPE, type OwnNote, ownNoteAt, ownNotesBehind } from '../../note/own.js';
import type { UndoRecord } from '../../note/undo.js';
import type { Report } from './invariant.js';
import { kindFaults, saidFaults } from './program.js';

/** Whoever looks for the record finds it, and who follows it gets every byte back that the commits changed. */
export function recordFaults(
  before: ElfView,
  after: ElfView,
  commits: readonly Commit[],
  report: Report,
): void {
  const note = noteBehind(after) ?? lastNote(after);
  const found = note && findRecord(after);
  if (found === undefined || found.note.offset !== note?.offset) {
    report('there is no undo record');
    return;
  }
  const { record } = found;
  const { source } = before;
  if (record.oldSize !== source.size)
    report(`the undo record says ${record.oldSize} bytes, not ${source.size}`);
  if (record.newSize !== after.source.size)
    report(`the undo record says ${record.newSize} bytes now, not ${after.source.size}`);
  const undone = followed(after.source, record);
  for (const { edits } of commits) {
    for (const { offset, bytes } of edits) {
      const length = Math.min(bytes.length, source.size - offset);
      if (length > 0 && !undone.read(offset, length).equals(source.read(offset, length)))
        report(`the undo record does not lead back to the ${length} bytes at ${offset}`);
    }
  }
  hashFaults(before, after, record, found.note.descOffset, report);
}

/** Nobody follows a record whose hashes are of other bytes. */
function hashFaults(
  before: ElfView,
  after: ElfView,
  record: UndoRecord,
  descOffset: number,
  report: Report,
): void {
  if (!hashOfWritten(record, after, descOffset).equals(record.wrote))
    report('the undo record has another hash of what was written');
  if (!hashOfOld(record, before).equals(record.was))
    report('the undo record has another hash of what was there');
}

function noteBehind({ image, source }: ElfView): OwnNote | undefined {
  const location = image.cacheNotes[0];
  if (location === undefined) return undefined;
  for (const note of ownNotesBehind(image, source, location)) if (note.n_type === OWN_TYPE.undo) return note;
  return undefined;
}

/** A note behind all that the headers describe, which ends the file. */
function lastNote({ image, source }: ElfView): OwnNote | undefined {
  const content = largest(occupiedRanges(image).map(({ end }) => end));
  for (let at = alignUp(content, 4); at < source.size; at += 4) {
    const note = ownNoteAt(source, image.encoding, at, source.size);
    if (note !== undefined)
      return note.end === source.size && note.n_type === OWN_TYPE.undo ? note : undefined;
    if (!isZero(source, at, Math.min(4, source.size - at))) return undefined;
  }
  return undefined;
}

/** What most ranges were. */
const ZEROS = Buffer.alloc(4096);

function filled(length: number, byte: number): Buffer {
  return byte === 0 && length <= ZEROS.length ? ZEROS.subarray(0, length) : Buffer.alloc(length, byte);
}

function followed(source: ByteSource, { writes, oldSize }: UndoRecord): ByteSource {
  const edits: Patch[] = [];
  for (const ranges of writes) {
    for (const { offset, length, was } of ranges) {
      if (was.kind === 'literal') edits.push({ offset, bytes: was.bytes });
      else if (was.kind === 'copy') edits.push({ offset, bytes: source.read(was.from, length) });
      else edits.push({ offset, bytes: filled(length, was.kind === 'fill' ? was.byte : 0) });
    }
  }
  return changed(source, [{ edits, size: oldSize }]);
}

/**
 * The old bytes are back, as the record's hash of them tells, where there is a record: the ELF header, the program header
 * table and all else that was changed. They are those of the same program, without a note. An audit module that is older
 * than the record is the one that stays, or goes next.
 */
export function undoneFaults(
  noted: ElfView,
  undone: ElfView,
  plan: WritePlan,
  record: UndoRecord | undefined,
  report: Report,
): void {
  const notes = undone.image.cacheNotes.length;
  if (notes > 0) report(`the old note is still there: ${notes}`);
  const auditModule = ownAuditModule(undone.image, undone.source);
  const goes = plan.commits.some(({ kind }) => kind === 'audit-out');
  if (auditModule !== undefined && !goes && auditModule !== plan.auditModule)
    report(`the old audit module is still there: ${auditModule}, not ${plan.auditModule}`);
  const what = 'undone, the file says something else';
  kindFaults(noted.image, undone.image, what, String, report);
  saidFaults(noted.image, undone.image, what, report);
  if (record !== undefined && !hashOfOld(record, undone).equals(record.was))
    report('undone, the file is not what the undo record says that it was');
}

/**
 * Where no record proves what is undone, it is bytes that nobody can need: none that anything describes, and without
 * section headers none that is loaded.
 */
export function unprovedFaults(noted: ElfView, undo: readonly Commit[], report: Report): void {
  if (undo.length === 0) return;
  const ranges = occupiedRanges(noted.image);
  const content = largest(ranges.map(({ end }) => end));
  const used = hasSections(noted.image) ? ranges.filter(({ kind }) => kind !== 'load') : ranges;
  for (const { edits, size } of undo) {
    if (size < content)
      report(`what no record proves is cut: the file at ${size}, its content ends at ${content}`);
    for (const { offset, bytes } of edits) {
      const end = offset + bytes.length;
      const on = used.find(range => range.start < end && range.end > offset);
      if (on !== undefined)
        report(`what no record proves is undone: bytes ${offset} to ${end} of ${on.kind} ${on.index}`);
    }
  }
}
