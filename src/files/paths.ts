import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';

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
