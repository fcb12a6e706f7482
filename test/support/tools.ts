import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import type { TestContext } from 'node:test';

const PLACES = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];

/** The value of a test's `skip`: false when it can run, otherwise what is missing. */
export type Skip = string | false;

/**
 * For a test's `skip`: false when every tool is there, otherwise the reason.
 * A name with a slash is a file or directory that must exist.
 * In CI nothing may be missing, so there it throws and the test file fails.
 */
export function needs(...tools: readonly string[]): Skip {
  const missing = tools.filter(tool => (tool.includes('/') ? !exists(tool) : toolPath(tool) === undefined));
  return missing.length === 0 ? false : unavailable(`not on this machine: ${missing.join(', ')}`);
}

/**
 * For a test that has to change owners, capabilities or users. Not being root is no missing tool: it skips in CI too.
 */
export function needsRoot(...tools: readonly string[]): Skip {
  return process.getuid?.() === 0 ? needs(...tools) : 'not run as root';
}

/**
 * For a test in which another user has to reach files: those of `sharedDir`, and each that is named with a slash. Below a
 * directory that is its owner's alone, as `mktemp -d` makes one, he does not.
 */
export function needsOtherUser(...tools: readonly string[]): Skip {
  const missing = needsRoot(...tools);
  if (missing !== false) return missing;
  const closed = tools.filter(tool => tool.includes('/') && !isReachable(tool));
  if (sharedPlace() === undefined) closed.push(...SHARED_PLACES);
  return closed.length === 0 ? false : unavailable(`other users cannot reach ${closed.join(', ')}`);
}

const SHARED_PLACES = [tmpdir(), '/tmp', '/var/tmp'];

/** A directory for temporary ones that other users may enter; undefined where there is none. */
export function sharedPlace(): string | undefined {
  return SHARED_PLACES.find(place => isWritable(place) && isReachable(join(place, 'any')));
}

/** All that temporary files may be in, as far as it can be read. */
export function temporaryPlaces(): string[] {
  const places = [...SHARED_PLACES, MEMORY].filter(place =>
    isAllowed(place, constants.R_OK | constants.W_OK),
  );
  return [...new Set(places.map(place => realpathSync(place)))];
}

/** By the directories above it. */
function isReachable(path: string): boolean {
  for (let dir = realpathSync(dirname(path)); ; dir = dirname(dir)) {
    if ((statSync(dir).mode & 0o001) === 0) return false;
    if (dir === '/') return true;
  }
}

function isWritable(dir: string): boolean {
  return isAllowed(dir, constants.W_OK);
}

function isAllowed(dir: string, mode: number): boolean {
  try {
    accessSync(dir, mode);
    return true;
  } catch {
    return false;
  }
}

/** For a test of something that not every file system or container allows: the command has to succeed on a file. */
export function needsSuccess(tool: string, ...args: readonly string[]): Skip {
  const path = toolPath(tool);
  if (path === undefined) return needs(tool);
  const dir = mkdtempSync(join(tmpdir(), 'elfnote-trial-'));
  try {
    const file = join(dir, 'file');
    writeFileSync(file, '');
    const { status } = spawnSync(path, [...args, file]);
    return status === 0 ? false : unavailable(`does not work here: ${[tool, ...args].join(' ')}`);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** For a reason that takes long to find out: asked in the test's body, where one that does not run has not asked. */
export function isSkipped(t: TestContext, why: Skip): boolean {
  if (why !== false) t.skip(why);
  return why !== false;
}

/** A reason to skip, which in CI is a failure. */
export function unavailable(reason: string): string {
  if (process.env.CI === 'true') throw new Error(`CI=true, and a test cannot run: ${reason}`);
  return reason;
}

/** Where a tool is, or undefined. What was found once is there for as long as the process. */
export function toolPath(tool: string): string | undefined {
  const path = FOUND.get(tool) ?? PLACES.map(place => join(place, tool)).find(path => isRunnable(path));
  if (path !== undefined) FOUND.set(tool, path);
  return path;
}

const FOUND = new Map<string, string>();

/** Whether there is a file that this user may run. */
export function isRunnable(path: string, cwd = process.cwd()): boolean {
  try {
    const file = resolve(cwd, path);
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** A temporary directory in memory, where there is one. */
export function inMemory(): string {
  return isWritable(MEMORY) ? MEMORY : tmpdir();
}

const MEMORY = '/dev/shm';

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
