import { PF_W, PT_LOAD } from '../../elf/constants.js';
import { addressOfOffset, type CacheNoteLocation } from '../../elf/image.js';
import type { ElfView } from '../../elf/view.js';
import { ownEnd } from '../../note/own.js';
import type { SkipPlan } from '../model/plan.js';

/**
 * Refuses what no release can leave sound, where no record says what was there before: notes that another tool has moved
 * or cut, or a file that is damaged.
 */
export function refuseRelease(view: ElfView): SkipPlan | undefined {
  for (const note of view.image.cacheNotes) {
    const detail = whyNotReleasable(view, note);
    if (detail !== undefined) return { kind: 'skip', reason: 'unsupported-layout', detail };
  }
  return undefined;
}

function whyNotReleasable({ image, source }: ElfView, note: CacheNoteLocation): string | undefined {
  const { programHeaders } = image;
  const notes = note.segment === undefined ? undefined : programHeaders[note.segment];
  if (notes === undefined) return undefined;
  const end = notes.p_offset + notes.p_filesz;
  // What is left of the PT_NOTE would be read as notes, and is none.
  if (end !== ownEnd(image, source, note)) return 'the PT_NOTE of the cache note does not end with it';
  if (addressOfOffset(programHeaders, notes.p_offset, notes.p_filesz) !== notes.p_vaddr)
    return 'the PT_NOTE of the cache note is not where it says';
  const isWritable = programHeaders.some(
    p =>
      p.p_type === PT_LOAD &&
      (p.p_flags & PF_W) !== 0 &&
      p.p_offset <= note.offset &&
      p.p_offset + p.p_filesz === end,
  );
  return isWritable ? 'the cache note ends a segment that is written to' : undefined;
}
