import { readElfHeader } from '../../elf/read.js';
import { changed, type ElfView } from '../../elf/view.js';
import { OWN_DESC_START } from '../../note/own.js';
import { encodeUndo, encodeUndoNote, type UndoRecord } from '../../note/undo.js';
import { planStages, type Stages } from '../dt-audit/plan.js';
import { tableEnd } from '../model/occupied.js';
import type { Commit, PlanOptions, SkipPlan } from '../model/plan.js';
import { recordOf, withOldHash, withWrittenHash } from './make-record.js';
import { recordAtEnd } from './record-at-end.js';

export interface Recorded extends Stages {
  readonly hasRecord: boolean;
}

/** Rounds in which the record's size and the place for that size have to agree. */
const MOST_ROUNDS = 4;

/**
 * Places notes and, behind them, the record of how to undo just that. The place depends on the record's size, and the
 * record on the place. Where the record would cost more than its own bytes there, it comes at the end of the file; and
 * where that is not ours, it is left out.
 *
 * @param notes whole notes, each padded to 4 bytes.
 * @throws ElfnoteError of `planStages`.
 */
export function planWithRecord(view: ElfView, notes: Buffer, options: PlanOptions): Recorded | SkipPlan {
  const bare = planStages(view, { bytes: notes }, options);
  if ('reason' in bare) return bare;
  let size = encodeUndo(record(view, bare, notes.length)).length;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const stages = planWithRoom(view, notes, size, options);
    if (stages === undefined || isDearer(view, stages, bare, size)) break;
    const found = record(view, stages, notes.length);
    const needed = encodeUndo(found).length;
    if (needed <= size) return withRecord(view, stages, notes, found, size);
    size = needed;
  }
  const atEnd = recordAtEnd(view, bare, notes.length);
  if (atEnd !== undefined) return { ...atEnd, hasRecord: true };
  // Without a record nobody could finish what a run has begun in place.
  const commits = bare.commits.map(commit => ({ ...commit, inPlaceIsSafe: false }));
  return { ...bare, commits, hasRecord: false };
}

function planWithRoom(view: ElfView, notes: Buffer, size: number, options: PlanOptions): Stages | undefined {
  const record = Buffer.alloc(alignedSize(size));
  const stages = planStages(view, { bytes: Buffer.concat([notes, record]) }, options);
  return 'reason' in stages ? undefined : stages;
}

function alignedSize(descriptorSize: number): number {
  return Math.ceil((OWN_DESC_START + descriptorSize) / 4) * 4;
}

/** More segments, more that moves, or a file that grows by more than the record. */
function isDearer(view: ElfView, stages: Stages, bare: Stages, size: number): boolean {
  const grown = ({ commits }: Stages) => Math.max(view.source.size, ...commits.map(commit => commit.size));
  const { note } = stages;
  return (
    note.addedLoads > bare.note.addedLoads ||
    note.moved.length > bare.note.moved.length ||
    stages.commits.length > bare.commits.length ||
    (bare.note.rung.note === 'slack' && note.rung.note !== 'slack') ||
    grown(stages) - grown(bare) > alignedSize(size) + view.image.encoding.wordSize
  );
}

function record(view: ElfView, { note, commits }: Stages, notesSize: number): UndoRecord {
  return recordOf({
    before: view.source,
    after: changed(view.source, commits),
    edits: commits.flatMap(({ edits }) => edits),
    inPlaceIsSafe: commits.every(commit => commit.inPlaceIsSafe),
    payload: { offset: note.at, size: payloadSize(note.at, commits) ?? notesSize },
    tableEnd: tableEnd(view.image),
  });
}

function payloadSize(at: number, commits: readonly Commit[]): number | undefined {
  return commits.flatMap(({ edits }) => edits).find(({ offset }) => offset === at)?.bytes.length;
}

/** The stages with the record in the place that was left for it. */
function withRecord(view: ElfView, stages: Stages, notes: Buffer, found: UndoRecord, size: number): Recorded {
  const { encoding } = view.image;
  const unhashed = withOldHash(found, view);
  const fill = (record: UndoRecord) =>
    put(stages, Buffer.concat([notes, encodeUndoNote(record, encoding, size)]));
  const source = changed(view.source, fill(unhashed).commits);
  const draft = { image: readElfHeader(source), source };
  const descOffset = stages.note.at + notes.length + OWN_DESC_START;
  const whole = fill(withWrittenHash(unhashed, draft, descOffset));
  return { ...whole, hasRecord: true };
}

/** The same stages with other bytes in the payload. */
function put({ note, commits }: Stages, bytes: Buffer): Stages {
  const filled = {
    ...note,
    edits: note.edits.map(edit =>
      edit.offset === note.at && edit.bytes.length === bytes.length ? { ...edit, bytes } : edit,
    ),
  };
  return { note: filled, commits: commits.map(commit => (commit === note ? filled : commit)) };
}
