/**
 * How much of each large sweep a run takes. `npm test` has every kind of test, every linker, tool and rung, and one machine
 * of each class and byte order. `npm run test:all` has every pair: each tool after each linker, form, variant and machine,
 * and after each other tool; test/extent.test.ts holds that. CI runs it as `npm test` and `npm run test:rest`, what that
 * has left out. `npm run test:every` has every combination, for a release and for whoever changes how a file is laid out.
 */

type Extent = 'quick' | 'all' | 'rest' | 'every';

const EXTENTS: readonly Extent[] = ['quick', 'all', 'rest', 'every'];

export const RUN: Extent = extentOf(process.env.ELFNOTE_TESTS || 'quick');

function extentOf(name: string): Extent {
  const extent = EXTENTS.find(one => one === name);
  if (extent === undefined) throw new Error(`ELFNOTE_TESTS=${name} is none of ${EXTENTS.join(', ')}`);
  return extent;
}

/** How many; a run of the rest repeats what is counted. */
const count = (every: number, all: number, quick: number): number =>
  RUN === 'every' ? every : RUN === 'quick' ? quick : all;

/** How many are drawn; a run of the rest draws others, so that both have as many as one of all. */
const drawn = (every: number, all: number, quick: number): number =>
  RUN === 'rest' ? all - quick : count(every, all, quick);

/** Added to the seed of what is drawn: with it too the layouts lead to every rung. */
export const OTHER_SEED = RUN === 'rest' ? 5 : 0;

/** One in so many for `npm test` and for `test:all`. The first is a multiple of the second, so that nothing is lost. */
export interface Part {
  readonly quick: number;
  readonly all: number;
}

/**
 * Machines below qemu that `npm test` leaves out: it has one of each class and byte order. And Go, which first compiles
 * its own library.
 */
const FURTHER_MACHINES: readonly string[] = ['i686', 'riscv64', 'ppc64le', 'mips', 'go'];

/** Whether `npm test` has something of this machine. */
export const isInQuick = (machine: string): boolean => !FURTHER_MACHINES.includes(machine);

export function isTested(machine: string): boolean {
  return RUN !== 'quick' || isInQuick(machine);
}

/** Whether this run takes what is the n-th of its kind; `npm test` takes only what it may. */
export function isTaken({ quick, all }: Part, n: number, mayBeQuick = true): boolean {
  if (RUN === 'every') return true;
  const isQuick = mayBeQuick && n % quick === 0;
  if (RUN === 'quick') return isQuick;
  return n % all === 0 && (RUN === 'all' || !isQuick);
}

/** Takes a part of a list, from another start in each round, so that together they take each. */
export function share<T>(items: readonly T[], part: Part, round = 0, mayBeQuick = true): T[] {
  return items.filter((_, i) => isTaken(part, i + round, mayBeQuick));
}

/** Whole files that `npm test` leaves out, each about something that hardly any change touches; named, they run. */
export const ONLY_IN_ALL: readonly string[] = [
  // Signals and locks.
  'test/cli/interrupt.test.ts',
  'test/cli/concurrent.test.ts',
  // Large programs of the machine, and one of gcc's with every linker; e2e/reader has small ones.
  'test/e2e/gcc.test.ts',
  'test/e2e/programs.test.ts',
  'test/e2e/system.test.ts',
  'test/e2e/startup.test.ts',
  // Stores as distributions, Spack and conda make them, and notes that outgrow their places; layout/ has these in memory.
  'test/e2e/trees.test.ts',
  'test/e2e/growth.test.ts',
  // Builds in a Nix store, and of the package.
  'test/nix/hook.test.ts',
  'test/nix/package.test.ts',
  'test/nix/store.test.ts',
  'test/package/package.test.ts',
  // Faults at every call, a fuzzer, which runs for a fixed time, and processes killed by strace; layout/undo stops a run
  // after every write.
  'test/hardening/fuzz.test.ts',
  'test/hardening/faults.test.ts',
  'test/hardening/killed.test.ts',
  'test/hardening/prove.test.ts',
  // The audit module for every compiler and architecture, and programs run with it; e2e/reader has some.
  'test/audit/closure-parser.test.ts',
  'test/audit/module.test.ts',
  'test/audit/hostile.test.ts',
  'test/audit/guests.test.ts',
  'test/cli/exec.test.ts',
  // How bin/elfnote.js starts what is built, and the demo; cli/loading and docs/readme have what these show.
  'test/cli/start.test.ts',
  'test/docs/demo.test.ts',
  // On a terminal of its own, in each shell, and in a browser.
  'test/cli/progress.test.ts',
  'test/cli/completion.test.ts',
  'test/cli/trace-svg.test.ts',
  // Of these tests themselves, and of what V8 makes of the source.
  'test/cli/here.test.ts',
  'test/cli/hidden-classes.test.ts',
  'test/scripts/test.test.ts',
];

/** Files of which test:all has no more than `npm test`, and test:every has. */
export const MORE_IN_EVERY: readonly string[] = ['test/audit/closure.test.ts'];

/** Files of which `npm test` runs a part. */
export const IN_PARTS: readonly string[] = [
  'test/corrupt/corrupt.test.ts',
  'test/e2e/fixtures.test.ts',
  'test/e2e/matrix.test.ts',
  'test/e2e/matrix-machines.test.ts',
  'test/e2e/matrix-pairs.test.ts',
  'test/e2e/patchelf-generations.test.ts',
  'test/e2e/reader.test.ts',
  'test/e2e/restore.test.ts',
  'test/e2e/sequence.test.ts',
  'test/e2e/trace-machines.test.ts',
  'test/e2e/trace.test.ts',
  'test/generations.test.ts',
  'test/layout/dt-audit/edit.test.ts',
  'test/layout/layouts.property.test.ts',
  'test/layout/undo/undo.test.ts',
];

