import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { keptPlace } from './run-files.js';

/** Things that take long to make and are the same for every test file: made once, and kept in a temporary directory. */

const KEPT_DAYS = 2;

/** Where things of one kind and one key are kept; the key has in it all that they depend on. Older keys' are removed. */
export function keptDirectory(kind: string, key: string): string {
  const prefix = `elfnote-${kind}-${process.getuid?.() ?? 0}-`;
  const place = keptPlace();
  const dir = join(place, prefix + key);
  if (existsSync(dir)) return dir;
  for (const name of readdirSync(place).filter(name => name.startsWith(prefix))) {
    const age = Date.now() - statSync(join(place, name)).mtimeMs;
    if (age > KEPT_DAYS * 86_400_000) rmSync(join(place, name), { recursive: true, force: true });
  }
  mkdirSync(dir, { recursive: true });
  return dir;
}

/** Makes a file or directory unless it is there. What is there is whole, whoever else makes it at the same time. */
export function makeOnce(path: string, make: (path: string) => void): string {
  if (existsSync(path)) return path;
  while (!tryMake(path, make)) pause();
  return path;
}

/** The same, without waiting: false where another process is making it now. */
export function tryMake(path: string, make: (path: string) => void): boolean {
  if (existsSync(path)) return true;
  const lock = `${path}.lock`;
  if (!take(lock)) return false;
  try {
    if (existsSync(path)) return true;
    const made = `${path}.new`;
    rmSync(made, { recursive: true, force: true });
    make(made);
    renameSync(made, path);
    return true;
  } finally {
    unlinkSync(lock);
  }
}

/** A lock names the process that holds it from the moment that it is there, so that a dead one's can be told. */
function take(lock: string): boolean {
  const mine = `${lock}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  try {
    linkSync(mine, lock);
    return true;
  } catch {
    if (!isHeld(lock)) rmSync(lock, { force: true });
    return false;
  } finally {
    unlinkSync(mine);
  }
}

function isHeld(lock: string): boolean {
  try {
    process.kill(Number(readFileSync(lock, 'utf8')), 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
}
