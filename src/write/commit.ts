import {
  type BigIntStats,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  futimesSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import type { ByteSource } from '../elf/bytes.js';
import { ElfnoteError, fromSystemError, systemCode } from '../errors.js';
import { isUnchanged } from '../files/source.js';
import { temporaryBeside } from '../files/temporary.js';
import type { Edit } from '../layout/model/plan.js';

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
  /** Replace the file by its edited copy: it has hard links whose content must stay. */
  readonly unshare?: boolean | undefined;
  /** Put access and modification times back, to the microsecond. */
  readonly preserveDates?: boolean | undefined;
  /** Called before a file is replaced rather than edited; throws to prevent it. */
  readonly beforeReplacing?: (() => void) | undefined;
  /** Told what could not be kept of a file that is written: `mode` or `dates`. */
  readonly onLoss?: ((what: string) => void) | undefined;
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
  if (options.unshare || !change.inPlaceIsSafe) return replace(path, source, stats, change, options);
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
 *
 * @throws ElfnoteError `unwritable`, `changed`, or `refused` for an output that is there and no regular file.
 */
export function writeCopy(
  path: string,
  output: string,
  source: ByteSource,
  stats: BigIntStats,
  change: Change | undefined,
  options: CommitOptions = {},
): void {
  const target = targetOf(output);
  const temporary = temporaryBeside(target);
  let made = false;
  try {
    // Nobody else may read, write or run it before it is whole: the original may be setuid.
    const fd = openSync(temporary, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    made = true;
    try {
      copyInto(fd, path, stats);
      if (change !== undefined) writeInPlace(temporary, fd, source, change);
      finishCopy(fd, stats, options);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, target);
  } catch (error) {
    if (made) rmSync(temporary, { force: true });
    const what = stats.ino === inodeOf(target) ? 'a copy beside it' : output;
    throw fromSystemError('unwritable', `cannot write ${what}`, path, error);
  }
}

/** Where a symbolic link leads, so that it stays one. */
function targetOf(output: string): string {
  const found = statSync(output, { throwIfNoEntry: false });
  if (found === undefined) return output;
  if (!found.isFile())
    throw new ElfnoteError('refused', `the output ${output} is not a regular file`, { path: output });
  return realpathSync(output);
}

function inodeOf(path: string): bigint | undefined {
  try {
    return statSync(path, { bigint: true }).ino;
  } catch {
    return undefined;
  }
}

const PIECE = 1 << 20;

/** Holes stay holes. */
function copyInto(fd: number, path: string, stats: BigIntStats): void {
  const from = openSync(path, constants.O_RDONLY);
  try {
    checkUnchanged(path, fstatSync(from, { bigint: true }), stats);
    const piece = Buffer.alloc(PIECE);
    for (let offset = 0; ; ) {
      const got = readSync(from, piece, 0, PIECE, offset);
      if (got === 0) break;
      const bytes = piece.subarray(0, got);
      if (bytes.some(byte => byte !== 0)) writeAll(fd, bytes, offset);
      offset += got;
    }
    ftruncateSync(fd, Number(stats.size));
    checkUnchanged(path, fstatSync(from, { bigint: true }), stats);
  } finally {
    closeSync(from);
  }
}

function finishCopy(fd: number, stats: BigIntStats, options: CommitOptions): void {
  const mode = Number(stats.mode) & 0o7777;
  // As with `cp -p`: who may not give the file away does not make a setuid file of his own.
  fchmodSync(fd, keepOwner(fd, stats) ? mode : mode & 0o777);
  if (options.preserveDates) putDates(fd, stats);
  fsyncSync(fd);
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

function replace(
  path: string,
  source: ByteSource,
  stats: BigIntStats,
  change: Change,
  options: CommitOptions,
): Committed {
  options.beforeReplacing?.();
  const user = process.geteuid?.();
  if (user !== undefined && user !== 0 && BigInt(user) !== stats.uid && !options.force) {
    throw new ElfnoteError('refused', 'cannot be edited in place, and replacing it would change its owner', {
      path,
    });
  }
  if (stats.nlink > 1n && !options.unshare && !options.force) {
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
  if (!isUnchanged(now, stats))
    throw new ElfnoteError('changed', 'the file changed while it was read', { path });
}

/** Step by step; after a failed write the bytes written so far are put back as they were. */
function writeInPlace(path: string, fd: number, source: ByteSource, change: Change): void {
  const done: Edit[] = [];
  let last: BigIntStats | undefined;
  try {
    for (const edit of joined(change.edits)) {
      if (last !== undefined) refuseCompany(path, fd, last);
      done.push(edit);
      writeAll(fd, edit.bytes, edit.offset);
      last = fstatSync(fd, { bigint: true });
    }
    ftruncateSync(fd, change.size);
  } catch (error) {
    if (error instanceof ElfnoteError) throw error;
    undo(fd, source, done);
    throw fromSystemError('unwritable', 'cannot write', path, error);
  }
}

/**
 * Another process that found the file between two writes has planned on what it saw there, which is sound. Neither
 * going on nor undoing would leave it so.
 */
function refuseCompany(path: string, fd: number, last: BigIntStats): void {
  if (isUnchanged(fstatSync(fd, { bigint: true }), last)) return;
  throw new ElfnoteError('changed', 'another process wrote to the file at the same time', { path });
}

/** Neighbours of one step as one write. */
function joined(edits: readonly Edit[]): Edit[] {
  const result: Edit[] = [];
  for (const edit of edits) {
    const last = result.at(-1);
    if (last?.step === edit.step && last.offset + last.bytes.length === edit.offset) {
      result[result.length - 1] = { ...last, bytes: Buffer.concat([last.bytes, edit.bytes]) };
    } else {
      result.push(edit);
    }
  }
  return result;
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

/** The kernel clears setuid and setgid bits on a write. The content is written by now, so a failure is only told. */
function keepModeAndDates(fd: number, stats: BigIntStats, options: CommitOptions): void {
  const attempt = (what: string, work: () => void) => {
    try {
      work();
    } catch {
      options.onLoss?.(what);
    }
  };
  const now = fstatSync(fd, { bigint: true });
  if (now.mode !== stats.mode) attempt('mode', () => fchmodSync(fd, Number(stats.mode) & 0o7777));
  if (options.preserveDates) attempt('dates', () => putDates(fd, stats));
}

function putDates(fd: number, stats: BigIntStats): void {
  futimesSync(fd, Number(stats.atimeNs) / 1e9, Number(stats.mtimeNs) / 1e9);
}
