import {
  type ByteSource,
  type ByteString,
  congruentUp,
  isZero,
  largest,
  PatchedSource,
} from '../../elf/bytes.js';
import { PF_W, PT_LOAD, SHT_NULL } from '../../elf/constants.js';
import { type Audit, dynamicStrings, READER_MARK, readAudit, type StringTable } from '../../elf/dt-audit.js';
import { addressOfOffset, type ElfImage, type ProgramHeader } from '../../elf/image.js';
import { readImage } from '../../elf/read.js';
import { ElfnoteError } from '../../errors.js';
import { occupiedRanges } from '../model/occupied.js';
import { type Edit, type ReaderRemoval, type Removal, STEP } from '../model/plan.js';
import { fileGap } from '../model/slack.js';
import { Ground } from '../rungs/ground.js';
import { moveEdits } from '../rungs/move.js';
import { tablesIn } from '../rungs/move-tables.js';
import type { Block } from '../rungs/room.js';
import { movedSectionEdits } from '../rungs/section-table.js';
import { isSame } from '../undo/restore.js';
import { findInGaps } from '../undo/restore-guess.js';
import { headerEdits, planReader, sizeEdits, stringSection } from './edit.js';

/** elfnote's own reader in a file, with all that is needed to take it out. */
interface Subject {
  readonly image: ElfImage;
  readonly source: ByteSource;
  readonly audit: Audit;
  readonly path: ByteString;
  readonly table: StringTable;
  /** Size of the string table without mark and path. */
  readonly oldSize: number;
  /** Mark and path end the table, as its section header has it too: nothing was added since. */
  readonly isLast: boolean;
  readonly ground: Ground;
}

function subjectOf(image: ElfImage, source: ByteSource): Subject | undefined {
  const audit = readAudit(image, source);
  const table = dynamicStrings(image);
  if (audit?.path === undefined || !audit.own || table === undefined) return undefined;
  const oldSize = audit.entry.d_val - READER_MARK.length;
  const section = image.sectionHeaders[stringSection(image, table)];
  const isLast = audit.entry.d_val + audit.path.length + 1 === table.size && section?.sh_size === table.size;
  const ground = new Ground(image, source, occupiedRanges(image));
  return { image, source, audit, path: audit.path, table, oldSize, isLast, ground };
}

/**
 * Undoes `planReader` byte for byte. As with notes, what the file was is guessed, and a guess counts only when
 * planning the same reader on it gives exactly the file at hand.
 *
 * @param options.onTop of a note: only where a segment ends with what the reader took. Elsewhere a note may stand on
 * what moved for the reader, and has to go first.
 * @returns undefined where another tool has changed the file since, or there is no reader of elfnote's.
 */
export function restoreWithoutReader(
  image: ElfImage,
  source: ByteSource,
  options: { readonly onTop: boolean },
): ReaderRemoval | undefined {
  const subject = subjectOf(image, source);
  if (subject === undefined || !subject.isLast) return undefined;
  for (const guess of guesses(subject)) {
    if (options.onTop && guess.grown === undefined) continue;
    const removal = undo(subject, guess);
    if (explains(subject, guess, removal)) return removal;
  }
  return undefined;
}

/** What cannot be read from the file any more. */
interface Guess {
  /** What moved to make room, at its place now, and the file offset where it stood. */
  readonly move: { readonly now: Block; readonly start: number } | undefined;
  /** The segment that grew, by index, and the file offset of its end before that. */
  readonly grown: { readonly load: number; readonly end: number } | undefined;
  /** Of the file, in bytes. */
  readonly size: number;
}

/** Moves come first: where something moved, a table that found room and grew would lead to the same file. */
function* guesses(subject: Subject): Generator<Guess> {
  for (const [load, p] of subject.image.programHeaders.entries()) {
    if (p.p_type !== PT_LOAD || p.p_filesz === 0) continue;
    for (const move of moveGuesses(subject, p.p_offset + p.p_filesz))
      yield* growthGuesses(subject, load, p, move);
  }
  yield { move: undefined, grown: undefined, size: subject.image.size };
}

function* growthGuesses(
  { image, table, oldSize }: Subject,
  load: number,
  p: ProgramHeader,
  move: Guess['move'],
): Generator<Guess> {
  const end = p.p_offset + p.p_filesz;
  const start = move?.now.start ?? table.offset + oldSize;
  const before = occupiedRanges(image)
    .filter(range => range.kind !== 'load' && range.start > p.p_offset && range.end <= start)
    .map(range => range.end);
  // Linkers end a segment with its last section; patchelf ends its own, which is writable, at a multiple of 8.
  const ends = [largest(before, p.p_offset), start];
  for (const oldEnd of new Set((p.p_flags & PF_W) === 0 ? ends : ends.toReversed())) {
    const sizes = end === image.size ? [oldEnd, image.size] : [image.size];
    for (const size of sizes) yield { move, grown: { load, end: oldEnd }, size };
  }
}

