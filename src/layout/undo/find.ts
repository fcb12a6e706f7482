import { alignUp, type ByteSource, zeroRun } from '../../elf/bytes.js';
import { PF_W, PT_LOAD, SHF_ALLOC } from '../../elf/constants.js';
import { type ElfImage, type ProgramHeader, sectionHeaderSize } from '../../elf/image.js';
import type { ElfView } from '../../elf/view.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import {
  OWN_DESC_START,
  OWN_TYPE,
  type OwnNote,
  ownNoteAt,
  ownNoteStart,
  ownNotesBehind,
} from '../../note/own.js';
import { decodeUndo, type UndoRecord } from '../../note/undo.js';
import { hasSections, type Occupied, occupiedRanges } from '../model/occupied.js';
import { recordNoteAtEnd } from './record-at-end.js';

export interface FoundRecord {
  readonly record: UndoRecord;
  readonly note: OwnNote;
  /** Whether a program header leads to the notes; until then nothing in the file does. */
  readonly isLinked: boolean;
}

/**
 * The undo record of a file: behind its cache note, or at the end of the file; where a run was stopped, in bytes that
 * nothing describes. The record is the first thing that a run writes and the last that it takes away.
 *
 * @param gaps what `undescribed` says, where it has been asked already.
 */
export function findRecord(view: ElfView, gaps?: readonly Gap[]): FoundRecord | undefined {
  const { image, source } = view;
  for (const location of image.cacheNotes) {
    const note = ownNotesBehind(image, source, location).find(({ n_type }) => n_type === OWN_TYPE.undo);
    const record = note && decode(source, note);
    if (note !== undefined && record !== undefined)
      return { record, note, isLinked: location.segment !== undefined };
  }
  if (image.cacheNotes.some(({ segment }) => segment !== undefined)) {
    const note = recordNoteAtEnd(view);
    const record = note && decode(source, note);
    return note && record && { record, note, isLinked: true };
  }
  for (const gap of gaps ?? undescribed(view)) {
    const found = recordIn(view, gap);
    if (found !== undefined) return found;
  }
  return undefined;
}

function decode(source: ByteSource, { descOffset, n_descsz }: OwnNote): UndoRecord | undefined {
  return decodeUndo(source.read(descOffset, n_descsz));
}

/** File offset and size in bytes. */
export interface Gap {
  readonly offset: number;
  readonly size: number;
}

/** The most that moved tables take in front of a note that is written in place. */
const MOST_MOVED = 1 << 20;
/** Of the slack behind a segment; the rest of a larger gap is looked at only where this much is not zero. */
const FIRST_LOOK = 1 << 16;

/** Where the notes of a stopped run may be: in what segments could grow over, and behind the end of all that is described. */
export function undescribed({ image, source }: ElfView): Gap[] {
  const { free, inside, end } = gapsBetween(image, settledRanges(image));
  const gaps: Gap[] = [];
  for (const p of image.programHeaders) {
    if (p.p_type !== PT_LOAD || p.p_filesz === 0) continue;
    const offset = p.p_offset + p.p_filesz;
    const size = Math.min(free.get(offset) ?? 0, source.size - offset, MOST_MOVED);
    const first = Math.min(size, FIRST_LOOK);
    if (size > 0 && zeroRun(source, offset, first) < first) gaps.push({ offset, size });
  }
  gaps.push(...inside);
  if (end < source.size)
    gaps.push({ offset: end, size: Math.min(source.size - end, MOST_MOVED + tablesSize(image)) });
  return gaps;
}

interface Between {
  /** Sizes of the gaps between all ranges, by the offset at which they start. */
  readonly free: ReadonlyMap<number, number>;
  /**
   * Between sections of what is mapped read-only, where a note may fill what aligns them. Without section headers nothing
   * tells what is the program's own.
   */
  readonly inside: readonly Gap[];
  /** Where all ends. */
  readonly end: number;
}

