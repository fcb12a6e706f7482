import { createHash } from 'node:crypto';
import { alignUp, type ByteSource, type Encoding } from '../../elf/bytes.js';
import { type ElfHeader, programHeaderSize } from '../../elf/image.js';
import { HASH_SIZE, type UndoRecord, WROTE_AT } from '../../note/undo.js';
import { sha256 } from '../../sha256.js';

/** In bytes: hashes of larger parts are taken piece by piece. */
const PIECE = 1 << 20;

/** In bytes: so little is hashed in one call, which costs less than an object that takes pieces. */
const AT_ONCE = 1 << 16;

/** A file, of which only the ELF header has to be known. */
export interface Headed {
  readonly image: {
    readonly encoding: Encoding;
    readonly header: Pick<ElfHeader, 'e_ehsize' | 'e_phoff' | 'e_phnum'>;
  };
  readonly source: ByteSource;
}

/** A file range [start, end). */
interface Span {
  readonly start: number;
  end: number;
}

/**
 * Of all that was written, as it is in `now`, and of what is beyond the old size.
 * @param descOffset file offset of the record's descriptor, whose own hash counts as zeros.
 */
export function hashOfWritten(record: UndoRecord, now: Headed, descOffset: number): Buffer {
  const spans = spansOf(record, now);
  spans.push({ start: record.oldSize, end: record.newSize });
  return hashOf(spans, now.source, descOffset + WROTE_AT);
}

/** Of what was there. */
export function hashOfOld(record: UndoRecord, before: Headed): Buffer {
  return hashOf(spansOf(record, before), before.source, Number.NaN);
}

/**
 * The ranges, as whole words: another tool may have changed the upper half of a field of which only the lower did. And
 * the ELF header and program header table, in which entries may have made way for others that look alike.
 */
function spansOf({ writes, oldSize }: UndoRecord, { image, source }: Headed): Span[] {
  const { wordSize } = image.encoding;
  const { e_ehsize, e_phoff, e_phnum } = image.header;
  const limit = Math.min(oldSize, source.size);
  const tableEnd = e_phoff + (e_phoff === 0 ? 0 : e_phnum) * programHeaderSize(image.encoding);
  // Mostly the table is right behind the ELF header, and most of what changes is in the two.
  const headEnd = e_phoff <= e_ehsize ? Math.max(e_ehsize, tableEnd) : e_ehsize;
  const spans: Span[] = [{ start: 0, end: headEnd }];
  if (e_phoff > e_ehsize) spans.push({ start: e_phoff, end: tableEnd });
  for (const ranges of writes) {
    for (const { offset, length } of ranges) {
      const end = Math.min(alignUp(offset + length, wordSize), limit);
      if (end > headEnd) spans.push({ start: offset - (offset % wordSize), end });
    }
  }
  spans.sort((a, b) => a.start - b.start);
  const merged: Span[] = [];
  let last: Span | undefined;
  for (const span of spans) {
    if (last !== undefined && span.start <= last.end) last.end = Math.max(last.end, span.end);
    else {
      last = span;
      merged.push(span);
    }
  }
  return merged;
}

function hashOf(spans: readonly Span[], source: ByteSource, ownHash: number): Buffer {
  let size = 0;
  for (const { start, end } of spans) size += Math.max(0, end - start);
  return size <= AT_ONCE ? hashAtOnce(spans, size, source, ownHash) : hashPieces(spans, source, ownHash);
}

/** What was hashed, and its hash. Who verifies a plan asks for the same two as who has made it, and to compare costs less. */
interface Known {
  readonly bytes: Buffer;
  readonly hash: Buffer;
}

let known: readonly Known[] = [];

function hashAtOnce(spans: readonly Span[], size: number, source: ByteSource, ownHash: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  let done = 0;
  for (const { start, end } of spans) {
    if (start >= end) continue;
    bytes.set(source.read(start, end - start), done);
    blank(bytes, done, start, end, ownHash);
    done += end - start;
  }
  for (const before of known) if (before.bytes.equals(bytes)) return before.hash;
  const found = { bytes, hash: shortened(sha256(bytes)) };
  known = known[0] === undefined ? [found] : [found, known[0]];
  return found.hash;
}

/** @param digits hexadecimal ones, which cost Node less than a buffer. */
function shortened(digits: string): Buffer {
  return Buffer.from(digits.slice(0, 2 * HASH_SIZE), 'hex');
}

function hashPieces(spans: readonly Span[], source: ByteSource, ownHash: number): Buffer {
  const digest = createHash('sha256');
  for (const { start, end } of spans) {
    for (let at = start; at < end; at += PIECE) {
      const bytes = Buffer.from(source.read(at, Math.min(PIECE, end - at)));
      blank(bytes, 0, at, at + bytes.length, ownHash);
      digest.update(bytes);
    }
  }
  return shortened(digest.digest('hex'));
}

/** Takes a record's own hash for zeros, as far as it is in the file range [start, end), which is in `bytes` at `at`. */
function blank(bytes: Buffer, at: number, start: number, end: number, ownHash: number): void {
  const from = Math.max(start, ownHash);
  const to = Math.min(end, ownHash + HASH_SIZE);
  if (from < to) bytes.fill(0, at + from - start, at + to - start);
}
