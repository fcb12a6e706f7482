import { type ByteSource, type ByteString, PatchedSource } from '../elf/bytes.js';
import { PF_R, PT_LOAD } from '../elf/constants.js';
import { isProgram, ownReader } from '../elf/dt-audit.js';
import type { CacheNoteLocation, ElfImage } from '../elf/image.js';
import { readImage } from '../elf/read.js';
import { type CacheEntry, encodeDescriptor, NOTE_ALIGN } from '../note/cache.js';
import { compose, noRoomForReader, planWithReader, readerAlone } from './dt-audit/plan.js';
import { releaseReader, restoreWithoutReader } from './dt-audit/removal.js';
import {
  type Commit,
  type Edit,
  type Plan,
  type PlanOptions,
  type Removal,
  type SkipPlan,
  STEP,
  type WritePlan,
} from './model/plan.js';
import { refuse } from './rungs/ladder.js';
import { releaseNote } from './undo/release.js';
import { restoreOriginal } from './undo/restore.js';

/**
 * Decides what becomes of a file, given the entries its note should have: nothing, a new note, another one, none. A
 * program's note may have a reader beside it, which comes and goes with the note.
 *
 * @throws ElfnoteError `unsupported` for a program that cannot have the reader it is to get.
 */
export function planFile(
  image: ElfImage,
  source: ByteSource,
  entries: readonly CacheEntry[],
  options: PlanOptions = {},
): Plan {
  const [note, ...more] = image.cacheNotes;
  const own = ownReader(image, source);
  const reader = isProgram(image) ? (options.reader ?? own) : own;
  if (note === undefined && own === undefined) {
    if (entries.length > 0) return planWithReader(image, source, entries, { ...options, reader });
    return { kind: 'skip', reason: 'nothing-to-record', detail: 'no soname was found over the run path' };
  }
  const isNoteRight = note !== undefined && more.length === 0 && isRight(image, source, note, entries);
  if (isNoteRight && own === reader) return { kind: 'keep' };
  const refusal = refuse(image);
  if (refusal !== undefined) return refusal;
  return isNoteRight && reader !== undefined
    ? changeReader(image, source, entries, { ...options, reader })
    : replan(image, source, entries, { ...options, reader });
}

/** Takes every note out, and the reader; `skip` when there is neither. */
export function planRemoval(image: ElfImage, source: ByteSource): WritePlan | SkipPlan {
  if (image.cacheNotes.length === 0 && ownReader(image, source) === undefined)
    return { kind: 'skip', reason: 'no-note', detail: 'has no cache note' };
  return refuse(image) ?? replan(image, source, [], {});
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
 * Another reader beside a note that is right. The note stays, unless the reader was written below it or finds no room
 * above it.
 */
function changeReader(
  image: ElfImage,
  source: ByteSource,
  entries: readonly CacheEntry[],
  options: PlanOptions & { readonly reader: ByteString },
): WritePlan {
  const onTop = restoreWithoutReader(image, source, { onTop: true });
  const isBelow = onTop === undefined && isReaderBelow(image, source);
  const out = onTop ?? (isBelow ? undefined : releaseReader(image, source));
  const alone = isBelow ? undefined : readerAlone(image, source, entries, out, options.reader);
  const plan = alone ?? replan(image, source, entries, options);
  if (plan.rung.note === 'removed') throw noRoomForReader(image);
  return plan;
}

/** Whether the note, and then the reader, can be undone. */
function isReaderBelow(image: ElfImage, source: ByteSource): boolean {
  const [note] = image.cacheNotes;
  const restore = note && restoreOriginal(image, source, note);
  if (restore === undefined) return false;
  const view = new PatchedSource(source, restore.edits, restore.size);
  return restoreWithoutReader(readImage(view), view, { onTop: false }) !== undefined;
}

/**
 * Takes out what is not right any more, then plans on what is left: separate commits, each safe at every step.
 * elfnote's own work is undone in reverse, so that an update gives the bytes that a first run would have given;
 * another's is released. A right reader stays where it cannot be undone, or where the note stands on top of it.
 */
function replan(
  image: ElfImage,
  source: ByteSource,
  entries: readonly CacheEntry[],
  options: PlanOptions,
): WritePlan {
  const wanted = entries.length > 0 ? options.reader : undefined;
  const commits: Commit[] = [];
  let current = image;
  let view = source;
  const commit = (next: Commit) => {
    commits.push(next);
    view = new PatchedSource(view, next.change.edits, next.change.size);
    current = readImage(view);
  };
  const onTop = restoreWithoutReader(current, view, { onTop: true });
  if (onTop !== undefined) commit({ kind: 'reader-out', change: onTop });
  const left = ownReader(current, view);
  if (left !== undefined && left !== wanted) {
    commit({ kind: 'note', change: replaceNotes(current, view, [], {}) });
    const below = restoreWithoutReader(current, view, { onTop: false }) ?? releaseReader(current, view);
    if (below !== undefined) commit({ kind: 'reader-out', change: below });
  }
  const stays = ownReader(current, view) !== undefined;
  const last = replaceNotes(current, view, entries, { ...options, reader: stays ? undefined : wanted });
  if (commits.length === 0) return last;
  return compose(last, [...commits, ...(last.commits ?? [{ kind: 'note' as const, change: last }])]);
}

/** Takes the old notes out, then plans on what is left. */
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
  const next = entries.length > 0 ? planWithReader(current, view, entries, options) : undefined;
  if (next?.kind === 'write' && edits.length === 0) return next;
  if (next?.kind === 'write' && next.commits === undefined) {
    const all = [...edits, ...after(next.edits)];
    return { ...next, edits: all, removal, inPlaceIsSafe: inPlaceIsSafe && next.inPlaceIsSafe };
  }
  const bare: WritePlan = {
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
    whyRemoved: next?.kind === 'skip' ? next.detail : 'nothing to record',
  };
  if (next?.kind !== 'write') return bare;
  return compose(next, [{ kind: 'note', change: bare }, ...(next.commits ?? [])]);
}