function gapsBetween(image: ElfImage, occupied: readonly Occupied[]): Between {
  const free = new Map<number, number>();
  const inside: Gap[] = [];
  const hasNames = hasSections(image);
  let end = 0;
  let describedEnd = 0;
  for (const range of occupied) {
    if (range.start > end) free.set(end, range.start - end);
    if (range.end > end) end = range.end;
    if (range.kind === 'load') continue;
    const size = range.start - describedEnd;
    if (size > OWN_DESC_START && hasNames && isReadOnly(image.programHeaders, describedEnd, range.start))
      inside.push({ offset: describedEnd, size: Math.min(size, MOST_MOVED) });
    if (range.end > describedEnd) describedEnd = range.end;
  }
  return { free, inside, end };
}

function isReadOnly(programHeaders: ElfImage['programHeaders'], start: number, end: number): boolean {
  return programHeaders.some(p => p.p_type === PT_LOAD && (p.p_flags & PF_W) === 0 && holds(p, start, end));
}

/** All but sections that are on their way. */
function settledRanges(image: ElfImage): readonly Occupied[] {
  const ranges = occupiedRanges(image);
  const moving = sectionsOnTheirWay(image, ranges);
  return moving.size === 0 ? ranges : ranges.filter(range => !moving.has(range));
}

/** Sections whose headers say already where they will be loaded, in bytes that no segment holds yet. */
function sectionsOnTheirWay(
  { programHeaders, sectionHeaders }: ElfImage,
  ranges: readonly Occupied[],
): ReadonlySet<Occupied> {
  const found = new Set<Occupied>();
  // Neighbours are mostly in one segment.
  let start = 0;
  let end = 0;
  for (const range of ranges) {
    if (range.kind !== 'section' || (start <= range.start && range.end <= end)) continue;
    const flags = sectionHeaders[range.index]?.sh_flags ?? 0;
    if ((flags & SHF_ALLOC) === 0) continue;
    const load = loadOf(programHeaders, range);
    if (load === undefined) found.add(range);
    else {
      start = load.p_offset;
      end = load.p_offset + load.p_filesz;
    }
  }
  return found;
}

function loadOf(
  programHeaders: ElfImage['programHeaders'],
  { start, end }: Occupied,
): ProgramHeader | undefined {
  return programHeaders.find(p => p.p_type === PT_LOAD && holds(p, start, end));
}

function holds({ p_offset, p_filesz }: ProgramHeader, start: number, end: number): boolean {
  return p_offset <= start && end <= p_offset + p_filesz;
}

/** A tail comes behind the section headers and names that are appended. */
function tablesSize({ sectionHeaders, encoding, header }: ElfImage): number {
  const names = sectionHeaders[header.e_shstrndx]?.sh_size ?? 0;
  return sectionHeaders.length * sectionHeaderSize(encoding) + names;
}

/** What a record starts with, by whether it is little-endian. */
const STARTS = new Map<boolean, Buffer>();

/** The first record in a gap that can be read. */
function recordIn({ image, source }: ElfView, { offset, size }: Gap): FoundRecord | undefined {
  const { littleEndian } = image.encoding;
  const start = STARTS.get(littleEndian) ?? ownNoteStart(OWN_TYPE.undo, image.encoding);
  STARTS.set(littleEndian, start);
  const bytes = source.read(offset, size);
  const before = OWN_DESC_START - start.length;
  for (let at = bytes.indexOf(start); at >= 0; at = bytes.indexOf(start, at + 1)) {
    const noteAt = offset + at - before;
    if (at < before || noteAt !== alignUp(noteAt, NOTE_ALIGN)) continue;
    const note = ownNoteAt(source, image.encoding, noteAt, source.size);
    const record = note && decode(source, note);
    if (note !== undefined && record !== undefined) return { record, note, isLinked: false };
  }
  return undefined;
}
