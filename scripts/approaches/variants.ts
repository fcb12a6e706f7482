import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { elfnoteOk, runOk } from '../../test/support/cli.js';
import { found, type Store, searching } from './store.js';

/** What a store needs to be run, once it has been prepared. */
export interface Prepared {
  readonly environment?: Readonly<Record<string, string>>;
  /** An ld.so.cache that no stock loader reads: what it saves is counted by simulation. */
  readonly simulatedCache?: string;
}

export interface Variant {
  readonly name: string;
  /** What it gives a program is of this machine's architecture alone. */
  readonly isOfThisMachine?: boolean;
  /** Changes the copies of a store. */
  prepare(store: Store): Prepared;
}

/** @param loader one that reads notes, where there is one. */
export function variants(module: string, loader: string | undefined): Variant[] {
  const audited = { environment: { LD_AUDIT: module } };
  const notes = (store: Store, ...more: string[]) =>
    elfnoteOk(['build-cache', '--quiet', '--fast', '--store-dir', join(store.dir, 'store'), ...more]);
  const all: Variant[] = [
    { name: 'nothing', prepare: () => ({}) },
    { name: 'absolute DT_NEEDED, every object', prepare: absoluteEverywhere },
    { name: 'absolute DT_NEEDED of the closure, program alone', prepare: shrinkwrapped },
    { name: 'link farm, program alone', prepare: store => farm(store, [store.program]) },
    { name: 'link farm, every object', prepare: store => farm(store, searching(store)) },
    { name: 'ld.so.cache of the package (simulated)', prepare: packageCache },
    {
      name: 'notes and audit module, every object',
      prepare(store) {
        notes(store, ...searching(store));
        return audited;
      },
    },
    {
      name: 'closure note and audit module, program alone',
      prepare(store) {
        notes(store, '--closure', store.program);
        return audited;
      },
    },
  ];
  if (loader === undefined) return all;
  return [
    ...all,
    {
      name: 'notes and patched loader, every object',
      isOfThisMachine: true,
      prepare(store) {
        runOk('patchelf', ['--set-interpreter', loader, store.program]);
        notes(store, ...searching(store));
        return {};
      },
    },
  ];
}

function absoluteEverywhere(store: Store): Prepared {
  for (const file of searching(store)) {
    const replaced = found(file).flatMap(({ soname, path }) => ['--replace-needed', soname, path]);
    if (replaced.length > 0) runOk('patchelf', [...replaced, file]);
  }
  return {};
}

/**
 * shrinkwrap's form: all of the closure on the program, so that every later name is known already. What the program asks
 * for itself is replaced in place, where its version references follow; patchelf puts the rest in front.
 */
function shrinkwrapped(store: Store): Prepared {
  const own = found(store.program);
  const replaced = own.flatMap(({ soname, path }) => ['--replace-needed', soname, path]);
  if (replaced.length > 0) runOk('patchelf', [...replaced, store.program]);
  const direct = new Set(own.map(({ path }) => path));
  const rest = closureOf(store, own).filter(path => !direct.has(path));
  for (const path of rest.toReversed()) runOk('patchelf', ['--add-needed', path, store.program]);
  return {};
}

/** Breadth first, as the loader goes. */
function closureOf({ program }: Store, own = found(program)): string[] {
  const paths = new Map<string, string>();
  const queue = [own];
  for (let list = queue.shift(); list !== undefined; list = queue.shift()) {
    for (const { soname, path } of list) {
      if (paths.has(soname)) continue;
      paths.set(soname, path);
      queue.push(found(path));
    }
  }
  return [...paths.values()];
}

function farm(store: Store, files: readonly string[]): Prepared {
  const dir = join(store.dir, 'store', 'farm', 'lib');
  mkdirSync(dir, { recursive: true });
  for (const path of closureOf(store)) symlinkSync(path, join(dir, basename(path)));
  for (const file of files) runOk('patchelf', ['--set-rpath', dir, file]);
  return {};
}

function packageCache(store: Store): Prepared {
  const conf = join(store.dir, 'ld.so.conf');
  const cache = join(store.dir, 'store', 'program', 'etc', 'ld.so.cache');
  mkdirSync(dirname(cache), { recursive: true });
  writeFileSync(conf, store.libraries.map(path => `${dirname(path)}\n`).join(''));
  runOk('/sbin/ldconfig', ['-X', '-C', cache, '-f', conf]);
  return { simulatedCache: cache };
}

/** A program that brings its libraries along; only for one that is made from source here. */
export function staticMusl(dir: string): { readonly program: string; readonly bytes: number } {
  const source = join(dir, 'static.c');
  writeFileSync(source, '#include <stdio.h>\nint main(void) { puts("made"); return 0; }\n');
  const program = join(dir, 'static');
  runOk('musl-gcc', ['-static', source, '-o', program]);
  return { program, bytes: runOk('cat', [program]).output.length };
}
