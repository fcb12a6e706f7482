import { Lock } from '../../src/files/lock.js';

/** Does something while a file is locked; told whether there is a lock. */
export function withLock<T>(path: string, work: (isLocked: boolean) => T): T {
  const lock = new Lock(path);
  try {
    return work(lock.isHeld);
  } finally {
    lock.release();
  }
}
