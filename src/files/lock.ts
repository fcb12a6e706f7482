import { readlinkSync, symlinkSync, unlinkSync } from 'node:fs';
import { ElfnoteError, fromSystemError, systemCode } from '../errors.js';
import { hasEnded, ownerOfThisProcess } from './owner.js';
import { spareLock } from './spare-lock.js';
import { ageOf, breakLock, lockBeside } from './temporary.js';

/** Where no lock can be made, the checks of size and time stamp are all that there is. */
const NO_LOCKS = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'ENAMETOOLONG']);

const TRIES = 5;

/** In seconds: so long nobody takes a lock for one that was left, whoever he is (`hasEnded`). */
const SURELY_OURS = 60;

/**
 * Holds off other elfnotes from a file until it is released. Node has no `flock`: the lock is a symbolic link beside the
 * file, which is made in one call and says whose it is. One whose process has died is taken away.
 */
export class Lock {
  /** Undefined where no lock can be made. */
  readonly #name: string | undefined;
  readonly #since = process.uptime();

  /** @throws ElfnoteError `changed` while another elfnote writes to the file. */
  constructor(path: string) {
    const lock = lockBeside(path);
    const isLocked = acquire(path, lock);
    this.#name = isLocked ? lock : undefined;
  }

  /** False: other elfnotes cannot be held off. */
  get isHeld(): boolean {
    return this.#name !== undefined;
  }

  release(): void {
    if (this.#name === undefined) return;
    if (process.uptime() - this.#since < SURELY_OURS || isOurs(this.#name)) release(this.#name);
  }
}

/** Waiting for a disk may take long, and another container may have taken the lock for one that was left meanwhile. */
function isOurs(lock: string): boolean {
  try {
    return readlinkSync(lock) === ownerOfThisProcess();
  } catch {
    return false;
  }
}

function acquire(path: string, lock: string): boolean {
  for (let left = TRIES; left > 0; left--) {
    try {
      if (!spareLock.make(lock)) symlinkSync(ownerOfThisProcess(), lock);
      return true;
    } catch (error) {
      const code = systemCode(error) ?? '';
      if (NO_LOCKS.has(code)) {
        if (isHeld(lock)) break;
        return false;
      }
      if (code !== 'EEXIST') throw fromSystemError('unwritable', 'cannot lock', path, error);
    }
    const state = stateOf(lock);
    if (state === 'stuck') return false;
    if (state === 'held') break;
  }
  throw new ElfnoteError('changed', 'another elfnote is writing to the file', { path });
}

/** By somebody who may make locks where we may not. */
function isHeld(lock: string): boolean {
  try {
    return !hasEnded(readlinkSync(lock), ageOf(lock));
  } catch {
    return false;
  }
}

/**
 * What is no link, or is of a process that has died and may not be taken away (another user's, or a directory that is
 * append-only), holds nobody off: `stuck`.
 */
function stateOf(lock: string): 'gone' | 'held' | 'stuck' {
  try {
    return breakLock(lock) ? 'gone' : 'held';
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (code === 'ENOENT') return 'gone';
    return code === 'EINVAL' || NO_LOCKS.has(code) ? 'stuck' : 'held';
  }
}

/** A lock that stays would keep this process from the file. */
function release(lock: string): void {
  if (spareLock.take(lock)) return;
  for (let left = TRIES; left > 0; left--) {
    try {
      unlinkSync(lock);
      return;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return;
    }
  }
}
