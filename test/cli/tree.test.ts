import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import {
  elfnoteAsNobody,
  elfnoteOk,
  type JsonObject,
  jsonLines,
  needsNobody,
  ROOT,
  type RunResult,
  run,
  runOk,
} from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { sharedDir, tempDir } from '../support/temp.js';
import { needs, needsRoot } from '../support/tools.js';
import { completeOf, copies, IN_PLACE, malformed, REPLACED, stateOf } from '../support/tree.js';

const BUILD = ['build-cache', '--root', ROOT];

function tree(t: TestContext, count = 3, above = tempDir(t)): { dir: string; files: string[] } {
  const dir = join(above, 'tree');
  return { dir, files: copies(dir, count) };
}

function summaryOf({ stdout }: RunResult): JsonObject {
  const summary = jsonLines(stdout).at(-1) ?? {};
  assert.equal(summary.type, 'summary');
  return summary;
}

/** `NAME action` of each file, in the order of the report. */
function actionsOf({ stdout }: RunResult, dir: string): string[] {
  return jsonLines(stdout)
    .filter(({ type }) => type === 'file')
    .map(({ path, action }) => `${String(path).slice(dir.length + 1)} ${String(action)}`);
}

describe('the summary', () => {
  test('counts every outcome, and the line says the same as the object', t => {
    const { dir, files } = tree(t);
    const [first = '', second = '', third = ''] = files;
    linkSync(first, join(dir, 'a-link'));
    elfnoteHereOk([...BUILD, '-q', second]);
    writeFileSync(third, malformed(IN_PLACE.original));
    writeFileSync(join(dir, 'text'), 'text');
    const report = join(dir, '../report.json');
    const text = elfnoteHere([...BUILD, '-n', '--report', report, dir]);
    assert.equal(text.status, 1);
    const growth = IN_PLACE.complete.length - IN_PLACE.original.length;
    assert.deepEqual(text.stdout.trimEnd().split('\n').slice(-5), [
      '5 files, 3 ELF; 1 to write, 1 up to date, 2 skipped, 1 failed',
      '  skipped    1 other name of a file, 1 not ELF',
      '  libraries  4 found at once, 2 left to the loader (libc.so.6)',
      `  size       ${growth} bytes added`,
      '  to do      1 file damaged: install the package anew',
    ]);
    const summary = {
      schema: 'elfnote/1',
      type: 'summary',
      files: 5,
      elf: 3,
      written: 1,
      removed: 0,
      upToDate: 1,
      failed: 1,
      failedBy: { malformed: 1 },
      behindRpath: 0,
      skipped: { 'same-file': 1, 'not-elf': 1 },
      foundAtOnce: 4,
      searched: 0,
      leftToLoader: 2,
      onSystem: 0,
      bytesAdded: growth,
      addedSegments: 0,
      withoutSection: 0,
      dryRun: true,
      stopped: null,
      leftSonames: [{ soname: 'libc.so.6', files: 2 }],
    };
    assert.deepEqual(JSON.parse(readFileSync(report, 'utf8')), summary);
    const json = elfnoteHere([...BUILD, '--json', '-n', '--report', report, dir]);
    assert.deepEqual(summaryOf(json), summary);
    assert.equal(`${readFileSync(report, 'utf8')}`, `${json.stdout.trimEnd().split('\n').at(-1)}\n`);
  });

  test('lists what was left alone with -v, and counts it without', t => {
    const { dir, files } = tree(t, 1);
    linkSync(files[0] ?? '', join(dir, 'link'));
    writeFileSync(join(dir, 'text'), 'text');
    const expected = [
      `${dir}/link: skipped: is the same file as ${dir}/0000`,
      `${dir}/text: skipped: is not an ELF file`,
    ];
    const lines = (...args: string[]) => elfnoteHereOk([...BUILD, '-n', ...args, dir]).stdout.split('\n');
    assert.deepEqual(
      lines('-v').filter(line => line.includes(' skipped: ')),
      expected,
    );
    assert.deepEqual(
      lines().filter(line => line.includes(' skipped: ')),
      [],
    );
  });

  test('of a report that cannot be written: one line, status 1, and the work is done', t => {
    const { dir, files } = tree(t);
    const report = join(dir, '../none/report.json');
    const result = elfnoteHere([...BUILD, '--report', report, dir]);
    assert.equal(result.status, 1);
    assert.equal(result.stderr, `elfnote: ${report}: cannot write the report: no such file or directory\n`);
    assert.match(result.stdout, /^3 files, 3 ELF; 3 written\n/);
    assert.deepEqual(completeOf(dir, files), files);
  });

  test('no report, and no picture, is written over an ELF file', t => {
    const { dir, files } = tree(t, 1);
    const [file = ''] = files;
    const line = `elfnote: ${file}: is an ELF file: no report is written over it\n`;
    const picture = elfnoteHere(['trace', '--svg', file, file]);
    assert.deepEqual([picture.status, picture.stderr], [1, line]);
    assert.ok(readFileSync(file).equals(IN_PLACE.original));
    const report = elfnoteHere([...BUILD, '--report', file, dir]);
    assert.deepEqual([report.status, report.stderr], [1, line]);
    assert.deepEqual(completeOf(dir, files), files);
  });
});

