import { type ByteSource, type Encoding, isZero } from '../../elf/bytes.js';
import { CACHE_NOTE_OWNER, CACHE_NOTE_TYPE } from '../../elf/constants.js';
import type { ElfView } from '../../elf/view.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import { OWN_DESC_START, OWN_TYPE, ownNoteHead } from '../../note/own.js';
import { decodeOldSize } from '../../note/undo.js';
import type { Commit, Edit } from '../model/plan.js';
import type { Gap } from './find.js';
import { MOST_PADDING } from './record-at-end.js';

/** In bytes: the least page of any Linux. The kernel ends a killed process between two pages of one write. */
const PAGE = 4096;

/**
 * What takes out the first pages of notes of which a stopped run has written, or left, no more. The record among them
 * cannot be read; but it is the first write of all, and so there is nothing else to undo.
 *
 * @param gaps what `undescribed` says of a file without a cache note.
 */
export function tornWork(view: ElfView, gaps: readonly Gap[]): Commit | undefined {
  const { source } = view;
  const commit = (edits: readonly Edit[], size: number): Commit => ({
    kind: 'undo',
    edits,
    size,
    inPlaceIsSafe: true,
  });
  for (const gap of gaps) {
    const isEnd = gap.offset + gap.size === source.size;
    const size = isEnd ? tornRecord(view, gap) : undefined;
    if (size !== undefined) return commit([], size);
    const edit = tornNotes(view, gap, isEnd);
    // At the end the file has grown, and in front of the notes is nothing but zeros that nothing describes.
    if (edit !== undefined) return isEnd ? commit([], gap.offset) : commit([edit], source.size);
  }
  return undefined;
}

/** Notes that start what is not zero in a gap, and end at a page border within them. */
function tornNotes({ image, source }: ElfView, gap: Gap, isEnd: boolean): Edit | undefined {
  const bytes = source.read(gap.offset, gap.size);
  const first = bytes.findIndex(byte => byte !== 0);
  const start = first - ((gap.offset + first) % NOTE_ALIGN);
  if (first < 0 || start < 0 || !isCacheNote(bytes, start, image.encoding)) return undefined;
  const last = bytes.findLastIndex(byte => byte !== 0);
  const border = Math.ceil((gap.offset + last + 1) / PAGE) * PAGE - gap.offset;
  if (border > bytes.length) return undefined;
  const end = endOfNotes(bytes, start, border, image.encoding);
  const isCut = isEnd ? border === bytes.length && end > border : end <= bytes.length;
  if (end <= border - OWN_DESC_START || !isCut) return undefined;
  const why = 'what a stopped run has begun to write';
  return { offset: gap.offset + start, bytes: Buffer.alloc(border - start), step: 0, why };
}

function isCacheNote(bytes: Buffer, at: number, encoding: Encoding): boolean {
  return (
    at + OWN_DESC_START <= bytes.length &&
    encoding.u32(bytes, at) === CACHE_NOTE_OWNER.length + 1 &&
    encoding.u32(bytes, at + 8) === CACHE_NOTE_TYPE &&
    bytes.toString('latin1', at + 12, at + OWN_DESC_START) === `${CACHE_NOTE_OWNER}\0\0\0`
  );
}

/** Where the notes say that they end, as far as their headers are before the border. */
function endOfNotes(bytes: Buffer, start: number, border: number, encoding: Encoding): number {
  const sizeOf = (at: number) =>
    OWN_DESC_START + Math.ceil(encoding.u32(bytes, at + 4) / NOTE_ALIGN) * NOTE_ALIGN;
  let end = start + sizeOf(start);
  while (end + OWN_DESC_START <= border && ownNoteHead(bytes, end, encoding) !== undefined)
    end += sizeOf(end);
  return end;
}

/** The size that a file had to which the first pages of a record at its end have been added. */
function tornRecord({ image, source }: ElfView, { offset }: Gap): number | undefined {
  if (source.size % PAGE !== 0) return undefined;
  for (let at = Math.ceil(offset / NOTE_ALIGN) * NOTE_ALIGN; at < offset + MOST_PADDING; at += NOTE_ALIGN) {
    if (at + OWN_DESC_START > source.size) return undefined;
    const head = ownNoteHead(source.read(at, OWN_DESC_START), 0, image.encoding);
    if (head?.n_type !== OWN_TYPE.undo) continue;
    const descOffset = at + OWN_DESC_START;
    if (descOffset + head.n_descsz <= source.size) return undefined;
    const size = decodeOldSize(source.read(descOffset, source.size - descOffset));
    return size !== undefined && isPadding(source, size, at) ? size : undefined;
  }
  return undefined;
}

function isPadding(source: ByteSource, from: number, to: number): boolean {
  return from <= to && to - from < NOTE_ALIGN && isZero(source, from, to - from);
}
