import { statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { realPathOf } from './paths.js';

/**
 * The Nix or Guix store that holds a path, or is it; undefined where there is none. A store is told by what its
 * daemon keeps: `.links`, one hard link for each content that `nix-store --optimise` shares (made with the store),
 * or the database beside it, `/nix/var/nix/db` for `/nix/store`. Symbolic links (`./result`) are followed.
 */
export function nixStoreOf(path: string): string | undefined {
  for (let dir = realPathOf(resolve(path)); ; dir = dirname(dir)) {
    if (isStore(dir)) return dir;
    if (dir === dirname(dir)) return undefined;
  }
}

function isStore(dir: string): boolean {
  if (basename(dir) !== 'store') return false;
  return isDirectory(join(dir, '.links')) || isDirectory(join(dirname(dir), 'var/nix/db'));
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
