import { linkSync, readlinkSync, renameSync, unlinkSync } from 'node:fs';
import { systemCode } from '../errors.js';
import { ownerOfThisProcess } from './owner.js';
import { temporaryBeside } from './temporary.js';

/** Hard links to symbolic links are not to be had. */
const NO_LINKS = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK']);

/**
 * A symbolic link costs an inode, which file systems are slow to find; a hard link to it costs a name. While a run locks
 * many files, its first lock stays under another name, and the other locks are hard links to it. Whatever is in the way
 * of that, a lock is made as it is without.
 */
class SpareLock {
  #runs = 0;
  #isOfUse = true;
  #name: string | undefined;

  begin(): void {
    if (this.#runs++ === 0) this.#isOfUse = true;
  }

  end(): void {
    if (--this.#runs === 0) this.#drop();
  }

  /**
   * @returns false where nothing was done.
   * @throws the system's EEXIST where the lock is there already.
   */
  make(lock: string): boolean {
    if (this.#name === undefined) return false;
    try {
      linkSync(this.#name, lock);
      return true;
    } catch (error) {
      const code = systemCode(error) ?? '';
      if (code === 'EEXIST') throw error;
      if (NO_LINKS.has(code)) this.#isOfUse = false;
      // Another file system, or it has gone: the next lock that is made anew takes its place.
      this.#drop();
      return false;
    }
  }

  /** Takes a lock of ours that is not needed any more. @returns false where nothing was done. */
  take(lock: string): boolean {
    if (this.#runs === 0 || !this.#isOfUse || this.#name !== undefined) return false;
    const name = temporaryBeside(lock);
    try {
      // After two minutes another container takes a lock for one that was left, and makes its own.
      if (readlinkSync(lock) !== ownerOfThisProcess()) return false;
      renameSync(lock, name);
    } catch {
      return false;
    }
    this.#name = name;
    return true;
  }

  #drop(): void {
    if (this.#name === undefined) return;
    try {
      unlinkSync(this.#name);
    } catch {
      // Who removes the directory removes it too; otherwise a later run sweeps it.
    }
    this.#name = undefined;
  }
}

/** Of this process. */
export const spareLock = new SpareLock();
