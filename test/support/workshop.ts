import { createHash } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { PROJECT, type RunResult, run, runOk } from './cli.js';
import { keptDirectory, makeOnce, tryMake } from './made.js';
import { A_C, B_C, DRIVER_C } from './matrix-program.js';
import { architectures } from './programs.js';
import { type Skip, toolPath } from './tools.js';

export type Linker = 'bfd' | 'gold' | 'lld' | 'mold';
export const LINKERS: readonly Linker[] = ['bfd', 'gold', 'lld', 'mold'];
export type Form = 'pie' | 'nopie' | 'shared';

/** One machine with its C library: how to compile for it and how to run what comes out. */
export interface Target {
  readonly name: string;
  readonly cc: string;
  /** What precedes `strip` and `objcopy`. */
  readonly prefix: string;
  /** Undefined where programs run by themselves. */
  readonly emulator: { readonly qemu: string; readonly libDir: string } | undefined;
  /** Why a linker is of no use here, whatever is installed. */
  readonly unsupported: Unsupported;
  /** Linkers, or all of them, that gcc's static unwinder does not go with. */
  readonly noUnwinder?: readonly Linker[];
}

export type Unsupported = Partial<Readonly<Record<Linker | `${Linker} ${Form}`, string>>>;

/** One file of the matrix: what is built, and how. */
export interface Cell {
  /** `architecture linker kind`. */
  readonly name: string;
  readonly target: Target;
  readonly form: Form;
  readonly skip: Skip;
  build(shop: Workshop, file: string): void;
  /** What the program has to say, but for the number of notes. */
  readonly says: string;
}

/** A cell that was built. */
export interface Sample {
  readonly cell: Cell;
  readonly file: string;
  /** What it said, to the letter. */
  readonly said: string;
}

/** What the cells are made of, by what and how: a change of any of it makes them anew. */
function recipeKey(): string {
  const hash = createHash('sha256');
  for (const name of ['workshop.ts', 'matrix.ts', 'matrix-program.ts']) {
    hash.update(readFileSync(join(PROJECT, 'test/support', name)));
  }
  const libraries = architectures().map(({ libDir }) => join(libDir, 'libc.so.6'));
  for (const path of [...TOOLS.flatMap(tool => toolPath(tool) ?? []), ...libraries]) {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats !== undefined) hash.update(`${realpathSync(path)} ${stats.size} ${stats.mtimeMs}\n`);
  }
  return hash.digest('hex').slice(0, 8);
}

/** Of the linkers and compilers, cross compilers included; those that are not there count as such. */
const TRIPLES = architectures().flatMap(({ libDir }) => /^\/usr\/([^/]+)\/lib$/.exec(libDir)?.[1] ?? []);
const TOOLS = [
  ...['', ...TRIPLES.map(triple => `${triple}-`)].flatMap(prefix =>
    ['gcc', 'ld.bfd', 'ld.gold', 'objcopy'].map(tool => prefix + tool),
  ),
  ...['ld.lld', 'mold', 'musl-gcc', 'patchelf', 'go', 'rustc', 'upx'],
];

/**
 * Where things are built. Libraries, object files, drivers and cells are made once for all test files and kept; what
 * is given out is a copy below `dir`, so that nobody changes what others take.
 */
export class Workshop {
  readonly dir: string;
  readonly #targets = new Map<string, Kit>();
  readonly #kept: string;

  constructor(dir: string) {
    this.dir = dir;
    this.#kept = keptDirectory('matrix', recipeKey());
  }

