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
