import {
  type BigIntStats,
  constants,
  copyFile,
  copyFileSync,
  openSync,
  renameSync,
  unlinkSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { during, ElfnoteError, fromSystemError, systemCodeBehind } from '../errors.js';
import { OpenFile } from '../files/open-file.js';
import { type FileSource, isUntouched, refuseChanged } from '../files/source.js';
import type { Steps } from '../files/steps.js';
import { makeTemporary, sweep } from '../files/temporary.js';
import { apply, type Change, type CommitOptions, lookAgain } from './change.js';

export interface CopyOptions extends CommitOptions {
  /** The file that was read gives its name; it may not have changed since. */
  readonly replaces: boolean;
  /** Refuse what does not keep owner, group and mode; otherwise what is lost of a replaced file is told. */
  readonly keepsOwner: boolean;
}

/**
 * Writes a copy of the file with the change, brings it to the disk and gives it the name `target`, which appears whole
 * or not at all.
 *
 * @throws ElfnoteError `unwritable` or `changed`; `refused` where a replacement would not keep owner, group or mode.
 */
export function* placeCopy(
  target: string,
  source: FileSource,
  change: Change | undefined,
  options: CopyOptions,
): Steps<void> {
  sweep(dirname(target));
  const { name, file } = makeTemporary(target);
  try {
    yield* fill(file, source, change, options);
  } catch (error) {
    file.abandon();
    removeCopy(name);
    throw error;
  }
  try {
    file.close();
    if (options.replaces) checkSameFile(target, source);
    else refuseChanged(source);
    during('unwritable', 'cannot give the copy its name', target, () => renameSync(name, target));
  } catch (error) {
    removeCopy(name);
    throw error;
  }
  if (options.replaces) source.isReplaced = true;
  if (!options.fast) yield* syncDirectory(target);
  if (options.replaces) refuseLateWrites(source);
}

/** One that stays is swept by a later run. */
function removeCopy(name: string): void {
  try {
    unlinkSync(name);
  } catch {}
}

/**
 * The owner comes first, so that nobody else's file is written in vain; the mode comes last, since writing clears setuid
 * and setgid, and nobody may run half a file.
 */
function* fill(
  file: OpenFile,
  source: FileSource,
  change: Change | undefined,
  options: CopyOptions,
): Steps<void> {
  const { stats } = source;
  const isOwned = giveOwner(file, stats);
  if (!isOwned) lose(file, 'owner or group', options);
  if (!(yield* isShared(source, file))) copyPieces(source, file);
  if (change !== undefined) apply(change, file, source.size);
  // As with `cp -p`: who may not give the file away does not make a setuid file of his own.
  const mode = stats.mode & (isOwned ? 0o7777n : 0o777n);
  file.setMode(mode);
  const isKept = (file.stat().mode & 0o7777n) === mode;
  if (!isKept) lose(file, 'mode', options);
  if (options.preserveDates) file.setDates(stats);
  if (!options.fast) yield* file.syncing();
}

function lose({ path }: OpenFile, what: string, { keepsOwner, replaces, onLoss }: CopyOptions): void {
  if (!keepsOwner) {
    if (replaces) onLoss?.(what);
    return;
  }
  const message = `cannot be edited in place, and replacing it would change its ${what}`;
  throw new ElfnoteError('refused', message, { path });
}

function giveOwner(file: OpenFile, { uid, gid }: BigIntStats): boolean {
  const now = file.stat();
  if (now.uid === uid && now.gid === gid) return true;
  try {
    file.setOwner(uid, gid);
    return true;
  } catch (error) {
    if (systemCodeBehind(error) !== 'EPERM') throw error;
    return false;
  }
}

const SET_ID = 0o6000n;

/**
 * The kernel copies, or shares the blocks where the file system can (btrfs, xfs, bcachefs). Node gives the copy the mode
 * of the original before its content, so a setuid file goes the other way, and so does one with holes, which the kernel
 * fills.
 */
function* isShared({ file, stats }: FileSource, to: OpenFile): Steps<boolean> {
  if ((stats.mode & SET_ID) !== 0n || stats.blocks * 512n < stats.size) return false;
  const names = [`/proc/self/fd/${file.fd}`, `/proc/self/fd/${to.fd}`] as const;
  const how = constants.COPYFILE_FICLONE;
  try {
    yield { now: () => copyFileSync(...names, how), later: done => copyFile(...names, how, done) };
    return true;
  } catch {
    // Whatever is in the way, copying piece by piece does without it or says what it is.
    return false;
  }
}

const PIECE = 1 << 20;
const ZEROS = Buffer.alloc(PIECE);

/** Holes stay holes. */
function copyPieces({ file, stats }: FileSource, to: OpenFile): void {
  const piece = Buffer.alloc(PIECE);
  for (let offset = 0; ; ) {
    const got = file.read(piece, 0, offset);
    if (got === 0) break;
    const bytes = piece.subarray(0, got);
    if (!bytes.equals(ZEROS.subarray(0, got))) to.write(bytes, offset);
    offset += got;
  }
  to.truncate(Number(stats.size));
}

/** The last look before the name goes over to the copy. */
function checkSameFile(target: string, { stats }: FileSource): void {
  const now = lookAgain(target, 'another process took the file away');
  if (isUntouched(now, stats)) return;
  throw new ElfnoteError('changed', 'the file changed while it was read', { path: target });
}

function refuseLateWrites(source: FileSource): void {
  if (!source.hasChanged) return;
  const message = 'another process wrote to the file while it was replaced: what it wrote is lost';
  throw new ElfnoteError('changed', message, { path: source.path });
}

/** Directories that may not be read, or that a file system does not bring to the disk one by one. */
const CANNOT_SYNC = new Set(['EACCES', 'EPERM', 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EROFS']);

function* syncDirectory(target: string): Steps<void> {
  try {
    const directory = new OpenFile(openSync(dirname(target), constants.O_RDONLY), target);
    try {
      yield* directory.syncing();
    } finally {
      directory.abandon();
    }
  } catch (error) {
    if (CANNOT_SYNC.has(systemCodeBehind(error) ?? '')) return;
    const why = error instanceof ElfnoteError ? error.cause : error;
    throw fromSystemError(
      'unwritable',
      'is written, but its new name may not be on the disk yet',
      target,
      why,
    );
  }
}
