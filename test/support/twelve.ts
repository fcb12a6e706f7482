import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runOk } from './cli.js';
import { withName } from './compile-once.js';

export const COUNT = 12;
export const NUMBERS = Array.from({ length: COUNT }, (_, i) => i + 1);

/** A program that needs twelve libraries, each in a directory of its own, and each in need of the next one. */
export interface Built {
  readonly dir: string;
  readonly program: string;
  readonly libraries: readonly string[];
  readonly output: string;
}

export interface Recipe {
  /** Name of the directory of library n, below the temporary one. */
  readonly nameOf?: (n: number) => string;
  /** More options for the program's link. */
  readonly link?: readonly string[];
}

export function libraryName(n: number): string {
  return `libpart${n}.so.1`;
}

/** What library n says; with `word` another version of it. */
export function librarySource(n: number, word = 'part'): string {
  const next = n < COUNT ? `int part${n + 1}(void);` : '';
  const call = n < COUNT ? `part${n + 1}()` : '0';
  return `#include <stdio.h>
${next}
__attribute__((constructor)) static void up(void) { printf("up ${n}\\n"); }
__attribute__((destructor)) static void down(void) { printf("down ${n}\\n"); }
int part${n}(void) { printf("${word} ${n}\\n"); return ${n} + ${call}; }
`;
}

export function buildLibrary(
  directory: string,
  n: number,
  options: readonly string[],
  word?: string,
): string {
  mkdirSync(directory, { recursive: true });
  const source = join(directory, `part${n}.c`);
  const library = join(directory, libraryName(n));
  writeFileSync(source, librarySource(n, word));
  const flags = ['-shared', '-fPIC', `-Wl,-soname,${libraryName(n)}`];
  runOk('gcc', [...flags, source, '-o', library, '-Wl,--no-as-needed', ...options]);
  return library;
}

const known = new Map<string, readonly (readonly [name: string, bytes: Buffer])[]>();

/** Compiled once for all directories whose names are as long as each other. */
export function build(dir: string, recipe: Recipe = {}): Built {
  const names = NUMBERS.map(n => join(recipe.nameOf?.(n) ?? `lib-${n}`, libraryName(n)));
  const placeholder = '@'.repeat(Buffer.byteLength(dir));
  const key = JSON.stringify([placeholder, names, recipe.link]);
  const made = known.get(key);
  if (made === undefined) {
    compile(dir, names, recipe.link ?? []);
    const files = ['main.c', 'main', ...names];
    known.set(
      key,
      files.map(name => [name, withName(readFileSync(join(dir, name)), dir, placeholder)]),
    );
  }
  for (const [name, bytes] of made ?? []) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), withName(bytes, placeholder, dir), { mode: 0o755 });
  }
  const program = join(dir, 'main');
  return { dir, program, libraries: names.map(name => join(dir, name)), output: output(program) };
}

function compile(dir: string, names: readonly string[], link: readonly string[]): void {
  const libraries = names.map(name => join(dir, name));
  for (const [i, library] of [...libraries.entries()].reverse()) {
    const next = libraries[i + 1];
    const options = next === undefined ? [] : [next, `-Wl,-rpath,${dirname(next)}`, '-Wl,--enable-new-dtags'];
    buildLibrary(dirname(library), i + 1, options);
  }
  const source = join(dir, 'main.c');
  writeFileSync(
    source,
    `#include <stdio.h>
${NUMBERS.map(n => `int part${n}(void);`).join('\n')}
int main(void) { printf("sum %d\\n", ${NUMBERS.map(n => `part${n}()`).join(' + ')}); return 0; }
`,
  );
  // The run path names the directories backwards, so that most libraries are found after misses.
  const runPath = libraries.toReversed().map(dirname).join(':');
  const tags = '-Wl,--enable-new-dtags,--no-as-needed';
  runOk('gcc', [source, '-o', join(dir, 'main'), ...libraries, `-Wl,-rpath,${runPath}`, tags, ...link]);
}

export function output(program: string, env: Readonly<Record<string, string>> = {}): string {
  return runOk(program, [], { env }).stdout;
}

/** The note that the program should have when every library is in its own directory. */
export function expectedEntries(libraries: readonly string[]): string[] {
  return libraries.map(path => `${path.slice(path.lastIndexOf('/') + 1)}: =${path}`).sort();
}
