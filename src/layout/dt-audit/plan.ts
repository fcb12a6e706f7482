import { type ByteSource, type ByteString, PatchedSource } from '../../elf/bytes.js';
import type { ElfImage } from '../../elf/image.js';
import { readImage } from '../../elf/read.js';
import { ElfnoteError } from '../../errors.js';
import type { CacheEntry } from '../../note/cache.js';
import { hasSections } from '../model/occupied.js';
import type { Commit, Edit, PlanOptions, ReaderRemoval, SkipPlan, WritePlan } from '../model/plan.js';
import { planNote } from '../rungs/ladder.js';
import { planReader } from './edit.js';

/**
 * Plans a note for a file that has none, and its reader: on top of the note, where need be in a segment of its own,
 * or below it, where the file's end is the only room for the string table to grow.
 */
export function planWithReader(
  image: ElfImage,
  source: ByteSource,
  entries: readonly CacheEntry[],
  options: PlanOptions,
): WritePlan | SkipPlan {
  const { reader, placement = 'auto' } = options;
  const first = planNote(image, source, entries, options);
  if (reader === undefined || first.kind === 'skip') return first;
  const inTail = () => planNote(image, source, entries, { ...options, placement: 'tail' });
  const plan =
    readerAbove(source, first, reader) ??
    (placement === 'auto' ? readerAbove(source, inTail(), reader) : undefined) ??
    readerBelow(image, source, entries, { ...options, reader });
  if (plan !== undefined) return plan;
  throw noRoomForReader(image);
}

export function noRoomForReader(image: ElfImage): ElfnoteError {
  return new ElfnoteError('unsupported', 'cannot have a reader: no segment has room for its path', {
    path: image.path,
  });
}

function readerAbove(
  source: ByteSource,
  note: WritePlan | SkipPlan,
  reader: ByteString,
): WritePlan | undefined {
  if (note.kind === 'skip') return undefined;
  const view = new PatchedSource(source, note.edits, note.size);
  const added = planReader(readImage(view), view, reader);
  if (added === undefined) return undefined;
  return compose(note, [
    { kind: 'note', change: note },
    { kind: 'reader-in', change: added },
  ]);
}

function readerBelow(
  image: ElfImage,
  source: ByteSource,
  entries: readonly CacheEntry[],
  options: PlanOptions & { readonly reader: ByteString },
): WritePlan | undefined {
  const added = planReader(image, source, options.reader);
  if (added === undefined) return undefined;
  const view = new PatchedSource(source, added.edits, added.size);
  const note = planNote(readImage(view), view, entries, options);
  if (note.kind === 'skip') return undefined;
  return compose(note, [
    { kind: 'reader-in', change: added },
    { kind: 'note', change: note },
  ]);
}

/** A reader above a note that stays, where there is room; `out` takes the old one out first. */
export function readerAlone(
  image: ElfImage,
  source: ByteSource,
  entries: readonly CacheEntry[],
  out: ReaderRemoval | undefined,
  reader: ByteString,
): WritePlan | undefined {
  const view = out === undefined ? source : new PatchedSource(source, out.edits, out.size);
  const current = out === undefined ? image : readImage(view);
  const added = planReader(current, view, reader);
  if (added === undefined) return undefined;
  const kept: WritePlan = {
    kind: 'write',
    rung: { note: 'kept', table: 'none' },
    edits: [],
    size: current.size,
    entries,
    removal: undefined,
    moved: [],
    addedLoads: 0,
    inPlaceIsSafe: true,
    whyRemoved: undefined,
    hasSection: current.cacheNotes.some(note => note.section !== undefined) || !hasSections(current),
  };
  const first: Commit[] = out === undefined ? [] : [{ kind: 'reader-out', change: out }];
  return compose(kept, [...first, { kind: 'reader-in', change: added }]);
}

/** Commits one after another; what is told of them is what `note` says. */
export function compose(note: WritePlan, commits: readonly Commit[]): WritePlan {
  const edits: Edit[] = [];
  for (const { change } of commits) edits.push(...laterThan(edits, change.edits));
  return {
    ...note,
    removal: undefined,
    edits,
    size: commits.at(-1)?.change.size ?? note.size,
    inPlaceIsSafe: commits.every(({ change }) => change.inPlaceIsSafe),
    commits,
  };
}

/** Edits of another commit, which starts when all of `first` is written. */
function laterThan(first: readonly Edit[], edits: readonly Edit[]): Edit[] {
  const base = (first.at(-1)?.step ?? -1) + 1;
  return edits.map(edit => ({ ...edit, step: edit.step + base }));
}
