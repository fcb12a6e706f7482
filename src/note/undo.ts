import type { Encoding } from '../elf/bytes.js';
import { encodeOwnNote, OWN_TYPE } from './own.js';
import { putVarint, putZigzag, Varints } from './varint.js';

/**
 * The undo record: how to make a file again what it was before elfnote wrote to it.
 *
 * ```
 * owner      "elfnote\0", n_type 3
 * descriptor version (1 byte), flags (1 byte), wrote (8), was (8), old size, growth, number of ranges, range*
 * range      start, from the end of the range before it; length * 8 + fresh * 4 + kind; what was there
 * kind       0 zeros, nothing follows; 1 literal, the bytes follow; 2 copy, the offset in the file as it is now follows;
 *            3 one byte over and over, which follows
 * ```
 *
 * Numbers are LEB128 varints, starts zigzag ones. Ranges are in the order in which they were written; a fresh one
 * starts another write. Zeros fill up a descriptor that is longer than its ranges.
 */
export interface UndoRecord {
  /** Of the file before, and now, in bytes. What is beyond the old size has to be cut off. */
  readonly oldSize: number;
  readonly newSize: number;
  /** Whether the order of the writes makes each of them safe, and so their inverses in reverse. */
  readonly inPlaceIsSafe: boolean;
  /** In commit order; ranges of all of them are disjoint and lie within the old size. */
  readonly writes: readonly (readonly UndoRange[])[];
  /** Hash of all that was written, as it is now; of itself it takes these 8 bytes as zeros. */
  readonly wrote: Buffer;
  /** Hash of what was there. */
  readonly was: Buffer;
}

/** File offset and length in bytes, and what was there. */
export interface UndoRange {
  readonly offset: number;
  readonly length: number;
  readonly was:
    | { readonly kind: 'zeros' }
    | { readonly kind: 'literal'; readonly bytes: Buffer }
    /** That byte, over and over. */
    | { readonly kind: 'fill'; readonly byte: number }
    /** The bytes at that offset of the file as it is now. */
    | { readonly kind: 'copy'; readonly from: number };
}

const VERSION = 1;
const FLAG_IN_PLACE = 1;

/** 64 bits of SHA-256: no accident gets past them, and whoever forges a file needs no record to do so. */
export const HASH_SIZE = 8;

/** Where `wrote` is within the descriptor. */
export const WROTE_AT = 2;
const WAS_AT = WROTE_AT + HASH_SIZE;
const RANGES_AT = WAS_AT + HASH_SIZE;

const KINDS = { zeros: 0, literal: 1, copy: 2, fill: 3 } as const;
const FRESH = 4;

/** The descriptor, filled up to `size` bytes where it is shorter. */
export function encodeUndo(record: UndoRecord, size = 0): Buffer {
  const told = new Told();
  for (const ranges of record.writes) {
    told.isFresh = true;
    for (const range of ranges) {
      if (mayHaveRuns(range)) for (const piece of piecesOf(range)) told.add(piece);
      else told.add(range);
    }
  }
  const sizes: number[] = [];
  putVarint(sizes, record.oldSize);
  putVarint(sizes, record.newSize - record.oldSize);
  putVarint(sizes, told.count);
  const toldAt = RANGES_AT + sizes.length;
  const desc = Buffer.alloc(Math.max(size, toldAt + told.bytes.length));
  desc[0] = VERSION;
  desc[1] = record.inPlaceIsSafe ? FLAG_IN_PLACE : 0;
  desc.set(record.wrote, WROTE_AT);
  desc.set(record.was, WAS_AT);
  desc.set(sizes, RANGES_AT);
  desc.set(told.bytes, toldAt);
  return desc;
}

/** Ranges, encoded one after another. */
class Told {
  readonly bytes: number[] = [];
  count = 0;
  /** Whether the next one starts another write. */
  isFresh = true;
  #end = 0;

