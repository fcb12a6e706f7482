import { type CacheEntry, encodeNote, NOTE_ALIGN } from '../cache/note.js';
import { alignUp, type ByteSource, congruentUp, isZero } from '../elf/bytes.js';
import { PF_R, PT_LOAD, PT_NOTE, PT_NULL } from '../elf/constants.js';
import type { ElfImage, ProgramHeader } from '../elf/image.js';
import { fitsPhnum, headerPlan, withLastLoad } from './header.js';
import { moveEdits } from './move.js';
import { appendedData, hasSections, type Occupied, occupiedRanges } from './occupied.js';
import { type Edit, type Rung, type SkipPlan, STEP, type WritePlan } from './plan.js';
import { type Block, type Room, RoomFinder } from './room.js';
import { type SectionTableRoom, sectionTableRoom } from './section-table.js';
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
 * Plans a note for a file that has none: the ladder of FL section 5. The cheapest rung that fits wins: fewest
 * added segments, then fewest bytes added, then fewest sections moved. Reads only, and depends on nothing but
 * the file and the entries.
 */
export function planNote(
  image: ElfImage,
  source: ByteSource,
  entries: readonly CacheEntry[],
): WritePlan | SkipPlan {
  const occupied = occupiedRanges(image);
  const refusal = refuse(image);
  if (refusal !== undefined) return refusal;
  const note = encodeNote(entries, image.encoding);
  const mayAppend = !appendedData(image, occupied);
  const sections = mayAppend ? sectionTableRoom(image, source) : undefined;
  const candidate = findCandidate(image, source, occupied, note.length, sections, mayAppend);
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
      room(() => finder.byMoving('move-notes', 1)),
      room(() => finder.reuseNote(0)),
      room(() => finder.byMoving('move-tables', 1)),
    ];
  }
  return [
    room(() => finder.free(2)),
    room(() => finder.reuseNote(1)),
    room(() => finder.byMovingAndReusing(1)),
    room(() => finder.byMoving('move-notes', 2)),
    room(() => finder.byMoving('move-tables', 2)),
  ];
}

function findCandidate(
  image: ElfImage,
  source: ByteSource,
  occupied: readonly Occupied[],
  noteSize: number,
  sections: SectionTableRoom | undefined,
  mayAppend: boolean,
): Candidate | undefined {
  // New section headers and names would stand where a segment that ends the file wants to grow.
  const mayGrow = mayAppend && (sections === undefined || sections.fileEnd === image.size);
  const slacks = findSlack(image, occupied, mayGrow);
  const finder = new RoomFinder(image, source, occupied);
  const fitting = (kind: Place['kind']): Candidate[] =>
    rooms(finder, kind).flatMap(({ room: find }) => {
      const room = find();
      const place =
        room &&
        (kind === 'slack'
          ? placeInSlack(image, source, slacks, room, noteSize)
          : placeInTail(image, room.block, noteSize, sections?.fileEnd ?? image.size));
      return room && place ? [{ rung: { note: kind, table: room.kind }, room, place, sections }] : [];
    });
  const slackFits = slacks.length > 0 ? fitting('slack') : [];
  // A tail costs a segment, so any slack beats it.
  return cheapest(slackFits.length > 0 || !mayAppend ? slackFits : fitting('tail'));
}

/** Fewest bytes at the end of the file, then fewest sections moved, then the order of the ladder. */
function cheapest(candidates: readonly Candidate[]): Candidate | undefined {
  const cost = ({ room, place }: Candidate) =>
    [place.kind === 'tail' ? place.end : 0, room.block?.names.length ?? 0] as const;
  return candidates.reduce<Candidate | undefined>((best, candidate) => {
    if (best === undefined) return candidate;
    const [bytes, moved] = cost(candidate);
    const [bestBytes, bestMoved] = cost(best);
    return bytes < bestBytes || (bytes === bestBytes && moved < bestMoved) ? candidate : best;
  }, undefined);
}

/** Where the block and, behind it, the note stand from an address on. */
export function arrange(
  from: number,
  block: Pick<Block, 'start' | 'end' | 'address' | 'align'> | undefined,
  noteSize: number,
): { block: number | undefined; note: number; end: number } {
  const blockAt = block && congruentUp(from, block.address, block.align);
  const blockEnd = block === undefined || blockAt === undefined ? from : blockAt + block.end - block.start;
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

function placeInTail(
  image: ElfImage,
  block: Block | undefined,
  noteSize: number,
  fileEnd: number,
): Place | undefined {
  const align = Math.max(NOTE_ALIGN, block?.align ?? 1);
  const tail = placeTail(
    image,
    fileEnd,
    align,
    noteSize + (block === undefined ? 0 : block.end - block.start) + align,
  );
  if (tail === undefined) return undefined;
  const at = arrange(tail.address, block, noteSize);
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

function build(
  image: ElfImage,
  source: ByteSource,
  entries: readonly CacheEntry[],
  note: Buffer,
  candidate: Candidate,
): WritePlan {
  const { room, place, sections, rung } = candidate;
  const edits: Edit[] = [];
  const move = room.block && place.block && moveEdits(image, source, room.block, place.block);
  edits.push(...(move?.edits ?? []));
  edits.push({ offset: place.note.offset, bytes: note, step: STEP.payload, why: 'the cache note' });

  const range = { ...place.note, size: note.length };
  const table = sections?.plan(range, move?.sections ?? new Map());
  edits.push(...(table?.edits ?? move?.sectionEdits ?? []));

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
    moved: room.block?.names ?? [],
    addedLoads: place.newLoad === undefined ? 0 : 1,
    atomicHeader: header.atomic,
    hasSection: table !== undefined || !hasSections(image),
  };
}

function newProgramHeaders(image: ElfImage, candidate: Candidate, noteSize: number): ProgramHeader[] {
  const { room, place } = candidate;
  const noteEnd = place.note.offset + noteSize;
  let result = image.programHeaders.map((p, i): ProgramHeader => {
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
  if (place.newLoad !== undefined) result = withLastLoad(result, place.newLoad);
  return withoutNulls(result, room.nullsUsed);
}

function withoutNulls(programHeaders: readonly ProgramHeader[], count: number): ProgramHeader[] {
  let left = count;
  return programHeaders.filter(p => p.p_type !== PT_NULL || left-- <= 0);
}