describe('hard links', () => {
  test('are written once, stay linked and have the note both', t => {
    const { dir, files } = tree(t, 1);
    const [file = ''] = files;
    const link = join(dir, 'link');
    linkSync(file, link);
    const result = elfnoteHereOk([...BUILD, '--json', dir]);
    assert.deepEqual(actionsOf(result, dir), ['0000 written', 'link skipped']);
    const [, second] = jsonLines(result.stdout);
    assert.deepEqual([second?.reason, second?.detail], ['same-file', `is the same file as ${file}`]);
    assert.equal(statSync(link).ino, statSync(file).ino);
    assert.deepEqual(completeOf(dir, [file, link]), [file, link]);
  });

  test('a link that is named with its target is taken once and stays a link', t => {
    const { dir, files } = tree(t, 2);
    for (const [i, file] of files.entries()) {
      const link = join(dir, `link${i}`);
      symlinkSync(file, link);
      const result = elfnoteHereOk([...BUILD, '--json', link, file]);
      assert.deepEqual(actionsOf(result, dir), [`link${i} written`, `000${i} skipped`]);
      assert.equal(stateOf(link), 'complete');
      assert.equal(runOk('readlink', [link]).stdout, `${file}\n`);
    }
  });
});

describe('one bad file does not stop the rest', () => {
  test('names that are not UTF-8 fail, two that look alike too, and the others are done', t => {
    const { dir, files } = tree(t);
    const foreign = (byte: number) => Buffer.from([...Buffer.from(`${dir}/x`), byte]);
    for (const byte of [0xe8, 0xe9]) writeFileSync(foreign(byte), IN_PLACE.original);
    mkdirSync(foreign(0xff));
    writeFileSync(Buffer.concat([foreign(0xff), Buffer.from('/y')]), IN_PLACE.original);
    const result = elfnoteHere([...BUILD, '--json', dir]);
    assert.equal(result.status, 1);
    const why = 'cannot open: its name is not UTF-8';
    assert.equal(
      result.stderr,
      ['e8', 'e9', 'ff'].map(byte => `elfnote: ${dir}/x\\x${byte}: ${why}\n`).join(''),
    );
    const { files: count, written, failed } = summaryOf(result);
    assert.deepEqual([count, written, failed], [6, 3, 3]);
    assert.deepEqual(
      files.map(file => stateOf(file)),
      ['complete', 'complete', 'complete'],
    );
    for (const byte of [0xe8, 0xe9]) assert.ok(readFileSync(foreign(byte)).equals(IN_PLACE.original));
  });

  test('names with control characters and line ends are done, each on one line of the report', t => {
    const { dir } = tree(t, 0);
    const names = ['a b', 'new\nline', 'red\u001b[31m', 'tab\t'];
    mkdirSync(join(dir, 'd\n'));
    const files = [...names, 'd\n/x'].map(name => join(dir, name));
    for (const file of files) writeFileSync(file, IN_PLACE.original);
    const result = elfnoteHereOk([...BUILD, '-v', dir]);
    const shown = result.stdout
      .split('\n')
      .flatMap(line => line.split(': note written')[0]?.slice(dir.length + 1) ?? []);
    assert.deepEqual(shown.slice(0, 5), ['a b', 'd\\x0a/x', 'new\\x0aline', 'red\\x1b[31m', 'tab\\x09']);
    for (const file of files) assert.equal(stateOf(file), 'complete');
    const json = jsonLines(elfnoteHereOk([...BUILD, '--json', dir]).stdout);
    assert.deepEqual(
      json.flatMap(({ path }) => path ?? []),
      files.sort(),
    );
  });

  test('files and directories that may not be read fail, and the others are done', {
    skip: needsNobody(),
  }, t => {
    const { dir, files } = tree(t, 4, sharedDir(t));
    runOk('chown', ['-R', '65534:65534', dir]);
    mkdirSync(join(dir, 'closed'), { mode: 0o700 });
    chmodSync(files[1] ?? '', 0);
    runOk('chown', ['0:0', files[1] ?? '']);
    const result = elfnoteAsNobody([...BUILD, '--json', dir]);
    assert.equal(result.status, 1);
    assert.deepEqual(actionsOf(result, dir), [
      '0000 written',
      '0001 failed',
      '0002 written',
      '0003 written',
      'closed failed',
    ]);
    assert.equal(
      result.stderr,
      `elfnote: ${files[1]}: cannot open: permission denied\nelfnote: ${dir}/closed: cannot list: permission denied\n`,
    );
  });

  test('but --fail-fast stops at the first failure and says so', t => {
    const { dir, files } = tree(t, 6);
    for (const file of [files[2] ?? '', files[4] ?? '']) writeFileSync(file, malformed(IN_PLACE.original));
    const result = elfnoteHere([...BUILD, '--fail-fast', dir]);
    assert.equal(result.status, 1);
    assert.match(result.stdout, /^stopped by --fail-fast\n3 files, 3 ELF; 2 written, 1 failed\n/);
    assert.equal(result.stderr.split('\n').length, 2, result.stderr);
    assert.deepEqual(
      files.filter(file => stateOf(file) === 'complete'),
      files.slice(0, 2),
    );
  });

  test('--fail-fast says nothing when nothing fails, nor when the last file does', t => {
    const { dir, files } = tree(t);
    assert.equal(summaryOf(elfnoteHereOk([...BUILD, '--json', '--fail-fast', dir])).stopped, null);
    writeFileSync(files[2] ?? '', 'no ELF');
    const result = elfnoteHere(['build-cache', '--json', '--fail-fast', ...files]);
    assert.deepEqual([result.status, summaryOf(result).stopped], [1, null]);
  });
});

