import { copyFileSync, existsSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import fastGlob from 'fast-glob';
import { runOk } from '../../test/support/cli.js';

/** A program and its closure, each library in a directory of its own, each object with a run path for what it needs. */
export interface Store {
  readonly dir: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly libraries: readonly string[];
}

export const neededOf = (file: string): string[] =>
  runOk('patchelf', ['--print-needed', file])
    .stdout.split('\n')
    .filter(name => name !== '');

const isCLibrary = (soname: string) => soname === 'libc.so.6' || soname.startsWith('ld-linux');

/** Objects that search: the C library needs the loader alone, which is there. */
export function searching({ program, libraries }: Store): string[] {
  return [program, ...libraries.filter(path => !isCLibrary(basename(path)))];
}

/** What an object's run path has for each soname, in the order in which it asks; without what only the system has. */
export function found(file: string): { readonly soname: string; readonly path: string }[] {
  const dirs = runOk('patchelf', ['--print-rpath', file]).stdout.trim().split(':');
  return neededOf(file).flatMap(soname => {
    const path = dirs.map(dir => join(dir, soname)).find(existsSync);
    return path === undefined ? [] : [{ soname, path }];
  });
}

/**
 * Copies a program of the machine and all that ldd says it loads.
 * @param beside paths, as globs, to which links lead from the program's package.
 */
export function layOut(
  dir: string,
  binary: string,
  args: readonly string[],
  beside: readonly string[] = [],
): Store {
  const listed = [...runOk('ldd', [binary]).stdout.matchAll(/^\s+(\S+) => (\/\S+) /gm)];
  const libraries = new Map(
    listed.map(([, soname = '', path = '']) => {
      const copy = join(dir, 'store', soname, 'lib', soname);
      mkdirSync(dirname(copy), { recursive: true });
      copyFileSync(realpathSync(path), copy);
      return [soname, copy] as const;
    }),
  );
  const program = join(dir, 'store', 'program', 'bin', basename(binary));
  mkdirSync(dirname(program), { recursive: true });
  copyFileSync(realpathSync(binary), program);
  for (const path of fastGlob.sync([...beside], { onlyDirectories: true }))
    symlinkSync(path, join(dir, 'store', 'program', basename(path)));
  const store = { dir, program, args, libraries: [...libraries.values()] };
  for (const file of searching(store)) runOk('patchelf', ['--set-rpath', runPathFor(libraries, file), file]);
  return store;
}

function runPathFor(libraries: ReadonlyMap<string, string>, file: string): string {
  const dirs = neededOf(file).flatMap(soname => {
    const path = libraries.get(soname);
    return path === undefined ? [] : [dirname(path)];
  });
  return [...new Set(dirs)].join(':');
}

/** A made C++ program: 60 libraries, of which each needs the next three. */
export function makeProgram(dir: string, count = 60): string {
  mkdirSync(dir);
  const source = join(dir, 'part.cc');
  const object = join(dir, 'part.o');
  writeFileSync(source, '#include <iostream>\nint main() { std::cout << "made\\n"; }\n');
  runOk('g++', ['-fPIC', '-c', source, '-o', object]);
  const library = (n: number) => join(dir, `libpart${n}.so.1`);
  const link = (out: string, needed: readonly number[], ...flags: string[]) =>
    runOk('g++', [
      ...[object, '-o', out, '-Wl,--no-as-needed', '-Wl,--enable-new-dtags', ...flags],
      ...[`-Wl,-rpath,${dir}`, ...needed.map(library)],
    ]);
  for (let n = count - 1; n >= 0; n--) {
    const needed = [n + 1, n + 2, n + 3].filter(m => m < count);
    link(library(n), needed, '-shared', `-Wl,-soname,libpart${n}.so.1`);
  }
  const program = join(dir, 'made');
  link(
    program,
    [...Array(count).keys()].filter(n => n % 10 === 0),
  );
  return program;
}
