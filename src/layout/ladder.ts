import { type CacheEntry, encodeNote, NOTE_ALIGN } from '../cache/note.js';
import { alignUp, type ByteSource, congruentUp, isZero } from '../elf/bytes.js';
import { PF_R, PT_INTERP, PT_LOAD, PT_NOTE, PT_PHDR } from '../elf/constants.js';
import { addressOfOffset, type ElfImage, type ProgramHeader } from '../elf/image.js';
import { fitsPhnum, headerPlan, withLastLoad } from './header.js';
import { copyEdits, moveEdits } from './move.js';
import { appendedData, hasSections, type Occupied, occupiedRanges, tableEnd } from './occupied.js';
import { type Edit, type PlanOptions, type Rung, type SkipPlan, STEP, type WritePlan } from './plan.js';
import { type Block, type Room, RoomFinder } from './room.js';
import {
  movedSectionEdits,
  type NewPlaces,
  type SectionTableRoom,
  sectionTableRoom,
} from './section-table.js';
import { findSlack, type Slack } from './slack.js';
import { placeTail } from './tail.js';

/** Where the moved block and the note come to stand; both lie in the same segment. */
interface Place {
  readonly kind: 'slack' | 'tail';
  readonly block: { readonly offset: number; readonly address: number } | undefined;
  readonly note: { readonly offset: number; readonly address: number };
  /** The segment that grows; for a tail it is the one before it is inserted. */
  readonly load: number | undefined;
  readonly newLoad: ProgramHeader | undefined;
  readonly end: number;
}

interface Candidate {
  readonly rung: Rung;
  readonly room: Room;
  readonly place: Place;
  readonly sections: SectionTableRoom | undefined;
}

/**
 * Plans a note for a file that has none: the ladder of docs/layout.md. The cheapest rung that fits wins: fewest
 * added segments, then fewest bytes added, then fewest sections moved. Reads only, and depends on nothing but
 * the file and the entries.
 */
export function planNote(
  image: ElfImage,
  source: ByteSource,
  entries: readonly CacheEntry[],
  options: PlanOptions = {},
): WritePlan | SkipPlan {
  const occupied = occupiedRanges(image);
  const refusal = refuse(image);
  if (refusal !== undefined) return refusal;
  const note = encodeNote(entries, image.encoding);
  const mayAppend = !appendedData(image, occupied);
  const candidate = findCandidate(
    image,
    source,
    occupied,
    note.length,
    mayAppend,
    options.placement ?? 'auto',
  );
  if (candidate === undefined) {
    const why = mayAppend
      ? 'the program header table has no room for another entry'
      : 'data is appended to the file and no read-only segment has slack';
    return { kind: 'skip', reason: 'no-room', detail: why };
  }
  return build(image, source, entries, note, candidate);
}

function refuse(image: ElfImage): SkipPlan | undefined {
  const skip = (detail: string): SkipPlan => ({ kind: 'skip', reason: 'unsupported-layout', detail });
  const loads = image.programHeaders.filter(p => p.p_type === PT_LOAD);
  for (const [i, load] of loads.entries()) {
    const next = loads[i + 1];
    if (next !== undefined && next.p_vaddr < load.p_vaddr + load.p_memsz) {
      return skip('the PT_LOAD entries overlap or are not in ascending order');
    }
    if (load.p_align > 1 && (load.p_vaddr - load.p_offset) % load.p_align !== 0) {
      return skip('a PT_LOAD has an offset that is not congruent to its address');
    }
  }
  const { header, programHeaders } = image;
  const phdr = programHeaders.find(p => p.p_type === PT_PHDR);
  const table = addressOfOffset(programHeaders, header.e_phoff, tableEnd(image) - header.e_phoff);
  if (table === undefined) return skip('no PT_LOAD holds the program header table');
  if (phdr !== undefined && (phdr.p_offset !== header.e_phoff || phdr.p_vaddr !== table)) {
    return skip('PT_PHDR does not say where the program header table is');
  }
  const interp = programHeaders.find(p => p.p_type === PT_INTERP);
  if (
    interp !== undefined &&
    addressOfOffset(programHeaders, interp.p_offset, interp.p_filesz) !== interp.p_vaddr
  ) {
    return skip('no PT_LOAD holds PT_INTERP');
  }
  if (!fitsPhnum(image.programHeaders.length + 2)) return skip('too many program headers');
  return undefined;
}

