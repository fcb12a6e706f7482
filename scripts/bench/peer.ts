import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, statfsSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { ELFNOTE, median } from './measure.js';
import type { Store } from './store.js';
import { tool } from './store.js';

/** In seconds. */
interface Taken {
  readonly wall: number;
  readonly cpu: number;
}

interface Size {
  /** Of the copies, each of all the objects. */
  readonly copies: number;
  readonly objects: readonly string[];
}

const FEW = 80;
const MANY = 3000;
/** In bytes: of the many, what is larger is left out: nothing, the few that take most of the peer's time, nearly all bytes. */
const LIMITS = [Number.POSITIVE_INFINITY, 32 << 20, 1 << 20];

const ROWS = [
  'elfnote, writing all',
  'elfnote, all up to date',
  'elfnote remove-cache',
  'elfnote --fast, writing all',
  'elfnote --fast, all up to date',
  'elfnote remove-cache --fast',
  'peer, one process',
  'peer, one process a file',
] as const;

type Row = (typeof ROWS)[number];

/**
 * elfnote against a patchelf that has --build-resolution-cache, on the same fresh copies, one after the other. elfnote's
 * default brings every file to the disk; the peer does not, and so `--fast` is what does the same as the peer.
 */
export function measureAgainst(peer: string, store: Store, work: string, rounds: number): void {
  for (const size of sizesOf(store, work)) {
    const taken = new Map<Row, Taken[]>(ROWS.map(row => [row, []]));
    let written = 0;
    // The many are measured once: their copies take most of the time.
    for (let round = 0; round < (size.copies > 1 ? 1 : rounds); round++) {
      const add = (row: Row, cost: Taken) => taken.get(row)?.push(cost);
      for (const fast of [[], ['--fast']]) {
        withCopy(store, size, work, directory => {
          const [write, keep, remove]: [Row, Row, Row] =
            fast.length === 0
              ? ['elfnote, writing all', 'elfnote, all up to date', 'elfnote remove-cache']
              : [
                  'elfnote --fast, writing all',
                  'elfnote --fast, all up to date',
                  'elfnote remove-cache --fast',
                ];
          add(write, elfnote('build-cache', ...fast, directory));
          add(keep, elfnote('build-cache', ...fast, directory));
          add(remove, elfnote('remove-cache', ...fast, directory));
        });
      }
      withCopy(store, size, work, (_, files) => {
        const before = files.map(file => statSync(file).mtimeMs);
        add('peer, one process', timed('"$0" --build-resolution-cache "$@"', peer, files));
        written = files.filter((file, i) => statSync(file).mtimeMs !== before[i]).length;
      });
      withCopy(store, size, work, (_, files) => {
        const loop = 'for f in "$@"; do "$0" --build-resolution-cache "$f"; done';
        add('peer, one process a file', timed(loop, peer, files));
      });
    }
    print(size, taken, written);
  }
}

function sizesOf({ objects }: Store, work: string): Size[] {
  const step = Math.max(1, objects.length / FEW);
  const few = Array.from({ length: Math.min(FEW, objects.length) }, (_, i) => objects[Math.floor(i * step)]);
  const sizes: Size[] = [
    { copies: 1, objects: few.filter(path => path !== undefined) },
    { copies: 1, objects },
  ];
  const { bavail, bsize } = statfsSync(work);
  for (const limit of LIMITS) {
    const some = objects.filter(path => statSync(path).size < limit);
    const copies = Math.ceil(MANY / Math.max(1, some.length));
    if (bytesOf(some) * copies * 2 < bavail * bsize) sizes.push({ copies, objects: some });
    else console.log(`No room on the disk for ${MANY} objects of less than ${limit / 2 ** 20} MiB.`);
  }
  return sizes;
}

function bytesOf(paths: readonly string[]): number {
  return paths.reduce((sum, path) => sum + statSync(path).size, 0);
}

/** The copies are on the disk before anything is timed. */
function withCopy(
  { directory }: Store,
  { copies, objects }: Size,
  work: string,
  measure: (directory: string, files: readonly string[]) => void,
): void {
  const to = mkdtempSync(join(work, 'copy-'));
  try {
    const files: string[] = [];
    for (let copy = 0; copy < copies; copy++) {
      for (const object of objects) {
        const file = join(to, String(copy), relative(directory, object));
        mkdirSync(dirname(file), { recursive: true });
        cpSync(object, file, { mode: 0 });
        files.push(file);
      }
    }
    tool('sync', '-f', to);
    measure(to, files);
  } finally {
    rmSync(to, { recursive: true });
  }
}

function elfnote(...args: string[]): Taken {
  return timed(`"$0" "$@"`, process.execPath, [ELFNOTE, ...args, '-q']);
}

/** Wall and CPU seconds of a command of bash and of all that it starts. What fails for a file is the tool's own matter. */
function timed(script: string, command: string, args: readonly string[]): Taken {
  const text = `TIMEFORMAT='%R %U %S'; time { ${script}; } >/dev/null 2>&1`;
  const { stderr, error } = spawnSync('bash', ['-c', text, command, ...args], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  const [wall, user, system] = stderr.trim().split(' ').map(Number);
  if (error !== undefined || wall === undefined || user === undefined || system === undefined)
    throw error ?? new Error(`${command}: ${stderr}`);
  return { wall, cpu: user + system };
}

function print({ copies, objects }: Size, taken: ReadonlyMap<Row, readonly Taken[]>, written: number): void {
  const middle = (row: Row, of: keyof Taken) => median((taken.get(row) ?? []).map(cost => cost[of]));
  const count = copies * objects.length;
  const mebibytes = Math.round((copies * bytesOf(objects)) / 2 ** 20);
  console.log(`\n${count} objects, ${mebibytes} MiB; the peer has written ${written} of them.\n`);
  console.log('| | wall | CPU | CPU a file | peer, one process, takes | peer, one a file, takes |');
  console.log('| --- | --- | --- | --- | --- | --- |');
  for (const row of ROWS) {
    const [wall, cpu] = [middle(row, 'wall'), middle(row, 'cpu')];
    const times = (peer: Row) => `${(middle(peer, 'wall') / wall).toFixed(2)} times`;
    const cells = [
      `${wall.toFixed(2)} s`,
      `${cpu.toFixed(2)} s`,
      `${((cpu / count) * 1000).toFixed(2)} ms`,
      times('peer, one process'),
      times('peer, one process a file'),
    ];
    console.log(`| ${row} | ${cells.join(' | ')} |`);
  }
}
