import type { ByteSource } from '../../elf/bytes.js';
import { PF_R, PT_NOTE } from '../../elf/constants.js';
import type { ElfImage, ProgramHeader } from '../../elf/image.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import { hasSections } from '../model/occupied.js';
import { type Edit, type NoteCommit, type Payload, type Rung, STEP, type TableRoom } from '../model/plan.js';
import { headerPlan, withLastLoad } from './header.js';
import { leaveEdits, type Move, moveEdits } from './move.js';
import type { Place, Point } from './place.js';
import type { Block, Room } from './room.js';
import { movedSectionEdits, type NewPlaces, type SectionTableRoom } from './section-table.js';

/** A rung that fits, with all that is needed to take it. */
export interface Candidate {
  readonly rung: Rung;
  readonly room: Room;
  readonly place: Place;
  readonly sections: SectionTableRoom | undefined;
}

/** Turns a rung into edits in commit order. */
export function buildPlan(
  image: ElfImage,
  source: ByteSource,
  payload: Payload,
  candidate: Candidate,
): NoteCommit {
  const { room, place, sections, rung } = candidate;
  const { bytes } = payload;
  // First of all: whoever comes after a stopped run finds the undo record, which is a part of it.
  const edits: Edit[] = [{ offset: place.note.offset, bytes, step: STEP.payload, why: 'the notes' }];
  const block = room.block && place.block && relocate(image, source, room.kind, room.block, place.block);
  edits.push(...(block?.edits ?? []));
  const none: NewPlaces = new Map();
  const [moved, copied] =
    room.kind === 'reuse-note' ? [none, block?.places ?? none] : [block?.places ?? none, none];
  const range = { ...place.note, size: bytes.length };
  const table = sections?.plan(range, moved, copied);
  edits.push(...(table?.edits ?? movedSectionEdits(image, image.header.e_shoff, moved)));

  const programHeaders = newProgramHeaders(image, candidate, bytes.length);
  const header = headerPlan(image, source, {
    programHeaders,
    table: place.table,
    e_shoff: table?.e_shoff ?? image.header.e_shoff,
    e_shnum: table?.e_shnum ?? image.header.e_shnum,
  });
  edits.push(...header.edits);
  return {
    kind: 'note',
    rung,
    at: place.note.offset,
    edits: edits.sort((a, b) => a.step - b.step),
    size: Math.max(image.size, table?.fileEnd ?? 0, place.end),
    moved: movedNames(room),
    addedLoads: place.newLoad === undefined ? 0 : 1,
    // A table's new place is mapped by the header write and overwritten by it too: no order of writes is safe.
    inPlaceIsSafe: header.atomic && room.kind !== 'move-tables',
    hasSection: table !== undefined || !hasSections(image),
  };
}

function relocate(image: ElfImage, source: ByteSource, kind: TableRoom, block: Block, to: Point): Move {
  if (kind !== 'reuse-note') return moveEdits(image, source, block, to);
  const count = image.sectionHeaders.length;
  return leaveEdits(image, source, block, to, new Map(block.sections.map((old, i) => [old, count + i])));
}

function newProgramHeaders(image: ElfImage, candidate: Candidate, noteSize: number): ProgramHeader[] {
  const { room, place } = candidate;
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
  const used = image.programHeaders.length - room.nullsUsed;
  const result = image.programHeaders.flatMap((p, i): ProgramHeader[] => {
    if (i >= used || i === room.dropped) return [];
    if (i === room.reused && room.vacated) return [own];
    const placed = i === place.load ? grownTo(p, place.end) : movedWith(p, i, candidate);
    return [i === room.reused ? grownTo(placed, own.p_offset + noteSize) : placed];
  });
  if (room.reused === undefined) result.push(own);
  return place.newLoad === undefined ? result : withLastLoad(result, place.newLoad);
}

/** A program header that follows the block it describes. */
function movedWith(p: ProgramHeader, index: number, { room, place }: Candidate): ProgramHeader {
  if (room.block === undefined || place.block === undefined || !room.block.segments.includes(index)) return p;
  const p_vaddr = p.p_vaddr - room.block.address + place.block.address;
  const p_offset = p.p_offset - room.block.start + place.block.offset;
  return { ...p, p_offset, p_vaddr, p_paddr: p.p_paddr - p.p_vaddr + p_vaddr };
}

/** A segment that ends at a file offset, and has no more in memory. */
function grownTo(p: ProgramHeader, end: number): ProgramHeader {
  return { ...p, p_filesz: end - p.p_offset, p_memsz: end - p.p_offset };
}

/** What a rung moves away from its place. */
export function movedNames(room: Room): readonly string[] {
  return room.block?.names ?? [];
}
