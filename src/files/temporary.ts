import { constants, lstatSync, openSync, readdirSync, readlinkSync, renameSync, unlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { during, systemCode } from '../errors.js';
import { sha256 } from '../sha256.js';
import { OpenFile } from './open-file.js';
import { hasEnded, OWNER_PATTERN, ownerOfThisProcess } from './owner.js';

/** In bytes: a name may have 255, on some encrypting file systems 143, and what is put around it takes up to 60. */
const LONGEST_STEM = 80;

const TRIES = 100;

/** What is written beside a file before it is renamed over it: no two calls give the same name. */
export function temporaryBeside(path: string): string {
  return beside(path, `${ownerOfThisProcess()}-${randomDigits()}`);
}

/** Eight hexadecimal ones. Nobody gains by guessing them: a copy is made anew or not at all. */
function randomDigits(): string {
  return Math.floor(Math.random() * 2 ** 32)
    .toString(16)
    .padStart(8, '0');
}

/** Where whoever writes to a file says so. */
export function lockBeside(path: string): string {
  return beside(path, `lock-${sha256(basename(path)).slice(0, 16)}`);
}

/** The path is not made simpler: in `LINK/../FILE` each part counts. */
function beside(path: string, mark: string): string {
  const name = path.lastIndexOf('/') + 1;
  return `${path.slice(0, name)}.${stemOf(path.slice(name))}.elfnote-${mark}`;
}

/** Whole characters only. */
function stemOf(name: string): string {
  if (Buffer.byteLength(name) <= LONGEST_STEM) return name;
  const bytes = Buffer.from(name);
  let end = Math.min(bytes.length, LONGEST_STEM);
  while (end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end).toString();
}

/** Whether `temporaryBeside` or `lockBeside` gives such a name, in any process. */
export function isTemporary(name: string): boolean {
  return isOurs(name) && TEMPORARY.test(name);
}

const TEMPORARY = /^\..*\.elfnote-(?:lock-.*|\d+-\d+-[0-9a-f]+-[0-9a-f]+)$/s;
const COPY = new RegExp(`^\\..*\\.elfnote-(${OWNER_PATTERN})-[0-9a-f]{8}$`, 's');
const LOCK = /^\..*\.elfnote-lock-[0-9a-f]{16}$/s;

/**
 * Makes and opens an empty file beside `path`. Nobody else may read, write or run it before it is whole: the original
 * may be setuid.
 *
 * @throws ElfnoteError `unwritable`
 */
export function makeTemporary(path: string): { readonly name: string; readonly file: OpenFile } {
  for (let left = TRIES; ; left--) {
    const name = temporaryBeside(path);
    const fd = during('unwritable', 'cannot write a copy beside it', path, () => {
      try {
        return openSync(name, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
      } catch (error) {
        if (systemCode(error) === 'EEXIST' && left > 0) return undefined;
        throw error;
      }
    });
    if (fd !== undefined) return { name, file: new OpenFile(fd, path) };
  }
}

/** Directories are swept when they are first written to, and again when other runs may have died, in seconds. */
const SWEEP_AGAIN_AFTER = 10;
const MOST_REMEMBERED = 10_000;

const swept = new Map<string, number>();

/** Tells of a directory that was listed for another purpose: with nothing to remove in it, that is as good as a sweep. */
export function sweepListed(directory: string, names: readonly string[]): void {
  if (swept.size < MOST_REMEMBERED && !names.some(isOurs)) swept.set(directory, process.uptime());
}

function isOurs(name: string): boolean {
  return name.startsWith('.') && name.includes('.elfnote-');
}

/** Removes what processes that have died meanwhile have left in a directory; where that cannot be, it stays. */
export function sweep(directory: string): void {
  const last = swept.get(directory);
  const now = process.uptime();
  if (last !== undefined && now - last < SWEEP_AGAIN_AFTER) return;
  if (swept.size >= MOST_REMEMBERED) swept.clear();
  swept.set(directory, now);
  try {
    for (const name of readdirSync(directory)) {
      if (isOurs(name)) removeIfLeft(`${directory}/${name}`);
    }
  } catch {
    // Whoever works on the files of a directory that cannot be listed has said so.
  }
}

function removeIfLeft(path: string): void {
  const name = basename(path);
  try {
    if (LOCK.test(name)) breakLock(path);
    const owner = COPY.exec(name)?.[1];
    if (owner !== undefined && hasEnded(owner, ageOf(path))) unlinkSync(path);
  } catch {
    // Another run was faster, or it is another user's.
  }
}

/** In milliseconds since its last change. */
export function ageOf(path: string): number {
  return Date.now() - lstatSync(path).ctimeMs;
}

/**
 * Takes away a lock whose process has died. Two that do so at once do not take away each other's new one: it is renamed
 * first, and looked at again.
 *
 * @returns whether the lock may be free now.
 */
export function breakLock(lock: string): boolean {
  if (!hasEnded(readlinkSync(lock), ageOf(lock))) return false;
  const aside = temporaryBeside(lock);
  renameSync(lock, aside);
  if (hasEnded(readlinkSync(aside), ageOf(aside))) unlinkSync(aside);
  else renameSync(aside, lock);
  return true;
}
