import { readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ELFNOTE, elfnote, median, time } from './measure.js';
import { pad } from './objects.js';
import { type Store, tool } from './store.js';

type Copy = () => string;

/** Every measurement has a fresh copy, in which no file has a note. */
export function measureThroughput(store: Store, copy: Copy, rounds: number): void {
  const one = medianOf(rounds, copy, directory => elfnote('build-cache', '-q', directory).seconds);
  const again = medianOf(
    rounds,
    withNotes(copy),
    directory => elfnote('build-cache', '-q', directory).seconds,
  );
  console.log('Throughput:');
  say('build-cache', one, store);
  say('build-cache again, all up to date', again, store);
  measureSize(store, copy, rounds, one);
  measureCalls(store, copy);
  measureRewrite(store, copy, rounds, one);
}

function say(what: string, seconds: number, { objects }: Store): void {
  const rate = Math.round(objects.length / seconds);
  console.log(`  ${what}: ${seconds.toFixed(3)} s, ${rate} objects/s`);
}

function medianOf(rounds: number, copy: Copy, measure: (directory: string) => number): number {
  const all = Array.from({ length: rounds }, () => {
    const directory = copy();
    const seconds = measure(directory);
    rmSync(directory, { recursive: true });
    return seconds;
  });
  return median(all);
}

function withNotes(copy: Copy): Copy {
  return () => {
    const directory = copy();
    elfnote('build-cache', '-q', directory);
    return directory;
  };
}

function measureSize(store: Store, copy: Copy, rounds: number, base: number): void {
  for (const times of [10, 100]) {
    const padded = () => {
      const directory = copy();
      for (const object of objectsIn(directory, store)) pad(object, times);
      return directory;
    };
    const seconds = medianOf(rounds, padded, directory => elfnote('build-cache', '-q', directory).seconds);
    console.log(`  files ${times} times as large: ${(seconds / base).toFixed(2)} times the time`);
  }
}

function objectsIn(directory: string, store: Store): string[] {
  return store.objects.map(path => join(directory, relative(store.directory, path)));
}

function measureCalls(store: Store, copy: Copy): void {
  const files = store.objects.length;
  const directory = copy();
  const { read, written } = elfnote('build-cache', '-q', directory);
  rmSync(directory, { recursive: true });
  const idle = elfnote('build-cache', '-q', process.execPath, '--dry-run');
  console.log(
    `  a file: ${Math.round((read - idle.read) / files)} bytes read, ${Math.round((written - idle.written) / files)} written`,
  );
  console.log(`  system calls a file: ${callsByName(copy(), files)}`);
}

const WATCHED = ['openat', 'pread64', 'pwrite64', 'ftruncate', 'statx', 'newfstatat', 'close', 'listxattr'];

function callsByName(directory: string, files: number): string {
  const log = join(directory, 'strace');
  const args = ['-f', '-c', '-o', log, process.execPath, ELFNOTE, 'build-cache', '-q', directory];
  time('strace', args);
  const table = readFileSync(log, 'utf8');
  rmSync(directory, { recursive: true });
  return WATCHED.map(name => {
    const line = table.split('\n').find(text => text.trim().endsWith(` ${name}`));
    const calls = Number(line?.trim().split(/\s+/)[3] ?? 0);
    return `${(calls / files).toFixed(1)} ${name}`;
  }).join(', ');
}

function measurePeer(
  peer: string,
  args: readonly string[],
  store: Store,
  copy: Copy,
  rounds: number,
  base: number,
): void {
  const all = medianOf(rounds, copy, directory => time(peer, [...args, ...objectsIn(directory, store)]));
  const each = medianOf(rounds, copy, directory =>
    objectsIn(directory, store).reduce((sum, object) => sum + time(peer, [...args, object]), 0),
  );
  console.log(
    `  ${peer} ${args.join(' ')}, one process for all: ${(all / base).toFixed(1)} times elfnote's time`,
  );
  console.log(
    `  ${peer} ${args.join(' ')}, one process a file: ${(each / base).toFixed(1)} times elfnote's time`,
  );
}

/** Without a peer: what a patchelf of this machine takes to rewrite the same files, which is the least a peer does. */
function measureRewrite(store: Store, copy: Copy, rounds: number, base: number): void {
  tool('patchelf', '--version');
  measurePeer('patchelf', ['--add-rpath', '/nix/store'], store, copy, rounds, base);
}
