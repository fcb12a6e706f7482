import { type CacheEntry, encodeDescriptor, NOTE_ALIGN } from '../cache/note.js';
import type { ByteSource } from '../elf/bytes.js';
import { PF_R, PT_LOAD } from '../elf/constants.js';
import type { CacheNoteLocation, ElfImage } from '../elf/image.js';
import { readImage } from '../elf/read.js';
import { planNote } from './ladder.js';
import { type Edit, type Plan, STEP, type WritePlan } from './plan.js';
import { releasedSource, releaseNote } from './release.js';

/** Decides what becomes of a file, given the entries its note should have: nothing, a new note, another one, none. */
export function planFile(image: ElfImage, source: ByteSource, entries: readonly CacheEntry[]): Plan {
  const [note, ...more] = image.cacheNotes;
  if (note === undefined) {
    if (entries.length > 0) return planNote(image, source, entries);
    return { kind: 'skip', reason: 'nothing-to-record', detail: 'no soname was found over the run path' };
  }
  if (more.length === 0 && isRight(image, source, note, entries)) return { kind: 'keep' };
  return replaceNotes(image, source, entries);
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

/** Releases every old note, then plans on what is left; two commits, each safe at every step. */
function replaceNotes(image: ElfImage, source: ByteSource, entries: readonly CacheEntry[]): WritePlan {
  let current = image;
  let view = source;
  let atomicHeader = true;
  const edits: Edit[] = [];
  let base = 0;
  const append = (more: readonly Edit[]) => {
    edits.push(...more.map(edit => ({ ...edit, step: edit.step + base })));
    base += STEP.cleanup + 1;
  };
  for (let note = current.cacheNotes[0]; note !== undefined; note = current.cacheNotes[0]) {
    const release = releaseNote(current, view, note);
    append(release.edits);
    atomicHeader &&= release.atomicHeader;
    view = releasedSource(view, release);
    current = readImage(view);
  }
  const next = entries.length > 0 ? planNote(current, view, entries) : undefined;
  if (next?.kind === 'write') {
    append(next.edits);
    return { ...next, edits, atomicHeader: atomicHeader && next.atomicHeader };
  }
  return {
    kind: 'write',
    rung: { note: 'removed', table: 'none' },
    edits,
    size: view.size,
    entries: [],
    moved: [],
    addedLoads: 0,
    atomicHeader,
    hasSection: true,
  };
}
