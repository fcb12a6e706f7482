import { chmodSync, mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { keptPlace, removeTree, runPrefix } from './run-files.js';
import { inMemory, sharedPlace } from './tools.js';

/** Whatever can run a function when it is over: a test's context, or `suiteScope()`. */
interface Scope {
  after(hook: () => void): void;
}

/** A new directory that is removed when the test is over. */
export function tempDir(scope: Scope): string {
  return makeTempDir(scope, tmpdir());
}

/** The same for files that other users have to reach, where `needsOtherUser` says that they can. */
export function sharedDir(scope: Scope): string {
  const dir = makeTempDir(scope, sharedPlace() ?? tmpdir());
  chmodSync(dir, 0o755);
  return dir;
}

/** The same with a shorter path, for what grows with the paths that it holds. */
export function shortDir(scope: Scope): string {
  return makeTempDir(scope, keptPlace());
}

function makeTempDir(scope: Scope, above: string): string {
  const prefix = above === tmpdir() ? 'elfnote-test-' : runPrefix();
  const dir = realpathSync(mkdtempSync(join(above, prefix)));
  scope.after(() => removeTree(dir));
  return dir;
}

/**
 * The same in memory where there is a place for it: tests that write thousands of files one after the other wait for
 * the disk most of the time. Nothing can be said there of programs that are run, nor of attributes.
 */
export function memoryDir(scope: Scope): string {
  return makeTempDir(scope, inMemory());
}

/**
 * Makes what many tests look at when the first of them asks for it. A `before` hook would make it also where
 * `--test-name-pattern` leaves all of them out.
 */
export function whenAsked<T>(make: () => T | Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= (async () => make())();
    return made;
  };
}

/** A scope that ends with the suite, or the file, in which it is made; usable from its `before` hook. */
export function suiteScope(): Scope {
  const hooks: (() => void)[] = [];
  after(() => {
    for (const hook of hooks) hook();
  });
  return { after: hook => hooks.push(hook) };
}
