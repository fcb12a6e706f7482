import { alignUp, largest } from '../../elf/bytes.js';
import { changed, type ElfView } from '../../elf/view.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import { OWN_DESC_START, OWN_TYPE, type OwnNote, ownNoteAt } from '../../note/own.js';
import { encodeUndo, encodeUndoNote, type UndoRecord } from '../../note/undo.js';
import type { Stages } from '../dt-audit/plan.js';
import { appendedData, occupiedRanges, tableEnd } from '../model/occupied.js';
import { type Edit, STEP } from '../model/plan.js';
import { recordOf, withOldHash, withWrittenHash } from './make-record.js';

/** Rounds in which the record's size and what it says of the file's size have to agree. */
const MOST_ROUNDS = 4;

/**
 * Puts the record of some stages behind the end of the file, where the notes have no room for it beside them. No header
 * leads to it, so it costs nothing but its bytes: nobody loads it, and strip, which makes the record void, drops it.
 *
 * @param notesSize of the notes, in bytes.
 * @returns undefined where the file's end is somebody else's, or what the stages change last.
 */
export function recordAtEnd(view: ElfView, stages: Stages, notesSize: number): Stages | undefined {
  const { image, source } = view;
  const [first] = stages.commits;
  const end = first?.size ?? 0;
  if (first !== stages.note || stages.commits.some(({ size }) => size !== end)) return undefined;
  if (appendedData(image, occupiedRanges(image), source)) return undefined;
  const at = alignUp(end, NOTE_ALIGN);
  let size = 0;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const draft = withBytesAt(stages, at, Buffer.alloc(alignUp(OWN_DESC_START + size, NOTE_ALIGN)));
    const found = record(view, draft, notesSize);
    const needed = encodeUndo(found).length;
    if (needed <= size) return withRecord(view, stages, at, withOldHash(found, view), size);
    size = needed;
  }
  return undefined;
}

function record(view: ElfView, { note, commits }: Stages, notesSize: number): UndoRecord {
  return recordOf({
    before: view.source,
    after: changed(view.source, commits),
    edits: commits.flatMap(({ edits }) => edits),
    inPlaceIsSafe: commits.every(({ inPlaceIsSafe }) => inPlaceIsSafe),
    payload: { offset: note.at, size: notesSize },
    tableEnd: tableEnd(view.image),
  });
}

function withRecord(view: ElfView, stages: Stages, at: number, unhashed: UndoRecord, size: number): Stages {
  const { encoding } = view.image;
  const fill = (record: UndoRecord) => withBytesAt(stages, at, encodeUndoNote(record, encoding, size));
  const draft = view.with(...fill(unhashed).commits);
  return fill(withWrittenHash(unhashed, draft, at + OWN_DESC_START));
}

/** First of all, so that whoever comes after a stopped run finds it; every commit keeps the bytes. */
function withBytesAt({ note, commits }: Stages, offset: number, bytes: Buffer): Stages {
  const size = offset + bytes.length;
  const edit: Edit = { offset, bytes, step: STEP.payload, why: 'the undo record' };
  const first = { ...note, edits: [edit, ...note.edits], size };
  return { note: first, commits: commits.map(commit => (commit === note ? first : { ...commit, size })) };
}

/** The record of a finished run behind all that the headers describe, where nothing comes after it. */
export function recordNoteAtEnd({ image, source }: ElfView): OwnNote | undefined {
  const start = alignUp(largest(occupiedRanges(image).map(({ end }) => end)), NOTE_ALIGN);
  for (let at = start; at < start + MOST_PADDING; at += NOTE_ALIGN) {
    const note = ownNoteAt(source, image.encoding, at, source.size);
    if (note?.n_type === OWN_TYPE.undo && note.end === source.size) return note;
  }
  return undefined;
}

/**
 * In bytes: what a file may have had at its end that is nobody's data. So far behind the end of what is described a record
 * begins at the latest.
 */
export const MOST_PADDING = 16 + NOTE_ALIGN;
