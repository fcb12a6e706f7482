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
  if (payload.offset <= from && to <= payload.offset + payload.size) {
    if (old.compare(edit.bytes, shift, shift + old.length) !== 0) tellPayload(work, edit, from, old, told);
    return;
  }
  const isFinal = isLast(work, edit, from, to);
  if (isFinal && isAllZero(old)) {
    tellFilled(edit, from, to, told);
    return;
  }
  const last = isFinal ? undefined : after.read(from, to - from);
  const now = edit.bytes.subarray(shift, shift + old.length);
  const change = { old, now, last, oldWords: wordsOf(old, OLD), newWords: wordsOf(now, NOW) };
  for (const run of runsOf(change, 0, old.length, WORTH_MOVING)) {
    const whole = rangeOf(work, edit, from, old, run.start, run.end, run.isZero);
    if (whole.was.kind !== 'literal' || run.joined <= WORTH_JOINING) {
      told.push(whole);
      continue;
    }
    for (const part of runsOf(change, run.start, run.end, WORTH_JOINING))
      told.push(rangeOf(work, edit, from, old, part.start, part.end, part.isZero));
  }
}

/** Tells zeros within [from, to), from the first to the last that an edit changes. */
function tellFilled({ offset, bytes }: Edit, from: number, to: number, told: UndoRange[]): void {
  let start = from - offset;
  let end = to - offset;
  while (start < end && bytes[start] === 0) start++;
  while (start < end && bytes[end - 1] === 0) end--;
  if (start < end) told.push({ offset: offset + start, length: end - start, was: ZEROS });
}

/**
 * Tells what the notes are written over: zeros, or what patchelf has wiped. Of that there is more behind the notes, and
 * the record leads there: told byte by byte, it would take up as many bytes as it needs.
 */
function tellPayload(work: Work, edit: Edit, from: number, old: Buffer, told: UndoRange[]): void {
  const { before, after, payload } = work;
  const behind = payload.offset + payload.size;
  const wereZeros = isAllZero(old);
  let at = 0;
  if (!wereZeros && behind < before.size) {
    const rest = before.read(behind, Math.min(old.length, before.size - behind));
    const stays = rest.equals(after.read(behind, rest.length));
    let length = stays ? sameBytes(old, at, rest) : 0;
    for (; length > WORTH_MOVING; length = sameBytes(old, at, rest)) {
      told.push({ offset: from + at, length, was: { kind: 'copy', from: behind } });
      at += length;
    }
  }
  if (at === old.length) return;
  const isZero = wereZeros || isAllZero(old.subarray(at));
  told.push(rangeOf(work, edit, from, old, at, old.length, isZero));
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

/** What bytes are and become. */
interface Change {
  readonly old: Buffer;
  readonly now: Buffer;
  /** What a later edit leaves, where there is one. */
  readonly last: Buffer | undefined;
  /** The same bytes: most of a header stays, and four of them are compared at once. */
  readonly oldWords: Int32Array;
  readonly newWords: Int32Array;
}

/** Memory as bytes and as words. */
interface Room {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
}

function roomFor(size: number): Room {
  const words = new Int32Array(Math.ceil(size / WORD));
  return { bytes: new Uint8Array(words.buffer), words };
}

const WORD = 4;
const OLD = roomFor(4096);
const NOW = roomFor(4096);

/**
 * A copy, in `room` where that is enough: words start at multiples of four in memory, which bytes of a file seldom do. What
 * is behind the bytes in their last word may be anything, and makes the same bytes look different at worst.
 */
function wordsOf(bytes: Buffer, room: Room): Int32Array {
  const copy = bytes.length <= room.bytes.length ? room : roomFor(bytes.length);
  copy.bytes.set(bytes);
  return copy.words;
}

/** A run of bytes [start, end) that are not what they were. */
interface Run {
  readonly start: number;
  end: number;
  /** Whether all of them were zero. */
  isZero: boolean;
  /** The most bytes in it that have not changed and stand together, but for zeros between zeros. */
  joined: number;
}

/** Another range costs about as much as this many bytes that have not changed. */
const WORTH_JOINING = 2;
/** So many may be the same by chance within something that moved. */
const WORTH_MOVING = 16;

function runsOf(
  { old, now, last, oldWords, newWords }: Change,
  start: number,
  end: number,
  joining: number,
): Run[] {
  const runs: Run[] = [];
  let run: Run | undefined;
  for (let at = start; at < end; at++) {
    if (at % WORD === 0 && oldWords[at / WORD] === newWords[at / WORD]) {
      at += WORD - 1;
      continue;
    }
    const was = old[at];
    if (was === now[at] || (last !== undefined && was === last[at])) continue;
    const isZero = was === 0;
    const staysZero = run?.isZero === true && isZero && isZeros(old, run.end, at);
    if (run !== undefined && (staysZero || at - run.end <= joining)) {
      if (!staysZero && at - run.end > run.joined) run.joined = at - run.end;
      run.end = at + 1;
      run.isZero = staysZero;
    } else {
      run = { start: at, end: at + 1, isZero, joined: 0 };
      runs.push(run);
    }
  }
  return runs;
}

function isZeros(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** The first is zero, and each other is what the one before it is. */
function isAllZero(bytes: Buffer): boolean {
  return bytes[0] === 0 && bytes.compare(bytes, 1, bytes.length, 0, bytes.length - 1) === 0;
}

/** In bytes: an offset takes up to this many. */
const WORTH_FINDING = 6;

/**
 * What was in [start, end) of the bytes from `from` on, that an edit changes. What moved is still in the file, at its
 * new place; but only what is there when the edit is made is there for whoever undoes a part of the work.
 */
function rangeOf(
  { edits, after }: Work,
  own: Edit,
  from: number,
  bytes: Buffer,
  start: number,
  end: number,
  isZero: boolean,
): UndoRange {
  const offset = from + start;
  const length = end - start;
  if (isZero) return { offset, length, was: ZEROS };
  const old = bytes.subarray(start, end);
  for (let i = 0; length > WORTH_FINDING; i++) {
    const edit = edits[i];
    if (edit === undefined) break;
    const copy = copyIn(edit, old, offset);
    if (copy !== undefined && after.read(copy, length).equals(old))
      return { offset, length, was: { kind: 'copy', from: copy } };
    if (edit === own) break;
  }
  return { offset, length, was: { kind: 'literal', bytes: old } };
}

/** The file offset at which an edit puts the bytes that were at another. */
function copyIn(edit: Edit, old: Buffer, offset: number): number | undefined {
  const at = edit.bytes.indexOf(old);
  const from = edit.offset + at;
  const isOver = from < offset + old.length && offset < from + old.length;
  return at < 0 || isOver ? undefined : from;
}

const ZEROS = { kind: 'zeros' } as const;
