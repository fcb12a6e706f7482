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

/** Where the moved block and the note come to stand; both lie in the same segment. */
export interface Place {
  readonly kind: 'slack' | 'tail';
  readonly block: Point | undefined;
  /** Of the program header table, where that moves. */
  readonly table: Point | undefined;
  readonly note: Point;
  /** The segment that grows; for a tail it is the one before it is inserted. */
  readonly load: number | undefined;
  readonly newLoad: ProgramHeader | undefined;
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

/** Every place that fits, data before code. */
export function placesInSlack(
  image: ElfImage,
  source: ByteSource,
  slacks: readonly Slack[],
  room: Room,
  noteSize: number,
): Place[] {
  return slacks.flatMap((slack): Place[] => {
    if (room.load !== undefined && (room.load !== slack.load || slack.inside)) return [];
    const at = arrange(slack.address, leader(image, room), noteSize);
    const used = at.end - slack.address;
    const inFile = Math.min(used, image.size - slack.offset);
    if (used > slack.size || (!slack.inside && !isZero(source, slack.offset, inFile))) return [];
    const load = slack.inside ? undefined : slack.load;
    return [{ kind: 'slack', ...located(at, slack, room), load, newLoad: undefined }];
  });
}

export function placeInTail(
  image: ElfImage,
  room: Room,
  noteSize: number,
  fileEnd: number,
): Place | undefined {
  const block = leader(image, room);
  const align = Math.max(NOTE_ALIGN, block?.align ?? 1);
  const lead = needsLead(image, room) ? align : 0;
  const size = lead + noteSize + (block?.size ?? 0) + 2 * align;
  const first = image.programHeaders.find(p => p.p_type === PT_LOAD);
  const distance =
    room.tableSize === undefined || first === undefined ? undefined : first.p_vaddr - first.p_offset;
  const tail = placeTail(image, fileEnd, align, size, distance);
  if (tail === undefined) return undefined;
  const at = arrange(tail.address + lead, block, noteSize);
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
  return { kind: 'tail', ...located(at, tail, room), load: undefined, newLoad };
}

/** What stands in front of the note. */
function leader(image: ElfImage, room: Room): Pick<Block, 'size' | 'address' | 'align'> | undefined {
  if (room.tableSize === undefined) return room.block;
  return { size: room.tableSize, address: 0, align: image.encoding.wordSize };
}

function located(
  at: ReturnType<typeof arrange>,
  start: { readonly offset: number; readonly address: number },
  room: Room,
): Pick<Place, 'block' | 'table' | 'note' | 'end'> {
  const place = (address: number) => ({ offset: address - start.address + start.offset, address });
  const front = at.block === undefined ? undefined : place(at.block);
  return {
    block: room.tableSize === undefined ? front : undefined,
    table: room.tableSize === undefined ? undefined : front,
    note: place(at.note),
    end: place(at.end).offset,
  };
}

/**
 * llvm-strip takes the first of two segments with one offset for the other's parent and lays the child out by the
 * parent's alignment: a new `PT_LOAD` must start before a moved `PT_INTERP` or `PT_NOTE` that precedes it.
 */
function needsLead(image: ElfImage, { block, tableSize }: Room): boolean {
  const lastLoad = image.programHeaders.findLastIndex(p => p.p_type === PT_LOAD);
  return tableSize !== undefined || (block?.segments.some(i => i < lastLoad) ?? false);
}
