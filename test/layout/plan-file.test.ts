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

test('a note that says nothing is not kept where there is nothing to say', () => {
  assert.notEqual(planKind([], []), 'keep');
});
