import assert from 'node:assert/strict';
import {
  closeSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type JsonObject, jsonLines, objectIn, run, runOk } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
import { EXTENT } from '../support/extent.js';
import { allNewComplaints, type Change } from '../support/readelf.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

/** The machine's own programs and libraries. Only Debian's places on amd64; elsewhere these tests are skipped. */
const PROGRAMS = '/usr/bin';
const LIBRARIES = '/usr/lib/x86_64-linux-gnu';
const LD_SO = '/lib64/ld-linux-x86-64.so.2';
/** More than enough for a program or library of usual size; the rest would make the test slow. */
const LARGEST = 3 << 20;
const PER_KIND = EXTENT.systemFiles;
const LEAST = 1.4 * PER_KIND;

const skip = needs('readelf', LD_SO, LIBRARIES);

interface Subject {
  readonly original: string;
  readonly copy: string;
  readonly isLibrary: boolean;
}

interface DynamicFile {
  readonly path: string;
  readonly hasRunPath: boolean;
}

const known = new Map<string, readonly DynamicFile[]>();

/** x86-64 files with a dynamic section that needs something, by readelf's word, sorted by name. */
function dynamicFiles(directory: string): readonly DynamicFile[] {
  const found = known.get(directory) ?? findDynamicFiles(directory);
  known.set(directory, found);
  return found;
}

function findDynamicFiles(directory: string): DynamicFile[] {
  const candidates = readdirSync(directory)
    .sort()
    .map(name => join(directory, name))
    .filter(path => {
      const stats = lstatSync(path);
      return stats.isFile() && stats.size > 64 && stats.size <= LARGEST && isX86Elf(path);
    });
  const found: DynamicFile[] = [];
  for (let i = 0; i < candidates.length; i += 200) {
    // Two files at least, so that readelf names each.
    const said = run('readelf', ['-dW', ...candidates.slice(i, i + 200), LD_SO]).stdout;
    for (const block of said.split('\nFile: ').slice(1)) {
      const path = block.slice(0, block.indexOf('\n'));
      if (path === LD_SO || !block.includes('(NEEDED)')) continue;
      found.push({ path, hasRunPath: /\((?:RUNPATH|RPATH)\)/.test(block) });
    }
  }
  return found;
}

function isX86Elf(path: string): boolean {
  const head = Buffer.alloc(20);
  const fd = openSync(path, 'r');
  readSync(fd, head);
  closeSync(fd);
  return (
    head.readUInt32BE(0) === 0x7f454c46 && head[4] === 2 && head[5] === 1 && head.readUInt16LE(18) === 62
  );
}

/** Every so many, so that the choice is spread over the directory and is the same at every run. */
function spread<T>(all: readonly T[], count: number): T[] {
  const step = Math.max(1, all.length / count);
  return Array.from({ length: Math.min(count, all.length) }, (_, i) => all[Math.floor(i * step)]).filter(
    item => item !== undefined,
  );
}

function copyAside(dir: string, originals: readonly string[]): Subject[] {
  return originals.map((original, i) => {
    const isLibrary = original.startsWith(LIBRARIES);
    const place = join(dir, String(i));
    mkdirSync(place);
    const copy = join(place, original.slice(original.lastIndexOf('/') + 1));
    copyFileSync(original, copy);
    return { original, copy, isLibrary };
  });
}

/**
 * What ld.so says when it loads a file with all it needs and relocates it at once: libraries, the versions they
 * are asked for, and symbols that are missing. The program itself is not run.
 */
function startUp({ copy, isLibrary }: Subject): string {
  const env = { LD_TRACE_LOADED_OBJECTS: '1', LD_BIND_NOW: '1', LD_WARN: '1', LD_VERBOSE: '1' };
  const result = isLibrary ? run(LD_SO, [copy], { env }) : run(copy, [], { env });
  return `exit ${result.status}\n${result.stdout}${result.stderr}`.replaceAll(
    /\(0x[0-9a-f]+\)/g,
    '(ADDRESS)',
  );
}

/** Reasons that a file of a distribution may have; everything else is a bug. */
const ACCEPTED_REASONS = new Set(['nothing-to-record', 'no-room']);