type Rooms = readonly { readonly kind: Place['kind']; readonly room: () => Room | undefined }[];

function rooms(finder: RoomFinder, kind: Place['kind']): Rooms {
  const room = (find: () => Room | undefined) => ({ kind, room: find });
  if (kind === 'slack') {
    return [
      room(() => finder.free(1)),
      room(() => finder.extendNote()),
      room(() => finder.reuseNote(0)),
      room(() => finder.byMoving('move-notes', 1)),
      room(() => finder.byMoving('move-tables', 1)),
    ];
  }
  return [
    room(() => finder.free(2)),
    room(() => finder.reuseNote(1)),
    room(() => finder.byMovingNotesAndReusing(1)),
    room(() => finder.byMoving('move-notes', 2)),
    room(() => finder.byMoving('move-tables', 2)),
  ];
}

function findCandidate(
  image: ElfImage,
  source: ByteSource,
  occupied: readonly Occupied[],
  noteSize: number,
  mayAppend: boolean,
  placement: 'auto' | 'slack' | 'tail',
): Candidate | undefined {
  const finder = new RoomFinder(image, source, occupied);
  const fitting = (kind: Place['kind']): Candidate[] =>
    rooms(finder, kind).flatMap(({ room: find }) => {
      const room = find();
      if (room === undefined) return [];
      const sections = mayAppend ? sectionTableRoom(image, source, copiedSections(room)) : undefined;
      const place =
        kind === 'slack'
          ? placeInSlack(
              image,
              source,
              findSlack(image, occupied, mayGrow(image, sections, mayAppend)),
              room,
              noteSize,
            )
          : placeInTail(image, room, noteSize, sections?.fileEnd ?? image.size);
      return place ? [{ rung: { note: kind, table: room.kind }, room, place, sections }] : [];
    });
  const inSlack = placement === 'tail' ? [] : fitting('slack');
  // A tail costs a segment, so any slack beats it.
  return cheapest(inSlack.length > 0 || placement === 'slack' || !mayAppend ? inSlack : fitting('tail'));
}

/** New section headers and names would stand where a segment that ends the file wants to grow. */
function mayGrow(image: ElfImage, sections: SectionTableRoom | undefined, mayAppend: boolean): boolean {
  return mayAppend && (sections === undefined || sections.fileEnd === image.size);
}

/** Only `reuse-note` copies; every other room moves. */
function copiedSections(room: Room): readonly number[] {
  return room.kind === 'reuse-note' ? (room.block?.sections ?? []) : [];
}

/**
 * Fewest sections moved, then fewest bytes at the end of the file, then the order of the ladder. Moving comes
 * before bytes: what has not moved cannot be missed by another tool.
 */
function cheapest(candidates: readonly Candidate[]): Candidate | undefined {
  const cost = ({ room, place, sections }: Candidate) =>
    [
      movedNames(room).length,
      Math.max(place.kind === 'tail' ? place.end : 0, sections?.fileEnd ?? 0),
    ] as const;
  return candidates.reduce<Candidate | undefined>((best, candidate) => {
    if (best === undefined) return candidate;
    const [moved, bytes] = cost(candidate);
    const [bestMoved, bestBytes] = cost(best);
    return moved < bestMoved || (moved === bestMoved && bytes < bestBytes) ? candidate : best;
  }, undefined);
}

function movedNames(room: Room): readonly string[] {
  return room.kind === 'reuse-note' ? [] : (room.block?.names ?? []);
}

/** Where the block and, behind it, the note stand from an address on. */
export function arrange(
  from: number,
  block: Pick<Block, 'size' | 'address' | 'align'> | undefined,
  noteSize: number,
): { block: number | undefined; note: number; end: number } {
  const blockAt = block && congruentUp(from, block.address, block.align);
  const blockEnd = block === undefined || blockAt === undefined ? from : blockAt + block.size;
  const note = alignUp(blockEnd, NOTE_ALIGN);
  return { block: blockAt, note, end: note + noteSize };
}

