import { type BigIntStats, constants } from 'node:fs';
import { alignUp, type ByteSource, checkRange } from '../elf/bytes.js';
import { ElfnoteError, fromSystemError } from '../errors.js';
import { isOrdinary, refusePseudoFile } from './file-systems.js';
import { OpenFile } from './open-file.js';
import { room } from './slab.js';
import type { Steps } from './steps.js';

const BLOCK = 4096;

/** O_NONBLOCK: opening a FIFO must not wait for a writer. */
const TO_READ = constants.O_RDONLY | constants.O_NONBLOCK;

/**
 * Two writes within one tick of the kernel's clock (1 to 10 ms) leave the same time stamp. So a file that was written
 * a moment ago is read only when that moment has passed: any later write then shows.
 */
export const TICK_MILLISECONDS = 20;
const LONGEST_WAIT_MILLISECONDS = 2000;

/** In bytes. What is compared with another file is compared in pieces of at most so many. */
const COMPARED_AT_ONCE = 1 << 20;

/** In bytes, at once. */
const LARGEST_READ = 1 << 30;

/** Bytes of a file that are in memory. */
interface Extent {
  /** A multiple of the block size. */
  readonly start: number;
  readonly end: number;
  readonly bytes: Buffer;
}

/** In bytes: so little at the end of a file is not left for another call. */
const REST = 1 << 16;

/**
 * Ranged reads of an open file in blocks of 4 KiB, each block read once. The block behind what is asked for comes with
 * it: headers, names and tables are neighbours more often than not, and a call costs more than a block. So does what is
 * left of the file, where that is little: section headers and their names are there.
 */
export class FileSource implements ByteSource {
  readonly path: string;
  readonly size: number;
  readonly stats: BigIntStats;
  /** To copy from; what was read of it stays in memory. */
  readonly file: OpenFile;
  /** Another file has its name by now, so that closing it frees all that it has in memory and on the disk. */
  isReplaced = false;
  /** It has been written to, and no failure takes that back. */
  isEdited = false;
  /** By their start; none overlap. */
  readonly #extents: Extent[] = [];
  #bytesRead = 0;

  private constructor(file: OpenFile, stats: BigIntStats) {
    this.path = file.path;
    this.file = file;
    this.stats = stats;
    this.size = Number(stats.size);
  }

  /**
   * Opens `path` for reading. The caller closes it.
   * @param settled the file will be written to, and a change by others must show in its time stamp until then.
   * @throws ElfnoteError `unreadable` when it cannot be opened, `not-elf` when it is no regular file, `changed` when
   * others keep writing to it.
   */
  static open(path: string, settled = false): FileSource {
    return FileSource.#of(OpenFile.toRead(path, TO_READ, settled), settled);
  }

  /** As `open`, of a path that need not be UTF-8. The caller closes it. @throws ElfnoteError as `open` */
  static openBytes(place: Buffer): FileSource {
    return FileSource.#of(OpenFile.toReadBytes(place, TO_READ), false);
  }

  static #of(file: OpenFile, settled: boolean): FileSource {
    const { path } = file;
    try {
      const stats = settled ? settledStats(file) : file.stat();
      if (!stats.isFile()) throw new ElfnoteError('not-elf', 'is not a regular file', { path });
      return new FileSource(file, stats);
    } catch (error) {
      file.abandon();
      throw fromSystemError('unreadable', 'cannot read', path, error);
    }
  }

  /** Bytes asked of the operating system so far. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** Whether others have written to the file since it was opened. */
  get hasChanged(): boolean {
    return !isUnchanged(this.file.stat(), this.stats);
  }

  /** Whether another open file has the same bytes in every block that was read of this one, as `view` shows them. */
  agreesWith(other: OpenFile, view: ByteSource = this): boolean {
    for (const { start, end } of [...this.#extents]) {
      const limit = Math.min(end, view.size);
      for (let offset = start; offset < limit; offset += COMPARED_AT_ONCE) {
        const length = Math.min(COMPARED_AT_ONCE, limit - offset);
        const bytes = Buffer.allocUnsafe(length);
        if (other.read(bytes, 0, offset) !== length || !bytes.equals(view.read(offset, length))) return false;
      }
    }
    return true;
  }

  close(): void {
    this.file.abandon();
  }

  read(offset: number, length: number): Buffer {
    checkRange(this, offset, length);
    if (length > LARGEST_READ) {
      throw new ElfnoteError('unsupported', `a table of ${length} bytes is too large to read`, {
        path: this.path,
        offset,
      });
    }
    if (length === 0) return EMPTY;
    const end = offset + length;
    const extents = this.#extents;
    for (let i = 0; i < extents.length; i++) {
      const extent = extents[i];
      if (extent !== undefined && extent.start <= offset && end <= extent.end)
        return extent.bytes.subarray(offset - extent.start, end - extent.start);
    }
    return this.#assemble(offset, end);
  }

  /** What is not in one piece yet. */
  #assemble(offset: number, end: number): Buffer {
    const pieces: Buffer[] = [];
    for (let at = offset; at < end; ) {
      const index = this.#firstEndingBehind(at);
      const next = this.#extents[index];
      const extent =
        next !== undefined && next.start <= at ? next : this.#readBlocks(at, end, next?.start, index);
      const until = Math.min(end, extent.end);
      const piece = extent.bytes.subarray(at - extent.start, until - extent.start);
      if (piece.length === end - offset) return piece;
      pieces.push(piece);
      at = until;
    }
    return Buffer.concat(pieces);
  }

  #firstEndingBehind(offset: number): number {
    const extents = this.#extents;
    let index = 0;
    while (index < extents.length && (extents[index]?.end ?? 0) <= offset) index++;
    return index;
  }

  /** @param limit the start of the next extent. */
  #readBlocks(from: number, to: number, limit = this.size, index: number): Extent {
    const start = from - (from % BLOCK);
    const wanted = Math.min(alignUp(to, BLOCK) + BLOCK, limit);
    const isRest = limit === this.size && limit - wanted <= REST;
    const end = isRest ? limit : wanted;
    // Every byte of it is read, or it is thrown away.
    const bytes = room(end - start);
    for (let done = 0; done < bytes.length; ) {
      const got = this.file.read(bytes, done, start + done);
      if (got === 0)
        throw new ElfnoteError('unreadable', 'the file shrank while it was read', { path: this.path });
      done += got;
      this.#bytesRead += got;
    }
    const extent = { start, end, bytes };
    this.#extents.splice(index, 0, extent);
    return extent;
  }
}

