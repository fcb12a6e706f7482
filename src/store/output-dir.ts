import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  type Stats,
  statSync,
  symlinkSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { ElfnoteError, fromSystemError, systemCode } from '../errors.js';
import { isWithin, realPathOf } from './paths.js';

interface Tree {
  /** As the caller named it. */
  readonly path: string;
  readonly copy: string;
}

/** Nobody else looks into a copy before it has the original's mode. */
const UNFINISHED = 0o700;

/**
 * Copies of files and trees below one directory, each under its own name, as `cp -R PATH... DIR` makes them: layout,
 * symbolic links, hard links within a tree, and modes are kept. Who works on the files writes those it understands to
 * `place(path)`; `complete()` copies what is still missing. The originals are only read.
 */
export class OutputDir {
  readonly #trees: readonly Tree[];
  readonly #preserveDates: boolean;
  /** The first copy of each file, by inode; its other names become links to it. */
  readonly #linked = new Map<string, string>();

  /** @throws ElfnoteError `usage` where a copy would overwrite, or land in, something that is there. */
  constructor(paths: readonly string[], dir: string, preserveDates = false) {
    this.#preserveDates = preserveDates;
    this.#trees = paths.map(path => ({ path, copy: join(dir, basename(resolve(path))) }));
    for (const tree of this.#trees) this.#check(tree, dir);
    try {
      mkdirSync(dir, { recursive: true });
    } catch (error) {
      throw fromSystemError('unwritable', 'cannot make', dir, error);
    }
  }

  #check({ path, copy }: Tree, dir: string): void {
    if (relative(dir, copy) === '') throw usage('has no name to be copied under', path);
    if (lstatSync(copy, { throwIfNoEntry: false })) throw usage('is there already', copy);
    if (isWithin(realPathOf(resolve(dir)), realPathOf(path))) throw usage(`is inside ${path}`, dir);
    for (const other of this.#trees.filter(tree => tree.path !== path)) {
      if (other.copy === copy) throw usage(`would be the copy of ${path} and of ${other.path}`, copy);
      if (isWithin(path, other.path)) throw usage(`is inside ${other.path}`, path);
    }
  }

  /** Where the copy of a file goes; its directory is made. @throws ElfnoteError `unwritable` */
  place(path: string): string {
    const tree = this.#trees.find(({ path: root }) => isWithin(path, root));
    if (tree === undefined) throw usage('is in no tree that is copied', path);
    const copy = join(tree.copy, relative(tree.path, path));
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats !== undefined && !this.#linked.has(inodeOf(stats))) this.#linked.set(inodeOf(stats), copy);
    try {
      mkdirSync(dirname(copy), { recursive: true, mode: UNFINISHED });
    } catch (error) {
      throw fromSystemError('unwritable', `cannot make the directory of ${copy}`, path, error);
    }
    return copy;
  }

  /**
   * Copies everything that has no copy yet, then sets owners (where this user may) and modes.
   * @returns what could not be copied.
   */
  complete(): ElfnoteError[] {
    const failures: ElfnoteError[] = [];
    for (const { path, copy } of this.#trees) {
      // A path that is itself a symbolic link is followed, as the walk follows it.
      if (existsSync(path)) this.#copy(path, copy, () => statSync(path), failures);
    }
    return failures;
  }

  #copy(from: string, to: string, look: () => Stats, failures: ElfnoteError[]): void {
    try {
      const stats = look();
      if (stats.isDirectory()) this.#copyDirectory(from, to, failures);
      else if (stats.isSymbolicLink()) symlinkSync(readlinkSync(from), to);
      else if (stats.isFile()) this.#copyFile(from, to, stats);
      else throw new ElfnoteError('unsupported', 'is no file, directory or link: not copied', { path: from });
      this.#finish(to, stats);
    } catch (error) {
      failures.push(fromSystemError('unwritable', 'cannot copy', from, error));
    }
  }

  #copyDirectory(from: string, to: string, failures: ElfnoteError[]): void {
    mkdirSync(to, { recursive: true, mode: UNFINISHED });
    for (const name of readdirSync(from)) {
      const path = join(from, name);
      this.#copy(path, join(to, name), () => lstatSync(path), failures);
    }
  }

  #copyFile(from: string, to: string, stats: Stats): void {
    const first = this.#linked.get(inodeOf(stats)) ?? to;
    if (first !== to && existsSync(first)) {
      rmSync(to, { force: true });
      linkSync(first, to);
      return;
    }
    if (!existsSync(to)) copyFileSync(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    if (stats.nlink > 1) this.#linked.set(inodeOf(stats), to);
  }

  #finish(to: string, stats: Stats): void {
    // As with `cp -p`: who may not give a file away does not make a setuid file of his own.
    const kept = keepOwner(to, stats) ? 0o7777 : 0o777;
    if (!stats.isSymbolicLink()) chmodSync(to, stats.mode & kept);
    if (this.#preserveDates) lutimesSync(to, stats.atime, stats.mtime);
  }
}

function keepOwner(path: string, { uid, gid }: Stats): boolean {
  try {
    lchownSync(path, uid, gid);
    return true;
  } catch (error) {
    if (systemCode(error) !== 'EPERM') throw error;
    return false;
  }
}

function inodeOf({ dev, ino }: Stats): string {
  return `${dev}:${ino}`;
}

function usage(message: string, path: string): ElfnoteError {
  return new ElfnoteError('usage', `--output-dir: ${message}`, { path });
}
