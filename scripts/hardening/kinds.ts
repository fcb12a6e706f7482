import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BuildOptions, buildCache } from '../../src/pipeline.js';
import { type RunResult, run, runOk } from '../../test/support/cli.js';
import { A_C, B_C, DRIVER_C, MAIN_C, SAYS } from '../../test/support/matrix-program.js';
import { toolPath } from '../../test/support/tools.js';

/** A file to write to, in a directory of its own, with what it says when it is run. */
export interface Kind {
  readonly name: string;
  readonly file: string;
  readonly options: BuildOptions;
  /** What the program, or one that loads the library, prints; undefined when it does not run. */
  readonly says: () => string | undefined;
  /** Called when the file has its first bytes again, before each run. */
  readonly prepare?: () => void;
  readonly end?: () => void;
}

const WAIT_C = `#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void wait_here(void) { if (getenv("ELFNOTE_WAIT")) pause(); }
`;

const LINKERS = ['bfd', 'gold', 'lld', 'mold'] as const;

/**
 * One directory a kind below `dir`, all made with this machine's compiler and linkers.
 *
 * @param only these kinds; all of them otherwise.
 * @returns the kinds, and what is missing by name.
 */
export function makeKinds(
  dir: string,
  only?: readonly string[],
): { readonly kinds: Kind[]; readonly missing: string[] } {
  const missing: string[] = [];
  const shop = new Shop(dir);
  const kinds: Kind[] = [];
  const add = (name: string, make: (name: string) => Kind, needed?: string) => {
    if (only?.includes(name) === false) return;
    if (needed === undefined || toolPath(needed) !== undefined) kinds.push(make(name));
    else missing.push(`${needed} (${name})`);
  };
  for (const linker of LINKERS) {
    add(`pie-${linker}`, name => shop.program(name, [`-fuse-ld=${linker}`]), `ld.${linker}`);
    add(`library-${linker}`, name => shop.library(name, [`-fuse-ld=${linker}`]), `ld.${linker}`);
  }
  add('no-pie', name => shop.program(name, ['-no-pie']));
  add('tight', name => shop.tight(name));
  add('without-build-id', name => shop.program(name, ['-Wl,--build-id=none']));
  add('patchelf', name => shop.patched(name), 'patchelf');
  add('hard-linked', name => shop.linked(name));
  add('running', name => shop.running(name));
  add('output', name => shop.output(name));
  add('dt-audit', name => shop.withReader(name));
  return { kinds, missing };
}

/** In bytes: by several times as much, a record is longer. */
const STEP = 8;

function longPath(path: string, more: number): string {
  return [path, ...Array.from({ length: more }, (_, i) => `/nowhere/number/${i}`)].join(':');
}

class Shop {
  readonly #dir: string;
  readonly #libraries: readonly string[];

  constructor(dir: string) {
    this.#dir = dir;
    const make = (name: string, source: string, needs: readonly string[]) => {
      // The name of no symbol ends it: patchelf 0.14 wipes an old run path with the symbols that share its end.
      const at = join(dir, 'store', `${name}-1`);
      mkdirSync(at, { recursive: true });
      const file = join(at, `lib${name}.so`);
      this.#compile(source, file, ['-shared', `-Wl,-soname,lib${name}.so`, ...needs]);
      return file;
    };
    const b = make('b', B_C, []);
    this.#libraries = [make('a', A_C, [b, `-Wl,-rpath,${join(dir, 'store/b-1')}`]), b];
    this.#compile(DRIVER_C, join(dir, 'driver'), ['-ldl']);
  }

  #compile(source: string, file: string, flags: readonly string[]): void {
    writeFileSync(`${file}.c`, source);
    const common = ['-fPIC', '-Wl,--enable-new-dtags,--no-as-needed'];
    runOk('gcc', [...common, `${file}.c`, '-o', file, ...flags]);
  }

  #path(): string {
    return ['none', 'store/a-1', 'store/b-1'].map(name => join(this.#dir, name)).join(':');
  }

  #make(name: string, flags: readonly string[], path = this.#path()): string {
    const at = join(this.#dir, 'kinds', name);
    mkdirSync(at, { recursive: true });
    const made = join(this.#dir, `${name}.made`);
    this.#compile(MAIN_C, made, [...flags, ...this.#libraries, `-Wl,-rpath,${path}`]);
    copyFileSync(made, join(at, 'file'));
    return join(at, 'file');
  }

  program(name: string, flags: readonly string[]): Kind {
    const file = this.#make(name, flags);
    return { name, file, options: {}, says: () => said(() => run(file)) };
  }

  library(name: string, flags: readonly string[]): Kind {
    const file = this.#make(name, [...flags, '-shared', '-DLIBRARY']);
    return { name, file, options: {}, says: () => said(() => run(join(this.#dir, 'driver'), [file])) };
  }

  patched(name: string): Kind {
    const kind = this.program(name, []);
    runOk('patchelf', ['--set-rpath', longPath(this.#path(), 20), kind.file]);
    return kind;
  }

  /** There is room for the note, and none beside it for the undo record, which comes to the end of the file. */
  tight(name: string): Kind {
    const path = longPath(this.#path(), 150);
    const file = this.#make(name, [], path);
    const options = { likePatchelf: true };
    const isTight = () => {
      const outcome = buildCache(file, { ...options, dryRun: true });
      return outcome.action === 'planned' && outcome.edits.some(({ why }) => why === 'the undo record');
    };
    // A run path that ends earlier has a shorter note; nothing else changes.
    const bytes = readFileSync(file);
    const start = bytes.indexOf(path);
    for (let end = start + path.length; !isTight(); end -= STEP)
      writeFileSync(file, bytes.fill(0, end - STEP, end));
    return { name, file, options, says: () => said(() => run(file)) };
  }

  linked(name: string): Kind {
    const kind = this.program(name, []);
    linkSync(kind.file, `${kind.file}.link`);
    return kind;
  }

  /** A process runs it when it is written to. */
  running(name: string): Kind {
    const wait = join(this.#dir, 'wait.c');
    writeFileSync(wait, WAIT_C);
    const kind = this.program(name, [wait]);
    let child: ChildProcess | undefined;
    const end = () => void child?.kill('SIGKILL');
    const prepare = () => {
      end();
      child = spawn(kind.file, { stdio: 'ignore', env: { ELFNOTE_WAIT: '1' } });
    };
    return { ...kind, prepare, end };
  }

  output(name: string): Kind {
    const kind = this.program(name, []);
    return { ...kind, options: { output: `${kind.file}.out` } };
  }

  /** Any library of the right kind is one that a program can ask for. */
  withReader(name: string): Kind {
    const reader = join(this.#dir, 'reader.so');
    this.#compile('unsigned la_version(unsigned v) { return v; }\n', reader, ['-shared']);
    return { ...this.program(name, []), options: { reader } };
  }
}

/** Undefined also where it cannot be started. The notes are counted, and a note more is what elfnote is for. */
function said(start: () => RunResult): string | undefined {
  try {
    const { status, stdout } = start();
    return status === 0 ? stdout.replace(/ notes=\d+/, '') : undefined;
  } catch {
    return undefined;
  }
}

export const EXPECTED = SAYS;
