import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PT_INTERP, PT_NOTE } from '../../../src/elf/constants.js';
import type { ProgramHeader } from '../../../src/elf/image.js';
import { costOf } from '../../../src/layout/rungs/cost.js';
import { type Block, NO_SPARE } from '../../../src/layout/rungs/room.js';
import { image, program } from '../../support/image.js';

describe('a note is lost to the kernel, which looks for a build-id in the first page,', () => {
  const SIZE = 0x24;
  const note = (p_offset: number) => program({ p_type: PT_NOTE, p_offset, p_filesz: SIZE });
  const interp = (p_offset: number) => program({ p_type: PT_INTERP, p_offset, p_filesz: SIZE });

  /** Whether it is when a block that has all these in it, the first at its start, moves. */
  function isLost(programHeaders: readonly ProgramHeader[], to: number, twin?: number): boolean {
    const start = programHeaders[0]?.p_offset ?? 0;
    const size = SIZE * programHeaders.length;
    const front: Block = {
      ...{ start, end: start + size, size, address: start, align: 4 },
      ...{ sections: [], segments: programHeaders.map((_, i) => i), tags: [], names: [] },
    };
    const spare = { ...NO_SPARE, twin };
    const room = { kind: 'move-notes', spare, front, note: undefined, load: undefined } as const;
    const [at, behind] = [to, to + size].map(offset => ({ offset, address: offset }));
    assert.ok(at !== undefined && behind !== undefined);
    const place = {
      kind: 'slack',
      front: at,
      note: behind,
      load: 0,
      newLoad: undefined,
      end: 0x9000,
    } as const;
    const { losses } = costOf(image({ programHeaders }), { room, place, sections: undefined });
    assert.ok(losses === 0 || losses === 1, `another loss: ${losses}`);
    return losses === 1;
  }

  const LAST = 4096 - SIZE;
  it('as soon as its last bytes leave that', () => {
    assert.deepEqual([isLost([note(0x300)], LAST), isLost([note(0x300)], LAST + 4)], [false, true]);
  });

  it('if all of it was there', () => {
    assert.deepEqual([isLost([note(LAST)], 0x2000), isLost([note(LAST + 4)], 0x2000)], [true, false]);
  });

  it('also where another segment moves with it, and without it nothing is', () => {
    assert.ok(isLost([interp(0x300), note(0x300 + SIZE)], 0x2000));
    assert.ok(!isLost([interp(0x300)], 0x2000));
  });

  it('but for one whose program header the cache note takes', () => {
    const both = [note(0x300), note(0x300 + SIZE)];
    assert.ok(!isLost(both.slice(0, 1), 0x2000, 0));
    assert.ok(isLost(both, 0x2000, 0));
    assert.ok(isLost(both, 0x2000, 1));
  });
});
