import { type ByteSource, PatchedSource } from '../../elf/bytes.js';
import {
  addressOfOffset,
  type CacheNoteLocation,
  type ElfImage,
  type ProgramHeader,
  programHeaderSize,
  sectionHeaderSize,
} from '../../elf/image.js';
import { readImage } from '../../elf/read.js';
import { ElfnoteError } from '../../errors.js';
import { type CacheEntry, decodeDescriptor } from '../../note/cache.js';
import { isWiped, occupiedRanges, tableEnd } from '../model/occupied.js';
import { type Edit, type PlanOptions, STEP } from '../model/plan.js';
import { headerPlan } from '../rungs/header.js';
import { planNote } from '../rungs/ladder.js';
import { moveEdits } from '../rungs/move.js';
import { movedSectionEdits } from '../rungs/section-table.js';
import { type Guess, guesses } from './restore-guess.js';

/** How to make a file again what it was before elfnote wrote its note. */
export interface Restore {
  /** In commit order. */
  readonly edits: readonly Edit[];
  readonly size: number;
  readonly inPlaceIsSafe: boolean;
}

/**
 * Undoes elfnote's own work byte for byte. What the file was is guessed from what it is, and a guess counts only
 * when planning the same note on it gives exactly the file at hand; nothing else has touched such a file.
 *
 * @returns undefined for a note that another tool wrote, or that was moved since.
 */
export function restoreOriginal(
  image: ElfImage,
  source: ByteSource,
  note: CacheNoteLocation,
): Restore | undefined {
  const entries = decodeOwn(source, note);
  if (entries === undefined) return undefined;
  for (const guess of guesses(image, source, note)) {
    const restore = provedRestore(image, source, note, guess, entries);
    if (restore !== undefined) return restore;
  }
  return undefined;
}

function decodeOwn(source: ByteSource, note: CacheNoteLocation): CacheEntry[] | undefined {
  try {
    return decodeDescriptor(source.read(note.descOffset, note.n_descsz), note.descOffset);
  } catch (error) {
    if (error instanceof ElfnoteError) return undefined;
    throw error;
  }
}

function provedRestore(
  image: ElfImage,
  source: ByteSource,
  note: CacheNoteLocation,
  guess: Guess,
  entries: readonly CacheEntry[],
): Restore | undefined {
  try {
    const restore = buildRestore(image, source, note, guess);
    return explains(source, restore, entries) ? restore : undefined;
  } catch (error) {
    if (error instanceof ElfnoteError) return undefined;
    throw error;
  }
}

/** Whether planning the note on the restored file leads to the file at hand, with any of the options. */
function explains(source: ByteSource, restore: Restore, entries: readonly CacheEntry[]): boolean {
  const original = new PatchedSource(source, restore.edits, restore.size);
  const image = readImage(original);
  if (image.cacheNotes.length > 0) return false;
  return ALL_OPTIONS.some(options => {
    const plan = planNote(image, original, entries, options);
    if (plan.kind !== 'write') return false;
    const again = new PatchedSource(original, plan.edits, plan.size);
    return isSame(source, again, [...restore.edits, ...plan.edits]);
  });
}

/** A table moves only where nothing else fits, so allowing it covers the plans that do without. */
const ALL_OPTIONS: readonly PlanOptions[] = [{ moveTable: true }, { placement: 'tail', moveTable: true }];

/** Two files can differ only where one of them was edited. */
export function isSame(one: ByteSource, other: ByteSource, edits: readonly Edit[]): boolean {
  if (one.size !== other.size) return false;
  return edits.every(({ offset, bytes }) => {
    const length = Math.min(bytes.length, one.size - offset);
    return length <= 0 || one.read(offset, length).equals(other.read(offset, length));
  });
}

function buildRestore(image: ElfImage, source: ByteSource, note: CacheNoteLocation, guess: Guess): Restore {
  const { sections, load } = guess;
  const { header } = image;
  const hide = headerPlan(image, source, {
    programHeaders: image.programHeaders.flatMap((p, i) => withoutNote(p, i, note)),
    e_shoff: header.e_shoff,
    e_shnum: header.e_shnum,
  });
  const back = headerPlan(image, source, {
    programHeaders: restoredProgramHeaders(image, note, guess),
    table: guess.table,
    e_shoff: sections?.e_shoff ?? header.e_shoff,
    e_shnum: sections?.count ?? header.e_shnum,
  });
  // The note's entry goes first, so that the bytes it stood on are free for what moved away from them.
  const edits: Edit[] = hide.edits.map(edit => ({ ...edit, step: 0 }));
  edits.push(
    ...tableSpaceEdits(image, source, guess),
    ...blockEdits(image, source, guess),
    ...namesEdits(image, guess),
    ...sectionSpaceEdits(guess),
  );
  edits.push(...back.edits);
  if (load.end !== undefined) {
    const bytes = Buffer.alloc(note.end - guess.payloadStart);
    edits.push({ offset: guess.payloadStart, bytes, step: STEP.cleanup, why: 'bytes of the cache note' });
  }
  return {
    edits: edits.sort((a, b) => a.step - b.step),
    size: guess.size,
    // What moves back overwrites program headers that are still in use.
    inPlaceIsSafe: hide.atomic && back.atomic && guess.block === undefined,
  };
}

