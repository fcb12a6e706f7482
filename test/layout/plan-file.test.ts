import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Encoding } from '../../src/elf/bytes.js';
import { planFile } from '../../src/layout/plan-file.js';
import { type CacheEntry, encodeNote } from '../../src/note/cache.js';
import { buildElf } from '../support/elf-builder.js';
import { viewOf } from '../support/plans.js';

const ENTRIES: readonly CacheEntry[] = [{ soname: 'liba.so', steps: [{ kind: 'path', path: '/s/liba.so' }] }];
const LITTLE = new Encoding(true, true);

function planKind(entries: readonly CacheEntry[], ...notes: readonly (readonly CacheEntry[])[]): string {
  const { bytes } = buildElf({
    needed: ['liba.so'],
    runpath: '/s',
    notes: notes.map(note => ({ bytes: encodeNote(note, LITTLE) })),
  });
  return planFile(viewOf(bytes), { entries }).kind;
}

test('a file with the note that it should have is kept, not one with a second note', () => {
  assert.equal(planKind(ENTRIES, ENTRIES), 'keep');
  assert.notEqual(planKind(ENTRIES, ENTRIES, ENTRIES), 'keep');
});

test('a note that no loader reads is not kept', () => {
  const { bytes, at } = buildElf({
    needed: ['liba.so'],
    runpath: '/s',
    notes: [{ bytes: encodeNote(ENTRIES, LITTLE) }],
  });
  const header = (type: number) =>
    Array.from({ length: bytes.readUInt16LE(56) }, (_, i) => at.phoff + 56 * i).find(
      offset => bytes.readUInt32LE(offset) === type,
    ) ?? 0;
  const [load, note] = [header(1), header(4)];
  const start = Number(bytes.readBigUInt64LE(note + 8));
  const kindWith = (...fields: (readonly [offset: number, value: number])[]) => {
    const changed = Buffer.from(bytes);
    for (const [offset, value] of fields) changed.writeBigUInt64LE(BigInt(value), offset);
    return planFile(viewOf(changed), { entries: ENTRIES }).kind;
  };
  assert.equal(kindWith(), 'keep');
  assert.notEqual(kindWith([note + 16, 0x10000 + start + 4]), 'keep', 'it is at another address');
  assert.notEqual(kindWith([note + 48, 8]), 'keep', 'it is aligned otherwise');
  const flags = Buffer.from(bytes);
  flags.writeUInt32LE(2, load + 4);
  assert.notEqual(planFile(viewOf(flags), { entries: ENTRIES }).kind, 'keep', 'it is not readable');
});

test('a note that says nothing is not kept where there is nothing to say', () => {
  assert.notEqual(planKind([], []), 'keep');
});