function placeInSlack(
  image: ElfImage,
  source: ByteSource,
  slacks: readonly Slack[],
  room: Room,
  noteSize: number,
): Place | undefined {
  for (const slack of slacks) {
    if (room.load !== undefined && room.load !== slack.load) continue;
    const at = arrange(slack.address, room.block, noteSize);
    const used = at.end - slack.address;
    const inFile = Math.min(used, image.size - slack.offset);
    if (used > slack.size || !isZero(source, slack.offset, inFile)) continue;
    const offsetOf = (address: number) => address - slack.address + slack.offset;
    return {
      kind: 'slack',
      block: at.block === undefined ? undefined : { offset: offsetOf(at.block), address: at.block },
      note: { offset: offsetOf(at.note), address: at.note },
      load: slack.load,
      newLoad: undefined,
      end: offsetOf(at.end),
    };
  }
  return undefined;
}

function placeInTail(image: ElfImage, room: Room, noteSize: number, fileEnd: number): Place | undefined {
  const { block } = room;
  const align = Math.max(NOTE_ALIGN, block?.align ?? 1);
  const lead = needsLead(image, block) ? align : 0;
  const tail = placeTail(image, fileEnd, align, lead + noteSize + (block?.size ?? 0) + 2 * align);
  if (tail === undefined) return undefined;
  const at = arrange(tail.address + lead, block, noteSize);
  const offsetOf = (address: number) => address - tail.address + tail.offset;
  const size = at.end - tail.address;
  return {
    kind: 'tail',
    block: at.block === undefined ? undefined : { offset: offsetOf(at.block), address: at.block },
    note: { offset: offsetOf(at.note), address: at.note },
    load: undefined,
    newLoad: {
      p_type: PT_LOAD,
      p_flags: PF_R,
      p_offset: tail.offset,
      p_vaddr: tail.address,
      p_paddr: tail.address,
      p_filesz: size,
      p_memsz: size,
      p_align: tail.p_align,
    },
    end: offsetOf(at.end),
  };
}

/**
 * llvm-strip takes the first of two segments with one offset for the other's parent and lays the child out by the
 * parent's alignment: a new `PT_LOAD` must start before a moved `PT_INTERP` or `PT_NOTE` that precedes it.
 */
function needsLead(image: ElfImage, block: Block | undefined): boolean {
  const lastLoad = image.programHeaders.findLastIndex(p => p.p_type === PT_LOAD);
  return block?.segments.some(i => i < lastLoad) ?? false;
}

function build(
  image: ElfImage,
  source: ByteSource,
  entries: readonly CacheEntry[],
  note: Buffer,
  candidate: Candidate,
): WritePlan {
  const { room, place, sections, rung } = candidate;
  const edits: Edit[] = [];
  const relocate = room.kind === 'reuse-note' ? copyEdits : moveEdits;
  const block = room.block && place.block && relocate(image, source, room.block, place.block);
  edits.push(...(block?.edits ?? []));
  const none: NewPlaces = new Map();
  const [moved, copied] =
    room.kind === 'reuse-note' ? [none, block?.places ?? none] : [block?.places ?? none, none];
  edits.push({ offset: place.note.offset, bytes: note, step: STEP.payload, why: 'the cache note' });

  const range = { ...place.note, size: note.length };
  const table = sections?.plan(range, moved, copied);
  edits.push(...(table?.edits ?? movedSectionEdits(image, image.header.e_shoff, moved)));

  const programHeaders = newProgramHeaders(image, candidate, note.length);
  const header = headerPlan(image, source, {
    programHeaders,
    e_shoff: table?.e_shoff ?? image.header.e_shoff,
    e_shnum: table?.e_shnum ?? image.header.e_shnum,
  });
  edits.push(...header.edits);
  return {
    kind: 'write',
    rung,
    edits: edits.sort((a, b) => a.step - b.step),
    size: Math.max(image.size, table?.fileEnd ?? 0, place.end),
    entries,
    removal: undefined,
    moved: movedNames(room),
    addedLoads: place.newLoad === undefined ? 0 : 1,
    atomicHeader: header.atomic,
    whyRemoved: undefined,
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