const EMPTY = Buffer.alloc(0);

/** Whether two looks at a path saw the same file with, as far as size and time stamp tell, the same bytes. */
export function isUnchanged(now: BigIntStats, before: BigIntStats): boolean {
  return (
    now.mtimeNs === before.mtimeNs &&
    now.size === before.size &&
    now.ino === before.ino &&
    now.dev === before.dev
  );
}

/** As `isUnchanged`, and the inode has its modes, links and attributes too: changing those changes its own time stamp. */
export function isUntouched(now: BigIntStats, before: BigIntStats): boolean {
  return isUnchanged(now, before) && now.ctimeNs === before.ctimeNs;
}

function settledStats(file: OpenFile): BigIntStats {
  for (let waited = 0; waited < LONGEST_WAIT_MILLISECONDS; waited += TICK_MILLISECONDS) {
    const stats = file.stat();
    const age = Date.now() - Number(stats.mtimeMs);
    if (!stats.isFile() || age < 0 || age >= TICK_MILLISECONDS) return stats;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TICK_MILLISECONDS);
  }
  throw new ElfnoteError('changed', 'is being written to by another process', { path: file.path });
}

/** What a file is, whatever its names are. */
export function inodeOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

function deviceIn(inode: string): string {
  return inode.slice(0, inode.indexOf(':'));
}

export interface OpenOptions {
  /** As in `FileSource.open`. */
  readonly settled?: boolean | undefined;
  /** `inodeOf` what a walk has found there: a link by now, on the way to it or in its place, would lead anywhere. */
  readonly found?: string | undefined;
}

/**
 * Opens a file for as long as `work` needs it.
 *
 * @throws ElfnoteError of `FileSource.open`, of `work`, or `changed` where `work` failed over bytes that others changed
 * meanwhile: what is wrong with them says nothing about the file.
 */
export function withFile<T>(path: string, work: (source: FileSource) => T, options: OpenOptions = {}): T {
  const source = openFound(path, options);
  try {
    return work(source);
  } catch (error) {
    throw whatFailed(source, error);
  } finally {
    source.close();
  }
}

/** As `withFile`. */
export function* withFileInSteps<T>(
  path: string,
  work: (source: FileSource) => Steps<T>,
  options: OpenOptions,
): Steps<T> {
  const source = openFound(path, options);
  try {
    return yield* work(source);
  } catch (error) {
    throw whatFailed(source, error);
  } finally {
    if (source.isReplaced) yield* source.file.abandoning();
    else source.close();
  }
}

function openFound(path: string, { settled = false, found }: OpenOptions): FileSource {
  // A walk has asked for the file system, and what was no link then is asked for again where it is one by now.
  if (!settled || found === undefined || !isOrdinary(deviceIn(found))) refusePseudoFile(path);
  const source = FileSource.open(path, settled);
  if (found === undefined || inodeOf(source.stats) === found) return source;
  source.close();
  throw new ElfnoteError('changed', 'another process put something else in its place', { path });
}

function whatFailed(source: FileSource, error: unknown): unknown {
  // A failed write has changed the file itself.
  const isOurs = error instanceof ElfnoteError && ['unwritable', 'changed'].includes(error.code);
  if (!isOurs) refuseChanged(source, error);
  const failure = ofFile(source.path, error);
  if ((source.isReplaced || source.isEdited) && failure instanceof ElfnoteError) LATE.add(failure);
  return failure;
}

const LATE = new WeakSet<ElfnoteError>();

/** Whether the file was written by then, and only what comes after that has failed: the work cannot be done once more. */
export function isLate(error: ElfnoteError): boolean {
  return LATE.has(error);
}

/** What went wrong with something that the file names fails that file. */
function ofFile(path: string, error: unknown): unknown {
  if (!(error instanceof ElfnoteError) || error.path !== undefined) return error;
  const { code, message, offset, cause } = error;
  return new ElfnoteError(code, message, { path, offset, cause });
}

/** @throws ElfnoteError `changed` when others have written to the file since it was opened. */
export function refuseChanged(source: FileSource, cause?: unknown): void {
  if (!source.hasChanged) return;
  throw new ElfnoteError('changed', 'the file changed while it was read', { path: source.path, cause });
}
