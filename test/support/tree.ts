import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildCache } from '../../src/pipeline.js';
import { FIXTURES, PROJECT, ROOT } from './cli.js';
import { tempDir } from './temp.js';

/** The library as it is published: worker threads of Node 20 load no TypeScript. */
export const library: typeof import('../../src/index.js') = await import(`${PROJECT}/dist/index.js`);

/** What build-cache is told to resolve the fixtures' libraries; `fast` edits in place what can be. */
export const OPTIONS = { root: ROOT, fast: true } as const;

export interface Sample {
  readonly fixture: string;
  /** Its bytes, without a note and with it. */
  readonly original: Buffer;
  readonly complete: Buffer;
}

/** Small programs whose libraries resolve below ROOT: one that is edited in place, one that is replaced by a copy. */
export const IN_PLACE: Sample = sample('pie-gold', 'in-place');
export const REPLACED: Sample = sample('pie-lld', 'replaced');

function sample(name: string, how: 'in-place' | 'replaced'): Sample {
  const hooks: (() => void)[] = [];
  const file = join(tempDir({ after: hook => hooks.push(hook) }), name);
  const fixture = join(FIXTURES, 'kinds', name);
  copyFileSync(fixture, file);
  const before = statSync(file).ino;
  buildCache(file, OPTIONS);
  assert.equal(statSync(file).ino === before, how === 'in-place');
  const found = { fixture, original: readFileSync(fixture), complete: readFileSync(file) };
  assert.ok(!found.complete.equals(found.original));
  for (const hook of hooks) hook();
  return found;
}

/** Copies of both, by turns, in `dir`, named by numbers of four digits. */
export function copies(dir: string, count: number): string[] {
  mkdirSync(dir, { recursive: true });
  return Array.from({ length: count }, (_, i) => {
    const file = join(dir, String(i).padStart(4, '0'));
    copyFileSync(sampleAt(i).fixture, file);
    return file;
  });
}

const sampleAt = (i: number): Sample => (i % 2 === 0 ? IN_PLACE : REPLACED);

/** Has the first copies as they are with their notes. */
export function complete(files: readonly string[]): void {
  for (const [i, file] of files.entries()) writeFileSync(file, sampleAt(i).complete);
}

/** The beginning of an ELF file with a version that there is not: malformed, whatever is behind it. */
export function malformed(elf: Buffer): Buffer {
  const bytes = Buffer.from(elf.subarray(0, 100));
  bytes[6] = 9;
  return bytes;
}

export function stateOf(file: string): 'original' | 'complete' | 'neither' {
  const bytes = readFileSync(file);
  if ([IN_PLACE, REPLACED].some(({ original }) => bytes.equals(original))) return 'original';
  return [IN_PLACE, REPLACED].some(({ complete }) => bytes.equals(complete)) ? 'complete' : 'neither';
}

/** The files that are complete. The directory holds all of them, each complete or original, and nothing else. */
export function completeOf(dir: string, files: readonly string[]): string[] {
  const states = new Map(files.map(file => [file, stateOf(file)]));
  assert.deepEqual(
    readdirSync(dir).map(name => join(dir, name)),
    files,
    'files were lost, or temporary ones stayed',
  );
  assert.deepEqual(
    files.filter(file => states.get(file) === 'neither'),
    [],
    'files are half-written',
  );
  return files.filter(file => states.get(file) === 'complete');
}
