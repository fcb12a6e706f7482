/**
 * What start-up costs with notes and the audit module, and without: `npm run bench:reader`. All is measured in one run, the
 * ways of starting a program in turn, and given as medians. Needs gcc, patchelf and strace.
 *
 * The slow file system is this one: strace delays each system call that looks a path up, for as long as a server on
 * the network would take to answer.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { elfnoteOk, runOk } from '../../test/support/cli.js';
import { closureNote } from '../../test/support/closure-shop.js';
import { annotateStore, makePackageStore } from '../../test/support/package-store.js';
import { buildReader } from '../../test/support/reader.js';
import {
  makeTree,
  NOTED_WAYS,
  noteTree,
  type StartCost,
  startCost,
  TREE_KINDS,
} from '../../test/support/trees.js';
import { median } from './measure.js';

/** Medians in milliseconds. */
interface ReaderRow {
  readonly name: string;
  readonly libraries: number;
  /** Without notes and without the module. */
  readonly plain: number;
  /** With the module, without notes. */
  readonly moduleOnly: number;
  /** A note in every object. */
  readonly notes: number;
  /** One closure note, and the libraries as they are. */
  readonly closure: number;
}

/** Time for the rounds of one program, in milliseconds, and how many of them there are at least and at most. */
const BUDGET = 3000;
const [FEWEST, MOST] = [3, 501];
/** In microseconds. */
const DELAY = 200;

/** A program twice, with and without notes. */
interface Pair {
  readonly name: string;
  readonly libraries: number;
  readonly plain: readonly string[];
  readonly annotated: readonly string[];
  /** A file with the closure note of the plain one. */
  readonly closure: string;
}

