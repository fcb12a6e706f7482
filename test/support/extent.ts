/**
 * What `npm test` leaves to `npm run test:all`, all of it here; everything else runs in both. `npm test` has every
 * kind of test, every linker, tool and rung, and one machine of each class and byte order; `test:all` has every
 * combination of them. CI runs `npm test` and then `npm run test:rest`: what that has left out, in whole files.
 */

type Extent = 'quick' | 'all' | 'rest';

const EXTENT_OF: Readonly<Record<string, Extent>> = { all: 'all', rest: 'rest' };

export const RUN: Extent = EXTENT_OF[process.env.ELFNOTE_TESTS ?? ''] ?? 'quick';

/** A number for `test:all`, and the one for `npm test`. */
const count = (all: number, quick: number): number => (RUN === 'quick' ? quick : all);

/**
 * Machines below qemu that `npm test` leaves out: it has one of each class and byte order. And Go, which first compiles
 * its own library.
 */
const FURTHER_MACHINES: readonly string[] = ['i686', 'riscv64', 'ppc64le', 'mips', 'go'];

export function isTested(machine: string): boolean {
  return RUN !== 'quick' || !FURTHER_MACHINES.includes(machine);
}

/**
 * Takes every n-th of a list for `npm test`, from another start in each round, so that together they take each; and
 * the others for `test:rest`, which has all of a machine that `npm test` has nothing of.
 */
export function share<T>(items: readonly T[], n: number, round = 0, machine = ''): T[] {
  const isWhole = RUN === 'all' || FURTHER_MACHINES.includes(machine);
  return items.filter((_, i) => isWhole || ((i + round) % n === 0) === (RUN === 'quick'));
}

/**
 * A share of what belongs to one item of a list, of which `npm test` itself leaves some out: all of what belongs to
 * these is for `test:rest`.
 */
export function shareOf<T>(isLeftOut: boolean, ...args: Parameters<typeof share<T>>): readonly T[] {
  if (isLeftOut && RUN !== 'all') return RUN === 'quick' ? [] : args[0];
  return share(...args);
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
  // On a terminal of its own, in each shell, and in a browser.
  'test/cli/progress.test.ts',
  'test/cli/completion.test.ts',
  'test/cli/trace-svg.test.ts',
  // Of these tests themselves, and of what V8 makes of the source.
  'test/cli/here.test.ts',
  'test/cli/hidden-classes.test.ts',
];

/** Files of which `npm test` runs a part. */
export const IN_PARTS: readonly string[] = [
  'test/audit/closure.test.ts',
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
  /** e2e/matrix and e2e/matrix-machines: each cell sees one tool in so many, each tool one cell in so many. */
  toolsPerCell: 12,
  /** The same of e2e/reader.test.ts, which has fewer cells. */
  toolsPerProgram: 6,
  /** e2e/matrix-pairs.test.ts: of the ordered pairs of tools after each of six cells, one in so many. */
  pairs: 36,
  /** e2e/patchelf-generations.test.ts: of the shapes, and of the operations of each patchelf, one in so many. */
  shapes: 2,
  operations: 5,
  /** e2e/restore.test.ts: every second cell has one placement of three. */
  placementsPerCell: 6,
  /** e2e/restore.test.ts: how often a note is replaced, in so many ways. One of the three ways is taken to its end. */
  updates: 6,
  ways: count(2, 1),
  manyUpdates: count(100, 6),
  /** e2e/restore.test.ts: of the tools that keep a note, one in so many after each cell. */
  keepingTools: 3,
  /** e2e/fixtures.test.ts: of the tools that strip every kind, of kinds that run, and of machines, one in so many. */
  strips: 4,
  kinds: 3,
  machines: 3,
  /** e2e/sequence.test.ts: one cell in so many, and random walks of each. */
  walkedCells: count(1, 3),
  walks: count(2, 1),
  /** Of Debian's later releases one in so many. */
  suites: 2,
  /** e2e/trace.test.ts: of the kinds of stores, and of those where a closure note is, one in so many. */
  stores: 2,
  closures: 3,
  /** e2e/trace.test.ts: programs of the machine. */
  programs: count(Number.POSITIVE_INFINITY, 0),
  /** audit/closure.test.ts: notes with bytes that are wrong, and by how much each cut is shorter. */
  closureMutants: count(150, 30),
  closureCut: count(7, 35),
  /** corrupt/corrupt.test.ts: of the wrong values of a field one in so many, and files with bytes flipped at random. */
  wrongValues: 8,
  flippedFiles: count(250, 30),
  /** layout: what fast-check draws: layouts, a planner's preferences and bytes to change. */
  layouts: Number(process.env.LAYOUT_RUNS ?? count(500, 150)),
  auditedLayouts: count(300, 80),
  preferences: count(400, 80),
  flips: count(3000, 600),
} as const;
