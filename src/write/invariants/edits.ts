import { isZero, largest } from '../../elf/bytes.js';
import { PT_INTERP, PT_NOTE, SHT_DYNAMIC, SHT_SYMTAB } from '../../elf/constants.js';
import type { ElfImage } from '../../elf/image.js';
import type { ElfView } from '../../elf/view.js';
import { isWiped, type Occupied, occupiedRanges, tableEnd } from '../../layout/model/occupied.js';
import type { Edit } from '../../layout/model/plan.js';
import { ownEnd } from '../../note/own.js';
import type { Invariant, Report } from './invariant.js';

/**
 * An edit may touch headers, the dynamic and symbol tables, old notes of elfnote's, what stands where the program header
 * table will end, and unused bytes that nothing describes; nothing else.
 */
export const EDITS: readonly Invariant[] = [
  {
    name: 'edits touch what they may',
    check: ({ before, after, commit }, report) =>
      editFaults(before, commit.edits, tableEnd(after.image), report),
  },
];

/** The same of a release, which gives room of the table back. */
export const RELEASED_EDITS: readonly Invariant[] = [
  {
    name: 'edits touch what they may',
    check: ({ before, commit }, report) => editFaults(before, commit.edits, tableEnd(before.image), report),
  },
];

export function editFaults(
  before: ElfView,
  edits: readonly Edit[],
  newTableEnd: number,
  report: Report,
): void {
  const { image, source } = before;
  const occupied = occupiedRanges(image);
  const contentEnd = largest(occupied.map(range => range.end));
  const owned = image.cacheNotes.map(note => ({ start: note.offset, end: ownEnd(image, source, note) }));
  for (const { offset, bytes, why } of edits) {
    const end = offset + bytes.length;
    const gap = (from: number, to: number) => {
      if (from < to && !isZero(source, from, to - from) && !isWiped(source, from, to))
        report(
          `an edit (${why}) touches bytes that are not zero and that nothing describes: ${from} to ${to}`,
        );
    };
    // The ranges are sorted by start, and what none of them covers is a gap.
    const limit = Math.min(end, source.size);
    let at = offset;
    for (const range of occupied) {
      if (range.start >= end) break;
      if (range.kind === 'load' || range.end <= offset) continue;
      gap(at, Math.min(range.start, limit));
      at = Math.max(at, range.end);
      const from = Math.max(offset, range.start);
      const to = Math.min(end, range.end);
      if (from >= to || to <= newTableEnd || isFreeToChange(image, range)) continue;
      if (owned.some(note => note.start <= from && to <= note.end)) continue;
      report(
        `an edit (${why}) touches a ${range.kind} that must not change: number ${range.index}, bytes ${from} to ${to}`,
      );
    }
    if (end > contentEnd && offset < source.size && contentEnd !== source.size)
      report(
        `an edit (${why}) touches data that is appended to the file: it ends at ${end}, the content at ${contentEnd}`,
      );
    gap(at, limit);
  }
}

function isFreeToChange(before: ElfImage, range: Occupied): boolean {
  if (range.kind === 'segment') {
    const type = before.programHeaders[range.index]?.p_type;
    return type !== PT_NOTE && type !== PT_INTERP;
  }
  const type = before.sectionHeaders[range.index]?.sh_type;
  return range.kind !== 'section' || type === SHT_DYNAMIC || type === SHT_SYMTAB;
}

/** The parts of [from, to) that no range covers; the ranges are sorted by start. */
export function gapsIn(ranges: readonly Occupied[], from: number, to: number): [number, number][] {
  const gaps: [number, number][] = [];
  let at = from;
  for (const { start, end } of ranges) {
    if (start > at && at < to) gaps.push([at, Math.min(start, to)]);
    at = Math.max(at, end);
  }
  if (at < to) gaps.push([at, to]);
  return gaps;
}
