import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { runOk } from './cli.js';
import { elfnoteHereOk } from './cli-here.js';

/** A program and libraries of its own, as a package manager lays them out; the C library is the machine's. */
export interface Tree {
  readonly dir: string;
  readonly program: string;
  readonly libraries: readonly string[];
}

/**
 * `spack`: a directory a library, all of which are in every `DT_RPATH`; `conda`: one `lib` for all, by `$ORIGIN` in
 * `DT_RPATH`; `distribution`: a directory a library, in `DT_RUNPATH`, and all in C++.
 */
export const TREE_KINDS = ['spack', 'conda', 'distribution'] as const;
export type TreeKind = (typeof TREE_KINDS)[number];

/** Each library needs the next three, and the program every tenth. */
export function makeTree(dir: string, kind: TreeKind, count: number): Tree {
  const cc = kind === 'distribution' ? 'g++' : 'gcc';
  const tags = kind === 'distribution' ? '--enable-new-dtags' : '--disable-new-dtags';
  const numbers = Array.from({ length: count }, (_, n) => n);
  const directory = (n: number) => join(dir, ...(kind === 'conda' ? ['lib'] : [`part-${n}`, 'lib']));
  const library = (n: number) => join(directory(n), `libpart${n}.so.1`);
  mkdirSync(join(dir, 'bin'), { recursive: true });
  for (const n of numbers) mkdirSync(directory(n), { recursive: true });
  const link = (file: string, needed: readonly number[], flags: readonly string[]) => {
    const dirs = [...new Set(numbers.map(directory))];
    const runPath =
      kind === 'conda'
        ? dirs.map(to => `$ORIGIN/${relative(join(file, '..'), to)}`.replace(/\/$/, ''))
        : dirs;
    const search = `-Wl,--no-as-needed,--allow-shlib-undefined,${tags},-rpath,${runPath.join(':')}`;
    runOk(cc, [...flags, '-o', file, search, ...needed.map(library)]);
  };
  const source = join(dir, 'part.c');
  const object = join(dir, 'part.o');
  writeFileSync(source, 'int main(void) { return 0; }\n');
  runOk('gcc', ['-c', '-fPIC', source, '-o', object]);
  for (const n of numbers.toReversed()) {
    const needed = [n + 1, n + 2, n + 3].filter(m => m < count);
    link(library(n), needed, ['-shared', `-Wl,-soname,libpart${n}.so.1`, object]);
  }
  const program = join(dir, 'bin', 'program');
  link(
    program,
    numbers.filter(n => n % 10 === 0),
    [object],
  );
  return { dir, program, libraries: numbers.map(library) };
}

/** How the files of a tree get notes, and what the program is started with. */
export const NOTED_WAYS = ['none', 'everywhere', 'closure', 'closure and system'] as const;
export type NotedWay = (typeof NOTED_WAYS)[number];

/** Takes the notes of a tree out, and writes those of one way. */
export function noteTree({ dir, program, libraries }: Tree, way: NotedWay): void {
  elfnoteHereOk(['remove-cache', '--quiet', program, ...libraries]);
  const store = ['build-cache', '--quiet', '--store-dir', dir];
  if (way === 'everywhere') elfnoteHereOk([...store, program, ...libraries]);
  if (way === 'closure') elfnoteHereOk([...store, '--closure', program]);
  if (way === 'closure and system') elfnoteHereOk([...store, '--closure', '--system-libraries', program]);
}

/** What the start of a program costs, to its end. */
export interface StartCost {
  /** Calls that fail to open a file or directory. */
  readonly opens: number;
  /** Calls that fail to find out about one. */
  readonly stats: number;
  /** System calls in all. */
  readonly calls: number;
  /** Paths of failing calls below the tree. */
  readonly missed: readonly string[];
}

const FAILED = /\b(open|openat|access|faccessat2?|newfstatat|statx)\([^"]*"([^"]+)".*= -1 E/;

/** Starts the program below strace. @param reader the audit module; undefined for the loader alone. */
export function startCost({ dir, program }: Tree, reader: string | undefined): StartCost {
  const log = join(dir, 'strace.log');
  const audit = reader === undefined ? [] : ['-E', `LD_AUDIT=${reader}`];
  runOk('strace', ['-f', '-o', log, ...audit, program]);
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
  const failed = lines.flatMap(line => {
    const [, call = '', path = ''] = FAILED.exec(line) ?? [];
    return call === '' ? [] : [{ isOpen: call.startsWith('open'), path }];
  });
  const opens = failed.filter(({ isOpen }) => isOpen).length;
  const missed = failed.map(({ path }) => path).filter(path => path.startsWith(`${dir}/`));
  return { opens, stats: failed.length - opens, calls: lines.length, missed };
}