/** Bytes that the table gives back: unused ones, but for what moves back onto them. */
function tableSpaceEdits(
  image: ElfImage,
  source: ByteSource,
  { block, nulls, load, reused, table }: Guess,
): Edit[] {
  if (table !== undefined) return [];
  const added = (load.end === undefined ? 1 : 0) + (reused === undefined ? 1 : 0) - nulls.length;
  const end = tableEnd(image);
  const start = end - added * programHeaderSize(image.encoding);
  const give = (from: number, to: number, step: number, byte = 0): Edit[] =>
    from < to
      ? [
          {
            offset: from,
            bytes: Buffer.alloc(to - from, byte),
            step,
            why: 'program header entries given back',
          },
        ]
      : [];
  if (block === undefined) return give(start, end, STEP.cleanup, unusedByte(image, source, end));
  const blockEnd = block.start + block.now.size;
  return [...give(start, block.start, STEP.payload), ...give(blockEnd, end, STEP.payload)];
}

/** What stands in unused bytes, by the one at `offset`: a zero, or what patchelf has left. */
function unusedByte(image: ElfImage, source: ByteSource, offset: number): number {
  const described = occupiedRanges(image).some(
    ({ kind, start, end }) => kind !== 'load' && start <= offset && offset < end,
  );
  if (described || offset >= source.size || !isWiped(source, offset, offset + 1)) return 0;
  return source.read(offset, 1)[0] ?? 0;
}

/** Moves the block back. A section header table that was copied has an old one, which still says the old places. */
function blockEdits(image: ElfImage, source: ByteSource, { block, sections }: Guess): readonly Edit[] {
  if (block === undefined) return [];
  const to = { offset: block.start, address: addressIn(image, block.start) };
  const { edits, places } = moveEdits(image, source, block.now, to);
  const { e_shoff } = image.header;
  const isCopy = sections !== undefined && sections.e_shoff !== e_shoff;
  return isCopy ? edits : [...edits, ...movedSectionEdits(image, e_shoff, places)];
}

function namesEdits(image: ElfImage, { sections }: Guess): Edit[] {
  const { header, encoding } = image;
  if (sections === undefined || sections.e_shoff !== header.e_shoff) return [];
  const entry = header.e_shoff + header.e_shstrndx * sectionHeaderSize(encoding);
  return [
    {
      offset: entry + 8 + 2 * encoding.wordSize,
      bytes: Buffer.concat([encoding.wordBytes(sections.namesAt), encoding.wordBytes(sections.namesSize)]),
      // The note's header still needs its name until the header write has taken it out.
      step: STEP.cleanup,
      why: 'section names: their old place and size',
    },
  ];
}

/** Bytes that the section header table gives back, once the header write has made it shorter. */
function sectionSpaceEdits({ sections }: Guess): Edit[] {
  const { start, end } = sections?.grownOver ?? { start: 0, end: 0 };
  if (start === end) return [];
  return [
    {
      offset: start,
      bytes: Buffer.alloc(end - start),
      step: STEP.cleanup,
      why: 'section headers given back',
    },
  ];
}

/** The address of a file offset in the segment that starts before it; the old table's end may lie outside sections. */
function addressIn(image: ElfImage, offset: number): number {
  return addressOfOffset(image.programHeaders, offset, 1) ?? offset;
}

function withoutNote(p: ProgramHeader, index: number, note: CacheNoteLocation): ProgramHeader[] {
  if (index !== note.segment) return [p];
  const left = note.offset - p.p_offset;
  return left > 0 ? [{ ...p, p_filesz: left, p_memsz: left }] : [];
}

function restoredProgramHeaders(image: ElfImage, note: CacheNoteLocation, guess: Guess): ProgramHeader[] {
  const { block, reused, load, nulls } = guess;
  const restored = image.programHeaders.flatMap((p, i): ProgramHeader[] => {
    if (i === load.index) return load.end === undefined ? [] : [resized(p, load.end - p.p_offset)];
    if (i === note.segment) {
      return reused === undefined ? [] : [resized(placed(p, reused.offset, reused.address), reused.size)];
    }
    if (block === undefined || !block.now.segments.includes(i)) return [p];
    const p_offset = p.p_offset - block.now.start + block.start;
    return [placed(p, p_offset, p.p_vaddr - block.now.address + addressIn(image, block.start))];
  });
  return [...restored, ...nulls];
}

function resized(p: ProgramHeader, size: number): ProgramHeader {
  return { ...p, p_filesz: size, p_memsz: size };
}

function placed(p: ProgramHeader, p_offset: number, p_vaddr: number): ProgramHeader {
  return { ...p, p_offset, p_vaddr, p_paddr: p.p_paddr - p.p_vaddr + p_vaddr };
}
