import { alignUp, type ByteSource, largest, zeroRun } from '../../elf/bytes.js';
import { PF_W, PT_LOAD, SHF_ALLOC } from '../../elf/constants.js';
import { addressOfOffset, type ElfImage, sectionHeaderSize } from '../../elf/image.js';
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
import { type Occupied, occupiedRanges } from '../model/occupied.js';
import { fileGap } from '../model/slack.js';
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
 */
export function findRecord(view: ElfView): FoundRecord | undefined {
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
  for (const gap of undescribed(view)) {
    for (const note of recordsIn(source, image, gap)) {
      const record = decode(source, note);
      if (record !== undefined) return { record, note, isLinked: false };
    }
  }
  return undefined;
}

function decode(source: ByteSource, { descOffset, n_descsz }: OwnNote): UndoRecord | undefined {
  return decodeUndo(source.read(descOffset, n_descsz));
}

/** File offset and size in bytes. */
interface Gap {
  readonly offset: number;
  readonly size: number;
}

/** The most that moved tables take in front of a note that is written in place. */
const MOST_MOVED = 1 << 20;
/** Of the slack behind a segment; the rest of a larger gap is looked at only where this much is not zero. */
const FIRST_LOOK = 1 << 16;

/** Where the notes of a stopped run may be: in what segments could grow over, and behind the end of all that is described. */
function undescribed({ image, source }: ElfView): Gap[] {
  const occupied = occupiedRanges(image).filter(range => !isOnItsWay(image, range));
  const gaps: Gap[] = [];
  for (const p of image.programHeaders) {
    if (p.p_type !== PT_LOAD || p.p_filesz === 0) continue;
    const offset = p.p_offset + p.p_filesz;
    const size = Math.min(fileGap(offset, occupied), source.size - offset, MOST_MOVED);
    if (size > 0 && zeroRun(source, offset, Math.min(size, FIRST_LOOK)) < Math.min(size, FIRST_LOOK))
      gaps.push({ offset, size });
  }
  gaps.push(...insideSegments(image, occupied));
  const end = largest(occupied.map(range => range.end));
  if (end < source.size)
    gaps.push({ offset: end, size: Math.min(source.size - end, MOST_MOVED + tablesSize(image)) });
  return gaps;
}

/** Between sections of what is mapped read-only, where a note may fill what aligns them. */
function insideSegments({ programHeaders }: ElfImage, occupied: readonly Occupied[]): Gap[] {
  const loads = programHeaders.filter(p => p.p_type === PT_LOAD && (p.p_flags & PF_W) === 0);
  const described = occupied.filter(({ kind }) => kind !== 'load');
  const gaps: Gap[] = [];
  let end = 0;
  for (const range of described) {
    const size = Math.min(range.start - end, MOST_MOVED);
    const isLoaded = loads.some(p => p.p_offset <= end && range.start <= p.p_offset + p.p_filesz);
    if (size > OWN_DESC_START && isLoaded) gaps.push({ offset: end, size });
    end = Math.max(end, range.end);
  }
  return gaps;
}

/** A section whose header says already where it will be loaded, in bytes that no segment holds yet. */
function isOnItsWay(image: ElfImage, { kind, index, start, end }: Occupied): boolean {
  const section = kind === 'section' ? image.sectionHeaders[index] : undefined;
  if (section === undefined || (section.sh_flags & SHF_ALLOC) === 0) return false;
  return addressOfOffset(image.programHeaders, start, end - start) === undefined;
}

/** A tail comes behind the section headers and names that are appended. */
function tablesSize({ sectionHeaders, encoding, header }: ElfImage): number {
  const names = sectionHeaders[header.e_shstrndx]?.sh_size ?? 0;
  return sectionHeaders.length * sectionHeaderSize(encoding) + names;
}

function* recordsIn(source: ByteSource, { encoding }: ElfImage, { offset, size }: Gap): Generator<OwnNote> {
  const bytes = source.read(offset, size);
  const wanted = ownNoteStart(OWN_TYPE.undo, encoding);
  for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) {
    const start = offset + at - (OWN_DESC_START - wanted.length);
    const note =
      start >= offset && start === alignUp(start, NOTE_ALIGN)
        ? ownNoteAt(source, encoding, start, source.size)
        : undefined;
    if (note !== undefined) yield note;
  }
}
