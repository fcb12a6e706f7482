import assert from 'node:assert/strict';
import { it } from 'node:test';
import { PT_INTERP, PT_NOTE } from '../../../src/elf/constants.js';
import { placeInTail } from '../../../src/layout/rungs/place.js';
import { type MovedRoom, NO_SPARE, type StillRoom } from '../../../src/layout/rungs/room.js';
import { image, program } from '../../support/image.js';

const FILE_END = 0x3000;

/** `PT_INTERP`, two `PT_LOAD`s and two `PT_NOTE`s, of which one moves. */
function startOf(segment: number): { load: number | undefined; front: number | undefined } {
  const at = { p_offset: 0x200, p_filesz: 0x20 };
  const programHeaders = [
    program({ ...at, p_type: PT_INTERP }),
    program({ p_filesz: 0x800 }),
    program({ p_offset: 0x1000, p_filesz: 0x800 }),
    program({ ...at, p_type: PT_NOTE }),
    program({ ...at, p_type: PT_NOTE }),
  ];
  const front = { start: 0x200, end: 0x220, size: 0x20, address: 0x200, align: 16 };
  const what = { sections: [], segments: [segment], tags: [], names: [] };
  const common = { spare: NO_SPARE, note: undefined, load: undefined };
  const room: MovedRoom = { kind: 'move-notes', front: { ...front, ...what }, ...common };
  const place = placeInTail(image({ size: FILE_END, programHeaders }), room, 0x40, FILE_END);
  return { load: place?.newLoad?.p_offset, front: place?.front?.offset };
}

it('a new segment starts before what has moved into it and stands before the last PT_LOAD', () => {
  const { load, front } = startOf(0);
  assert.equal(load, FILE_END);
  assert.equal(front, FILE_END + 16);
});

it('it starts with the note where nothing has moved', () => {
  const room: StillRoom = {
    kind: 'free',
    spare: NO_SPARE,
    front: undefined,
    note: undefined,
    load: undefined,
  };
  const file = image({ size: FILE_END, programHeaders: [program({ p_filesz: 0x800 })] });
  const place = placeInTail(file, room, 0x40, FILE_END);
  assert.deepEqual([place?.newLoad?.p_offset, place?.note.offset], [FILE_END, FILE_END]);
});

it('it starts with what has moved into it where that stands behind them', () => {
  assert.deepEqual(startOf(3), { load: FILE_END, front: FILE_END });
});
