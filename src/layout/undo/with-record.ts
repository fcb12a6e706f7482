import type { ByteSource } from '../../elf/bytes.js';
import type { ElfImage } from '../../elf/image.js';
import { EHDR } from '../../elf/structs.js';
import { changed, type ElfView } from '../../elf/view.js';
import { OWN_DESC_START, OWN_TYPE, putOwnNote } from '../../note/own.js';
import { encodeUndo, type UndoRecord, WROTE_AT } from '../../note/undo.js';
import { planStages, type Stages } from '../dt-audit/plan.js';
import { tableEnd } from '../model/occupied.js';
import type { PlanOptions, SkipPlan } from '../model/plan.js';
import { type Headed, hashOfWritten } from './hash.js';
import { recordOf, withOldHash } from './make-record.js';
import { recordAtEnd } from './record-at-end.js';

export interface Recorded extends Stages {
  readonly hasRecord: boolean;
}

/** Rounds in which the record's size and the place for that size have to agree. */
const MOST_ROUNDS = 4;

/** Of a record's descriptor, in bytes: those of nearly all files with a Nix-like run path take a little less. */
const USUAL_SIZE = 68;
/** In bytes: rather than give that many away, the notes are planned once more. */
const MOST_WASTED = 12;

/**
 * Places notes and, behind them, the record of how to undo just that. The place depends on the record's size, and the
 * record on the place. Where the record would cost more than its own bytes there, it comes at the end of the file; and
 * where that is not ours, it is left out.
 *
 * @param notes whole notes, each padded to 4 bytes.
 * @throws ElfnoteError of `planStages`.
 */
export function planWithRecord(view: ElfView, notes: Buffer, options: PlanOptions): Recorded | SkipPlan {
  const rounds = { view, notes, options };
  // Where no place could be cheaper, that of notes alone need not be known. What has no room for an audit module is an error.
  const isGood = (stages: Stages, size: number) => isCheapest(view, stages, notes.length + alignedSize(size));
  const cheapest =
    options.auditModule === undefined ? inRounds(rounds, USUAL_SIZE, MOST_WASTED, isGood) : undefined;
  if (cheapest !== undefined) return cheapest;
  const bare = planStages(view, { bytes: notes }, options);
  if ('reason' in bare) return bare;
  const needed = encodeUndo(record(view, bare, notes.length)).length;
  const isWorth = (stages: Stages, size: number) => !isDearer(view, stages, bare, size);
  const beside = inRounds(rounds, needed, Number.POSITIVE_INFINITY, isWorth);
  if (beside !== undefined) return beside;
  const atEnd = recordAtEnd(view, bare, notes.length);
  if (atEnd !== undefined) return { hasRecord: true, ...atEnd };
  // Without a record nobody could finish what a run has begun in place.
  const commits = bare.commits.map(commit => ({ ...commit, inPlaceIsSafe: false }));
  return { hasRecord: false, ...bare, commits };
}

interface Rounds {
  readonly view: ElfView;
  readonly notes: Buffer;
  readonly options: PlanOptions;
}

/**
 * Plans with room for a record, and with room for the one that this takes, until no more than `waste` is left over.
 *
 * @param first size of the record's descriptor in the first round, in bytes.
 * @param isGood is asked of the stages with the size of the record's descriptor.
 */
function inRounds(
  { view, notes, options }: Rounds,
  first: number,
  waste: number,
  isGood: (stages: Stages, size: number) => boolean,
): Recorded | undefined {
  let size = first;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const payload = Buffer.alloc(notes.length + alignedSize(size));
    payload.set(notes);
    const stages = planStages(view, { bytes: payload }, options);
    if ('reason' in stages || !isGood(stages, size)) return undefined;
    const found = withOldHash(record(view, stages, payload.length), view);
    const encoded = encodeUndo(found);
    if (encoded.length <= size && encoded.length >= size - waste) {
      putRecord(view, stages, payload, notes.length, found, Buffer.concat([encoded], size));
      return { hasRecord: true, ...stages };
    }
    size = encoded.length;
  }
  return undefined;
}

function alignedSize(descriptorSize: number): number {
  return Math.ceil((OWN_DESC_START + descriptorSize) / 4) * 4;
}

/**
 * Nothing is lost and nothing moves, and the payload is in bytes that the file has, so that there is no new segment either. The
 * file grows by its section headers at most, which are the same wherever nothing moves.
 */
function isCheapest(view: ElfView, { note }: Stages, payloadSize: number): boolean {
  return note.losses === 0 && note.moved.length === 0 && note.at + payloadSize <= view.source.size;
}

/** More segments, more that moves, or a file that grows by more than the record. */
function isDearer(view: ElfView, stages: Stages, bare: Stages, size: number): boolean {
  const { note } = stages;
  return (
    note.addedLoads > bare.note.addedLoads ||
    note.moved.length > bare.note.moved.length ||
    stages.commits.length > bare.commits.length ||
    (bare.note.rung.note === 'slack' && note.rung.note !== 'slack') ||
    largestSize(view, stages) - largestSize(view, bare) > alignedSize(size) + view.image.encoding.wordSize
  );
}

function largestSize(view: ElfView, { commits }: Stages): number {
  let { size } = view.source;
  for (const commit of commits) size = Math.max(size, commit.size);
  return size;
}

function record(view: ElfView, { note, commits }: Stages, payloadSize: number): UndoRecord {
  const [only] = commits;
  return recordOf({
    before: view.source,
    after: changed(view.source, commits),
    edits: only !== undefined && commits.length === 1 ? only.edits : commits.flatMap(({ edits }) => edits),
    inPlaceIsSafe: commits.every(commit => commit.inPlaceIsSafe),
    payload: { offset: note.at, size: payloadSize },
    tableEnd: tableEnd(view.image),
  });
}

/** Puts the record where the payload has room for it: until now these are zeros, which nobody has asked for. */
function putRecord(
  view: ElfView,
  stages: Stages,
  payload: Buffer,
  at: number,
  found: UndoRecord,
  encoded: Buffer,
): void {
  putOwnNote(payload, at, OWN_TYPE.undo, encoded, view.image.encoding);
  const source = changed(view.source, stages.commits);
  const draft = { image: headOf(view.image, source), source };
  const descOffset = stages.note.at + at + OWN_DESC_START;
  hashOfWritten(found, draft, descOffset).copy(payload, at + OWN_DESC_START + WROTE_AT);
}

/** What the ELF header says once the notes are there; but for the program header table it stays what it is. */
function headOf({ encoding, header }: ElfImage, source: ByteSource): Headed['image'] {
  const bytes = source.read(0, EHDR.size(encoding));
  const e_phoff = EHDR.get(encoding, bytes, 0, 'e_phoff');
  const e_phnum = EHDR.get(encoding, bytes, 0, 'e_phnum');
  return { encoding, header: { e_ehsize: header.e_ehsize, e_phoff, e_phnum } };
}
