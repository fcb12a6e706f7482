import type { ByteSource } from '../../elf/bytes.js';
import { changed, type ElfView } from '../../elf/view.js';
import { ElfnoteError } from '../../errors.js';
import type { UndoRange, UndoRecord } from '../../note/undo.js';
import type { Commit, Edit } from '../model/plan.js';
import { type FoundRecord, findRecord, type Gap, undescribed } from './find.js';
import { hashOfOld, hashOfWritten } from './hash.js';
import { tornWork } from './torn.js';

/** What elfnote has done to a file, by the file's own record, and how to undo it. */
export interface OwnWork {
  /** False where a run was stopped: some of the writes are missing, or some were undone already. */
  readonly isWhole: boolean;
  /** False where the bytes that the file had are taken for zeros, and nothing proves it. */
  readonly isProved: boolean;
  /** Leads to the bytes that the file had. */
  readonly undo: readonly Commit[];
  readonly original: ElfView;
}

/**
 * What elfnote has done to a file. Undefined where there is no record, or where anything that elfnote wrote has
 * changed since.
 */
export function ownWork(view: ElfView): OwnWork | undefined {
  const gaps = view.image.cacheNotes.length === 0 ? undescribed(view) : undefined;
  const found = findRecord(view, gaps);
  if (found === undefined) return gaps && unreadableWork(view, gaps);
  for (const done of writesDone(view, found)) {
    const work = provedWork(view, found, done);
    if (work !== undefined) return work;
  }
  return undefined;
}

/** A run that was stopped within the write that brings the record, or takes it away. */
function unreadableWork(view: ElfView, gaps: readonly Gap[]): OwnWork | undefined {
  const commit = tornWork(view, gaps);
  if (commit === undefined) return undefined;
  return { isWhole: false, isProved: false, undo: [commit], original: view.with(commit) };
}

/**
 * Whether nothing that elfnote has begun is left to finish, as far as the record tells. Cheaper than `ownWork`: what was
 * there before is not put together.
 */
export function isNothingBegun(view: ElfView): boolean {
  const found = findRecord(view);
  return found === undefined || writesDone(view, found)[0]?.isWhole !== false;
}

const OF_BYTES: ReadonlySet<string> = new Set(['not-elf', 'malformed', 'malformed-note', 'unsupported']);

function provedWork(view: ElfView, found: FoundRecord, done: Done): OwnWork | undefined {
  try {
    const undo = inverse(view.source, found, done);
    const original = view.with(...undo);
    if (!hashOfOld(found.record, original).equals(found.record.was)) return undefined;
    if (original.image.cacheNotes.length > 0) return undefined;
    return { isWhole: done.isWhole, isProved: true, undo, original };
  } catch (error) {
    // Another tool has changed what the record does not speak of. A fault of the disk says nothing about the bytes.
    if (error instanceof ElfnoteError && OF_BYTES.has(error.code)) return undefined;
    throw error;
  }
}

interface Done {
  readonly isWhole: boolean;
  readonly writes: UndoRecord['writes'];
}

/** What may have been written; more than one answer where what moved does not tell whether the last write was made. */
function writesDone(view: ElfView, { record, note, isLinked }: FoundRecord): Done[] {
  const { oldSize, newSize, writes } = record;
  const { source } = view;
  const isWhole =
    source.size === newSize && hashOfWritten(record, view, note.descOffset).equals(record.wrote);
  if (isWhole) return isLinked ? [{ isWhole, writes }] : [];
  if (source.size < oldSize || source.size > newSize) return [];
  const states = writes.map(ranges => stateOf(source, ranges));
  const last = states.lastIndexOf('new');
  if (states.slice(0, last + 1).includes('old')) return [];
  const counts = [last + 1];
  for (let i = last + 1; states[i] === 'unknown'; i++) counts.push(i + 1);
  // Whoever changed a file that was whole has not put back just what was written last.
  return counts
    .filter(count => count < writes.length)
    .map(count => ({ isWhole, writes: writes.slice(0, count) }));
}

/** Whether a write was made; what moved does not tell. A write that was torn counts as made. */
function stateOf(source: ByteSource, ranges: readonly UndoRange[]): 'old' | 'new' | 'unknown' {
  let state: 'old' | 'unknown' = 'unknown';
  for (const { offset, length, was } of ranges) {
    if (was.kind === 'copy') continue;
    const now = source.read(offset, length);
    const isOld = was.kind === 'literal' ? now.equals(was.bytes) : isFilled(now, filling(was));
    if (!isOld) return 'new';
    state = 'old';
  }
  return state;
}

function filling(was: Extract<UndoRange['was'], { kind: 'zeros' | 'fill' }>): number {
  return was.kind === 'fill' ? was.byte : 0;
}

function isFilled(bytes: Buffer, value: number): boolean {
  return bytes.every(byte => byte === value);
}

/**
 * The writes undone, the last first, so that each state of the file is one that it had before. The record goes when
 * everything else is done: until then, whoever comes next can finish.
 */
function inverse(source: ByteSource, { record, note }: FoundRecord, { writes }: Done): Commit[] {
  const { oldSize, inPlaceIsSafe } = record;
  const edits: Edit[] = [];
  const now = changed(source, [{ edits, size: source.size }]);
  for (const ranges of writes.toReversed()) edits.push(restored(source, now, ranges, edits.length));
  const commit = (edits: readonly Edit[]): Commit => ({ kind: 'undo', edits, size: oldSize, inPlaceIsSafe });
  // Where the record is in what is cut off, cutting is what takes it away.
  if (note.offset >= oldSize || edits.length < 2) return [commit(edits)];
  return [commit(edits.slice(0, -1)), commit(edits.slice(-1))];
}

/** One write for what was one write. */
function restored(source: ByteSource, now: ByteSource, ranges: readonly UndoRange[], step: number): Edit {
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  for (const { offset, length } of ranges) {
    start = Math.min(start, offset);
    end = Math.max(end, offset + length);
  }
  const bytes = Buffer.from(now.read(start, end - start));
  for (const { offset, length, was } of ranges) {
    const at = offset - start;
    if (was.kind === 'literal') was.bytes.copy(bytes, at);
    else if (was.kind === 'copy') source.read(was.from, length).copy(bytes, at);
    else bytes.fill(filling(was), at, at + length);
  }
  return { offset: start, bytes, step, why: 'what was there before elfnote' };
}
