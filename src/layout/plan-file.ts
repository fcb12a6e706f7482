import { type CacheEntry, encodeDescriptor, NOTE_ALIGN } from '../cache/note.js';
import { type ByteSource, PatchedSource } from '../elf/bytes.js';
import { PF_R, PT_LOAD } from '../elf/constants.js';
import type { CacheNoteLocation, ElfImage } from '../elf/image.js';
import { readImage } from '../elf/read.js';
import { planNote, refuse } from './ladder.js';
import {
  type Edit,
  type Plan,
  type PlanOptions,
  type Removal,
  type SkipPlan,
  STEP,
  type WritePlan,
} from './plan.js';
import { releaseNote } from './release.js';
import { restoreOriginal } from './restore.js';

/** Decides what becomes of a file, given the entries its note should have: nothing, a new note, another one, none. */
export function planFile(
  image: ElfImage,
  source: ByteSource,
  entries: readonly CacheEntry[],
  options: PlanOptions = {},
): Plan {
  const [note, ...more] = image.cacheNotes;
  if (note === undefined) {
    if (entries.length > 0) return planNote(image, source, entries, options);
    return { kind: 'skip', reason: 'nothing-to-record', detail: 'no soname was found over the run path' };
  }
  if (more.length === 0 && isRight(image, source, note, entries)) return { kind: 'keep' };
  const refusal = refuse(image);
  if (refusal !== undefined) return refusal;
  return replaceNotes(image, source, entries, options);
}

/** Takes every note out; `skip` when there is none. */
export function planRemoval(image: ElfImage, source: ByteSource): WritePlan | SkipPlan {
  if (image.cacheNotes.length === 0) return { kind: 'skip', reason: 'no-note', detail: 'has no cache note' };
  return refuse(image) ?? replaceNotes(image, source, [], {});
}

/** The descriptor says the entries, and stands where every reader finds it. */
function isRight(
  image: ElfImage,
  source: ByteSource,
  note: CacheNoteLocation,
  entries: readonly CacheEntry[],
): boolean {
  const segment = note.segment === undefined ? undefined : image.programHeaders[note.segment];
  if (entries.length === 0 || segment?.p_align !== NOTE_ALIGN || segment.p_vaddr % NOTE_ALIGN !== 0)
    return false;
  const loaded = image.programHeaders.some(
    p =>
      p.p_type === PT_LOAD &&
      (p.p_flags & PF_R) !== 0 &&
      p.p_offset <= segment.p_offset &&
      segment.p_offset + segment.p_filesz <= p.p_offset + p.p_filesz &&
      p.p_vaddr - p.p_offset === segment.p_vaddr - segment.p_offset,
  );
  return loaded && source.read(note.descOffset, note.n_descsz).equals(encodeDescriptor(entries));
}

/**
 * Takes the old notes out, then plans on what is left: two commits, each safe at every step. elfnote's own note is
 * undone, so that an update gives the bytes that a first run would have given; another's is released.
 */
function replaceNotes(
  image: ElfImage,
  source: ByteSource,
  entries: readonly CacheEntry[],
  options: PlanOptions,
): WritePlan {
  let current = image;
  let view = source;
  let inPlaceIsSafe = true;
  let exact = true;
  let base = 0;
  const edits: Edit[] = [];
  const after = (more: readonly Edit[]) => more.map(edit => ({ ...edit, step: edit.step + base }));
  for (let note = current.cacheNotes[0]; note !== undefined; note = current.cacheNotes[0]) {
    const restore = restoreOriginal(current, view, note);
    const out = restore ?? releaseNote(current, view, note, { keepSection: entries.length > 0 });
    edits.push(...after(out.edits));
    base += STEP.cleanup + 1;
    exact &&= restore !== undefined;
    inPlaceIsSafe &&= out.inPlaceIsSafe;
    view = new PatchedSource(view, out.edits, out.size);
    current = readImage(view);
  }
  // What was cut off may be written over again, and must read as a file's new end does.
  const cut = image.size - view.size;
  if (cut > 0) {
    edits.push({ offset: view.size, bytes: Buffer.alloc(cut), step: base, why: 'bytes that are cut off' });
    base++;
  }
  const removal: Removal = { edits: [...edits], size: view.size, exact };
  const next = entries.length > 0 ? planNote(current, view, entries, options) : undefined;
  if (next?.kind === 'write') {
    const all = [...edits, ...after(next.edits)];
    return { ...next, edits: all, removal, inPlaceIsSafe: inPlaceIsSafe && next.inPlaceIsSafe };
  }
  return {
    kind: 'write',
    rung: { note: 'removed', table: 'none' },
    edits,
    removal,
    size: view.size,
    entries: [],
    moved: [],
    addedLoads: 0,
    inPlaceIsSafe,
    hasSection: true,
    whyRemoved: next?.detail ?? 'nothing to record',
  };
}
