import { alignUp, type ByteSource, congruentUp, isZero } from '../../elf/bytes.js';
import { PF_R, PT_LOAD } from '../../elf/constants.js';
import type { ElfImage, ProgramHeader } from '../../elf/image.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import type { Slack } from '../model/slack.js';
import type { Block, Room } from './room.js';
import { placeTail } from './tail.js';

export interface Point {
  readonly offset: number;
  readonly address: number;
}

/** Where the note comes to be, and what is in front of it; both lie in the same segment. */
export interface Place {
  readonly kind: 'slack' | 'tail';
  /** Of what moves or is copied, where anything does. */
  readonly front: Point | undefined;
  readonly note: Point;
  /** The segment that grows; for a tail it is the one before it is inserted. */
  readonly load: number | undefined;
  readonly newLoad: ProgramHeader | undefined;
  /** File offset. */
  readonly end: number;
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

/** Every place that fits, data before code; only the first where all of them are as good. */
export function placesInSlack(
  image: ElfImage,
  source: ByteSource,
  slacks: readonly Slack[],
  room: Room,
  noteSize: number,
): Place[] {
  const places: Place[] = [];
  for (const slack of slacks) {
    if (room.load !== undefined && (room.load !== slack.load || slack.inside)) continue;
    const at = arrange(slack.address, room.front, noteSize);
    const used = at.end - slack.address;
    if (used > slack.size) continue;
    const inFile = Math.min(used, image.size - slack.offset);
    if (!slack.inside && !isZero(source, slack.offset, inFile)) continue;
    const load = slack.inside ? undefined : slack.load;
    places.push(located('slack', at, slack, load, undefined));
    if (room.front === undefined) break;
  }
  return places;
}

export function placeInTail(
  image: ElfImage,
  room: Room,
  noteSize: number,
  fileEnd: number,
): Place | undefined {
  const { front } = room;
  const align = Math.max(NOTE_ALIGN, front?.align ?? 1);
  const lead = needsLead(image, room) ? align : 0;
  const size = lead + noteSize + (front?.size ?? 0) + 2 * align;
  const first = image.programHeaders.find(p => p.p_type === PT_LOAD);
  const distance =
    room.kind !== 'move-table' || first === undefined ? undefined : first.p_vaddr - first.p_offset;
  const tail = placeTail(image, fileEnd, align, size, distance);
  if (tail === undefined) return undefined;
  const at = arrange(tail.address + lead, front, noteSize);
  const newLoad: ProgramHeader = {
    p_type: PT_LOAD,
    p_flags: PF_R,
    p_offset: tail.offset,
    p_vaddr: tail.address,
    p_paddr: tail.address,
    p_filesz: at.end - tail.address,
    p_memsz: at.end - tail.address,
    p_align: tail.p_align,
  };
  return located('tail', at, tail, undefined, newLoad);
}

function located(
  kind: Place['kind'],
  at: ReturnType<typeof arrange>,
  start: Point,
  load: number | undefined,
  newLoad: ProgramHeader | undefined,
): Place {
  const distance = start.offset - start.address;
  const front = at.block === undefined ? undefined : { offset: at.block + distance, address: at.block };
  const note = { offset: at.note + distance, address: at.note };
  return { kind, front, note, load, newLoad, end: at.end + distance };
}

/**
 * llvm-strip takes the first of two segments with one offset for the other's parent and lays the child out by the
 * parent's alignment: a new `PT_LOAD` must start before a moved `PT_INTERP` or `PT_NOTE` that precedes it.
 */
function needsLead({ programHeaders }: ElfImage, { kind, front }: Room): boolean {
  const lastLoad = programHeaders.findLastIndex(p => p.p_type === PT_LOAD);
  return kind === 'move-table' || (front?.segments.some(i => i < lastLoad) ?? false);
}
