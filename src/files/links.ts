import { type BigIntStats, linkSync, renameSync, statSync } from 'node:fs';
import { fromSystemError } from '../errors.js';
import { realPathOf } from './paths.js';
import { temporaryBeside } from './temporary.js';

/**
 * Files with a hard link that is none of the paths of this run. In a Nix store the other name is another store path or
 * stands in `.links`: those keep their content, so such a file is replaced rather than edited, under all its names.
 */
export class ForeignLinks {
  /** The names of each such file, by each path of the run that leads to it. */
  readonly #names = new Map<string, ReadonlySet<string>>();

  constructor(paths: readonly string[]) {
    const inodes = new Map<string, { links: bigint; paths: string[]; names: Set<string> }>();
    for (const path of paths) {
      const stats = tryStat(path);
      if (stats === undefined || !stats.isFile() || stats.nlink === 1n) continue;
      const inode = `${stats.dev}:${stats.ino}`;
      const file = inodes.get(inode) ?? { links: stats.nlink, paths: [], names: new Set() };
      inodes.set(inode, file);
      file.paths.push(path);
      file.names.add(realPathOf(path));
    }
    for (const file of inodes.values()) {
      if (file.links === BigInt(file.names.size)) continue;
      for (const path of file.paths) this.#names.set(path, file.names);
    }
  }

  has(path: string): boolean {
    return this.#names.has(path);
  }

  /** A file of several names was replaced under one of them: the others become names of the new file. */
  follow(path: string): void {
    const real = realPathOf(path);
    for (const name of this.#names.get(path) ?? []) {
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
