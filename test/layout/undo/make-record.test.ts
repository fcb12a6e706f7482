import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { BufferSource } from '../../../src/elf/bytes.js';
import { changed } from '../../../src/elf/view.js';
import { recordOf } from '../../../src/layout/undo/make-record.js';
import type { UndoRange } from '../../../src/note/undo.js';

/** The same inputs every time, so that a failure is the change's own; `FC_SEED` tries others. */
fc.configureGlobal({ seed: Number(process.env.FC_SEED ?? 20261126) });

/** What is told of one edit at a file offset, which neither writes notes nor the program header table. */
function told(before: Buffer, offset: number, bytes: Buffer): readonly UndoRange[] {
  const source = new BufferSource(before);
  const edits = [{ offset, bytes, step: 1, why: 'a test' }];
  const record = recordOf({
    before: source,
    after: changed(source, [{ edits, size: Math.max(before.length, offset + bytes.length) }]),
    edits,
    inPlaceIsSafe: true,
    payload: { offset: before.length, size: 0 },
    tableEnd: 0,
  });
  return record.writes.flat();
}

/** Bytes of a file of `size`, none of them zero, and an edit over all of it that changes those at some indexes. */
function changing(size: number, ...indexes: readonly number[]): readonly UndoRange[] {
  const before = Buffer.from(Array.from({ length: size }, (_, i) => 1 + (i % 200)));
  const after = Buffer.from(before);
  for (const i of indexes) after[i] = 255;
  return told(before, 0, after);
}

const spans = (ranges: readonly UndoRange[]) => ranges.map(({ offset, length }) => [offset, offset + length]);

describe('what a record tells of an edit', () => {
  test('is every run of bytes that changes, joined over at most two that do not', () => {
    assert.deepEqual(spans(changing(64, 10, 13, 17, 18)), [
      [10, 14],
      [17, 19],
    ]);
  });

  test('is so wherever runs are and however far apart, also in an edit that is larger than a page', () => {
    assert.deepEqual(spans(changing(5003, 0, 4, 5, 30, 4094, 4097, 5002)), [
      [0, 1],
      [4, 6],
      [30, 31],
      [4094, 4098],
      [5002, 5003],
    ]);
  });

  test('is one range of zeros from the first to the last that become something', () => {
    const after = Buffer.alloc(100);
    after[7] = 1;
    after[90] = 1;
    assert.deepEqual(told(Buffer.alloc(100), 0, after), [{ offset: 7, length: 84, was: { kind: 'zeros' } }]);
  });

  test('is nothing where nothing changes, and nothing behind the end of the file', () => {
    assert.deepEqual(changing(64), []);
    assert.deepEqual(told(Buffer.alloc(64), 0, Buffer.alloc(64)), []);
    assert.deepEqual(told(Buffer.alloc(64, 1), 64, Buffer.alloc(64, 2)), []);
  });

  test('undoes it, and tells no stretch of more than two bytes that stay', () => {
    const byte = fc.oneof(fc.constant(0), fc.nat(255));
    const stays = fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(byte, byte, stays), { minLength: 1, maxLength: 300 }),
        fc.nat(9),
        (all, at) => {
          const before = Buffer.from([...Array(at).fill(7), ...all.map(([old]) => old)]);
          const bytes = Buffer.from(all.map(([old, now, stays]) => (stays ? old : now)));
          const after = Buffer.concat([before.subarray(0, at), bytes]);
          const undone = Buffer.from(after);
          for (const { offset, length, was } of told(before, at, bytes)) {
            if (was.kind === 'literal') was.bytes.copy(undone, offset);
            else if (was.kind === 'copy') after.copy(undone, offset, was.from, was.from + length);
            else undone.fill(0, offset, offset + length);
            if (was.kind === 'literal') assert.ok(longestSame(before, after, offset, length) <= 2);
          }
          assert.deepEqual(undone, before);
        },
      ),
    );
  });
});

const X = (count: number) => Buffer.alloc(count, 'X');
const ZEROS = (count: number) => Buffer.alloc(count);

/** What is told of notes that take the place of some bytes in front of others, and of an edit that changes these. */
function toldOfNotes(
  old: Buffer,
  behind: Buffer,
  notes = Buffer.alloc(old.length, 'n'),
  changedBehind = behind,
): readonly UndoRange[] {
  const before = new BufferSource(Buffer.concat([old, behind]));
  const edits = [
    { offset: 0, bytes: notes, step: 1, why: 'the notes' },
    { offset: old.length, bytes: changedBehind, step: 1, why: 'a test' },
  ];
  const after = changed(before, [{ edits, size: Math.max(before.size, notes.length) }]);
  const payload = { offset: 0, size: notes.length };
  return recordOf({ before, after, edits, inPlaceIsSafe: true, payload, tableEnd: 0 }).writes.flat();
}

const copy = (offset: number, length: number, from: number) => ({
  offset,
  length,
  was: { kind: 'copy', from },
});
const zeros = (offset: number, length: number) => ({ offset, length, was: { kind: 'zeros' } });
const literal = (offset: number, bytes: Buffer) => ({
  offset,
  length: bytes.length,
  was: { kind: 'literal', bytes },
});

describe('what a record tells of what the notes are written over', () => {
  test('is one range of zeros, also where there are more behind it', () => {
    assert.deepEqual(toldOfNotes(ZEROS(64), ZEROS(64)), [zeros(0, 64)]);
    assert.deepEqual(toldOfNotes(ZEROS(64), X(0)), [zeros(0, 64)]);
  });

  test('leads to what is the same behind the notes, as often as it takes', () => {
    assert.deepEqual(toldOfNotes(X(64), X(64)), [copy(0, 64, 64)]);
    assert.deepEqual(toldOfNotes(X(64), X(32)), [copy(0, 32, 64), copy(32, 32, 64)]);
  });

  test('is told byte by byte where that is shorter than a range, at the end or as a whole', () => {
    assert.deepEqual(toldOfNotes(X(64), X(24)), [copy(0, 24, 64), copy(24, 24, 64), literal(48, X(16))]);
    assert.deepEqual(toldOfNotes(X(17), X(17)), [copy(0, 17, 17)]);
    assert.deepEqual(toldOfNotes(X(16), X(16)), [literal(0, X(16))]);
  });

  test('is zeros where these follow what leads there', () => {
    assert.deepEqual(toldOfNotes(Buffer.concat([X(24), ZEROS(40)]), X(24)), [copy(0, 24, 64), zeros(24, 40)]);
  });

  test('leads to nothing that changes', () => {
    const told = toldOfNotes(X(32), X(32), undefined, Buffer.concat([X(31), ZEROS(1)]));
    assert.deepEqual(told, [literal(0, X(32)), literal(63, X(1))]);
  });

  test('is told byte by byte at the end of a file, also where the notes make it longer', () => {
    assert.deepEqual(toldOfNotes(X(32), X(0)), [literal(0, X(32))]);
    assert.deepEqual(toldOfNotes(X(32), X(0), Buffer.alloc(64, 'n')), [literal(0, X(32))]);
  });

  test('is nothing where it is what the notes are', () => {
    assert.deepEqual(toldOfNotes(X(32), X(32), X(32)), []);
  });
});

/** The most bytes side by side that are the same, of those from `offset` on. */
function longestSame(before: Buffer, after: Buffer, offset: number, length: number): number {
  let longest = 0;
  let now = 0;
  for (let i = offset; i < offset + length; i++) {
    now = before[i] === after[i] ? now + 1 : 0;
    longest = Math.max(longest, now);
  }
  return longest;
}
