import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BufferSource } from '../../../src/elf/bytes.js';
import { PT_GNU_PROPERTY, PT_NOTE } from '../../../src/elf/constants.js';
import type { ProgramHeader } from '../../../src/elf/image.js';
import { occupiedRanges } from '../../../src/layout/model/occupied.js';
import { Ground } from '../../../src/layout/rungs/ground.js';
import { extendNote } from '../../../src/layout/rungs/reuse-note.js';
import { makeNote } from '../../support/elf-file.js';
import { image, program } from '../../support/image.js';

const NOTE = makeNote('GNU', 3, Buffer.alloc(20, 7));
const END = 0x800;
const AT = END - NOTE.length;

/** What is found of one program header over a note that ends a segment. */
function found(fields: Partial<ProgramHeader>, load: Partial<ProgramHeader> = {}) {
  const over = program({ p_type: PT_NOTE, p_offset: AT, p_filesz: NOTE.length, ...fields });
  const bytes = Buffer.alloc(0x1000);
  NOTE.copy(bytes, AT);
  const file = image({ size: bytes.length, programHeaders: [program({ p_filesz: END, ...load }), over] });
  const room = extendNote(new Ground(file, new BufferSource(bytes), occupiedRanges(file)));
  return room && [room.kind, room.note, room.load];
}

test('a PT_NOTE that ends its segment may go on', () => {
  assert.deepEqual(found({}), ['extend-note', 1, 0]);
});

test('what is no 4-aligned PT_NOTE of that segment, or ends elsewhere, may not', () => {
  for (const fields of [
    { p_type: PT_GNU_PROPERTY },
    { p_align: 8 },
    { p_memsz: NOTE.length + 4 },
    { p_filesz: 0, p_memsz: 0 },
    { p_vaddr: AT + 4 },
    { p_offset: AT - 4, p_filesz: NOTE.length + 4 },
    { p_filesz: NOTE.length - 4 },
  ])
    assert.equal(found(fields), undefined, JSON.stringify(fields));
  for (const p_filesz of [END - 4, END + 4]) assert.equal(found({}, { p_filesz }), undefined);
});
