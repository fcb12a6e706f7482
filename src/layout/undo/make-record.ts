import type { ByteSource } from '../../elf/bytes.js';
import type { ElfView } from '../../elf/view.js';
import { HASH_SIZE, type UndoRange, type UndoRecord } from '../../note/undo.js';
import type { Edit } from '../model/plan.js';
import { type Headed, hashOfOld, hashOfWritten } from './hash.js';

/** What was done to a file: the edits in commit order, and the file before and after all of them. */
export interface Work {
  readonly before: ByteSource;
  readonly after: ByteSource;
  readonly edits: readonly Edit[];
  readonly inPlaceIsSafe: boolean;
  /** Where the notes are, whose own bytes are not known yet. */
  readonly payload: { readonly offset: number; readonly size: number };
  /** File offset at which the program header table ended: what is behind it may have moved as a whole. */
  readonly tableEnd: number;
}

const NO_HASH = Buffer.alloc(HASH_SIZE);

/** The record of some work, without hashes. Bytes that are written twice are told with what wrote them first. */
export function recordOf(work: Work): UndoRecord {
  const told: UndoRange[] = [];
  const writes: UndoRange[][] = [];
  for (const edit of work.edits) {
    const ranges = untold(work, edit, told).flatMap(span => rangesOf(work, edit, span));
    told.push(...ranges);
    if (ranges.length > 0) writes.push(ranges);
  }
  return {
    oldSize: work.before.size,
    newSize: work.after.size,
    inPlaceIsSafe: work.inPlaceIsSafe,
    writes,
    wrote: NO_HASH,
    was: NO_HASH,
  };
}

export function withOldHash(record: UndoRecord, before: ElfView): UndoRecord {
  return { ...record, was: hashOfOld(record, before) };
}

/** @param after the file with the record in it, but for this hash; `descOffset` says where. */
export function withWrittenHash(record: UndoRecord, after: Headed, descOffset: number): UndoRecord {
  return { ...record, wrote: hashOfWritten(record, after, descOffset) };
}

/** A run of bytes [start, end) that are not what they were. */
interface Run {
  start: number;
  end: number;
  isZero: boolean;
}

/** A file range [start, end). */
type Span = readonly [start: number, end: number];

/** The parts of an edit within the old file, cut where the table ended, that no range speaks of yet. */
function untold({ before, tableEnd }: Work, { offset, bytes }: Edit, told: readonly UndoRange[]): Span[] {
  const end = Math.min(offset + bytes.length, before.size);
  let spans: Span[] = [
    [offset, Math.min(end, Math.max(offset, tableEnd))],
    [Math.max(offset, tableEnd), end],
  ];
  for (const range of told) {
    if (range.offset >= end || range.offset + range.length <= offset) continue;
    spans = spans.flatMap(([from, to]): Span[] => [
      [from, Math.min(to, range.offset)],
      [Math.max(from, range.offset + range.length), to],
    ]);
    spans = spans.filter(([from, to]) => from < to);
  }
  return spans.filter(([from, to]) => from < to);
}

/** What an edit changes for good within a span. */
function rangesOf(work: Work, edit: Edit, [from, to]: Span): UndoRange[] {
  const { before, after, payload } = work;
  const old = before.read(from, to - from);
  if (old.equals(edit.bytes.subarray(from - edit.offset, to - edit.offset))) return [];
  if (payload.offset <= from && to <= payload.offset + payload.size) return [rangeOf(work, from, old)];
  const last = after.read(from, to - from);
  const now = Buffer.from(edit.bytes.subarray(from - edit.offset, to - edit.offset));
  for (let i = 0; i < last.length; i++) if (last[i] === old[i]) now[i] = old[i] ?? 0;
  return runsOf(old, now, WORTH_MOVING).flatMap(run => {
    const bytes = old.subarray(run.start, run.end);
    const start = from + run.start;
    const whole = rangeOf(work, start, bytes);
    if (whole.was.kind !== 'literal') return [whole];
    const parts = runsOf(bytes, now.subarray(run.start, run.end), WORTH_JOINING);
    return parts.map(part => rangeOf(work, start + part.start, bytes.subarray(part.start, part.end)));
  });
}

/** Another range costs about as much as this many bytes that have not changed. */
const WORTH_JOINING = 2;
/** So many may be the same by chance within something that moved. */
const WORTH_MOVING = 16;

function runsOf(old: Buffer, now: Buffer, joining: number): Run[] {
  const runs: Run[] = [];
  for (let at = 0; at < old.length; at++) {
    if (old[at] === now[at]) continue;
    const last = runs.at(-1);
    const isZero = old[at] === 0;
    const staysZero = last?.isZero && isZero && isZeros(old.subarray(last.end, at));
    if (last !== undefined && (staysZero || at - last.end <= joining)) {
      last.end = at + 1;
      last.isZero &&= staysZero ?? false;
    } else {
      runs.push({ start: at, end: at + 1, isZero });
    }
  }
  return runs;
}

function isZeros(bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** In bytes: an offset takes up to this many. */
const WORTH_FINDING = 6;

/** What moved is still in the file, at its new place. */
function rangeOf({ edits, after }: Work, offset: number, old: Buffer): UndoRange {
  const { length } = old;
  if (isZeros(old)) return { offset, length, was: { kind: 'zeros' } };
  if (length > WORTH_FINDING) {
    for (const edit of edits) {
      const at = edit.bytes.indexOf(old);
      const from = edit.offset + at;
      if (at < 0 || (from < offset + length && offset < from + length)) continue;
      if (after.read(from, length).equals(old)) return { offset, length, was: { kind: 'copy', from } };
    }
  }
  return { offset, length, was: { kind: 'literal', bytes: Buffer.from(old) } };
}
