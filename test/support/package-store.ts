import { copyFileSync, mkdirSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { runOk } from './cli.js';
import { elfnoteHereOk } from './cli-here.js';

/** A program of the machine and its libraries, each in a directory of its own, as Nix, Guix and Spack have them. */
export interface PackageStore {
  readonly dir: string;
  readonly program: string;
  readonly libraries: readonly string[];
}

/**
 * Copies a program and what ldd says that it loads below `dir`. The run path of every object is the directories of
 * all of them; the loader and what it brings itself stay where they are.
 */
export function makePackageStore(dir: string, binary: string): PackageStore {
  const found = [...runOk('ldd', [binary]).stdout.matchAll(/^\s+(\S+) => (\/\S+) /gm)];
  const libraries = found.map(([, soname = '', path = '']) => {
    const lib = join(dir, `store-${soname}`, 'lib');
    mkdirSync(lib, { recursive: true });
    const copy = join(lib, soname);
    copyFileSync(realpathSync(path), copy);
    return copy;
  });
  const program = join(dir, 'bin', basename(binary));
  mkdirSync(join(dir, 'bin'));
  copyFileSync(realpathSync(binary), program);
  const runPath = libraries.map(path => join(path, '..')).join(':');
  // The C library needs the loader alone, which is loaded, and patchelf would break it.
  const searching = libraries.filter(path => !/\/libc\.so\.6$/.test(path));
  runOk('patchelf', ['--set-rpath', runPath, program, ...searching]);
  return { dir, program, libraries };
}

/** patchelf leaves some objects without room for another program header, so theirs may move. */
export function annotateStore({ program, libraries }: PackageStore): void {
  elfnoteHereOk(['build-cache', '--quiet', '--move-table', program, ...libraries]);
}
