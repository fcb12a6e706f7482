import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { runOk } from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { entriesOf } from '../support/dump.js';
import { loadedObjects } from '../support/programs.js';
import {
  complaints,
  newComplaints,
  nixosNotes,
  nixosNotesOf,
  withoutComplaints,
} from '../support/readelf.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import {
  build,
  buildLibrary,
  COUNT,
  expectedEntries,
  libraryName,
  NUMBERS,
  output,
} from '../support/twelve.js';

function trace(program: string): string[] {
  return loadedObjects(runOk(program, [], { env: { LD_TRACE_LOADED_OBJECTS: '1' } }).stdout);
}

/** Initialisers and finalisers in the order in which ld.so calls them. */
function callOrder(program: string): string[] {
  const { stderr } = runOk(program, [], { env: { LD_DEBUG: 'libs' } });
  return stderr.split('\n').flatMap(line => /calling (?:init|fini): .*$/.exec(line) ?? []);
}

const skip = needs('gcc', 'readelf', 'eu-readelf', 'strip');

describe('a program with twelve libraries in twelve directories', { skip }, () => {
  test('runs with the same output, loads the same list and initialises in the same order', t => {
    const { dir, program, libraries, output: said } = build(tempDir(t));
    const [list, order] = [trace(program), callOrder(program)];
    assert.match(said, /^up 12\n(?:up \d+\n){11}part 1\n(?:part \d+\n)+sum 650\n/);
    assert.ok(order.length >= 2 * COUNT);
    assert.equal(list.filter(line => line.includes(dir)).length, COUNT);

    const { stdout } = elfnoteHereOk(['build-cache', program, ...libraries]);
    assert.match(stdout, /main: note written: 12 found at once, 1 left to the loader \(libc\.so\.6\), /);
    assert.match(stdout, /\n13 files, 13 ELF; 12 written, 1 skipped\n {2}skipped {4}1 without run path\n/);
    assert.deepEqual(entriesOf(program), expectedEntries(libraries));
    assert.equal(output(program), said);
    assert.deepEqual(trace(program), list);
    assert.deepEqual(callOrder(program), order);
  });

  test('has nothing said against it by readelf, which shows the owner NixOS', t => {
    const { program, libraries } = build(tempDir(t));
    const files = [program, ...libraries.slice(0, -1)];
    assert.deepEqual(withoutComplaints(files), files);
    elfnoteHereOk(['build-cache', ...files]);
    assert.deepEqual(withoutComplaints(files), files);
    assert.deepEqual(
      nixosNotesOf(files).map(notes => notes.length),
      files.map(() => 1),
    );
  });

  for (const args of [['strip'], ['strip', '-g']]) {
    test(`keeps notes and behaviour after ${args.join(' ')}`, t => {
      const { program, libraries, output: said } = build(tempDir(t), { link: ['-g'] });
      const files = [program, ...libraries.slice(0, -1)];
      const list = trace(program);
      elfnoteHereOk(['build-cache', ...files]);
      const notes = files.map(file => elfnoteHereOk(['dump', '--raw', file]).output);
      runOk(args[0] ?? '', [...args.slice(1), ...files]);
      assert.deepEqual(
        files.map(file => elfnoteHereOk(['dump', '--raw', file]).output),
        notes,
      );
      assert.equal(output(program), said);
      assert.deepEqual(trace(program), list);
      assert.deepEqual(withoutComplaints(files), files);
      assert.match(
        elfnoteHereOk(['build-cache', '-v', ...files]).stdout,
        /\n12 files, 12 ELF; 12 up to date\n {2}libraries /,
      );
    });
  }

  test('is identical after a second run, and after a run in another order', t => {
    const { program, libraries } = build(tempDir(t));
    const files = [program, ...libraries];
    const originals = files.map(file => readFileSync(file));
    elfnoteHereOk(['build-cache', ...files]);
    const once = files.map(file => readFileSync(file));
    assert.ok(!once[0]?.equals(originals[0] ?? Buffer.alloc(0)));
    elfnoteHereOk(['build-cache', ...files]);
    assert.deepEqual(
      files.map(file => readFileSync(file)),
      once,
    );
    for (const [i, file] of files.entries()) writeFileSync(file, originals[i] ?? '');
    elfnoteHereOk(['build-cache', ...files.toReversed()]);
    assert.deepEqual(
      files.map(file => readFileSync(file)),
      once,
    );
  });

  test('still prefers LD_LIBRARY_PATH to its note', t => {
    const { dir, program, output: said } = build(tempDir(t));
    elfnoteHereOk(['build-cache', program]);
    const other = join(dir, 'other');
    buildLibrary(other, COUNT, [], 'other');
    const overridden = output(program, { LD_LIBRARY_PATH: other });
    assert.notEqual(overridden, said);
    assert.equal(overridden, said.replaceAll('part 12\n', 'other 12\n'));
  });

  test('names every soname of a library that was removed as unresolved, and --strict fails', t => {
    const { program, libraries } = build(tempDir(t));
    rmSync(libraries[4] ?? '');
    const bytes = readFileSync(program);
    const strict = elfnoteHere(['build-cache', '--strict', program]);
    assert.equal(strict.status, 1);
    // The C library is where the system has it.
    assert.equal(strict.stderr, `elfnote: ${program}: not found over the run path: libpart5.so.1\n`);
    assert.ok(readFileSync(program).equals(bytes));
    assert.match(
      elfnoteHereOk(['build-cache', program]).stdout,
      /: 11 found at once, 2 left to the loader \(libpart5\.so\.1, libc\.so\.6\), /,
    );
  });
});

