import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { BufferSource } from '../../src/elf/bytes.js';
import { CACHE_NOTE_SECTION, SHT_NOBITS, SHT_NULL, SHT_PROGBITS } from '../../src/elf/constants.js';
import type { CacheNoteLocation, SectionHeader } from '../../src/elf/image.js';
import { ElfView } from '../../src/elf/view.js';
import { CONTENTS } from '../../src/write/invariants/contents.js';
import { Side } from '../../src/write/invariants/invariant.js';
import { FIXTURES } from '../support/cli.js';
import { image, program, section } from '../support/image.js';
import { noted } from '../support/noted.js';

const SIZE = 0x1000;
const NULL = section({ sh_type: SHT_NULL, sh_flags: 0 });
/** Notes have names and places of their own. */
const note = (name: string, sh_offset: number) => section({ name, sh_offset, sh_size: 32 });
/** As a note leaves it behind that has moved: its place, and a part of its name. */
const abandoned = (name: string, sh_offset: number) => ({ ...note(name, sh_offset), sh_type: SHT_NULL });
const BUILD_ID = note('.note.gnu.build-id', 0x200);

/** All that is loaded at its offset, and nothing in it. */
const sideOf = (sectionHeaders: readonly SectionHeader[], cacheNotes: readonly CacheNoteLocation[]) =>
  new Side(
    new ElfView(
      {
        ...image({
          programHeaders: [program({ p_filesz: SIZE })],
          sectionHeaders: [NULL, ...sectionHeaders],
        }),
        cacheNotes,
      },
      new BufferSource(Buffer.alloc(SIZE)),
    ),
  );

/** In no section of its own. */
const CACHE_NOTE: CacheNoteLocation = {
  segment: 0,
  section: undefined,
  offset: 0x800,
  address: 0x800,
  descOffset: 0x814,
  n_descsz: 4,
  end: 0x818,
};

/** Section headers behind the first, before and after a commit. */
function faults(
  before: readonly SectionHeader[],
  after: readonly SectionHeader[],
  notes: readonly CacheNoteLocation[] = [],
): string[] {
  const { plan } = noted(readFileSync(join(FIXTURES, 'kinds/pie-bfd')), 20);
  const [commit] = plan.commits;
  assert.ok(commit !== undefined);
  const found: string[] = [];
  for (const { check } of CONTENTS) {
    const step = { before: sideOf(before, notes), after: sideOf(after, notes), commit, plan };
    check(step, fault => found.push(fault.replace(/:.*/, '')));
  }
  return found;
}

describe('the verifier refuses that a section', () => {
  it('goes', () => {
    assert.deepEqual(faults([BUILD_ID], [BUILD_ID]), []);
    assert.deepEqual(faults([BUILD_ID], []), ['section 1 changed']);
  });

  it('has another header, but for notes, whose old one stays where it was', () => {
    const [left, moved] = [abandoned('note.gnu.build-id', 0x200), note('.note.gnu.build-id', 0x400)];
    assert.deepEqual(faults([BUILD_ID], [left, moved]), []);
    assert.deepEqual(faults([BUILD_ID], [{ ...left, sh_offset: 0x208 }, moved]), ['section 1 changed']);
    const [text, textLeft, textMoved] = [BUILD_ID, left, moved].map(one => ({
      ...one,
      sh_type: one.sh_type === SHT_NULL ? SHT_NULL : SHT_PROGBITS,
    }));
    assert.ok(text !== undefined && textLeft !== undefined && textMoved !== undefined);
    assert.deepEqual(faults([text], [textLeft, textMoved]), ['section 1 changed']);
  });

  it('has the header of another one that was there', () => {
    const twin = { ...BUILD_ID, sh_offset: 0x400 };
    const left = abandoned('note.gnu.build-id', 0x200);
    assert.deepEqual(faults([BUILD_ID, twin], [left, twin]), ['section 1 changed']);
  });

  it('has another name, also where there is a cache note', () => {
    const named = { ...BUILD_ID, name: '.note.other' };
    for (const notes of [[], [CACHE_NOTE]]) {
      assert.deepEqual(faults([BUILD_ID], [BUILD_ID], notes), []);
      assert.deepEqual(faults([BUILD_ID], [named], notes), ['section 1 has another name']);
    }
  });

  it('is made of a header that is not used, but for the one that a note has left', () => {
    const own = note(CACHE_NOTE_SECTION, 0x400);
    assert.deepEqual(faults([{ ...NULL, name: CACHE_NOTE_SECTION }], [own]), []);
    assert.deepEqual(faults([{ ...NULL, name: '.other' }], [own]), ['section 1 changed']);
  });

  it('of the name of the cache note becomes one, unless its header is not used', () => {
    const other = section({ name: CACHE_NOTE_SECTION, sh_type: SHT_PROGBITS, sh_offset: 0x200, sh_size: 8 });
    assert.deepEqual(faults([other], [note(CACHE_NOTE_SECTION, 0x400)]), ['section 1 changed']);
  });

  it('is not loaded where it moved to, but for what has no bytes in the file', () => {
    const moved = { ...BUILD_ID, sh_offset: 0x400 };
    assert.deepEqual(faults([BUILD_ID], [moved]), ['section .note.gnu.build-id is not loaded']);
    for (const sh_type of [SHT_NOBITS, SHT_NULL]) {
      assert.deepEqual(faults([{ ...BUILD_ID, sh_type }], [{ ...moved, sh_type }]), []);
    }
  });
});
