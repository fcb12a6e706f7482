import { mkdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { systemCode } from '../errors.js';

/** The path without symbolic links; what is not there yet is put behind the real path of its nearest parent. */
export function realPathOf(path: string): string {
  try {
    return realpathSync.native(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(realPathOf(parent), basename(path));
  }
}

/** By name: whether a path is a directory or something below it. */
export function isWithin(path: string, dir: string): boolean {
  const [inner, outer] = [resolve(path), resolve(dir)];
  return inner === outer || inner.startsWith(outer.endsWith(sep) ? outer : `${outer}${sep}`);
}

/**
 * Makes a directory and those above it that are missing. Node's own way never ends where nothing can be made (below /proc).
 *
 * @throws the system's error
 */
export function makeDirectories(path: string, mode = 0o777): void {
  const make = () => {
    try {
      mkdirSync(path, mode);
    } catch (error) {
      if (systemCode(error) !== 'EEXIST' || !statSync(path).isDirectory()) throw error;
    }
  };
  try {
    make();
  } catch (error) {
    const parent = dirname(path);
    if (systemCode(error) !== 'ENOENT' || parent === path) throw error;
    makeDirectories(parent, mode);
    make();
  }
}
