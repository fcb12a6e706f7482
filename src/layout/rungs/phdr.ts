import { DF_1_PIE, DT_FLAGS_1, ET_DYN, PT_INTERP, PT_PHDR } from '../../elf/constants.js';
import type { ElfImage } from '../../elf/image.js';
import type { Ground } from './ground.js';
import { NO_SPARE, type Room, type StillRoom } from './room.js';

/** `phdr`: one entry, that of a `PT_PHDR` that nobody needs. */
export function phdr({ image }: Ground): StillRoom | undefined {
  const index = needlessPhdr(image);
  if (index === undefined) return undefined;
  const spare = { ...NO_SPARE, phdr: index };
  return { kind: 'phdr', spare, front: undefined, note: undefined, load: undefined };
}

/** Another room, with one more entry. */
export function withPhdr<T extends Room>({ image }: Ground, find: () => T | undefined): T | undefined {
  const index = needlessPhdr(image);
  const room = index === undefined ? undefined : find();
  return room && { ...room, spare: { ...room.spare, phdr: index } };
}

/**
 * The index of a `PT_PHDR` that nobody needs, so that its entry is free for use. lld writes one into every
 * shared object. It tells a program where it is loaded; of a library the loader knows that from its own `mmap`, and
 * finds the table through the `PT_LOAD` that holds it (glibc `_dl_map_segments`, musl `map_library`, bionic
 * `ElfReader::FindPhdr`).
 */
function needlessPhdr({ header, programHeaders, dynamic }: ElfImage): number | undefined {
  if (header.e_type !== ET_DYN || programHeaders.some(p => p.p_type === PT_INTERP)) return undefined;
  // A program that relocates itself, without a loader.
  const flags = dynamic?.entries.findLast(entry => entry.d_tag === DT_FLAGS_1)?.d_val ?? 0;
  if (Math.floor(flags / DF_1_PIE) % 2 === 1) return undefined;
  const index = programHeaders.findIndex(p => p.p_type === PT_PHDR);
  return index < 0 ? undefined : index;
}
