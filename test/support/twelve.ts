import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from './cli.js';

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
  runOk('gcc', [
    '-shared',
    '-fPIC',
    `-Wl,-soname,${libraryName(n)}`,
    source,
    '-o',
    library,
    '-Wl,--no-as-needed',
    ...options,
  ]);
  return library;
}

export function build(dir: string, recipe: Recipe = {}): Built {
  const dirOf = (n: number) => join(dir, recipe.nameOf?.(n) ?? `lib-${n}`);
  const libraries: string[] = [];
  for (const n of NUMBERS.toReversed()) {
    const next = libraries.at(-1);
    const options = next === undefined ? [] : [next, `-Wl,-rpath,${dirOf(n + 1)}`, '-Wl,--enable-new-dtags'];
    libraries.push(buildLibrary(dirOf(n), n, options));
  }
  const source = join(dir, 'main.c');
  const program = join(dir, 'main');
  writeFileSync(
    source,
    `#include <stdio.h>
${NUMBERS.map(n => `int part${n}(void);`).join('\n')}
int main(void) { printf("sum %d\\n", ${NUMBERS.map(n => `part${n}()`).join(' + ')}); return 0; }
`,
  );
  // The run path names the directories backwards, so that most libraries are found after misses.
  const runPath = NUMBERS.toReversed().map(dirOf).join(':');
  runOk('gcc', [
    source,
    '-o',
    program,
    ...NUMBERS.map(n => join(dirOf(n), libraryName(n))),
    `-Wl,-rpath,${runPath}`,
    '-Wl,--enable-new-dtags,--no-as-needed',
    ...(recipe.link ?? []),
  ]);
  const sorted = NUMBERS.map(n => join(dirOf(n), libraryName(n)));
  return { dir, program, libraries: sorted, output: output(program) };
}

export function output(program: string, env: Readonly<Record<string, string>> = {}): string {
  return runOk(program, [], { env }).stdout;
}

/** The note that the program should have when every library is in its own directory. */
export function expectedEntries(libraries: readonly string[]): string[] {
  return libraries.map(path => `${path.slice(path.lastIndexOf('/') + 1)}: =${path}`).sort();
}
