import { PT_GNU_PROPERTY, PT_NOTE } from '../../elf/constants.js';
import type { ElfImage } from '../../elf/image.js';
import { free } from './free.js';
import type { Ground } from './ground.js';
import { moveLeading } from './move-notes.js';
import type { Room } from './room.js';

/** GNU ld writes the property note twice, into an 8-aligned `PT_NOTE` of its own and into `PT_GNU_PROPERTY`. */
const PROPERTY_ALIGN = 8;

/**
 * `property`: an 8-aligned `PT_NOTE` covers what `PT_GNU_PROPERTY` covers, and becomes the cache note's own. Nothing
 * moves, and the build-id keeps its `PT_NOTE`. The properties keep `PT_GNU_PROPERTY` and their section, by which the
 * kernel (`load_elf_binary`), ld.so since 2.32 (`_dl_process_pt_gnu_property`), readelf and gdb find them. The ld.so
 * of 2.28 to 2.31 took them from that `PT_NOTE`, for shadow stacks that no kernel of its time had.
 *
 * @param needed entries for other things, which must find room of their own.
 */
export function property(ground: Ground, needed: number): Room | undefined {
  const reused = twinOfProperty(ground.image);
  if (reused === undefined) return undefined;
  const room = needed === 0 ? NOTHING : free(ground, needed);
  return room && { ...room, kind: 'property', reused, vacated: true };
}

/** `property`, where notes move for the entry of a new segment. */
export function propertyByMoving(ground: Ground, needed: number): Room | undefined {
  const reused = twinOfProperty(ground.image);
  if (reused === undefined) return undefined;
  const found = moveLeading(ground, 'move-notes', needed);
  return found && { ...found.room, reused, vacated: true };
}

const NOTHING: Room = { kind: 'property', block: undefined, nullsUsed: 0, reused: undefined };

/** Index of the one `PT_NOTE` that covers exactly what the one `PT_GNU_PROPERTY` covers. */
function twinOfProperty({ programHeaders }: ElfImage): number | undefined {
  const [property, ...more] = programHeaders.filter(p => p.p_type === PT_GNU_PROPERTY);
  if (property === undefined || more.length > 0 || property.p_filesz === 0) return undefined;
  const index = programHeaders.findIndex(
    p => p.p_type === PT_NOTE && p.p_offset === property.p_offset && p.p_vaddr === property.p_vaddr,
  );
  const note = programHeaders[index];
  if (note?.p_align !== PROPERTY_ALIGN || property.p_align !== PROPERTY_ALIGN) return undefined;
  const same = note.p_filesz === property.p_filesz && note.p_memsz === property.p_memsz;
  return same ? index : undefined;
}