/** Processes all subjects with one call, compares how each starts, and returns the outcomes. */
function processAll(t: TestContext, subjects: readonly Subject[], dir: string): JsonObject[] {
  const plain = join(dir, 'plain');
  mkdirSync(plain);
  const before = subjects.map(subject => startUp(subject));
  for (const [i, { copy }] of subjects.entries()) if (i % 5 === 0) copyFileSync(copy, join(plain, String(i)));

  // Most run paths here are relative or lead to nothing: a note of hints is a note all the same.
  const how = ['build-cache', '--json', '--like-patchelf'];
  const result = elfnoteHere([...how, ...subjects.map(({ copy }) => copy)]);
  const outcomes = jsonLines(result.stdout).slice(0, -1);
  assert.equal(outcomes.length, subjects.length);
  const refused = outcomes.filter(
    ({ action, reason }) => action !== 'written' && !ACCEPTED_REASONS.has(String(reason)),
  );
  report(t, outcomes);
  assert.deepEqual(
    refused.map(({ path, action, reason, error }) => ({ path, action, reason, error })),
    [],
  );
  assert.equal(result.status, 0);

  const changed = subjects.flatMap((subject, i) => {
    const after = startUp(subject);
    return after === before[i] ? [] : [`${subject.original}\n--- before\n${before[i]}--- after\n${after}`];
  });
  assert.deepEqual(changed, []);
  // The judges are slow; every fifth file is enough to notice a habit.
  const judged = subjects.flatMap(({ copy }, i): Change[] =>
    i % 5 === 0 ? [[join(plain, String(i)), copy]] : [],
  );
  assert.deepEqual(allNewComplaints(judged), []);
  return outcomes;
}

