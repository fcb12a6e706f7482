import type { ByteSource } from '../../elf/bytes.js';
import { PF_R, PT_NOTE } from '../../elf/constants.js';
import type { ElfImage, ProgramHeader } from '../../elf/image.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import type { Edit } from '../model/plan.js';
import { withLastLoad } from './header.js';
import type { Place, Point } from './place.js';
import type { Block, Spare } from './room.js';
import type { NewPlaces } from './section-table.js';

/** A file, and the place that notes get in it. */
export interface Target {
  readonly image: ElfImage;
  readonly source: ByteSource;
  readonly place: Place;
  /** Of the notes, in bytes. */
  readonly noteSize: number;
}

/** What it takes to use a room. */
export interface Change {
  readonly programHeaders: readonly ProgramHeader[];
  /** Where the program header table is from now on, where it moves. */
  readonly table: Point | undefined;
  /** Copies of what moves, and every pointer to it outside the section header table. */
  readonly edits: readonly Edit[];
  /** New places of sections, by index: their headers follow, */
  readonly moved: NewPlaces;
  /** or are given up for new ones. */
  readonly copied: NewPlaces;
  /** False: no order of writes is safe in place. */
  readonly hasOrder: boolean;
}

const NO_PLACES: NewPlaces = new Map();

export const NOTHING_MOVED: Omit<Change, 'programHeaders'> = {
  table: undefined,
  edits: [],
  moved: NO_PLACES,
  copied: NO_PLACES,
  hasOrder: true,
};

/**
 * The program headers once the note is in its place.
 * @param front what moves in front of it, with the program headers that describe it.
 * @param note the `PT_NOTE` that grows over the note, by index; without one, and without a twin, there is one more.
 */
export function newEntries(
  { image, place, noteSize }: Target,
  spare: Spare,
  front: Block | undefined,
  note: number | undefined,
): ProgramHeader[] {
  const own: ProgramHeader = {
    p_type: PT_NOTE,
    p_flags: PF_R,
    p_offset: place.note.offset,
    p_vaddr: place.note.address,
    p_paddr: place.note.address,
    p_filesz: noteSize,
    p_memsz: noteSize,
    p_align: NOTE_ALIGN,
  };
  const result: ProgramHeader[] = [];
  const kept = image.programHeaders.length - spare.nulls;
  for (let i = 0; i < kept; i++) {
    const p = image.programHeaders[i];
    if (p === undefined || i === spare.phdr) continue;
    if (i === spare.twin) {
      result.push(own);
      continue;
    }
    let placed = p;
    if (i === place.load) placed = grownTo(p, place.end);
    else if (front !== undefined && place.front !== undefined) placed = movedWith(p, i, front, place.front);
    result.push(i === note ? grownTo(placed, own.p_offset + noteSize) : placed);
  }
  if (note === undefined && spare.twin === undefined) result.push(own);
  return place.newLoad === undefined ? result : withLastLoad(result, place.newLoad);
}

/** A program header that follows the block it describes. */
function movedWith(p: ProgramHeader, index: number, block: Block, to: Point): ProgramHeader {
  if (!block.segments.includes(index)) return p;
  const p_vaddr = p.p_vaddr - block.address + to.address;
  const p_offset = p.p_offset - block.start + to.offset;
  return { ...p, p_offset, p_vaddr, p_paddr: p.p_paddr - p.p_vaddr + p_vaddr };
}

/** A segment that ends at a file offset, and has no more in memory. */
function grownTo(p: ProgramHeader, end: number): ProgramHeader {
  return { ...p, p_filesz: end - p.p_offset, p_memsz: end - p.p_offset };
}