/** A disk of 160 KiB; undefined where none is to be had. */
function smallDisk(t: TestContext): string | undefined {
  let disk: string | undefined;
  // Before the directory that it stands in is removed.
  t.after(() => disk === undefined || runOk('umount', [disk]));
  const dir = join(tempDir(t), 'disk');
  mkdirSync(dir);
  const mounted = run('mount', ['-t', 'tmpfs', '-o', 'size=160k', 'elfnote-test', dir]);
  if (mounted.status === 0) disk = dir;
  else t.skip(`no tmpfs can be mounted here: ${mounted.stderr.trim()}`);
  return disk;
}

/** In pages. */
const freeOf = (disk: string) => Number(runOk('stat', ['-f', '-c', '%f', disk]).stdout);

function fillUp(disk: string, pagesLeft: number): string {
  const filler = join(disk, 'filler');
  writeFileSync(filler, Buffer.alloc((freeOf(disk) - pagesLeft) * 4096, 'x'));
  assert.equal(freeOf(disk), pagesLeft);
  return filler;
}

describe('a disk that is full', { skip: needsRoot('mount') }, () => {
  test('but for one copy takes all files, one after the other', t => {
    const dir = smallDisk(t);
    if (dir === undefined) return;
    const files = copies(dir, 12);
    const pages = (bytes: Buffer) => Math.ceil(bytes.length / 4096);
    const growth = [IN_PLACE, REPLACED].map(({ original, complete }) => pages(complete) - pages(original));
    const copy = Math.max(pages(IN_PLACE.complete), pages(REPLACED.complete));
    const filler = fillUp(dir, copy + (files.length / 2) * growth.reduce((sum, one) => sum + one, 0));
    const result = elfnoteHereOk([...BUILD, '--json', dir]);
    rmSync(filler);
    assert.equal(summaryOf(result).written, files.length);
    assert.deepEqual(completeOf(dir, files), files);
  });

  test('leaves files whole that do not fit, without temporary ones, and the others are done', t => {
    const dir = smallDisk(t);
    if (dir === undefined) return;
    const files = copies(dir, 12);
    // All that is left, but for the one page by which some file grows.
    const filler = fillUp(dir, 1);
    const free = () => freeOf(dir);

    const copied = elfnoteHere([...BUILD, '--json', dir]);
    assert.deepEqual([copied.status, summaryOf(copied).failed], [1, files.length], 'no copy fits');
    assert.equal(free(), 1);
    const result = elfnoteHere([...BUILD, '--fast', '--json', dir]);
    assert.equal(result.status, 1);
    rmSync(filler);
    const complete = completeOf(dir, files);
    const { written, failed } = summaryOf(result);
    assert.deepEqual([written, failed], [complete.length, files.length - complete.length]);
    assert.ok(complete.length > 0 && complete.length < files.length);
    const errors = result.stderr.trimEnd().split('\n');
    assert.equal(errors.length, files.length - complete.length);
    for (const line of errors) assert.match(line, /: cannot write[^:]*: no space left on device$/);
  });
});

