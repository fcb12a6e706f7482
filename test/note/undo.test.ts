import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Encoding } from '../../src/elf/bytes.js';
import { OWN_DESC_START } from '../../src/note/own.js';
import { decodeUndo, encodeUndo, encodeUndoNote, HASH_SIZE, type UndoRecord } from '../../src/note/undo.js';

const HASH = Buffer.alloc(HASH_SIZE, 7);

const RECORD: UndoRecord = {
  oldSize: 1000,
  newSize: 1300,
  inPlaceIsSafe: true,
  writes: [
    [{ offset: 500, length: 200, was: { kind: 'zeros' } }],
    [
      { offset: 60, length: 2, was: { kind: 'literal', bytes: Buffer.from([1, 2]) } },
      { offset: 100, length: 56, was: { kind: 'copy', from: 600 } },
    ],
  ],
  wrote: HASH,
  was: HASH,
};

describe('the undo record', () => {
  test('is laid out as docs/format.md says', () => {
    const due = [
      ...[1, 1, ...HASH, ...HASH, 0xe8, 0x07, 0xac, 0x02, 3],
      // 500 * 2; 200 * 8 + 4.
      ...[0xe8, 0x07, 0xc4, 0x0c],
      // (700 - 60) * 2 - 1; 2 * 8 + 4 + 1.
      ...[0xff, 0x09, 0x15, 1, 2],
      // 38 * 2; 56 * 8 + 2; 600.
      ...[0x4c, 0xc2, 0x03, 0xd8, 0x04],
    ];
    assert.deepEqual([...encodeUndo(RECORD)], due);
  });

  test('is a note of the owner elfnote, in the byte order of the file', () => {
    const note = encodeUndoNote(RECORD, new Encoding(true, false), 50);
    assert.deepEqual(
      [0, 4, 8].map(at => note.readUInt32BE(at)),
      [8, 50, 3],
    );
    assert.equal(note.toString('latin1', 12, OWN_DESC_START), 'elfnote\0');
    assert.equal(note.length % 4, 0);
  });

  test('reads back as it was written, also where zeros fill it up', () => {
    assert.deepEqual(decodeUndo(encodeUndo(RECORD)), RECORD);
    assert.deepEqual(decodeUndo(encodeUndo(RECORD, 80)), RECORD);
    assert.equal(encodeUndo(RECORD, 80).length, 80);
  });

  test('tells one byte that came over and over, as where patchelf has wiped something, in a few bytes', () => {
    const bytes = Buffer.concat([
      Buffer.from('ab'),
      Buffer.alloc(200, 'X'),
      Buffer.alloc(15, 'Y'),
      Buffer.alloc(70_000, 'Z'),
    ]);
    const record: UndoRecord = {
      ...RECORD,
      oldSize: 100_000,
      newSize: 100_000,
      writes: [[{ offset: 40, length: bytes.length, was: { kind: 'literal', bytes } }]],
    };
    const encoded = encodeUndo(record);
    assert.ok(encoded.length < 70, `${encoded.length} bytes`);
    const [write, ...more] = decodeUndo(encoded)?.writes ?? [];
    assert.ok(write !== undefined && more.length === 0);
    const back = Buffer.alloc(100_000);
    for (const { offset, length, was } of write) {
      if (was.kind === 'literal') was.bytes.copy(back, offset);
      else if (was.kind === 'fill') back.fill(was.byte, offset, offset + length);
    }
    assert.ok(back.subarray(40, 40 + bytes.length).equals(bytes));
  });

  test('does not count when it is of another version, or cut off anywhere', () => {
    const bytes = encodeUndo(RECORD);
    for (let size = 0; size < bytes.length; size++)
      assert.equal(decodeUndo(bytes.subarray(0, size)), undefined);
    bytes[0] = 2;
    assert.equal(decodeUndo(bytes), undefined);
  });

  const contradictions: readonly (readonly [string, Partial<UndoRecord>])[] = [
    ['a range beyond the old size', { oldSize: 699 }],
    [
      'a copy from beyond the file',
      { writes: [[{ offset: 0, length: 9, was: { kind: 'copy', from: 1292 } }]] },
    ],
    [
      'ranges that overlap',
      {
        writes: [
          [{ offset: 10, length: 9, was: { kind: 'zeros' } }],
          [{ offset: 18, length: 9, was: { kind: 'zeros' } }],
        ],
      },
    ],
    ['an empty range', { writes: [[{ offset: 10, length: 0, was: { kind: 'zeros' } }]] }],
  ];
  for (const [what, change] of contradictions) {
    test(`does not count with ${what}`, () => {
      assert.equal(decodeUndo(encodeUndo({ ...RECORD, ...change })), undefined);
    });
  }

  test('any bytes decode or do not count, and never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        const desc = Buffer.from(bytes);
        if (desc.length > 0) desc[0] = 1;
        const record = decodeUndo(desc);
        for (const { offset, length } of record?.writes.flat() ?? []) {
          assert.ok(offset >= 0 && length > 0 && offset + length <= (record?.oldSize ?? 0));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