/** What may have moved to the end of a segment: tables from behind the string table, or that table itself. */
function* moveGuesses(subject: Subject, loadEnd: number): Generator<Guess['move']> {
  const { image, source, table, oldSize, ground } = subject;
  const oldEnd = table.offset + oldSize;
  if (table.offset + table.size === loadEnd) {
    const now = tablesIn(ground, table.offset, table.size);
    const names = source.read(table.offset, oldSize);
    if (now !== undefined) {
      for (const start of findInGaps(image, source, names))
        yield { now: { ...now, end: oldEnd, size: oldSize }, start };
    }
    yield undefined;
    return;
  }
  const starts = image.sectionHeaders
    .filter(s => s.sh_offset < loadEnd && s.sh_type !== SHT_NULL)
    .map(s => s.sh_offset)
    .sort((one, other) => other - one)
    .slice(0, MOST_MOVED);
  // The most first: the rest of what moved together would fit too.
  for (const at of starts.toReversed()) {
    const now = tablesIn(ground, at, loadEnd - at);
    if (now === undefined || now.end !== loadEnd) continue;
    const first = congruentUp(oldEnd, at, now.align);
    for (const start of [first, first + now.align]) yield { now, start };
  }
}

/** Hash table, symbols, versions, names of versions: no more than these stand behind a string table. */
const MOST_MOVED = 5;

function undo(subject: Subject, { move, grown, size }: Guess): ReaderRemoval {
  const { image, source, table, oldSize } = subject;
  const edits: Edit[] = [
    ...entryEdits(subject, 0),
    ...sizeEdits(image, table, oldSize, STEP.pointers),
    ...(grown === undefined ? [] : headerEdits(image, source, grown)),
  ];
  if (move !== undefined) {
    const address = addressOfOffset(image.programHeaders, move.start, move.now.size) ?? 0;
    const back = moveEdits(image, source, move.now, { offset: move.start, address });
    edits.push(...back.edits, ...movedSectionEdits(image, image.header.e_shoff, back.places));
  }
  const p = grown && image.programHeaders[grown.load];
  if (grown !== undefined && p !== undefined)
    edits.push(zeros(grown.end, p.p_offset + p.p_filesz, STEP.cleanup));
  const inPlaceIsSafe = move === undefined;
  return { edits: edits.sort((a, b) => a.step - b.step), size, exact: true, inPlaceIsSafe };
}

function explains({ source, path }: Subject, { move }: Guess, removal: Removal): boolean {
  try {
    const original = new PatchedSource(source, removal.edits, removal.size);
    const image = readImage(original);
    if (move !== undefined && !isWhole(image, original, move.start + move.now.size)) return false;
    const again = planReader(image, original, path);
    if (again === undefined) return false;
    const result = new PatchedSource(original, again.edits, again.size);
    return isSame(source, result, [...removal.edits, ...again.edits]);
  } catch (error) {
    if (error instanceof ElfnoteError) return false;
    throw error;
  }
}

/** What moved back leaves no rest of its old bytes behind its end: it did not stand further on. */
function isWhole(image: ElfImage, original: ByteSource, end: number): boolean {
  const described = occupiedRanges(image).filter(({ kind }) => kind !== 'load');
  return isZero(original, end, fileGap(end, described));
}

/**
 * Takes a reader out of a file that other tools have changed: its entry and its strings go, the string table stays
 * where it is.
 *
 * @throws ElfnoteError `unsupported` where dynamic entries were added behind it.
 */
export function releaseReader(image: ElfImage, source: ByteSource): ReaderRemoval | undefined {
  const subject = subjectOf(image, source);
  if (subject === undefined) return undefined;
  const { audit, table, oldSize, isLast } = subject;
  if (image.dynamic?.entries.at(-1)?.offset !== audit.entry.offset) {
    throw new ElfnoteError('unsupported', 'has dynamic entries behind the DT_AUDIT that elfnote wrote', {
      path: image.path,
      offset: audit.entry.offset,
    });
  }
  const shrink = isLast ? sizeEdits(image, table, oldSize, STEP.pointers) : [];
  return {
    edits: [...entryEdits(subject, 0), ...shrink],
    size: image.size,
    exact: false,
    inPlaceIsSafe: true,
  };
}

/** `DT_AUDIT` goes first, then the string that it named. */
function entryEdits({ image, audit, path, table, oldSize }: Subject, step: number): Edit[] {
  const start = table.offset + oldSize;
  const bytes = Buffer.alloc(2 * image.encoding.wordSize);
  return [
    { offset: audit.entry.offset, bytes, step, why: 'DT_AUDIT is taken out' },
    zeros(start, start + READER_MARK.length + path.length, step),
  ];
}

function zeros(from: number, to: number, step: number): Edit {
  return { offset: from, bytes: Buffer.alloc(to - from), step, why: 'bytes of the reader' };
}
