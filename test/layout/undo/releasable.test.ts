import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BufferSource } from '../../../src/elf/bytes.js';
import { PF_R, PF_W, PT_NOTE } from '../../../src/elf/constants.js';
import type { CacheNoteLocation, ProgramHeader } from '../../../src/elf/image.js';
import { ElfView } from '../../../src/elf/view.js';
import { refuseRelease } from '../../../src/layout/undo/releasable.js';
import { image, program } from '../../support/image.js';

/** A note of 0x40 bytes at 0x800, behind which nothing of elfnote's follows. */
const NOTE: CacheNoteLocation = {
  segment: 1,
  section: undefined,
  offset: 0x800,
  address: 0x800,
  descOffset: 0x814,
  n_descsz: 0x29,
  end: 0x840,
};

function reasonOf(load: Partial<ProgramHeader>, notes: Partial<ProgramHeader>): string | undefined {
  const programHeaders = [
    program({ p_flags: PF_R, p_filesz: 0x840, ...load }),
    program({ p_type: PT_NOTE, p_offset: 0x800, p_vaddr: 0x800, p_filesz: 0x40, ...notes }),
  ];
  const size = 0x1000;
  const elf = { ...image({ programHeaders, size }), cacheNotes: [NOTE] };
  const refusal = refuseRelease(new ElfView(elf, new BufferSource(Buffer.alloc(size))));
  assert.ok(refusal === undefined || refusal.reason === 'unsupported-layout');
  return refusal?.detail;
}

describe('a note that no record covers is released', () => {
  test('where it ends its PT_NOTE and a segment that nobody writes to', () => {
    assert.equal(reasonOf({}, {}), undefined);
    assert.equal(reasonOf({}, { p_offset: 0x7e0, p_vaddr: 0x7e0, p_filesz: 0x60 }), undefined);
  });

  test('but not where its PT_NOTE goes on behind it, or ends before', () => {
    for (const p_filesz of [0x30, 0x44])
      assert.equal(reasonOf({}, { p_filesz }), 'the PT_NOTE of the cache note does not end with it');
  });

  test('nor where its PT_NOTE says another address', () => {
    assert.equal(reasonOf({}, { p_vaddr: 0x804 }), 'the PT_NOTE of the cache note is not where it says');
  });

  test('nor at the end of a segment that is written to', () => {
    const why = 'the cache note ends a segment that is written to';
    assert.equal(reasonOf({ p_flags: PF_R | PF_W }, {}), why);
    const alone = { p_offset: 0x800, p_vaddr: 0x800, p_filesz: 0x40 };
    assert.equal(reasonOf({ p_flags: PF_R | PF_W, ...alone }, {}), why);
    assert.equal(reasonOf({ p_flags: PF_R, ...alone }, {}), undefined);
  });
});
