import { type ByteSource, isZero } from '../../elf/bytes.js';
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
  let contentEnd = 0;
  for (const range of occupied) if (range.end > contentEnd) contentEnd = range.end;
  for (const { offset, bytes, why } of edits) {
    const end = offset + bytes.length;
    // The ranges are sorted by start, and what none of them covers is a gap.
    const limit = Math.min(end, source.size);
    let at = offset;
    for (let i = 0; i < occupied.length; i++) {
      const range = occupied[i];
      if (range === undefined || range.start >= end) break;
      if (range.end <= offset || range.kind === 'load') continue;
      gapFaults(source, at, Math.min(range.start, limit), why, report);
      at = Math.max(at, range.end);
      const from = Math.max(offset, range.start);
      const to = Math.min(end, range.end);
      if (from >= to || to <= newTableEnd || isFreeToChange(image, range)) continue;
      if (isOwn(before, from, to)) continue;
      report(
        `an edit (${why}) touches a ${range.kind} that must not change: number ${range.index}, bytes ${from} to ${to}`,
      );
    }
    if (end > contentEnd && offset < source.size && contentEnd !== source.size)
      report(
        `an edit (${why}) touches data that is appended to the file: it ends at ${end}, the content at ${contentEnd}`,
      );
    gapFaults(source, at, limit, why, report);
  }
}

/** Nothing describes [from, to), if it has any bytes. */
function gapFaults(source: ByteSource, from: number, to: number, why: string, report: Report): void {
  if (from < to && !isZero(source, from, to - from) && !isWiped(source, from, to))
    report(`an edit (${why}) touches bytes that are not zero and that nothing describes: ${from} to ${to}`);
}

/** Whether the bytes are those of a cache note and what elfnote has put behind it. */
export function isOwn({ image, source }: ElfView, from: number, to: number): boolean {
  return image.cacheNotes.some(note => note.offset <= from && to <= ownEnd(image, source, note));
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
