import { readdirSync, readFileSync, renameSync, statSync, unlinkSync, utimesSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { during, ElfnoteError } from '../errors.js';
import { sha256 } from '../sha256.js';
import type { OpenFile } from './open-file.js';
import { makeDirectories } from './paths.js';
import { makeTemporary, sweep } from './temporary.js';

/** Milliseconds: what a note says of directories outside a store may be out of date, though never wrong. */
const LONGEST_LIFE = 7 * 24 * 3600 * 1000;
/** Milliseconds since a note was used last. */
const LONGEST_REST = 30 * 24 * 3600 * 1000;
/** Bytes of all notes. */
const LARGEST = 64 << 20;

const SUFFIX = '.closure';

/**
 * `$XDG_CACHE_HOME/elfnote`, or `~/.cache/elfnote`: a relative path in a variable is no path (XDG base directories).
 * Nothing is made in a home directory that is another user's, as under sudo(8), who then could not use it.
 *
 * @throws ElfnoteError `unwritable` where there is no home directory, `refused` where it is another user's.
 */
export function closureCacheDir(environment: NodeJS.ProcessEnv): string {
  const { XDG_CACHE_HOME: given } = environment;
  if (given !== undefined && isAbsolute(given)) return join(given, 'elfnote');
  const doing = 'the user has no home directory for a cache';
  const home = during('unwritable', doing, undefined, homedir);
  if (!isAbsolute(home)) throw new ElfnoteError('unwritable', `${doing}: HOME is no absolute path`);
  const stats = during('unwritable', doing, home, () => statSync(home));
  if (stats.uid !== process.geteuid?.())
    throw new ElfnoteError('refused', "the home directory is another user's", { path: home });
  return join(home, '.cache/elfnote');
}

/** Closure notes of programs that may not be changed, a file each. Every file is made anew where it is in doubt. */
export class ClosureCache {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * The file for a program, made by `make` where there is none that counts.
   *
   * @param path of the program on this machine, real.
   * @param isImmutable the path is in a store: what it names never changes.
   * @param asked whatever else the note depends on.
   * @param make the whole note; undefined where there is nothing to say, which is not remembered.
   * @throws ElfnoteError `unreadable` for the program, `unwritable` for the directory, `refused` where others may write.
   */
  fileFor(
    path: string,
    isImmutable: boolean,
    asked: string,
    make: () => Buffer | undefined,
  ): string | undefined {
    refuseForeignCache(this.#dir);
    const file = join(this.#dir, `${keyOf(path, isImmutable, asked)}${SUFFIX}`);
    if (isWholeNote(file, isImmutable)) return file;
    const note = make();
    if (note === undefined) return undefined;
    this.#write(file, note);
    return file;
  }

  #write(file: string, note: Buffer): void {
    during('unwritable', 'cannot make the cache directory', this.#dir, () =>
      makeDirectories(this.#dir, 0o700),
    );
    refuseForeignCache(this.#dir);
    sweep(this.#dir);
    this.#prune();
    const { name, file: open } = makeTemporary(file);
    try {
      fill(open, note);
      during('unwritable', 'cannot rename the cached note', file, () => renameSync(name, file));
    } catch (error) {
      remove(name);
      throw error;
    }
  }

  /** By age and, the longest unused first, by size. */
  #prune(): void {
    const now = Date.now();
    const files = readdirSync(this.#dir)
      .filter(name => name.endsWith(SUFFIX))
      .flatMap(name => {
        const path = join(this.#dir, name);
        const stats = statSync(path, { throwIfNoEntry: false });
        return stats === undefined ? [] : [{ path, size: stats.size, used: stats.atimeMs }];
      })
      .sort((a, b) => b.used - a.used);
    let size = 0;
    for (const file of files) {
      size += file.size;
      if (size > LARGEST || now - file.used > LONGEST_REST) remove(file.path);
    }
  }
}

/**
 * Whoever writes a note says what the program loads. So a directory that is another user's does not count. Which group is
 * the user's own alone, nobody tells: as sshd(8) does, none is trusted.
 *
 * @throws ElfnoteError `refused`
 */
function refuseForeignCache(dir: string): void {
  const stats = during('unwritable', 'cannot look at the cache directory', dir, () =>
    statSync(dir, { throwIfNoEntry: false }),
  );
  if (stats === undefined) return;
  if (stats.uid !== process.geteuid?.())
    throw new ElfnoteError('refused', "the cache directory is another user's", { path: dir });
  if ((stats.mode & 0o022) === 0) return;
  const who = (stats.mode & 0o002) === 0 ? 'a group' : 'anybody';
  throw new ElfnoteError('refused', `${who} may write to the cache directory`, { path: dir });
}

function fill(file: OpenFile, note: Buffer): void {
  try {
    file.write(note, 0);
  } catch (error) {
    file.abandon();
    throw error;
  }
  file.close();
}

/** Another process may have been faster. */
function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It is a cache: what cannot be removed is in nobody's way.
  }
}

function keyOf(path: string, isImmutable: boolean, asked: string): string {
  const { dev, ino, size, mtimeNs } = during('unreadable', 'cannot be looked at', path, () =>
    statSync(path, { bigint: true }),
  );
  const stamp = isImmutable ? [] : [dev, ino, size, mtimeNs].map(String);
  return sha256(JSON.stringify([1, path, asked, ...stamp])).slice(0, 40);
}

/** Whether a file is one whole note, as far as its size tells; marks it as used. */
function isWholeNote(file: string, isImmutable: boolean): boolean {
  try {
    const { mtimeMs, mtime } = statSync(file);
    const now = Date.now();
    if (!isImmutable && now - mtimeMs > LONGEST_LIFE) return false;
    const bytes = readFileSync(file);
    const sizes = [bytes.readUInt32LE(4), bytes.readUInt32BE(4)];
    if (!sizes.some(size => Math.ceil((20 + size) / 4) * 4 === bytes.length)) return false;
    utimesSync(file, new Date(now), mtime);
    return true;
  } catch {
    return false;
  }
}