describe('--files-from', () => {
  test('takes paths from a file, one a line, directories too', t => {
    const { dir, files } = tree(t, 2);
    const more = copies(join(dir, 'sub'), 1);
    const list = join(dir, '../list');
    writeFileSync(list, `${join(dir, 'sub')}\n\n${files[1]}\n`);
    const result = elfnoteHereOk([...BUILD, '--json', '--files-from', list]);
    assert.deepEqual(actionsOf(result, dir), ['sub/0000 written', '0001 written']);
    assert.equal(stateOf(files[0] ?? ''), 'original');
    assert.equal(stateOf(more[0] ?? ''), 'complete');
  });

  test('- is standard input, and -0 ends paths with NUL, as find -print0 does', {
    skip: needs('find'),
  }, t => {
    const { dir, files } = tree(t);
    const strange = join(dir, 'new\nline');
    writeFileSync(strange, IN_PLACE.original);
    const input = runOk('find', [dir, '-type', 'f', '-print0']).output;
    const result = elfnoteOk([...BUILD, '--json', '--files-from', '-', '-0'], { input });
    assert.equal(summaryOf(result).written, 4);
    assert.deepEqual(completeOf(dir, [...files, strange]), [...files, strange]);
  });

  test('waits for a list that comes slowly', { skip: needs('sh', 'find') }, t => {
    const { dir, files } = tree(t);
    const script = `(sleep 0.2; find "$1"; sleep 0.2; echo "$2") | "$3" "$4" build-cache --root "$5" --files-from -`;
    const { stdout } = runOk('sh', [
      ...['-c', script, 'sh', join(dir, '0000'), join(dir, '0001'), process.execPath],
      ...[join(import.meta.dirname, '../../bin/elfnote.js'), ROOT],
    ]);
    assert.match(stdout, /^2 files, 2 ELF; 2 written\n/);
    assert.deepEqual(completeOf(dir, files), files.slice(0, 2));
  });

  test('passes over what is no ELF file, and reports a path that is not there with status 1', t => {
    const { dir, files } = tree(t, 1);
    const text = join(dir, 'text');
    writeFileSync(text, 'text');
    const passed = elfnoteHereOk([...BUILD, '--json', '--files-from', '-'], {
      input: `${text}\n${files[0]}`,
    });
    assert.deepEqual(actionsOf(passed, dir), ['text skipped', '0000 written']);
    const missing = elfnoteHere([...BUILD, '--files-from', '-'], { input: `${dir}/none\n` });
    assert.equal(missing.status, 1);
    assert.equal(missing.stderr, `elfnote: ${dir}/none: cannot open: no such file or directory\n`);
  });

  test('reports names that are not UTF-8', { skip: needs('find') }, t => {
    const { dir, files } = tree(t, 1);
    const foreign = Buffer.from([...Buffer.from(`${dir}/x`), 0xe9]);
    writeFileSync(foreign, IN_PLACE.original);
    const input = runOk('find', [dir, '-type', 'f', '-print0']).output;
    const result = elfnoteHere([...BUILD, '--json', '-0', '--files-from', '-'], { input });
    assert.equal(result.status, 1);
    assert.equal(result.stderr, `elfnote: ${dir}/x\\xe9: cannot open: its name is not UTF-8\n`);
    assert.equal(stateOf(files[0] ?? ''), 'complete');
    assert.ok(readFileSync(foreign).equals(IN_PLACE.original));
  });

  test('and paths are both done, paths first', t => {
    const { dir, files } = tree(t);
    const result = elfnoteHereOk([...BUILD, '--json', '--files-from', '-', files[2] ?? ''], {
      input: files.join('\n'),
    });
    assert.deepEqual(actionsOf(result, dir), ['0002 written', '0000 written', '0001 written']);
  });

  test('that is empty is nothing to do', () => {
    const result = elfnoteHereOk([...BUILD, '--files-from', '-'], { input: '' });
    assert.match(result.stdout, /^0 files\n$/);
  });

  const MISTAKES: Readonly<Record<string, readonly string[]>> = {
    'a list that is not there': ['--files-from', '/none/list'],
    'a list that is a directory': ['--files-from', '/'],
    'a list with NUL, without -0,': ['--files-from', '-'],
    '-0 without --files-from': ['-0', 'file'],
    'no path and no list': [],
    'an empty pattern': ['--exclude', '', '/none'],
  };
  for (const [what, args] of Object.entries(MISTAKES)) {
    test(`${what} is a mistake: status 2 and one line`, () => {
      const result = elfnoteHere(['build-cache', ...args], { input: 'a\0b\0' });
      assert.deepEqual([result.status, result.stdout], [2, '']);
      assert.match(result.stderr, /^elfnote: [^\n]+\n$/);
      assert.doesNotMatch(result.stderr, /internal error/);
    });
  }
});