/** Start-up times on a warm cache, then on a slow file system. */
function benchReader(): { warm: ReaderRow[]; slow: ReaderRow[] } {
  const dir = mkdtempSync(join(tmpdir(), 'elfnote-bench-'));
  try {
    const launch = join(dir, 'launch');
    runOk('gcc', ['-O1', join(import.meta.dirname, 'launch.c'), '-o', launch]);
    const module = buildReader(dir);
    const pairs = [1, 30, 60, 120].map(count => madePair(dir, count));
    pairs.push(...realPairs(dir));
    const measure = (prefix: readonly string[]) =>
      pairs.map(pair => measurePair(launch, prefix, module, pair));
    return { warm: measure([]), slow: measure(slowly()) };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function measurePair(
  launch: string,
  prefix: readonly string[],
  module: string,
  { name, libraries, plain, annotated, closure }: Pair,
): ReaderRow {
  // strace sets the variable for the program alone, the launcher for what it starts.
  const audited = (command: readonly string[], ...more: readonly string[]) => {
    const variables = [`LD_AUDIT=${module}`, ...more];
    if (prefix.length === 0) return [...variables, ...command];
    return [...prefix, ...variables.flatMap(variable => ['-E', variable]), ...command];
  };
  const commands = [
    [...prefix, ...plain],
    audited(plain),
    audited(annotated),
    audited(plain, `ELFNOTE_CLOSURE=${closure}`),
  ];
  const args = commands.flatMap((command, i) => (i === 0 ? command : ['--', ...command]));
  const measure = (rounds: number) => {
    const times = commands.map((): number[] => []);
    for (const line of runOk(launch, [String(rounds), ...args])
      .stdout.trimEnd()
      .split('\n')) {
      const [number = 0, nanoseconds = 0] = line.split(' ').map(Number);
      times[number]?.push(nanoseconds / 1e6);
    }
    return times;
  };
  // The first round fills the cache, and tells how many there is time for.
  const round = measure(1)
    .flat()
    .reduce((sum, time) => sum + time, 0);
  const [first = 0, second = 0, third = 0, fourth = 0] = measure(clamp(BUDGET / round)).map(median);
  return { name, libraries, plain: first, moduleOnly: second, notes: third, closure: fourth };
}

function clamp(rounds: number): number {
  return Math.max(FEWEST, Math.min(MOST, Math.round(rounds)));
}

const LOOKUPS = 'openat,newfstatat,faccessat2,access';

function slowly(): string[] {
  const { stdout } = spawnSync('sh', ['-c', 'command -v strace'], { encoding: 'utf8' });
  const filter = ['-f', '--seccomp-bpf', '-e', `trace=${LOOKUPS}`, '-o', '/dev/null'];
  return [stdout.trim(), ...filter, '-e', `inject=${LOOKUPS}:delay_enter=${DELAY}`];
}

/** Libraries in as many directories, of which each needs the next three, and a program that needs every tenth. */
function madePair(dir: string, count: number): Pair {
  const make = (name: string) => {
    const root = join(dir, `${name}-${count}`);
    const libraryDir = (n: number) => join(root, `lib-${n}`, 'lib');
    const library = (n: number) => join(libraryDir(n), `libpart${n}.so.1`);
    const numbers = Array.from({ length: count }, (_, i) => i);
    for (const n of numbers) mkdirSync(libraryDir(n), { recursive: true });
    const source = join(root, 'part.c');
    const runPath = `-Wl,--no-as-needed,--enable-new-dtags,-rpath,${numbers.map(libraryDir).join(':')}`;
    writeFileSync(source, 'int main(void) { return 0; }\n');
    // The C library too is a package among others there.
    copyFileSync(
      runOk('gcc', ['-print-file-name=libc.so.6']).stdout.trim(),
      join(libraryDir(0), 'libc.so.6'),
    );
    for (const n of numbers.toReversed()) {
      const needed = [n + 1, n + 2, n + 3].filter(m => m < count).map(library);
      const soname = `-Wl,-soname,libpart${n}.so.1`;
      runOk('gcc', ['-shared', '-fPIC', source, soname, runPath, '-o', library(n), ...needed]);
    }
    const program = join(root, 'program');
    runOk('gcc', [source, runPath, '-o', program, ...numbers.filter(n => n % 10 === 0).map(library)]);
    return { program, files: [program, ...numbers.map(library)] };
  };
  const [plain, annotated] = [make('plain'), make('noted')];
  elfnoteOk(['build-cache', '--quiet', ...annotated.files]);
  const closure = writeClosure(plain.program);
  return { name: 'made', libraries: count, plain: [plain.program], annotated: [annotated.program], closure };
}

function writeClosure(program: string): string {
  const file = `${program}.closure`;
  writeFileSync(file, closureNote(program));
  return file;
}

const REAL = [
  ['/usr/bin/convert-im6.q16', '--version'],
  ['/usr/bin/curl', '--version'],
  ['/usr/bin/ffmpeg', '-version'],
] as const;

function realPairs(dir: string): Pair[] {
  return REAL.filter(([binary]) => existsSync(binary)).map(([binary, argument]) => {
    const stores = ['plain', 'noted'].map(name => {
      const root = join(dir, `${name}-${basename(binary)}`);
      mkdirSync(root);
      return makePackageStore(root, binary);
    });
    const [plain, noted] = stores;
    if (plain === undefined || noted === undefined) throw new Error('no stores');
    annotateStore(noted);
    const libraries = plain.libraries.length;
    return {
      name: binary,
      libraries,
      plain: [plain.program, argument],
      annotated: [noted.program, argument],
      closure: writeClosure(plain.program),
    };
  });
}

const LIBRARIES = 60;

/** What programs in trees as other systems have them ask for; a row for each tree. */
function treeCosts(): { kind: string; costs: readonly StartCost[] }[] {
  const dir = mkdtempSync(join(tmpdir(), 'elfnote-bench-'));
  try {
    const module = buildReader(dir);
    return TREE_KINDS.map(kind => {
      const tree = makeTree(join(dir, kind), kind, LIBRARIES);
      const costs = NOTED_WAYS.map(way => {
        noteTree(tree, way);
        return startCost(tree, way === 'none' ? undefined : module);
      });
      return { kind, costs };
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function printTrees(): void {
  console.log(`Failing opens + stats / system calls, ${LIBRARIES} libraries\n`);
  console.log(`| tree | ${NOTED_WAYS.join(' | ')} |\n|${' --- |'.repeat(NOTED_WAYS.length + 1)}`);
  for (const { kind, costs } of treeCosts()) {
    const cells = costs.map(({ opens, stats, calls }) => `${opens} + ${stats} / ${calls}`);
    console.log(`| ${kind} | ${cells.join(' | ')} |`);
  }
}

function print(title: string, rows: readonly ReaderRow[]): void {
  const heads = [
    'program',
    'libraries',
    'without',
    'module, no notes',
    'notes everywhere',
    'closure note',
    'ratio',
  ];
  console.log(`${title}\n\n| ${heads.join(' | ')} |\n|${' --- |'.repeat(heads.length)}`);
  for (const { name, libraries, plain, moduleOnly, notes, closure } of rows) {
    const cells = [plain, moduleOnly, notes, closure].map(ms => `${ms.toFixed(2)} ms`).join(' | ');
    console.log(`| ${name} | ${libraries} | ${cells} | ${(closure / plain).toFixed(2)} |`);
  }
  console.log();
}

/** Prints what start-up takes, and what it asks the system for, with notes and the audit module and without. */
export function measureReader(): void {
  const { warm, slow } = benchReader();
  print('Start-up on stock glibc, warm cache', warm);
  print(`The same, each path lookup delayed by ${DELAY} microseconds`, slow);
  printTrees();
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) measureReader();
