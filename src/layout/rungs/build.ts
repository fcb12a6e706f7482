import type { ByteSource } from '../../elf/bytes.js';
import { PF_R, PT_NOTE } from '../../elf/constants.js';
import type { ElfImage, ProgramHeader } from '../../elf/image.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import { hasSections } from '../model/occupied.js';
import { type Edit, type NoteCommit, type Payload, type Rung, STEP } from '../model/plan.js';
import { headerPlan, withLastLoad } from './header.js';
import { copyEdits, moveEdits } from './move.js';
import type { Place } from './place.js';
import type { Room } from './room.js';
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
  const relocate = room.kind === 'reuse-note' ? copyEdits : moveEdits;
  const block = room.block && place.block && relocate(image, source, room.block, place.block);
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

function newProgramHeaders(image: ElfImage, candidate: Candidate, noteSize: number): ProgramHeader[] {
  const { room, place } = candidate;
  const noteEnd = place.note.offset + noteSize;
  const kept = image.programHeaders.slice(0, image.programHeaders.length - room.nullsUsed);
  const result = kept.map((p, i): ProgramHeader => {
    if (i === place.load) {
      const grown = place.end - p.p_offset;
      return { ...p, p_filesz: grown, p_memsz: grown };
    }
    if (room.block === undefined && i === room.reused) {
      return { ...p, p_filesz: noteEnd - p.p_offset, p_memsz: noteEnd - p.p_offset };
    }
    if (room.block === undefined || place.block === undefined || !room.block.segments.includes(i)) return p;
    const p_vaddr = p.p_vaddr - room.block.address + place.block.address;
    const p_offset = p.p_offset - room.block.start + place.block.offset;
    const moved = { ...p, p_offset, p_vaddr, p_paddr: p.p_paddr - p.p_vaddr + p_vaddr };
    return i === room.reused
      ? { ...moved, p_filesz: noteEnd - p_offset, p_memsz: noteEnd - p_offset }
      : moved;
  });
  if (room.reused === undefined) {
    result.push({
      p_type: PT_NOTE,
      p_flags: PF_R,
      p_offset: place.note.offset,
      p_vaddr: place.note.address,
      p_paddr: place.note.address,
      p_filesz: noteSize,
      p_memsz: noteSize,
      p_align: NOTE_ALIGN,
    });
  }
  return place.newLoad === undefined ? result : withLastLoad(result, place.newLoad);
}

/** What a rung moves away from its place; `reuse-note` copies instead. */
export function movedNames(room: Room): readonly string[] {
  return room.kind === 'reuse-note' ? [] : (room.block?.names ?? []);
}