  kit(target: Target): Kit {
    const known = this.#targets.get(target.name);
    if (known !== undefined) return known;
    const kit = new Kit(join(this.#kept, target.name), target);
    this.#targets.set(target.name, kit);
    return kit;
  }

  /** @throws when it cannot be built, or does not say what it should before anything was done to it. */
  make(cell: Cell): Sample {
    makeOnce(this.#place(cell), made => this.#build(cell, made));
    const said = readFileSync(`${this.#place(cell)}.said`, 'utf8');
    const dir = join(this.dir, cell.target.name);
    mkdirSync(dir, { recursive: true });
    const file = join(dir, fileName(cell));
    copyFileSync(this.#place(cell), file);
    return { cell, file, said };
  }

  /** Has it built already, unless another process is about it. */
  prepare(cell: Cell): boolean {
    return tryMake(this.#place(cell), made => this.#build(cell, made));
  }

  #place(cell: Cell): string {
    return join(this.kit(cell.target).dir, fileName(cell));
  }

  #build(cell: Cell, made: string): void {
    cell.build(this, made);
    const { status, stdout, stderr } = this.start(cell, made);
    if (status !== 0 || stdout.replace(/ notes=\d+/, '') !== cell.says) {
      throw new Error(`${cell.name}: exit ${status}\n${stdout}${stderr}`);
    }
    writeFileSync(`${this.#place(cell)}.said`, stdout);
  }

  /** Runs a program, or has a driver load a library. */
  start(cell: Cell, file: string): RunResult {
    return runAnyhow(...this.command(cell, file));
  }

  command(cell: Cell, file: string): [string, ...string[]] {
    const { emulator } = cell.target;
    const kit = this.kit(cell.target);
    const driver = cell.form === 'shared' ? kit.driver() : undefined;
    if (emulator !== undefined) {
      const args = driver === undefined ? [file] : [driver, file];
      return [emulator.qemu, '-L', kit.prefix(emulator.libDir), ...args];
    }
    return driver === undefined ? [file] : [driver, file];
  }
}

const fileName = ({ name }: Cell): string => name.replaceAll(/[^a-z0-9_]+/g, '-');

/** Milliseconds after which a program counts as hanging; a damaged one may. */
const DEADLINE = 60_000;

/** A program that is damaged so that the kernel refuses it counts as one that failed. */
function runAnyhow(command: string, ...args: readonly string[]): RunResult {
  try {
    return run(command, args, { deadline: DEADLINE });
  } catch (error) {
    return { status: null, stdout: '', stderr: String(error), output: Buffer.alloc(0) };
  }
}

const COMPILE = ['-O1', '-g', '-funwind-tables', '-fasynchronous-unwind-tables'];
const MODE: Readonly<Record<Form, string>> = { pie: '-fPIE', nopie: '-fno-pie', shared: '-fPIC' };
const LINK_MODE: Readonly<Record<Form, string>> = { pie: '-pie', nopie: '-no-pie', shared: '-shared' };

/** What the cells of one target have in common. */
export class Kit {
  readonly dir: string;
  readonly target: Target;

  constructor(dir: string, target: Target) {
    this.dir = dir;
    this.target = target;
    mkdirSync(dir, { recursive: true });
    this.once('ready', made => {
      this.#makeLibraries();
      writeFileSync(made, '');
    });
  }

  #makeLibraries(): void {
    const { dir } = this;
    for (const sub of ['a', 'b', 'both', 'spare']) mkdirSync(join(dir, sub), { recursive: true });
    this.#library('b', 'libb.so.2', B_C, []);
    this.#library('a', 'liba.so.1', A_C, [join(dir, 'b', 'libb.so.2'), `-Wl,-rpath,${dir}/b`]);
    for (const name of ['a/liba.so.1', 'b/libb.so.2']) {
      copyFileSync(join(dir, name), join(dir, 'both', name.slice(2)));
      const link = join(dir, name.replace(/\.\d$/, ''));
      rmSync(link, { force: true });
      symlinkSync(name.slice(2), link);
    }
  }

  /** The directories of both libraries, and one that holds nothing. */
  get runPath(): readonly string[] {
    return ['a', 'b', 'spare'].map(sub => join(this.dir, sub));
  }

  get libraries(): readonly string[] {
    return [join(this.dir, 'a', 'liba.so.1'), join(this.dir, 'b', 'libb.so.2')];
  }

  #library(sub: string, soname: string, source: string, options: readonly string[]): void {
    const c = join(this.dir, `${sub}.c`);
    writeFileSync(c, source);
    const file = join(this.dir, sub, soname);
    const dtags = '-Wl,--enable-new-dtags';
    runOk(this.target.cc, ['-shared', '-fPIC', c, '-o', file, `-Wl,-soname,${soname}`, ...options, dtags]);
  }

  once(name: string, make: (file: string) => void): string {
    return makeOnce(join(this.dir, name), make);
  }

  object(source: string, name: string, form: Form, options: readonly string[] = []): string {
    const defines = form === 'shared' ? ['-DLIBRARY'] : [];
    return this.once(`${name}.${form}.o`, file => {
      writeFileSync(`${file}.c`, source);
      const args = [...COMPILE, MODE[form], ...defines, ...options, '-c', `${file}.c`, '-o', file];
      runOk(this.target.cc, args);
    });
  }

  /** Links objects with both libraries. */
  link(
    file: string,
    linker: Linker,
    form: Form,
    objects: readonly string[],
    options: readonly string[],
  ): void {
    runOk(this.target.cc, [
      ...this.#linkerOptions(linker),
      LINK_MODE[form],
      ...objects,
      '-o',
      file,
      ...this.libraries,
      '-static-libgcc',
      `-Wl,-rpath,${this.runPath.join(':')}`,
      '-Wl,--enable-new-dtags',
      ...options,
    ]);
  }

  /** A cross compiler does not know lld and mold by name; it takes whatever `ld` a directory holds. */
  #linkerOptions(linker: Linker): string[] {
    if (this.target.emulator === undefined || linker === 'bfd' || linker === 'gold') {
      return [`-fuse-ld=${linker}`];
    }
    const real = toolPath(linker === 'lld' ? 'ld.lld' : 'mold');
    const dir = this.once(`ld-${linker}`, made => {
      mkdirSync(made);
      symlinkSync(real ?? '', join(made, 'ld'));
    });
    return ['-B', dir];
  }

  driver(): string {
    return this.once('driver', file => {
      writeFileSync(`${file}.c`, DRIVER_C);
      runOk(this.target.cc, [`${file}.c`, '-o', file, '-ldl']);
    });
  }

  /** A directory that stands for `/` below qemu; whatever it lacks is looked up in the machine's own. */
  prefix(libDir: string): string {
    return this.once('root', made => {
      mkdirSync(made);
      symlinkSync(libDir, join(made, 'lib'));
      symlinkSync(libDir, join(made, 'lib64'));
    });
  }
}

/** Builds what can be built; a cell that should and cannot fails with the compiler's words. */
export function buildCells(
  shop: Workshop,
  cells: readonly Cell[],
): { samples: Map<Cell, Sample>; failures: Map<Cell, string> } {
  const samples = new Map<Cell, Sample>();
  const failures = new Map<Cell, string>();
  const attempt = (cell: Cell, work: () => void): void => {
    try {
      work();
    } catch (error) {
      failures.set(cell, error instanceof Error ? error.message : String(error));
    }
  };
  const wanted = cells.filter(({ skip }) => skip === false);
  // What another test file builds just now is left to it, and taken when everything else is done.
  for (const cell of wanted) attempt(cell, () => shop.prepare(cell));
  for (const cell of wanted.filter(one => !failures.has(one))) {
    attempt(cell, () => samples.set(cell, shop.make(cell)));
  }
  return { samples, failures };
}
