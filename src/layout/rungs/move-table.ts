import { PT_LOAD } from '../../elf/constants.js';
import { programHeaderSize } from '../../elf/image.js';
import type { Ground } from './ground.js';
import type { Room } from './room.js';

/**
 * `move-table`: the whole table moves. `AT_PHDR` stays right on old kernels only where `p_vaddr - p_offset` is that
 * of the first segment, which the place has to see to.
 */
export function moveTable({ image }: Ground, needed: number): Room {
  const { programHeaders, encoding } = image;
  const tableSize = (programHeaders.length + needed) * programHeaderSize(encoding);
  const load = programHeaders.findIndex(p => p.p_type === PT_LOAD);
  return { kind: 'move-table', block: undefined, nullsUsed: 0, reused: undefined, load, tableSize };
}
