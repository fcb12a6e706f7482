import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { during, ElfnoteError, fromSystemError, systemCodeBehind } from '../errors.js';
import { Lock } from '../files/lock.js';
import type { FileSource } from '../files/source.js';
import type { Steps } from '../files/steps.js';
import { sweep } from '../files/temporary.js';
import type { Change, CommitOptions } from './change.js';
import { placeCopy } from './copy.js';
import { editInPlace } from './in-place.js';

export type Committed = 'in-place' | 'replaced';

/**
 * Writes a verified change to the file that `source` was read from: to a copy, which is brought to the disk and takes the
 * file's name; or in place, where a copy would lose hard links, attributes, owner, group or mode, or cannot stand beside
 * the file (docs/safety.md). Other elfnotes are held off meanwhile.
 *
 * @throws ElfnoteError `unwritable`, `refused`, or `changed` for a file that changed since it was read.
 */
export function* commitChange(
  path: string,
  source: FileSource,
  change: Change,
  options: CommitOptions = {},
): Steps<Committed> {
  // A symbolic link stays one; what it leads to is written.
  const isItself = source.file.throughLink === false;
  const target = isItself ? path : during('unwritable', 'cannot find', path, () => realpathSync.native(path));
  sweep(dirname(target));
  let lock: Lock | undefined;
  try {
    lock = new Lock(target);
    const { isHeld } = lock;
    const { fast, copyLoses, unshare } = options;
    const edit = () =>
      change.inPlaceIsSafe &&
      !unshare &&
      editInPlace(target, source, change, { isLocked: isHeld, ...options });
    const hasLinks = source.stats.nlink > 1n && !unshare;
    if ((fast || copyLoses || hasLinks) && edit()) return 'in-place';
    return yield* replace(target, source, change, options, edit);
  } catch (error) {
    throw underName(path, error);
  } finally {
    lock?.release();
  }
}

/** @param edit the way out where a copy is not to be had; false where the file cannot be written to either. */
function* replace(
  target: string,
  source: FileSource,
  change: Change,
  options: CommitOptions,
  edit: () => boolean,
): Steps<Committed> {
  const { nlink } = source.stats;
  const { unshare, force } = options;
  if (nlink > 1n && !unshare && !force) {
    const message = `has ${nlink} hard links and cannot be edited in place; --force replaces this one alone`;
    throw new ElfnoteError('refused', message, { path: target });
  }
  options.beforeReplacing?.();
  try {
    yield* placeCopy(target, source, change, { replaces: true, keepsOwner: true, ...options });
  } catch (error) {
    if (!isInTheWay(error)) throw error;
    if (edit()) return 'in-place';
    if (!force || error.code !== 'refused') throw error;
    yield* placeCopy(target, source, change, { replaces: true, keepsOwner: false, ...options });
  }
  return 'replaced';
}

/** No temporary file can be made, or take the name (a mount point, another's file in a sticky directory). */
const NO_COPY = new Set(['EACCES', 'EPERM', 'EROFS', 'EBUSY', 'EXDEV']);

function isInTheWay(error: unknown): error is ElfnoteError {
  return (
    error instanceof ElfnoteError &&
    (error.code === 'refused' || (error.code === 'unwritable' && NO_COPY.has(systemCodeBehind(error) ?? '')))
  );
}

/**
 * Copies the file that `source` was read from to `output` and applies the change to the copy; `output` appears
 * whole or not at all.
 *
 * @throws ElfnoteError `unwritable`, `changed`, or `refused` for an output that is there and no regular file.
 */
export function* writeCopy(
  path: string,
  output: string,
  source: FileSource,
  change: Change | undefined,
  options: CommitOptions = {},
): Steps<void> {
  try {
    yield* placeCopy(targetOf(output), source, change, { replaces: false, keepsOwner: false, ...options });
  } catch (error) {
    if (!(error instanceof ElfnoteError) || error.code !== 'unwritable') throw underName(path, error);
    throw new ElfnoteError('unwritable', `${output}: ${error.message}`, { path, cause: error.cause });
  }
}

/** Where a symbolic link leads, so that it stays one. */
function targetOf(output: string): string {
  return during('unwritable', 'cannot write', output, () => {
    const found = statSync(output, { throwIfNoEntry: false });
    if (found === undefined) return output;
    if (found.isFile()) return realpathSync(output);
    throw new ElfnoteError('refused', `the output ${output} is not a regular file`, { path: output });
  });
}

/** Errors are told of the path that the caller has named, not of where its links lead. */
function underName(path: string, error: unknown): ElfnoteError {
  const known = fromSystemError('unwritable', 'cannot write', path, error);
  if (known.path === undefined || known.path === path) return known;
  const { code, message, offset, cause } = known;
  return new ElfnoteError(code, message, { path, offset, cause });
}