describe('a note that is there', { skip }, () => {
  test('is replaced when a library moved to another directory of the run path', t => {
    const { program, libraries, output: said } = build(tempDir(t));
    elfnoteHereOk(['build-cache', program]);
    assert.deepEqual(entriesOf(program), expectedEntries(libraries));
    const [old, other] = [libraries[2] ?? '', join(libraries[7] ?? '', '..', libraryName(3))];
    renameSync(old, other);
    const result = elfnoteHereOk(['build-cache', program]);
    assert.match(result.stdout, /: note written: /);
    const moved = libraries.map(path => (path === old ? other : path));
    assert.deepEqual(entriesOf(program), expectedEntries(moved));
    assert.equal(output(program, { LD_LIBRARY_PATH: join(other, '..') }), said);
    assert.deepEqual(complaints(program), []);
  });

  test('is replaced too when the file was stripped in between', t => {
    const { program, libraries } = build(tempDir(t));
    elfnoteHereOk(['build-cache', program]);
    runOk('strip', [program]);
    const plain = `${program}.plain`;
    copyFileSync(program, plain);
    const [old, other] = [libraries[2] ?? '', join(libraries[7] ?? '', '..', libraryName(3))];
    renameSync(old, other);
    elfnoteHereOk(['build-cache', program]);
    assert.deepEqual(
      entriesOf(program),
      expectedEntries(libraries.map(path => (path === old ? other : path))),
    );
    assert.match(output(program, { LD_LIBRARY_PATH: join(other, '..') }), /\nsum 650\n/);
    assert.deepEqual(newComplaints(plain, program), []);
    renameSync(other, old);
    elfnoteHereOk(['build-cache', program]);
    assert.deepEqual(entriesOf(program), expectedEntries(libraries));
    assert.match(output(program), /\nsum 650\n/);
    assert.equal(nixosNotes(program).length, 1);
  });

  test('loses the entry of a library that vanished from its directory', t => {
    const { program, libraries } = build(tempDir(t));
    elfnoteHereOk(['build-cache', program]);
    const gone = libraries[11] ?? '';
    const kept = readFileSync(gone);
    rmSync(gone);
    assert.match(
      elfnoteHereOk(['build-cache', program]).stdout,
      /: 11 found at once, 2 left to the loader \(libpart12\.so\.1, libc\.so\.6\), /,
    );
    assert.deepEqual(entriesOf(program), expectedEntries(libraries.filter(path => path !== gone)));
    // Back again, the program is what it would have been all the time.
    writeFileSync(gone, kept);
    elfnoteHereOk(['build-cache', program]);
    assert.deepEqual(entriesOf(program), expectedEntries(libraries));
    assert.deepEqual(complaints(program), []);
    assert.match(output(program), /\nsum 650\n/);
  });

  test('goes altogether when nothing is found any more, and the program still runs', t => {
    const { program, libraries, output: said } = build(tempDir(t));
    const plain = readFileSync(program);
    elfnoteHereOk(['build-cache', program]);
    const copies = libraries.map(path => [path, readFileSync(path)] as const);
    for (const [path] of copies) rmSync(path);
    assert.match(
      elfnoteHereOk(['build-cache', program]).stdout,
      /: old note removed, nothing to record, -\d+ bytes\n/,
    );
    assert.equal(elfnoteHere(['dump', program]).status, 1);
    assert.deepEqual(nixosNotes(program), []);
    assert.ok(readFileSync(program).equals(plain));
    for (const [path, bytes] of copies) writeFileSync(path, bytes);
    assert.equal(output(program), said);
    assert.deepEqual(complaints(program), []);
  });

  test('is noticed to be wrong after patchelf --set-rpath, and replaced', { skip: needs('patchelf') }, t => {
    const { dir, program, libraries, output: said } = build(tempDir(t));
    elfnoteHereOk(['build-cache', program]);
    const all = join(dir, 'all');
    mkdirSync(all);
    const moved = NUMBERS.map(n => join(all, libraryName(n)));
    for (const [i, path] of libraries.entries()) renameSync(path, moved[i] ?? '');
    runOk('patchelf', ['--set-rpath', all, program, ...moved]);
    assert.equal(output(program), said, 'patchelf itself leaves a program that runs');
    const result = elfnoteHereOk(['build-cache', program, ...moved]);
    assert.match(result.stdout, /main: note written: /);
    assert.deepEqual(entriesOf(program), expectedEntries(moved));
    assert.equal(output(program), said);
    assert.deepEqual(complaints(program), []);
    assert.match(elfnoteHereOk(['build-cache', program]).stdout, /: up to date: /);
  });

  test('can be written to a program that patchelf made, and survives patchelf', {
    skip: needs('patchelf'),
  }, t => {
    const { dir, program, libraries, output: said } = build(tempDir(t));
    const runPath = libraries.map(path => join(path, '..')).join(':');
    const long = join(dir, 'x'.repeat(200));
    runOk('patchelf', ['--set-rpath', `${long}:${runPath}`, program]);
    const plain = join(dir, 'plain');
    copyFileSync(program, plain);
    elfnoteHereOk(['build-cache', program]);
    assert.equal(output(program), said);
    assert.deepEqual(newComplaints(plain, program), []);
    runOk('patchelf', ['--set-rpath', runPath, program]);
    assert.equal(output(program), said);
    elfnoteHereOk(['build-cache', program]);
    assert.deepEqual(entriesOf(program), expectedEntries(libraries));
    assert.equal(output(program), said);
  });
});

test('a program without run path is left alone by name, whatever else is there', { skip }, t => {
  const dir = tempDir(t);
  const source = join(dir, 'main.c');
  writeFileSync(source, 'int main(void) { return 0; }\n');
  const program = join(dir, 'main');
  runOk('gcc', [source, '-o', program]);
  const bytes = readFileSync(program);
  assert.equal(elfnoteHereOk(['build-cache', program]).stdout, `${program}: skipped: has no run path\n`);
  assert.ok(readFileSync(program).equals(bytes));
});
