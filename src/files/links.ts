import { type BigIntStats, linkSync, renameSync, statSync } from 'node:fs';
import { fromSystemError } from '../errors.js';
import { nixStoreOf } from './nix-store.js';
import { realPathOf } from './paths.js';
import { temporaryBeside } from './temporary.js';

/**
 * Whether a file must be replaced rather than edited: it has hard links in a Nix store. There the other name is another
 * store path, or stands in `.links`, and keeps its content.
 */
export function isSharedInStore(path: string, { nlink }: BigIntStats): boolean {
  return nlink > 1n && nixStoreOf(path) !== undefined;
}

/**
 * Files of a Nix store with a hard link that is none of the paths of this run: such a file is replaced rather than
 * edited, under all its names.
 */
export class ForeignLinks {
  /** The names of each such file, by each path of the run that leads to it. */
  readonly #names = new Map<string, ReadonlySet<string>>();
  /** The paths of files all of whose names are paths of the run. */
  readonly #own = new Set<string>();

  constructor(paths: readonly string[]) {
    const inodes = new Map<string, { links: bigint; paths: string[]; names: Set<string> }>();
    for (const path of paths) {
      const stats = tryStat(path);
      if (stats === undefined || !stats.isFile() || !isSharedInStore(path, stats)) continue;
      const inode = `${stats.dev}:${stats.ino}`;
      const file = inodes.get(inode) ?? { links: stats.nlink, paths: [], names: new Set() };
      inodes.set(inode, file);
      file.paths.push(path);
      file.names.add(realPathOf(path));
    }
    for (const file of inodes.values()) {
      const isOwn = file.links === BigInt(file.names.size);
      for (const path of file.paths) {
        if (isOwn) this.#own.add(path);
        else this.#names.set(path, file.names);
      }
    }
  }

  has(path: string): boolean {
    return this.#names.has(path);
  }

  /** Whether to replace the file; undefined where the file alone tells. */
  isToBeReplaced(path: string): boolean | undefined {
    return this.has(path) ? true : this.#own.has(path) ? false : undefined;
  }

  /** A file of several names was replaced under one of them: the others become names of the new file. */
  follow(path: string): void {
    const names = this.#names.get(path);
    if (names === undefined) return;
    const real = realPathOf(path);
    for (const name of names) {
      if (name === real) continue;
      const temporary = temporaryBeside(name);
      try {
        linkSync(real, temporary);
        renameSync(temporary, name);
      } catch (error) {
        throw fromSystemError('unwritable', 'cannot link the new file as', name, error);
      }
    }
  }
}

/** Undefined for a file that cannot be looked at; reading it will say why. */
export function tryStat(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}