/** How many files took which rung, for the log. */
function report(t: TestContext, outcomes: readonly JsonObject[]): void {
  const counts = new Map<string, number>();
  for (const outcome of outcomes) {
    const rung = 'rung' in outcome ? objectIn(outcome, 'rung') : undefined;
    const error = 'error' in outcome ? objectIn(outcome, 'error') : undefined;
    const key =
      rung === undefined
        ? `${String(outcome.action)}: ${String(outcome.reason ?? error?.message)}`
        : `${String(rung.note)}/${String(rung.table)}${outcome.hasSection === false ? ' without section' : ''}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const text = [...counts].sort((a, b) => b[1] - a[1]).map(([key, count]) => `${key} ${count}`);
  t.diagnostic(`${outcomes.length} files: ${text.join(', ')}`);
}

function written(outcomes: readonly JsonObject[]): number {
  return outcomes.filter(({ action }) => action === 'written').length;
}

/** Runs strip over copies, with and without a note, and compares how they start. */
function checkStrip(subjects: readonly Subject[], outcomes: readonly JsonObject[]): void {
  const noted = subjects.filter(
    (_, i) => outcomes[i]?.action === 'written' && outcomes[i]?.hasSection === true,
  );
  const some = spread(noted, PER_KIND / 4);
  assert.ok(some.length >= PER_KIND / 5);
  const dump = () => jsonEntries(some.map(({ copy }) => copy));
  const [notes, starts] = [dump(), some.map(startUp)];
  runOk(
    'strip',
    some.map(({ copy }) => copy),
  );
  assert.deepEqual(dump(), notes);
  assert.deepEqual(some.map(startUp), starts);
}

function jsonEntries(files: readonly string[]): string[] {
  return jsonLines(elfnoteHere(['dump', '--json', ...files]).stdout).map(dumped =>
    JSON.stringify(objectIn(dumped, 'note').entries),
  );
}

describe('programs and libraries of the machine', { skip }, () => {
  test('start as before when patchelf gave them a run path', { skip: needs('patchelf', 'strip') }, t => {
    const dir = tempDir(t);
    const files = [PROGRAMS, LIBRARIES].flatMap(place => spread(dynamicFiles(place), PER_KIND));
    assert.ok(files.length >= LEAST, `only ${files.length} files to try`);
    const subjects = copyAside(
      dir,
      files.map(({ path }) => path),
    );
    runOk('patchelf', ['--set-rpath', `${LIBRARIES}:/usr/lib`, ...subjects.map(({ copy }) => copy)]);
    const outcomes = processAll(t, subjects, dir);
    assert.ok(written(outcomes) >= 0.95 * files.length, `only ${written(outcomes)} written`);
    checkStrip(subjects, outcomes);
  });

  test('start as before with the layout their linker gave them and a run path in a spare dynamic entry', {
    skip: needs('strip'),
  }, t => {
    const dir = tempDir(t);
    const files = [PROGRAMS, LIBRARIES].flatMap(place =>
      spread(
        dynamicFiles(place).filter(({ hasRunPath }) => !hasRunPath),
        PER_KIND,
      ),
    );
    const subjects = copyAside(
      dir,
      files.map(({ path }) => path),
    ).filter(({ copy }, i) => giveRunPath(copy, i % 2 === 0));
    assert.ok(subjects.length >= LEAST, `only ${subjects.length} files have a spare dynamic entry`);
    const outcomes = processAll(t, subjects, dir);
    assert.ok(written(outcomes) >= 0.95 * subjects.length, `only ${written(outcomes)} written`);
    checkStrip(subjects, outcomes);
  });

  test('start as before with the run path that they came with', t => {
    const dir = tempDir(t);
    const files = [PROGRAMS, LIBRARIES].flatMap(place =>
      dynamicFiles(place).filter(({ hasRunPath }) => hasRunPath),
    );
    const subjects = copyAside(
      dir,
      files.slice(0, EXTENT.ownRunPaths).map(({ path }) => path),
    );
    if (subjects.length === 0) return t.skip('no file of this machine has a run path');
    processAll(t, subjects, dir);
  });
});

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT = { null: 0, needed: 1, strtab: 5, strsz: 10, runpath: 29 } as const;

/**
 * Makes the first spare `DT_NULL` of a dynamic section a `DT_RUNPATH`: no byte of the file moves. The run path
 * has to be a string that the file has already, so it is relative, and ld.so looks in vain.
 * @param longest the longest string of the table, for a large note; otherwise the first `DT_NEEDED`.
 * @returns false when the linker left no entry to spare.
 */
function giveRunPath(file: string, longest: boolean): boolean {
  const bytes = readFileSync(file);
  const table = Number(bytes.readBigUInt64LE(32));
  const headers = Array.from({ length: bytes.readUInt16LE(56) }, (_, i) => {
    const at = table + i * 56;
    const word = (offset: number) => Number(bytes.readBigUInt64LE(at + offset));
    return { type: bytes.readUInt32LE(at), offset: word(8), address: word(16), size: word(32) };
  });
  const dynamic = headers.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return false;
  const tags: { tag: number; value: number; at: number }[] = [];
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += 16) {
    tags.push({
      tag: Number(bytes.readBigInt64LE(at)),
      value: Number(bytes.readBigUInt64LE(at + 8)),
      at,
    });
  }
  const end = tags.findIndex(({ tag }) => tag === DT.null);
  const [spare, last] = [tags[end], tags[end + 1]];
  const value = (wanted: number) => tags.find(({ tag }) => tag === wanted)?.value ?? 0;
  if (spare === undefined || last?.tag !== DT.null) return false;
  const name = longest ? longestString(bytes, headers, value(DT.strtab), value(DT.strsz)) : value(DT.needed);
  bytes.writeBigInt64LE(BigInt(DT.runpath), spare.at);
  bytes.writeBigUInt64LE(BigInt(name), spare.at + 8);
  writeFileSync(file, bytes);
  return true;
}

/** Offset, in the string table, of the longest string that is one relative run path component. */
function longestString(
  bytes: Buffer,
  headers: readonly { type: number; offset: number; address: number; size: number }[],
  strtab: number,
  strsz: number,
): number {
  const load = headers.find(
    ({ type, address, size }) => type === PT_LOAD && strtab >= address && strtab < address + size,
  );
  assert.ok(load !== undefined);
  const start = strtab - load.address + load.offset;
  const strings = bytes.toString('latin1', start, start + strsz).split('\0');
  let [best, length, at] = [1, 0, 0];
  for (const text of strings) {
    if (text.length > length && text.length < 1000 && !/[:$/]/.test(text)) [best, length] = [at, text.length];
    at += text.length + 1;
  }
  return best;
}