export const EXTENT = {
  /** `npm test` has one cell of the matrix in so many; what is shared between its cells is no multiple of this. */
  quickCells: 2,
  /** e2e/matrix: each cell sees one tool in so many, each tool one cell in so many. */
  toolsPerCell: { quick: 9, all: 3 },
  /** The same of e2e/matrix-machines, each of which has some fifteen tools and a dozen cells. */
  toolsPerForeignCell: { quick: 15, all: 5 },
  /** The same of e2e/reader.test.ts, which has fewer cells. */
  toolsPerProgram: { quick: 6, all: 3 },
  /** e2e/matrix-pairs.test.ts: of the ordered pairs of tools one in so many after each of six cells. */
  pairs: { quick: 36, all: 6 },
  /** e2e/patchelf-generations.test.ts: of the shapes, and of the operations of each patchelf, one in so many. */
  shapes: { quick: 2, all: 1 },
  operations: { quick: 6, all: 2 },
  /** e2e/restore.test.ts: of the three placements. */
  placements: { quick: 3, all: 3 },
  /** e2e/restore.test.ts: how often a note is replaced, in how many ways, and of how many files one is in it. */
  updates: 6,
  ways: count(2, 2, 1),
  manyUpdates: count(100, 100, 6),
  updatesWithRemovals: count(100, 20, 6),
  updatedFiles: count(1, 8, 4),
  /** e2e/restore.test.ts: of the tools that keep a note, one in so many after each cell. */
  keepingTools: { quick: 6, all: 3 },
  /** e2e/fixtures.test.ts: of the tools that strip every kind, of kinds that run, and of machines, one in so many. */
  strips: { quick: 4, all: 2 },
  kinds: { quick: 4, all: 2 },
  orders: { quick: 2, all: 1 },
  /** The same: after each of these tools one kind in so many is started. */
  startedKinds: count(1, 2, 4),
  machines: { quick: 3, all: 1 },
  /** e2e/sequence.test.ts: one cell in so many, and random walks of each. */
  walkedCells: { quick: 3, all: 1 },
  walks: count(2, 1, 1),
  /** Of Debian's later releases one in so many: trixie, and where every one is tried, sid. */
  suites: { quick: 2, all: 2 },
  /** e2e/startup.test.ts and e2e/trees.test.ts: libraries of a program. */
  startedLibraries: count(32, 8, 8),
  treeLibraries: count(20, 8, 8),
  /** e2e/system.test.ts: programs and libraries of the machine, and those with a run path; e2e/programs.test.ts: programs. */
  systemFiles: count(140, 40, 40),
  ownRunPaths: count(60, 20, 20),
  storePrograms: count(Number.POSITIVE_INFINITY, 5, 5),
  /** e2e/trace.test.ts: of the kinds of stores, and of those where a closure note is, one in so many. */
  stores: { quick: 2, all: 1 },
  closures: { quick: 3, all: 1 },
  libraryPaths: { quick: 3, all: 1 },
  /** e2e/trace.test.ts: programs of the machine. */
  programs: count(Number.POSITIVE_INFINITY, 2, 0),
  /** audit/closure.test.ts: notes with bytes that are wrong, and by how much each cut is shorter. */
  closureMutants: count(150, 30, 30),
  closureCut: count(7, 35, 35),
  /**
   * corrupt/corrupt.test.ts: of the wrong values of a field one in so many, another one in each table's next entry: the
   * number has no divisor with that of the fields. And files with bytes flipped at random.
   */
  wrongValues: { quick: 15, all: 5 },
  wrongInSections: { quick: 27, all: 9 },
  flippedFiles: count(250, 80, 30),
  /** cli/interrupt.test.ts: signals after which a JSON report is read; the other one has the text. */
  reportedSignals: RUN === 'every' ? (['SIGINT', 'SIGTERM'] as const) : (['SIGINT'] as const),
  /** cli/concurrent.test.ts: how often notes are written and removed at once. */
  concurrentRounds: count(4, 1, 1),
  /** audit: notes with bytes that are wrong, in a program's files, and below the sanitizers. */
  hostileNotes: count(150, 90, 90),
  parsedNotes: count(500_000, 200_000, 200_000),
  /** How many checks are taken out of a parser of notes, so that the sanitizers notice. */
  missingChecks: count(Number.POSITIVE_INFINITY, 2, 2),
  /** hardening: of the calls at which there is a fault one in so many, the errors of a full disk, and a fuzzer's seconds. */
  faultyTogether: count(17, 43, 43),
  faultyOutputDir: count(7, 19, 19),
  fullDisk: count(2, 1, 1),
  fuzzSeconds: count(30, 4, 4),
  /** hardening/killed.test.ts: at which of a call a run over several files is killed. */
  killedAt: RUN === 'every' ? [1, 2, 3] : [1, 3],
  /** layout: what fast-check draws: layouts, a planner's preferences and bytes to change. */
  layouts: Number(process.env.LAYOUT_RUNS ?? drawn(500, 250, 150)),
  auditedLayouts: drawn(300, 150, 50),
  preferences: drawn(400, 150, 80),
  flips: drawn(3000, 1200, 400),
} as const;
