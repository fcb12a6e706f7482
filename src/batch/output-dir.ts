import {
  type BigIntStats,
  chmodSync,
  existsSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { during, ElfnoteError, fromSystemError, systemCode } from '../errors.js';
import { type BoundsOptions, FileSystemBounds, pseudoFileSystemOf } from '../files/file-systems.js';
import { nameOf } from '../files/names.js';
import { isWithin, makeDirectories, realPathOf } from '../files/paths.js';
import { type FileSource, inodeOf, withFile } from '../files/source.js';
import { runNow } from '../files/steps.js';
import { writeCopy } from '../write/commit.js';
import { foreignName } from './walk.js';

interface Tree {
  /** As the caller named it. */
  readonly path: string;
  readonly copy: string;
}

export interface CopyOptions extends BoundsOptions {
  readonly preserveDates?: boolean | undefined;
}

interface Within {
  readonly bounds: FileSystemBounds;
  readonly signal: AbortSignal | undefined;
}

/** Nobody else looks into a copy before it has the original's mode. */
const UNFINISHED = 0o700;

/**
 * Copies of files and trees below one directory, each under its own name, as `cp -R PATH... DIR` makes them: layout,
 * symbolic links, hard links within a tree, and modes are kept. Who works on the files writes those it understands to
 * `place(path)`; `complete()` copies what is still missing. The originals are only read.
 */
export class OutputDir {
  /** By the absolute path of the original. */
  readonly #trees: ReadonlyMap<string, Tree>;
  readonly #options: CopyOptions;
  /** The first copy of each file, by inode; its other names become links to it. */
  readonly #linked = new Map<string, string>();

  /**
   * @param paths one that is named twice is copied once.
   * @throws ElfnoteError `usage` where a copy would overwrite, or land in, something that is there; `unwritable`
   */
  constructor(paths: readonly string[], dir: string, options: CopyOptions = {}) {
    this.#options = options;
    this.#trees = new Map(
      paths.map(path => [resolve(path), { path, copy: join(dir, basename(resolve(path))) }]),
    );
    try {
      this.#check(dir);
      makeDirectories(dir);
    } catch (error) {
      throw fromSystemError('unwritable', 'cannot make', dir, error);
    }
  }

  #check(dir: string): void {
    const realDir = realPathOf(resolve(dir));
    const originals = new Map<string, string>();
    for (const [root, { path, copy }] of this.#trees) {
      if (relative(dir, copy) === '') throw usage('has no name to be copied under', path);
      if (lstatSync(copy, { throwIfNoEntry: false })) throw usage('is there already', copy);
      if (isWithin(realDir, realPathOf(path))) throw usage(`is inside ${path}`, dir);
      const other = originals.get(copy);
      if (other !== undefined) throw usage(`would be the copy of ${other} and of ${path}`, copy);
      originals.set(copy, path);
      const around = this.#treeOf(dirname(root));
      if (around !== undefined) throw usage(`is inside ${around.path}`, path);
    }
  }

  /** By name: the tree that a path is, or is in. */
  #treeOf(path: string): Tree | undefined {
    for (let place = resolve(path); ; place = dirname(place)) {
      const tree = this.#trees.get(place);
      if (tree !== undefined || place === dirname(place)) return tree;
    }
  }

  /** Where the copy of a file goes; its directory is made. @throws ElfnoteError `unwritable` */
  place(path: string): string {
    const tree = this.#treeOf(path);
    if (tree === undefined) throw usage('is in no tree that is copied', path);
    const copy = join(tree.copy, relative(tree.path, path));
    const stats = statIfThere(path);
    if (stats !== undefined && !this.#linked.has(inodeOf(stats))) this.#linked.set(inodeOf(stats), copy);
    try {
      makeDirectories(dirname(copy), UNFINISHED);
    } catch (error) {
      throw fromSystemError('unwritable', `cannot make the directory of ${copy}`, path, error);
    }
    return copy;
  }

  /**
   * Copies everything that has no copy yet, then sets owners (where this user may) and modes. Once the signal is
   * aborted nothing more is copied, but what is there is finished. A file system that is not entered leaves an empty
   * directory, as with `cp -x`.
   * @returns what could not be copied.
   */
  async *complete(signal?: AbortSignal): AsyncGenerator<ElfnoteError> {
    // A path that is itself a symbolic link is followed, as the walk follows it.
    const look = (path: string) => statSync(path, { bigint: true });
    for (const { path, copy } of this.#trees.values()) {
      let start: BigIntStats | undefined;
      try {
        start = statIfThere(path);
      } catch (error) {
        yield fromSystemError('unwritable', 'cannot copy', path, error);
      }
      if (start === undefined || pseudoFileSystemOf(path) !== undefined) continue;
      const bounds = new FileSystemBounds(start, this.#options);
      yield* this.#copy(path, copy, look, { bounds, signal });
    }
  }

  async *#copy(
    from: string,
    to: string,
    look: (path: string) => BigIntStats,
    within: Within,
  ): AsyncGenerator<ElfnoteError> {
    // Copying is synchronous: this is where signals come in.
    await setImmediate();
    if (within.signal?.aborted && !existsSync(to)) return;
    try {
      const stats = look(from);
      if (stats.isDirectory()) yield* this.#copyDirectory(from, to, stats, within);
      else if (stats.isSymbolicLink()) symlinkSync(readlinkSync(from), to);
      else if (stats.isFile()) this.#copyFile(from, to, stats);
      else throw new ElfnoteError('unsupported', 'is no file, directory or link: not copied', { path: from });
      this.#finish(to, stats);
    } catch (error) {
      yield fromSystemError('unwritable', 'cannot copy', from, error);
    }
  }

  async *#copyDirectory(
    from: string,
    to: string,
    stats: BigIntStats,
    within: Within,
  ): AsyncGenerator<ElfnoteError> {
    makeDirectories(to, UNFINISHED);
    if (within.bounds.whyOutside(from, stats) !== undefined) return;
    const look = (path: string) => lstatSync(path, { bigint: true });
    for (const bytes of readdirSync(from, { encoding: 'buffer' })) {
      const { text: name, isUtf8 } = nameOf(bytes);
      if (isUtf8) yield* this.#copy(join(from, name), join(to, name), look, within);
      else yield foreignNameError(join(from, name));
    }
  }

  #copyFile(from: string, to: string, stats: BigIntStats): void {
    const first = this.#linked.get(inodeOf(stats)) ?? to;
    if (first !== to && existsSync(first)) {
      rmSync(to, { force: true });
      linkSync(first, to);
      return;
    }
    if (!existsSync(to)) copyWhole(from, to, stats);
    if (stats.nlink > 1n) this.#linked.set(inodeOf(stats), to);
  }

  #finish(to: string, stats: BigIntStats): void {
    // As with `cp -p`: who may not give a file away does not make a setuid file of his own.
    const kept = keepOwner(to, stats) ? 0o7777 : 0o777;
    if (!stats.isSymbolicLink()) chmodSync(to, Number(stats.mode) & kept);
    if (this.#options.preserveDates) lutimesSync(to, seconds(stats.atimeNs), seconds(stats.mtimeNs));
  }
}

