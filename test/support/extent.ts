/**
 * What `npm test` leaves to `npm run test:all`, all of it here; everything else runs in both. `npm test` has every
 * kind of test, every linker, tool and rung, and one machine of each class and byte order; `test:all` has every
 * combination of them. CI runs `test:all`.
 */

export const EVERYTHING = process.env.ELFNOTE_TESTS === 'all';

/** A number for `test:all`, and the one for `npm test`. */
const count = (all: number, quick: number): number => (EVERYTHING ? all : quick);

/** Takes every n-th of a list for `npm test`, from another start in each round, so that together they take each. */
export function share<T>(items: readonly T[], n: number, round = 0): T[] {
  return EVERYTHING ? [...items] : items.filter((_, i) => (i + round) % n === 0);
}

/** Machines below qemu: `npm test` has one of each class and byte order. */
export function isTested(machine: string): boolean {
  return EVERYTHING || !['i686', 'riscv64', 'ppc64le', 'mips'].includes(machine);
}

/** Whole files, each about something that hardly any change touches; named, they run in both. */
export const ONLY_IN_ALL: readonly string[] = [
  // Signals, locks and threads.
  'test/cli/interrupt.test.ts',
  'test/cli/concurrent.test.ts',
  // Large programs of the machine; e2e/reader and e2e/gcc have small ones.
  'test/e2e/programs.test.ts',
  'test/e2e/system.test.ts',
  'test/e2e/startup.test.ts',
  // Builds in a Nix store, and of the package.
  'test/nix/hook.test.ts',
  'test/nix/package.test.ts',
  'test/nix/store.test.ts',
  'test/package/package.test.ts',
];

export const EXTENT = {
  /** e2e/matrix.test.ts: each cell sees one tool in so many, each tool one cell in so many. */
  toolsPerCell: count(1, 3),
  /** e2e/matrix.test.ts: of the ordered pairs of tools after each of six cells, one in so many. */
  pairs: count(1, 9),
  /** e2e/restore.test.ts: each cell has one placement of three; other tools than elfnote one in so many. */
  placementsPerCell: count(1, 3),
  /** e2e/restore.test.ts: how often a note is replaced. One of the three ways is taken to its end. */
  updates: 6,
  manyUpdates: count(100, 6),
  /** e2e/gcc.test.ts: of the ways to link a program whose note grows and shrinks, one in so many. */
  growingFiles: count(1, 2),
  /** e2e/sequence.test.ts: random walks of a cell. */
  walks: count(2, 1),
  /** corrupt/corrupt.test.ts: of the wrong values of a field one in so many, and files with bytes flipped at random. */
  wrongValues: count(1, 4),
  flippedFiles: count(250, 60),
  /** layout/layouts.property.test.ts: layouts that fast-check draws. */
  layouts: Number(process.env.LAYOUT_RUNS ?? count(500, 150)),
} as const;