test('--include and --exclude choose among the files of a directory, in both commands', t => {
  const { dir, files } = tree(t, 4);
  for (const command of [BUILD, ['remove-cache']]) {
    const args = ['--json', '--include', '000[0-2]', '--exclude', '0001', dir];
    const result = elfnoteHereOk([...command, ...args]);
    assert.deepEqual(actionsOf(result, dir), ['0000 written', '0002 written']);
  }
  assert.deepEqual(completeOf(dir, files), []);
});

test('a directory whose name has a line end is walked, and one that is named through a link', t => {
  const dir = join(tempDir(t), 'a\nb');
  const files = copies(dir, 1);
  const link = join(dir, '../result');
  symlinkSync(dir, link);
  assert.deepEqual(actionsOf(elfnoteHereOk([...BUILD, '--json', link]), link), ['0000 written']);
  assert.deepEqual(actionsOf(elfnoteHereOk([...BUILD, '--json', dir]), dir), ['0000 up-to-date']);
  assert.deepEqual(completeOf(dir, files), files);
  assert.deepEqual(readdirSync(join(dir, '..')), ['a\nb', 'result']);
});

test('standard output and standard error that go to one file keep their order', t => {
  const { dir, files } = tree(t, 6);
  for (const i of [1, 4]) writeFileSync(files[i] ?? '', malformed(IN_PLACE.original));
  const script = 'exec "$0" "$@" 2>&1';
  const bin = join(import.meta.dirname, '../../bin/elfnote.js');
  const { stdout } = run('sh', ['-c', script, process.execPath, bin, ...BUILD, '-v', dir]);
  const lines = stdout.split('\n').map(line => line.replace(`${dir}/`, '').slice(0, 13));
  assert.deepEqual(lines, [
    '0000: note wr',
    'elfnote: 0001',
    '0002: note wr',
    '0003: note wr',
    'elfnote: 0004',
    '0005: note wr',
    '6 files, 6 EL',
    '  libraries  ',
    '  size       ',
    '  to do      ',
    '',
  ]);
  assert.equal(existsSync(join(dir, '0005')), true);
});