/** Where nothing can be read, which the walk has said by then; any other failure is one of the moment. */
const SAID = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG']);

/** @returns undefined for a path where nothing can be read. @throws ElfnoteError `unreadable` */
function statIfThere(path: string): BigIntStats | undefined {
  return during('unreadable', 'cannot be looked at', path, () => {
    try {
      return statSync(path, { bigint: true });
    } catch (error) {
      if (SAID.has(systemCode(error) ?? '')) return undefined;
      throw error;
    }
  });
}

/**
 * It appears whole or not at all, and nobody else reads it before it has its owner. What is there by now has to be what
 * was looked at: a link in its place would lead anywhere.
 *
 * @throws ElfnoteError
 */
function copyWhole(from: string, to: string, stats: BigIntStats): void {
  const copy = (source: FileSource) => runNow(writeCopy(from, to, source, undefined, { fast: true }));
  withFile(from, copy, { found: inodeOf(stats) });
}

function keepOwner(path: string, { uid, gid }: BigIntStats): boolean {
  try {
    lchownSync(path, Number(uid), Number(gid));
    return true;
  } catch (error) {
    if (systemCode(error) !== 'EPERM') throw error;
    return false;
  }
}

/** As text: Node takes a number below zero for the present. */
function seconds(nanoseconds: bigint): string {
  return String(Number(nanoseconds) / 1e9);
}

/** As the walk says it. */
function foreignNameError(path: string): ElfnoteError {
  return new ElfnoteError('unreadable', foreignName(path).unreadable, { path });
}

function usage(message: string, path: string): ElfnoteError {
  return new ElfnoteError('usage', `--output-dir: ${message}`, { path });
}
