import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BufferSource } from '../../../src/elf/bytes.js';
import { SHT_NOBITS } from '../../../src/elf/constants.js';
import { occupiedRanges, tableEnd } from '../../../src/layout/model/occupied.js';
import { Ground } from '../../../src/layout/rungs/ground.js';
import { image, program, section } from '../../support/image.js';

test('patchelf needs a second spare entry where a section without bytes starts before the end of the table', () => {
  const sparesAt = (sh_offset: number) => {
    const file = image({
      programHeaders: [program({ p_filesz: 0x800 })],
      sectionHeaders: [section({ sh_type: 0 }), section({ sh_type: SHT_NOBITS, sh_offset, sh_size: 8 })],
    });
    const { size } = file;
    return {
      end: tableEnd(file),
      spares: new Ground(file, new BufferSource(Buffer.alloc(size)), occupiedRanges(file)).spares(),
    };
  };
  const { end } = sparesAt(0);
  assert.deepEqual(
    [0, end - 1, end].map(at => sparesAt(at).spares),
    [2, 2, 1],
  );
});

test('what starts next behind an offset is the first group that ends behind it, also the last of all', () => {
  const file = image({
    programHeaders: [program({ p_filesz: 0x800 })],
    sectionHeaders: [
      section({ sh_type: 0 }),
      section({ sh_offset: 0x300, sh_size: 0x20 }),
      section({ sh_offset: 0x310, sh_size: 0x20 }),
      section({ sh_offset: 0x400, sh_size: 0x10 }),
    ],
  });
  const ground = new Ground(file, new BufferSource(Buffer.alloc(file.size)), occupiedRanges(file));
  assert.deepEqual(
    [0x200, 0x32f, 0x330, 0x40f, 0x410].map(offset => ground.nextBehind(offset)),
    [0x300, 0x300, 0x400, 0x400, undefined],
  );
});
