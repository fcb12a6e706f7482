/**
 * Measures elfnote on a store made of this machine's programs: `npm run bench -- [options]`.
 *
 *   --peer PATCHELF   only start-up, and a table against a patchelf that has --build-resolution-cache
 *   --small N         how many small files the memory is measured with (default 100000)
 *   --rounds N        how often each measurement is repeated; the median counts (default 5)
 *
 * Needs Linux, gcc, patchelf, dpkg, strace, and programs to copy (ffmpeg, emacs-gtk, gdb, ...). Figures of one run compare
 * with each other only: they are ratios, and the machine must do nothing else.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { measureMemory } from './memory.js';
import { benchOptions } from './options.js';
import { measureAgainst } from './peer.js';
import { measureReader } from './reader.js';
import { measureStartUp } from './start-up.js';
import { buildStore, type Store } from './store.js';
import { measureThroughput } from './throughput.js';

// With it Node 20 reads certificates at each start, which takes as long as the start itself.
delete process.env.NODE_EXTRA_CA_CERTS;
const { peer, small, rounds } = benchOptions(process.argv.slice(2));
const work = mkdtempSync(join(tmpdir(), 'elfnote-bench-'));
console.log(`Node ${process.version}, ${availableParallelism()} processors\n`);
try {
  measureStartUp(rounds * 4, work);
  if (peer === undefined) measureReader();
  const directory = join(work, 'store');
  mkdirSync(directory);
  const store = buildStore(directory);
  console.log(
    `\nStore: ${store.objects.length} objects in ${store.packages} packages, ${mebibytes(store.bytes)} MiB`,
  );
  if (peer !== undefined) measureAgainst(peer, store, work, Math.min(3, rounds));
  else measureAlone(directory, store);
} finally {
  rmSync(work, { recursive: true });
}

function measureAlone(directory: string, store: Store): void {
  const copy = () => {
    const to = mkdtempSync(join(work, 'copy-'));
    cpSync(directory, to, { recursive: true, verbatimSymlinks: true });
    return to;
  };
  measureThroughput(store, copy, rounds);
  measureMemory(work, small);
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}
