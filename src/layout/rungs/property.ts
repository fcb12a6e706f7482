import { PT_GNU_PROPERTY, PT_NOTE } from '../../elf/constants.js';
import type { ElfImage } from '../../elf/image.js';
import type { Ground } from './ground.js';
import { type MovedRoom, NO_SPARE, type Spare, type StillRoom } from './room.js';

/** GNU ld writes the property note twice, into an 8-aligned `PT_NOTE` of its own and into `PT_GNU_PROPERTY`. */
const PROPERTY_ALIGN = 8;

/** `property`: one entry, that of a `PT_NOTE` that says nothing that `PT_GNU_PROPERTY` does not say. */
export function property(ground: Ground): StillRoom | undefined {
  return withTwin(ground, () => still(NO_SPARE));
}

/** Another room in which nothing moves, with one more entry. */
export function withTwin({ image }: Ground, find: () => StillRoom | undefined): StillRoom | undefined {
  const twin = twinOfProperty(image);
  const room = twin === undefined ? undefined : find();
  return room && still({ ...room.spare, twin });
}

/** A room in which something moves, with one more entry. */
export function movedWithTwin({ image }: Ground, find: () => MovedRoom | undefined): MovedRoom | undefined {
  const twin = twinOfProperty(image);
  const room = twin === undefined ? undefined : find();
  return room && { ...room, spare: { ...room.spare, twin } };
}

function still(spare: Spare): StillRoom {
  return { kind: 'property', spare, front: undefined, note: undefined, load: undefined };
}

/**
 * The index of an 8-aligned `PT_NOTE` that covers what `PT_GNU_PROPERTY` covers, so that it can become the
 * cache note's own. Nothing moves, and the build-id keeps its `PT_NOTE`. The properties keep `PT_GNU_PROPERTY` and
 * their section, by which the kernel (`load_elf_binary`), ld.so since 2.32 (`_dl_process_pt_gnu_property`), readelf and
 * gdb find them. The ld.so of 2.28 to 2.31 took them from that `PT_NOTE`, for shadow stacks that no kernel of its time
 * had.
 */
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