  add({ offset, length, was }: UndoRange): void {
    const { bytes } = this;
    putZigzag(bytes, offset - this.#end);
    putVarint(bytes, length * 8 + (this.isFresh ? FRESH : 0) + KINDS[was.kind]);
    if (was.kind === 'literal') for (let i = 0; i < length; i++) bytes.push(was.bytes[i] ?? 0);
    else if (was.kind === 'copy') putVarint(bytes, was.from);
    else if (was.kind === 'fill') bytes.push(was.byte);
    this.#end = offset + length;
    this.isFresh = false;
    this.count++;
  }
}

/** In bytes: where one byte comes over and over, as in what patchelf has wiped, so many are worth a range of their own. */
const WORTH_FILLING = 16;

function runLength(bytes: Buffer, start: number): number {
  let end = start + 1;
  while (end < bytes.length && bytes[end] === bytes[start]) end++;
  return end - start;
}

function isOneByte(bytes: Buffer): boolean {
  return bytes.compare(bytes, 1, bytes.length, 0, bytes.length - 1) === 0;
}

function mayHaveRuns({ length, was }: UndoRange): boolean {
  return was.kind === 'literal' && length >= WORTH_FILLING;
}

/** What a range is made of where long runs of one byte are in it. */
function piecesOf(range: UndoRange): readonly UndoRange[] {
  const { offset, length, was } = range;
  if (was.kind !== 'literal') return [range];
  const { bytes } = was;
  if (isOneByte(bytes)) return [{ offset, length, was: { kind: 'fill', byte: bytes[0] ?? 0 } }];
  const pieces: UndoRange[] = [];
  const add = (from: number, to: number, was: UndoRange['was']) => {
    if (from < to) pieces.push({ offset: offset + from, length: to - from, was });
  };
  let told = 0;
  const addLiteral = (to: number) => add(told, to, { kind: 'literal', bytes: bytes.subarray(told, to) });
  for (let at = 0; at < length; ) {
    const run = runLength(bytes, at);
    if (run >= WORTH_FILLING) {
      addLiteral(at);
      told = at + run;
      add(at, told, { kind: 'fill', byte: bytes[at] ?? 0 });
    }
    at += run;
  }
  addLiteral(length);
  return pieces;
}

/** The whole note, of exactly `size` bytes of descriptor where the ranges take fewer. */
export function encodeUndoNote(record: UndoRecord, encoding: Encoding, size = 0): Buffer {
  return encodeOwnNote(OWN_TYPE.undo, encodeUndo(record, size), encoding);
}

/** The old size, of a record of which no more may be there than its first bytes. */
export function decodeOldSize(desc: Buffer): number | undefined {
  if (desc[0] !== VERSION) return undefined;
  const numbers = new Varints(desc, RANGES_AT);
  const size = numbers.next();
  return numbers.failed ? undefined : size;
}

/** Undefined for what is no record of this version, or contradicts itself. */
export function decodeUndo(desc: Buffer): UndoRecord | undefined {
  if (desc.length < RANGES_AT || desc[0] !== VERSION) return undefined;
  const numbers = new Varints(desc, RANGES_AT);
  const oldSize = numbers.next();
  const newSize = oldSize + numbers.next();
  const count = numbers.next();
  const all: UndoRange[] = [];
  const writes: UndoRange[][] = [];
  let write: UndoRange[] | undefined;
  let end = 0;
  for (let i = 0; i < count && !numbers.failed; i++) {
    const offset = end + numbers.nextZigzag();
    const head = numbers.next();
    const length = Math.floor(head / 8);
    const was = readWas(numbers, head % FRESH, length);
    if (was === undefined || length === 0 || offset < 0 || offset + length > oldSize) return undefined;
    if (was.kind === 'copy' && was.from + length > newSize) return undefined;
    if (write === undefined || head % 8 >= FRESH) {
      write = [];
      writes.push(write);
    }
    const range = { offset, length, was };
    write.push(range);
    all.push(range);
    end = offset + length;
  }
  if (numbers.failed || !Number.isSafeInteger(newSize) || !areDisjoint(all)) return undefined;
  return {
    oldSize,
    newSize,
    writes,
    inPlaceIsSafe: ((desc[1] ?? 0) & FLAG_IN_PLACE) !== 0,
    wrote: desc.subarray(WROTE_AT, WAS_AT),
    was: desc.subarray(WAS_AT, RANGES_AT),
  };
}

function readWas(numbers: Varints, kind: number, length: number): UndoRange['was'] | undefined {
  switch (kind) {
    case KINDS.zeros:
      return { kind: 'zeros' };
    case KINDS.literal: {
      const bytes = numbers.take(length);
      return bytes && { kind: 'literal', bytes };
    }
    case KINDS.copy:
      return { kind: 'copy', from: numbers.next() };
    case KINDS.fill: {
      const byte = numbers.take(1)?.[0];
      return byte === undefined ? undefined : { kind: 'fill', byte };
    }
    default:
      return undefined;
  }
}

/** Sorts the ranges. */
function areDisjoint(ranges: UndoRange[]): boolean {
  ranges.sort((a, b) => a.offset - b.offset);
  let end = 0;
  for (const { offset, length } of ranges) {
    if (offset < end) return false;
    end = offset + length;
  }
  return true;
}
