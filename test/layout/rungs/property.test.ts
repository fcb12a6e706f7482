import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BufferSource } from '../../../src/elf/bytes.js';
import { PT_GNU_PROPERTY, PT_NOTE } from '../../../src/elf/constants.js';
import type { ProgramHeader } from '../../../src/elf/image.js';
import { occupiedRanges } from '../../../src/layout/model/occupied.js';
import { Ground } from '../../../src/layout/rungs/ground.js';
import { movedWithTwin, property } from '../../../src/layout/rungs/property.js';
import { type MovedRoom, NO_SPARE } from '../../../src/layout/rungs/room.js';
import { image, program } from '../../support/image.js';

const PLACE = { p_offset: 0x200, p_filesz: 0x20, p_align: 8 };
const PROPERTY = program({ ...PLACE, p_type: PT_GNU_PROPERTY });

/** A file with a `PT_NOTE` beside what else there is. */
function groundOf(note: Partial<ProgramHeader>, others = [PROPERTY]): Ground {
  const twin = program({ ...PLACE, p_type: PT_NOTE, ...note });
  const file = image({ size: 0x1000, programHeaders: [program({ p_filesz: 0x800 }), ...others, twin] });
  return new Ground(file, new BufferSource(Buffer.alloc(0x1000)), occupiedRanges(file));
}

const front = { start: 0x300, end: 0x320, size: 0x20, address: 0x300, align: 16 };
const what = { sections: [], segments: [], tags: [], names: [] };
const moved: MovedRoom = {
  kind: 'move-notes',
  spare: NO_SPARE,
  front: { ...front, ...what },
  note: undefined,
  load: undefined,
};

test('the PT_NOTE that PT_GNU_PROPERTY makes needless is one entry, also beside what moves', () => {
  assert.equal(property(groundOf({}))?.spare.twin, 2);
  const room = movedWithTwin(groundOf({}), () => moved);
  assert.deepEqual([room?.kind, room?.spare.twin], ['move-notes', 2]);
  assert.equal(
    movedWithTwin(groundOf({}), () => undefined),
    undefined,
  );
});

test('it covers just the same, and there is one PT_GNU_PROPERTY', () => {
  const nothing = () => assert.fail('there is no such entry');
  for (const note of [
    { p_offset: 0x240 },
    { p_vaddr: 0x240 },
    { p_filesz: 0x18 },
    { p_memsz: 0x28 },
    { p_align: 4 },
  ]) {
    assert.equal(property(groundOf(note)), undefined, JSON.stringify(note));
    assert.equal(movedWithTwin(groundOf(note), nothing), undefined);
  }
  assert.equal(property(groundOf({}, [])), undefined);
  assert.equal(property(groundOf({}, [PROPERTY, PROPERTY])), undefined);
  assert.equal(property(groundOf({ p_align: 4 }, [{ ...PROPERTY, p_align: 4 }])), undefined);
});
