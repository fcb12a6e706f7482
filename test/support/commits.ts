import assert from 'node:assert/strict';
import fs, { copyFileSync, readdirSync, readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { ElfnoteError } from '../../src/errors.js';
import { FileSource } from '../../src/files/source.js';
import { runNow } from '../../src/files/steps.js';
import type { Change, CommitOptions } from '../../src/write/change.js';
import { commitChange } from '../../src/write/commit.js';
import { FIXTURES } from './cli.js';
import { tempDir } from './temp.js';

const FIXTURE = join(FIXTURES, 'kinds/pie-bfd');

export const ORIGINAL = readFileSync(FIXTURE);

/** A copy of it, alone in a directory. */
export function program(t: Parameters<typeof tempDir>[0], dir = tempDir(t)): string {
  const file = join(dir, 'program');
  copyFileSync(FIXTURE, file);
  return file;
}

/** The directory holds these names and nothing else: no temporary file stayed behind. */
export function assertAlone(file: string, ...names: readonly string[]): void {
  assert.deepEqual(readdirSync(join(file, '..')).sort(), ['program', ...names].sort());
}

/** A change with one edit of what is there and one behind its end. */
export const CHANGE: Change = {
  commits: [
    {
      edits: [
        { offset: ORIGINAL.length, bytes: Buffer.from('behind the end'), step: 1, why: 'test' },
        { offset: 100, bytes: Buffer.from('inside'), step: 2, why: 'test' },
      ],
      size: ORIGINAL.length + 14,
    },
  ],
  inPlaceIsSafe: true,
};

export const FAST: CommitOptions = { fast: true };

export function changed(): Buffer {
  const bytes = Buffer.concat([ORIGINAL, Buffer.from('behind the end')]);
  bytes.write('inside', 100);
  return bytes;
}

/** Opens the file, lets `meanwhile` happen, and then commits. */
export function commit(
  file: string,
  change: Change,
  meanwhile: () => void = () => {},
  options: CommitOptions = {},
): string {
  const source = FileSource.open(file);
  try {
    source.read(0, source.size);
    meanwhile();
    return runNow(commitChange(file, source, change, options));
  } finally {
    source.close();
  }
}

/** Every write that the system is asked for meanwhile. */
export function writesOf(t: TestContext, work: () => void): string[] {
  const writes: string[] = [];
  const { writeSync } = fs;
  const fake = (fd: number, bytes: Buffer, start: number, length: number, position: number) => {
    writes.push(`${bytes.toString('latin1', start, start + length)} at ${position}`);
    return writeSync(fd, bytes, start, length, position);
  };
  const { mock } = t.mock.method(fs, 'writeSync', fake);
  syncBuiltinESMExports();
  try {
    work();
  } finally {
    mock.restore();
    syncBuiltinESMExports();
  }
  return writes;
}

type Failing =
  | 'copyFileSync'
  | 'fchmodSync'
  | 'fchownSync'
  | 'fstatSync'
  | 'fsyncSync'
  | 'ftruncateSync'
  | 'futimesSync'
  | 'openSync'
  | 'readSync'
  | 'renameSync'
  | 'statSync'
  | 'writeSync';

/** Lets those calls of a function of node:fs fail that are meant; the others are as ever. */
export function failing(
  t: TestContext,
  name: Failing,
  code: string,
  isMeant: (...args: unknown[]) => boolean,
): void {
  instead(t, name, original => (...args) => {
    if (isMeant(...args)) throw Object.assign(new Error(`${code}: made up`), { code });
    return original(...args);
  });
}

type Call = (...args: never[]) => unknown;

/** Another function in the place of one of node:fs, until the test ends. */
export function instead(t: TestContext, name: Failing | 'statfsSync', make: (original: Call) => Call): void {
  t.mock.method(fs, name, make(fs[name]));
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
}

/** What is asked of the system to write, cut and bring to the disk, as `write OFFSET LENGTH`, `cut SIZE` and `sync`. */
export function callsTo(t: TestContext): string[] {
  const calls: string[] = [];
  const told = (name: Failing, tell: (args: readonly unknown[]) => string) =>
    instead(t, name, original => (...args) => {
      calls.push(tell(args));
      return original(...args);
    });
  told('writeSync', ([, , , length, position]) => `write ${position} ${length}`);
  told('ftruncateSync', ([, size]) => `cut ${size}`);
  told('fsyncSync', ([fd]) => (isDirectory(fd) ? 'sync directory' : 'sync'));
  return calls;
}

export const isDirectory = (fd: unknown) => fs.fstatSync(Number(fd)).isDirectory();

export function isElfnoteError(code: string, path: string): (error: unknown) => boolean {
  return error => error instanceof ElfnoteError && error.code === code && error.path === path;
}
