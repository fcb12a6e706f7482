/**
 * Runs tests with Node's runner: `npm test`, `npm test -- test/elf/notes.test.ts`, `npm test -- test/cli`,
 * `npm test -- --test-name-pattern=hwcaps`. Without a file or directory it runs every file, but for those that
 * test/support/extent.ts leaves to `npm run test:all`; `npm run test:rest` runs what `npm test` leaves out of that.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import fastGlob from 'fast-glob';
import { IN_PARTS, ONLY_IN_ALL, RUN } from '../test/support/extent.js';

const TESTS = '**/*.test.ts';
const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Where the files that the runner is given are, when it runs all tests. */
const ENTRIES = join(ROOT, 'node_modules/.cache/elfnote-tests', RUN);

/** Directories whose tests take longer than a process takes to start, or ask how much memory theirs takes. */
const LARGE = ['audit', 'batch', 'cli', 'docs', 'hardening', 'layout'];

/** Files that take more than a few seconds, the longest first: what is left to the end keeps one processor alone. */
const LONG = [
  'e2e/matrix',
  'e2e/matrix-machines',
  'e2e/matrix-pairs',
  'e2e/restore',
  'e2e/reader',
  'e2e/fixtures',
  'e2e/trace',
  'e2e/programs',
  'e2e/system',
  'audit/hostile',
  'e2e/trees',
  'cli/concurrent',
  'hardening/fuzz',
  'audit/closure',
  'package/package',
  'cli/closure',
  'hardening/killed',
  'audit/module',
  'e2e/patchelf-generations',
  'cli/interrupt',
  'cli/exec',
  'hardening/faults',
  'e2e/gcc',
  'nix/hook',
  'e2e/startup',
  'corrupt/corrupt',
  'e2e/growth',
  'nix/store',
  'e2e/sequence',
  'write/commit',
  'cli/tree',
  'layout/layouts.property',
].map(name => `test/${name}.test.ts`);

const given = process.argv.slice(2);
const places = given.filter(arg => statSync(arg, { throwIfNoEntry: false }) !== undefined);
const options = given.filter(arg => !places.includes(arg));
// Node 24 passes over what is not there.
const missing = options.filter(arg => arg.endsWith('.test.ts') && !arg.startsWith('-'));
if (missing.length > 0) refuse(`no such file: ${missing.join(' ')}`);
const files = places.length > 0 ? places.flatMap(filesIn) : entriesFor(filesIn('test').filter(isWanted));
if (files.length === 0) refuse(`no ${TESTS} in ${places.join(' ')}`);

// Left to itself the runner keeps one processor for itself, which is half of two. Tests wait for the disk, and for what
// they have started.
const concurrency = `--test-concurrency=${2 * availableParallelism()}`;
// A test ends before early optimizing has gained anything, as the command line does.
const bin: { readonly BUDGET: string } = createRequire(import.meta.url)('../bin/elfnote.js');
const budget = process.versions.v8.startsWith('11.') ? [bin.BUDGET] : [];
const args = [...budget, '--import', 'tsx', '--test', concurrency, ...options, ...files.sort()];
const { status, error } = spawnSync(process.execPath, args, { stdio: 'inherit' });
if (error !== undefined) throw error;
process.exitCode = status ?? 1;

function refuse(why: string): never {
  console.error(`npm test: ${why}`);
  process.exit(1);
}

function filesIn(place: string): string[] {
  return statSync(place).isDirectory() ? fastGlob.globSync(`${place.replace(/\/$/, '')}/${TESTS}`) : [place];
}

function isWanted(file: string): boolean {
  if (RUN === 'quick') return !ONLY_IN_ALL.includes(file);
  return RUN !== 'rest' || ONLY_IN_ALL.includes(file) || IN_PARTS.includes(file);
}

/**
 * What the runner is given, in the order of the names: a file for each test file that takes long, one for all others of
 * each large directory, and one for what is left, since most of these are done before their process has started.
 */
function entriesFor(wanted: readonly string[]): string[] {
  rmSync(ENTRIES, { recursive: true, force: true });
  mkdirSync(ENTRIES, { recursive: true });
  const groups = new Map(LONG.filter(file => wanted.includes(file)).map(file => [file, [file]]));
  for (const file of wanted.filter(one => !LONG.includes(one)).sort()) {
    const directory = file.split('/')[1] ?? '';
    const name = hasHooks(file) ? file : LARGE.includes(directory) ? directory : 'others';
    groups.set(name, [...(groups.get(name) ?? []), file]);
  }
  return [...groups].map(([name, group], i) => {
    const entry = join(ENTRIES, `${String(i).padStart(2, '0')}-${name.replaceAll('/', '-')}.mjs`);
    writeFileSync(entry, entryFor(group));
    return entry;
  });
}

/** Hooks outside of a `describe` are for every test of the process. */
function hasHooks(file: string): boolean {
  return /^(?:before|after)(?:Each)?\(/m.test(readFileSync(file, 'utf8'));
}

/** A file that cannot be loaded is a test that fails, and the others run. */
function entryFor(group: readonly string[]): string {
  const lines = group.map(file => {
    const url = JSON.stringify(pathToFileURL(join(ROOT, file)).href);
    return `await import(${url}).catch(error => test(${JSON.stringify(file)}, () => { throw error; }));`;
  });
  return ["import { test } from 'node:test';", ...lines, ''].join('\n');
}
