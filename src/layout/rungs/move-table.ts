import { PT_LOAD } from '../../elf/constants.js';
import { programHeaderSize } from '../../elf/image.js';
import { tableEnd } from '../model/occupied.js';
import { type Change, NOTHING_MOVED, newEntries, type Target } from './change.js';
import type { Ground } from './ground.js';
import { type Block, type MovedTableRoom, NO_SPARE } from './room.js';

/**
 * `move-table`: the whole table moves. `AT_PHDR` stays right on old kernels only where `p_vaddr - p_offset` is that
 * of the first segment, which the place has to see to.
 */
export function moveTable({ image }: Ground, needed: number): MovedTableRoom {
  const { header, programHeaders, encoding } = image;
  const front: Block = {
    start: header.e_phoff,
    end: tableEnd(image),
    size: (programHeaders.length + needed) * programHeaderSize(encoding),
    address: 0,
    align: encoding.wordSize,
    sections: [],
    segments: [],
    tags: [],
    names: [],
  };
  const load = programHeaders.findIndex(p => p.p_type === PT_LOAD);
  return { kind: 'move-table', spare: NO_SPARE, front, note: undefined, load };
}

export function applyTableMove({ spare }: MovedTableRoom, target: Target): Change {
  const programHeaders = newEntries(target, spare, undefined, undefined);
  return { programHeaders, ...NOTHING_MOVED, table: target.place.front };
}
