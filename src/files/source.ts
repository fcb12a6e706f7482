import { type BigIntStats, constants } from 'node:fs';
import { type ByteSource, checkRange } from '../elf/bytes.js';
import { ElfnoteError, fromSystemError } from '../errors.js';
import { refusePseudoFile } from './file-systems.js';
import { OpenFile } from './open-file.js';

const BLOCK = 4096;

/**
 * Two writes within one tick of the kernel's clock (1 to 10 ms) leave the same time stamp. So a file that was written
 * a moment ago is read only when that moment has passed: any later write then shows.
 */
const TICK_MILLISECONDS = 20;
const LONGEST_WAIT_MILLISECONDS = 2000;

/** So many neighbours are compared at once. */
const BLOCKS_AT_ONCE = 256;

/** In bytes, at once. */
const LARGEST_READ = 1 << 30;

/** Ranged reads of an open file in blocks of 4 KiB, each block read once. */
export class FileSource implements ByteSource {
  readonly path: string;
  readonly size: number;
  readonly stats: BigIntStats;
  /** To copy from; what was read of it stays in memory. */
  readonly file: OpenFile;
  readonly #blocks = new Map<number, Buffer>();
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
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    const file = OpenFile.toRead(path, constants.O_RDONLY | constants.O_NONBLOCK, settled);
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
    const indices = [...this.#blocks.keys()].sort((a, b) => a - b);
    for (let i = 0; i < indices.length; ) {
      const first = indices[i++] ?? 0;
      let end = first + 1;
      while (indices[i] === end && end - first < BLOCKS_AT_ONCE) [i, end] = [i + 1, end + 1];
      const offset = first * BLOCK;
      const length = Math.min(end * BLOCK, this.size, view.size) - offset;
      if (length <= 0) continue;
      const bytes = Buffer.allocUnsafe(length);
      if (other.read(bytes, 0, offset) !== length || !bytes.equals(view.read(offset, length))) return false;
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
    if (length === 0) return Buffer.alloc(0);
    const first = Math.floor(offset / BLOCK);
    const last = Math.floor((offset + length - 1) / BLOCK);
    this.#fill(first, last);
    const within = offset - first * BLOCK;
    if (first === last) return this.#block(first).subarray(within, within + length);
    const blocks: Buffer[] = [];
    for (let i = first; i <= last; i++) blocks.push(this.#block(i));
    return Buffer.concat(blocks).subarray(within, within + length);
  }

  #block(index: number): Buffer {
    const block = this.#blocks.get(index);
    if (block === undefined) throw new ElfnoteError('unreadable', 'the file shrank', { path: this.path });
    return block;
  }

  #fill(first: number, last: number): void {
    for (let i = first; i <= last; i++) {
      if (this.#blocks.has(i)) continue;
      let end = i + 1;
      while (end <= last && !this.#blocks.has(end)) end++;
      this.#readBlocks(i, end);
      i = end - 1;
    }
  }

  #readBlocks(first: number, end: number): void {
    const offset = first * BLOCK;
    // Every byte of it is read, or it is thrown away.
    const bytes = room(Math.min(end * BLOCK, this.size) - offset);
    for (let done = 0; done < bytes.length; ) {
      const got = this.file.read(bytes, done, offset + done);
      if (got === 0)
        throw new ElfnoteError('unreadable', 'the file shrank while it was read', { path: this.path });
      done += got;
      this.#bytesRead += got;
    }
    for (let i = first; i < end; i++) {
      this.#blocks.set(i, bytes.subarray((i - first) * BLOCK, (i + 1 - first) * BLOCK));
    }
  }
}

/** In bytes: memory is asked for in pieces of so many, which costs less than one for each block. */
const SLAB = 1 << 17;

let slab = Buffer.alloc(0);

/** Bytes that nobody else has, and that may say anything. */
function room(size: number): Buffer {
  if (size > SLAB / 4) return Buffer.allocUnsafeSlow(size);
  if (size > slab.length) slab = Buffer.allocUnsafeSlow(SLAB);
  const bytes = slab.subarray(0, size);
  slab = slab.subarray(size);
  return bytes;
}

/** Whether two looks at a path saw the same file with, as far as size and time stamp tell, the same bytes. */
export function isUnchanged(now: BigIntStats, before: BigIntStats): boolean {
  return (['dev', 'ino', 'size', 'mtimeNs'] as const).every(field => now[field] === before[field]);
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

/**
 * Opens a file for as long as `work` needs it.
 *
 * @param settled as in `FileSource.open`.
 * @throws ElfnoteError of `FileSource.open`, of `work`, or `changed` where `work` failed over bytes that others changed
 * meanwhile: what is wrong with them says nothing about the file.
 */
export function withFile<T>(path: string, work: (source: FileSource) => T, settled = false): T {
  refusePseudoFile(path);
  const source = FileSource.open(path, settled);
  try {
    return work(source);
  } catch (error) {
    // A failed write has changed the file itself.
    const isOurs = error instanceof ElfnoteError && ['unwritable', 'changed'].includes(error.code);
    if (!isOurs) refuseChanged(source, error);
    throw ofFile(path, error);
  } finally {
    source.close();
  }
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
