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
    const known = told.length;
    tell(work, edit, told);
    if (told.length > known) writes.push(told.slice(known));
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

/** Tells the parts of an edit within the old file, cut where the table ended, that no range speaks of yet. */
function tell(work: Work, edit: Edit, told: UndoRange[]): void {
  const end = Math.min(edit.offset + edit.bytes.length, work.before.size);
  if (end <= edit.offset) return;
  const cut = Math.min(end, Math.max(edit.offset, work.tableEnd));
  const known = told.length;
  tellSpan(work, edit, edit.offset, cut, told, known);
  tellSpan(work, edit, cut, end, told, known);
}

/** Tells [from, to), but for what the first ranges speak of. */
function tellSpan(work: Work, edit: Edit, from: number, to: number, told: UndoRange[], known: number): void {
  for (let i = 0; i < known; i++) {
    const range = told[i];
    if (range === undefined || range.offset >= to || range.offset + range.length <= from) continue;
    tellSpan(work, edit, from, Math.min(to, range.offset), told, known);
    tellSpan(work, edit, Math.max(from, range.offset + range.length), to, told, known);
    return;
  }
  if (from < to) tellChange(work, edit, from, to, told);
}

/** Tells what an edit changes for good within [from, to). */
function tellChange(work: Work, edit: Edit, from: number, to: number, told: UndoRange[]): void {
  const { before, after, payload } = work;
  const old = before.read(from, to - from);
  const shift = from - edit.offset;
  if (old.compare(edit.bytes, shift, shift + old.length) === 0) return;
  if (payload.offset <= from && to <= payload.offset + payload.size) {
    tellPayload(work, edit, from, old, told);
    return;
  }
  const change: Change = {
    old,
    now: edit.bytes,
    shift,
    last: isLast(work, edit, from, to) ? undefined : after.read(from, to - from),
  };
  for (const run of runsOf(change, 0, old.length, WORTH_MOVING)) {
    const whole = rangeOf(work, edit, from, old, run.start, run.end);
    if (whole.was.kind !== 'literal') {
      told.push(whole);
      continue;
    }
    for (const part of runsOf(change, run.start, run.end, WORTH_JOINING))
      told.push(rangeOf(work, edit, from, old, part.start, part.end));
  }
}

/**
 * Tells what the notes are written over: zeros, or what patchelf has wiped. Of that there is more behind the notes, and
 * the record leads there: told byte by byte, it would take up as many bytes as it needs.
 */
function tellPayload(work: Work, edit: Edit, from: number, old: Buffer, told: UndoRange[]): void {
  const { before, after, payload } = work;
  const behind = payload.offset + payload.size;
  let at = 0;
  if (!isZeros(old, 0, old.length) && behind < before.size) {
    const rest = before.read(behind, Math.min(old.length, before.size - behind));
    const stays = rest.equals(after.read(behind, rest.length));
    let length = stays ? sameBytes(old, at, rest) : 0;
    for (; length > WORTH_MOVING; length = sameBytes(old, at, rest)) {
      told.push({ offset: from + at, length, was: { kind: 'copy', from: behind } });
      at += length;
    }
  }
  if (at < old.length) told.push(rangeOf(work, edit, from, old, at, old.length));
}

/** How many bytes from `at` on are those that the others start with. */
function sameBytes(bytes: Buffer, at: number, others: Buffer): number {
  const most = Math.min(bytes.length - at, others.length);
  let length = 0;
  while (length < most && bytes[at + length] === others[length]) length++;
  return length;
}

/** Whether no later edit writes to [from, to). */
function isLast({ edits }: Work, edit: Edit, from: number, to: number): boolean {
  for (let i = edits.length - 1; i >= 0; i--) {
    const later = edits[i];
    if (later === edit || later === undefined) return true;
    if (later.offset < to && from < later.offset + later.bytes.length) return false;
  }
  return true;
}

/** What bytes are and become; indexes are into `old`. */
interface Change {
  readonly old: Buffer;
  /** From `shift` on. */
  readonly now: Buffer;
  readonly shift: number;
  /** What a later edit leaves, where there is one. */
  readonly last: Buffer | undefined;
}

/** A run of bytes [start, end) that are not what they were. */
interface Run {
  start: number;
  end: number;
  isZero: boolean;
}

/** Another range costs about as much as this many bytes that have not changed. */
const WORTH_JOINING = 2;
/** So many may be the same by chance within something that moved. */
const WORTH_MOVING = 16;

/** In bytes: so many are compared at once, since most of a header stays. */
const STRIDE = 64;

function runsOf({ old, now, shift, last }: Change, start: number, end: number, joining: number): Run[] {
  const runs: Run[] = [];
  let run: Run | undefined;
  for (let from = start; from < end; from += STRIDE) {
    const to = Math.min(from + STRIDE, end);
    if (old.compare(now, from + shift, to + shift, from, to) === 0) continue;
    for (let at = from; at < to; at++) {
      const was = old[at];
      if (was === now[at + shift] || (last !== undefined && was === last[at])) continue;
      const isZero = was === 0;
      const staysZero = run?.isZero === true && isZero && isZeros(old, run.end, at);
      if (run !== undefined && (staysZero || at - run.end <= joining)) {
        run.end = at + 1;
        run.isZero &&= staysZero;
      } else {
        run = { start: at, end: at + 1, isZero };
        runs.push(run);
      }
    }
  }
  return runs;
}

function isZeros(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** In bytes: an offset takes up to this many. */
const WORTH_FINDING = 6;

/**
 * What was in [start, end) of the bytes from `from` on, that an edit changes. What moved is still in the file, at its new
 * place; but only what is there when the edit is made is there for whoever undoes a part of the work.
 */
function rangeOf(
  { edits, after }: Work,
  own: Edit,
  from: number,
  bytes: Buffer,
  start: number,
  end: number,
): UndoRange {
  const [offset, length] = [from + start, end - start];
  if (isZeros(bytes, start, end)) return { offset, length, was: ZEROS };
  const old = bytes.subarray(start, end);
  if (length > WORTH_FINDING) {
    for (const edit of edits.slice(0, edits.indexOf(own) + 1)) {
      const at = edit.bytes.indexOf(old);
      const from = edit.offset + at;
      if (at < 0 || (from < offset + length && offset < from + length)) continue;
      if (after.read(from, length).equals(old)) return { offset, length, was: { kind: 'copy', from } };
    }
  }
  return { offset, length, was: { kind: 'literal', bytes: old } };
}

const ZEROS = { kind: 'zeros' } as const;
