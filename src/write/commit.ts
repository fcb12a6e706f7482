import {
  type BigIntStats,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  futimesSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { ByteSource } from '../elf/bytes.js';
import { ElfnoteError, fromSystemError, systemCode } from '../errors.js';
import type { Edit } from '../layout/plan.js';

export interface Change {
  /** In commit order. */
  readonly edits: readonly Edit[];
  /** Of the file afterwards, in bytes. */
  readonly size: number;
  /** False: no order of writes is safe in place. */
  readonly inPlaceIsSafe: boolean;
}

export interface CommitOptions {
  /** Give up hard links to a file that has to be replaced. */
  readonly force?: boolean | undefined;
  /** Put access and modification times back, to the microsecond. */
  readonly preserveDates?: boolean | undefined;
  /** Called before a file is replaced rather than edited; throws to prevent it. */
  readonly beforeReplacing?: (() => void) | undefined;
}

export type Committed = 'in-place' | 'replaced';

const CANNOT_OPEN = new Set(['EACCES', 'EPERM', 'EROFS', 'ETXTBSY']);

/**
 * Writes a verified change to the file that `source` was read from: in place, step by step, or, where the file
 * cannot be opened for writing, to a copy that is renamed over it. A failed write is undone.
 *
 * @param stats of the file when it was read; a file that changed since is left alone.
 * @throws ElfnoteError `unwritable`, `changed` or `refused`.
 */
export function commitChange(
  path: string,
  source: ByteSource,
  stats: BigIntStats,
  change: Change,
  options: CommitOptions = {},
): Committed {
  if (!change.inPlaceIsSafe) return replace(path, source, stats, change, options);
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR);
  } catch (error) {
    if (!CANNOT_OPEN.has(systemCode(error) ?? ''))
      throw fromSystemError('unwritable', 'cannot write', path, error);
    return replace(path, source, stats, change, options);
  }
  try {
    checkUnchanged(path, fstatSync(fd, { bigint: true }), stats);
    writeInPlace(path, fd, source, change);
    keepModeAndDates(fd, stats, options);
  } finally {
    closeSync(fd);
  }
  return 'in-place';
}

/**
 * Copies the file that `source` was read from to `output` and applies the change to the copy; `output` appears
 * whole or not at all.
 */
export function writeCopy(
  path: string,
  output: string,
  source: ByteSource,
  stats: BigIntStats,
  change: Change | undefined,
  options: CommitOptions = {},
): void {
  const temporary = join(dirname(output), `.${basename(output).slice(0, 200)}.elfnote-${process.pid}`);
  try {
    checkUnchanged(path, statSync(path, { bigint: true }), stats);
    copyFileSync(path, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    checkUnchanged(path, statSync(path, { bigint: true }), stats);
    editCopy(temporary, source, stats, change, options);
    renameSync(temporary, output);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') rmSync(temporary, { force: true });
    throw fromSystemError(
      'unwritable',
      `cannot write ${output === realpathSync(path) ? 'a copy beside it' : output}`,
      path,
      error,
    );
  }
}

function editCopy(
  temporary: string,
  source: ByteSource,
  stats: BigIntStats,
  change: Change | undefined,
  options: CommitOptions,
): void {
  // The copy has the original's mode, which may not allow writing.
  const mode = Number(stats.mode) & 0o7777;
  const fd = openWritable(temporary, mode);
  try {
    if (change !== undefined) writeInPlace(temporary, fd, source, change);
    // As with `cp -p`: who may not give the file away does not make a setuid file of his own.
    fchmodSync(fd, keepOwner(fd, stats) ? mode : mode & 0o777);
    if (options.preserveDates) putDates(fd, stats);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function keepOwner(fd: number, stats: BigIntStats): boolean {
  try {
    fchownSync(fd, Number(stats.uid), Number(stats.gid));
    return true;
  } catch (error) {
    if (systemCode(error) !== 'EPERM') throw error;
    return false;
  }
}

function openWritable(path: string, mode: number): number {
  const reader = openSync(path, constants.O_RDONLY);
  try {
    fchmodSync(reader, (mode & 0o777) | 0o200);
    return openSync(path, constants.O_RDWR);
  } finally {
    closeSync(reader);
  }
}

function replace(
  path: string,
  source: ByteSource,
  stats: BigIntStats,
  change: Change,
  options: CommitOptions,
): Committed {
  options.beforeReplacing?.();
  if (stats.nlink > 1n && !options.force) {
    throw new ElfnoteError(
      'refused',
      `has ${stats.nlink} hard links and cannot be edited in place; --force replaces this one alone`,
      { path },
    );
  }
  // A symbolic link stays one; what it leads to is replaced.
  writeCopy(path, realpathSync(path), source, stats, change, options);
  return 'replaced';
}

function checkUnchanged(path: string, now: BigIntStats, stats: BigIntStats): void {
  const same = (['dev', 'ino', 'size', 'mtimeNs'] as const).every(field => now[field] === stats[field]);
  if (!same) throw new ElfnoteError('changed', 'the file changed while it was read', { path });
}

/** Step by step; after a failed write the bytes written so far are put back as they were. */
function writeInPlace(path: string, fd: number, source: ByteSource, change: Change): void {
  const done: Edit[] = [];
  try {
    for (const edit of change.edits) {
      done.push(edit);
      writeAll(fd, edit.bytes, edit.offset);
    }
    ftruncateSync(fd, change.size);
  } catch (error) {
    undo(fd, source, done);
    throw fromSystemError('unwritable', 'cannot write', path, error);
  }
}

function undo(fd: number, source: ByteSource, done: readonly Edit[]): void {
  for (const { offset, bytes } of done.toReversed()) {
    const length = Math.min(bytes.length, source.size - offset);
    if (length > 0) writeAll(fd, source.read(offset, length), offset);
  }
  ftruncateSync(fd, source.size);
}

function writeAll(fd: number, bytes: Buffer, offset: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
  }
}

/** The kernel clears setuid and setgid bits on a write. */
function keepModeAndDates(fd: number, stats: BigIntStats, options: CommitOptions): void {
  const now = fstatSync(fd, { bigint: true });
  if (now.mode !== stats.mode) fchmodSync(fd, Number(stats.mode) & 0o7777);
  if (options.preserveDates) putDates(fd, stats);
}

function putDates(fd: number, stats: BigIntStats): void {
  futimesSync(fd, Number(stats.atimeNs) / 1e9, Number(stats.mtimeNs) / 1e9);
}
