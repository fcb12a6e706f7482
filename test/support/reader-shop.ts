import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT, type RunResult, run, runOk } from './cli.js';
import { elfnoteHereOk } from './cli-here.js';
import { compileOnce, objectOnce } from './compile-once.js';
import { buildReader, type Traced, trace } from './reader.js';

export interface Linking {
  /** Libraries that it needs, by their paths. */
  readonly needs?: readonly string[];
  /** Directories; those of `needs` when it is not given. */
  readonly runPath?: readonly string[];
  /** More arguments of the compiler. */
  readonly flags?: readonly string[];
  /** The source of a library. */
  readonly source?: string;
}

const PROGRAM = readFileSync(join(PROJECT, 'test/audit/program.c'), 'utf8');

/** Compiled once for all libraries, which give it a name of their own. */
const OPENS = `#include <dlfcn.h>
void *opens(const char *n) { return dlopen(n, RTLD_NOW); }
`;

/** Makes programs and libraries, each library in a directory of its own, and runs them with and without the reader. */
export class ReaderShop {
  readonly dir: string;
  readonly reader: string;
  readonly cc: string;

  constructor(dir: string, cc = 'gcc') {
    this.dir = dir;
    this.cc = cc;
    this.reader = buildReader(dir, [cc]);
  }

  at(...parts: readonly string[]): string {
    return join(this.dir, ...parts);
  }

  /** `lib<name>.so.1` in a directory, with a function `<name>_opens` that opens what it is asked to. */
  library(dir: string, name: string, linking: Linking = {}): string {
    mkdirSync(this.at(dir), { recursive: true });
    const soname = `lib${name}.so.1`;
    const file = this.at(dir, soname);
    const named = linking.source === undefined ? [`-Wl,--defsym=${name}_opens=opens`] : [];
    this.#link(
      ['-shared', '-fPIC'],
      [`-Wl,-soname,${soname}`, ...named],
      linking.source ?? OPENS,
      file,
      linking,
    );
    return file;
  }

  /** The program of test/audit/program.c. */
  program(name: string, linking: Linking = {}): string {
    const file = this.at(name);
    this.#link([], [], PROGRAM, file, linking);
    return file;
  }

  #link(
    kind: readonly string[],
    named: readonly string[],
    source: string,
    file: string,
    { needs = [], runPath, flags = [] }: Linking,
  ): void {
    const dirs = runPath ?? needs.map(path => join(path, '..'));
    const rpath = dirs.length === 0 ? [] : [`-Wl,-rpath,${dirs.join(':')}`];
    const dtags = '-Wl,--no-as-needed,--enable-new-dtags,--allow-shlib-undefined';
    const compiling = [...kind, ...flags].filter(flag => /^-[fgmnp]/.test(flag));
    const object = objectOnce(this.cc, ['-Wall', '-Wextra', '-Werror', ...compiling], source);
    compileOnce(this.cc, [...kind, ...named, object, dtags, ...needs, ...rpath, ...flags], file, this.dir);
  }

  /** Writes notes into files; what they say is `elfnote dump`'s to tell. */
  annotate(...files: readonly string[]): void {
    elfnoteHereOk(['build-cache', '--quiet', ...files]);
  }

  /** What the program prints without the reader; it has to succeed. */
  plain(program: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): string {
    return runOk(program, args, { env, cwd: this.dir }).stdout;
  }

  traced(program: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Traced {
    return trace(this.dir, program, args, { LD_AUDIT: this.reader, ...env }, { cwd: this.dir });
  }

  /** With the reader, and what it says of itself on standard error. */
  explained(
    program: string,
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): RunResult {
    const reading = { LD_AUDIT: this.reader, ELFNOTE_DEBUG: '1', ...env };
    return run(program, args, { env: reading, cwd: this.dir });
  }

  /** Paths below this shop's directory; the others are the machine's. */
  own(paths: readonly string[]): string[] {
    return paths.filter(path => path.startsWith(`${this.dir}/`));
  }

  /** Where libraries of this shop were looked for in vain; the C library is in none of its directories. */
  missed({ missed }: Traced): string[] {
    return this.own(missed).filter(path => !/\/libc\.so\.6$/.test(path));
  }
}

/** The lines that the reader said, without its name, each path cut to `directory/file`. */
export function sayings({ stderr }: RunResult): string[] {
  const short = (line: string) => line.replace(/(?<=[: ])\/\S*\/([^/\s]+\/[^/\s]+)/g, '$1');
  return stderr.split('\n').flatMap(line => (line.startsWith('elfnote: ') ? [short(line.slice(9))] : []));
}

/** With the reader, everything is loaded that is loaded without it; and what the reader said. */
export function assertSame(
  shop: ReaderShop,
  program: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): { stdout: string; said: string[] } {
  const plain = shop.plain(program, args, env);
  const result = shop.explained(program, args, env);
  assert.equal(result.status, 0, result.stderr);
  assert.equal(result.stdout, plain);
  return { stdout: result.stdout, said: sayings(result) };
}

export interface Closure {
  readonly program: string;
  readonly one: string;
  readonly two: string;
  readonly three: string;
  /** The run path. */
  readonly dirs: readonly string[];
}

/** A program that needs one and two, of which two needs three; directories without any of them come first. */
export function closure(shop: ReaderShop): Closure {
  mkdirSync(shop.at('empty'));
  const dirs = ['empty', 'one', 'two', 'three'].map(dir => shop.at(dir));
  const three = shop.library('three', 'three');
  const two = shop.library('two', 'two', { needs: [three], runPath: dirs });
  const one = shop.library('one', 'one');
  const program = shop.program('program', { needs: [one, two], runPath: dirs });
  return { program, one, two, three, dirs };
}

/** The same with notes in all of its files. */
export function annotatedClosure(shop: ReaderShop): Closure {
  const files = closure(shop);
  shop.annotate(files.program, files.one, files.two, files.three);
  return files;
}

/** What the reader says of `closure` where nothing is in its way. */
export const ANSWERED = [
  'libone.so.1 for the program: one/libone.so.1',
  'libtwo.so.1 for the program: two/libtwo.so.1',
  'libc.so.6 for the program: left to the loader: the note does not name it',
  'libthree.so.1 for two/libtwo.so.1: three/libthree.so.1',
];
