import assert from 'node:assert/strict';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { OutputDir } from '../../src/batch/output-dir.js';
import { ElfnoteError } from '../../src/errors.js';
import { BIN, elfnoteAsNobody, FIXTURES, jsonLines, needsNobody, ROOT, run, runOk } from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { nixosNotes } from '../support/readelf.js';
import { sharedDir, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import { malformed } from '../support/tree.js';

/** A tree with what a package may hold: read-only directories and files, links of both kinds, modes, an ELF file. */
function makeTree(dir: string): string {
  const tree = join(dir, 'pkg');
  mkdirSync(join(tree, 'bin'), { recursive: true });
  // By its path it comes before bin/, by its name after it.
  mkdirSync(join(tree, 'bin-extra'));
  mkdirSync(join(tree, 'empty'));
  mkdirSync(join(tree, '.build-id'));
  writeFileSync(join(tree, '.build-id/left-out'), 'kept');
  writeFileSync(join(tree, 'bin/program'), readFileSync(join(FIXTURES, 'kinds/pie-bfd')), { mode: 0o555 });
  linkSync(join(tree, 'bin/program'), join(tree, 'bin-extra/other-name'));
  writeFileSync(join(tree, 'script'), '#!/bin/sh\n', { mode: 0o4750 });
  chmodSync(join(tree, 'script'), 0o4750);
  symlinkSync('bin/program', join(tree, 'link'));
  symlinkSync('/nowhere', join(tree, 'dangling'));
  for (const file of ['script', 'bin/program', 'bin', 'empty', '.']) utimesSync(join(tree, file), 1000, 1000);
  chmodSync(join(tree, 'bin'), 0o555);
  chmodSync(join(tree, 'empty'), 0o700);
  return tree;
}

/** A line for each entry: mode, number of links, what a link says. */
function layout(tree: string): string[] {
  return runOk('find', ['.', '-printf', '%P %M %n %l\n'], { cwd: tree }).stdout.trimEnd().split('\n').sort();
}

function copyWithDates(tree: string, to: string): void {
  elfnoteHereOk(['build-cache', '--root', ROOT, '--preserve-dates', '--output-dir', to, tree]);
}

async function failuresOf(copies: OutputDir, signal: AbortSignal): Promise<ElfnoteError[]> {
  const failures: ElfnoteError[] = [];
  for await (const failure of copies.complete(signal)) failures.push(failure);
  return failures;
}

describe('--output-dir', { skip: needs('find', 'touch') }, () => {
  test('keeps layout, links, hard links and modes, and leaves the originals untouched', t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    const copy = join(dir, 'out/pkg');
    const [before, content] = [layout(tree), readFileSync(join(tree, 'bin/program'))];
    const { stdout } = elfnoteHereOk([
      'build-cache',
      '-v',
      '--root',
      ROOT,
      '--output-dir',
      join(dir, 'out'),
      tree,
    ]);
    assert.match(stdout, /pkg\/bin-extra\/other-name: note written/);
    assert.deepEqual(layout(copy), before);
    assert.deepEqual(
      { layout: layout(tree), content: readFileSync(join(tree, 'bin/program')) },
      {
        layout: before,
        content,
      },
    );
    assert.deepEqual(
      [join(tree, 'bin/program'), join(copy, 'bin/program'), join(copy, 'bin-extra/other-name')].map(
        file => nixosNotes(file).length,
      ),
      [0, 1, 1],
    );
    assert.equal(lstatSync(join(copy, 'bin/program')).ino, lstatSync(join(copy, 'bin-extra/other-name')).ino);
    assert.equal(readlinkSync(join(copy, 'dangling')), '/nowhere');
    assert.equal(readFileSync(join(copy, '.build-id/left-out'), 'utf8'), 'kept');
  });

  test('with --preserve-dates files, links and directories keep their times', t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    copyWithDates(tree, join(dir, 'out'));
    for (const file of ['script', 'bin/program', 'bin', 'empty', '.']) {
      assert.equal(lstatSync(join(dir, 'out/pkg', file)).mtimeMs, 1_000_000, file);
    }
  });

  test('with --preserve-dates a copy keeps its times to the microsecond, also from before 1970', t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    const times = { script: '@1700000000.123456789', dangling: '@-86399.25' };
    for (const [file, time] of Object.entries(times)) runOk('touch', ['-h', '-d', time, join(tree, file)]);
    copyWithDates(tree, join(dir, 'out'));
    for (const file of Object.keys(times)) {
      const [from, to] = [tree, join(dir, 'out/pkg')].map(top =>
        lstatSync(join(top, file), { bigint: true }),
      );
      assert.ok(from !== undefined && to !== undefined);
      const lost = from.mtimeNs - to.mtimeNs;
      assert.ok(lost >= 0 && lost < 2000, `${file}: ${lost} ns`);
    }
  });

  test('a file that fails is copied as it is, and the exit status says so', t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    writeFileSync(join(tree, 'broken'), malformed(readFileSync(join(tree, 'bin/program'))));
    const { status, stderr } = elfnoteHere([
      'build-cache',
      '--root',
      ROOT,
      '--output-dir',
      join(dir, 'out'),
      tree,
    ]);
    assert.equal(status, 1);
    assert.match(stderr, /^elfnote: \S+broken: /);
    assert.equal(readFileSync(join(dir, 'out/pkg/broken')).length, 100);
  });

  test('several paths, files among them, each arrive under their own name', t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    const library = join(FIXTURES, 'kinds/libuse-bfd.so');
    elfnoteHereOk(['build-cache', '--root', ROOT, '--output-dir', join(dir, 'out'), `${tree}/`, library]);
    assert.equal(nixosNotes(join(dir, 'out/libuse-bfd.so')).length, 1);
    assert.equal(nixosNotes(join(dir, 'out/pkg/bin/program')).length, 1);
  });

  test('a path that is named twice is copied once', t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    elfnoteHereOk(['build-cache', '--root', ROOT, '--output-dir', join(dir, 'out'), tree, tree, `${tree}/.`]);
    assert.deepEqual(layout(join(dir, 'out/pkg')), layout(tree));
  });

  test('a link that leads nowhere fails alone', t => {
    const dir = tempDir(t);
    const [tree, loop] = [makeTree(dir), join(dir, 'loop')];
    symlinkSync('loop', loop);
    const args = ['build-cache', '--root', ROOT, '--output-dir', join(dir, 'out'), loop, tree];
    const { status, stderr } = elfnoteHere(args);
    assert.equal(status, 1);
    assert.equal(stderr, `elfnote: ${loop}: cannot open: too many levels of symbolic links\n`);
    assert.deepEqual(layout(join(dir, 'out/pkg')), layout(tree));
  });

  test('a directory that cannot be entered fails alone', { skip: needsNobody() }, t => {
    const dir = sharedDir(t);
    const tree = makeTree(dir);
    chmodSync(dir, 0o777);
    chmodSync(join(tree, 'script'), 0o755);
    chmodSync(join(tree, 'empty'), 0o755);
    chmodSync(join(tree, 'bin-extra'), 0o744);
    const { status, stderr } = elfnoteAsNobody([
      'build-cache',
      '--root',
      ROOT,
      '--output-dir',
      join(dir, 'out'),
      tree,
    ]);
    const other = join(tree, 'bin-extra/other-name');
    assert.deepEqual(stderr.trimEnd().split('\n'), [
      `elfnote: ${other}: cannot open: permission denied`,
      `elfnote: ${other}: cannot copy: permission denied`,
    ]);
    assert.equal(status, 1);
    assert.equal(nixosNotes(join(dir, 'out/pkg/bin/program')).length, 1);
    assert.equal(lstatSync(join(dir, 'out/pkg/bin-extra')).mode & 0o7777, 0o744);
  });

  test('a listed name that is not UTF-8 fails alone', t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    writeFileSync(join(dir, 'list'), Buffer.from(`${tree}\n${dir}/bad\xff\n`, 'latin1'));
    const args = ['--root', ROOT, '--output-dir', join(dir, 'out'), '--files-from', join(dir, 'list')];
    const { status, stderr } = elfnoteHere(['build-cache', ...args]);
    assert.equal(status, 1);
    assert.equal(stderr, `elfnote: ${dir}/bad\\xff: cannot open: its name is not UTF-8\n`);
    assert.equal(nixosNotes(join(dir, 'out/pkg/bin/program')).length, 1);
  });

  test('a file whose copy has no place fails alone', t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    // The kernel takes paths of 4095 bytes: the original has one, its copy would need more.
    const deep = join(tree, ...Array(17).fill('d'.repeat(200)));
    const out = join(dir, 'o'.repeat(250), 'o'.repeat(250), 'o'.repeat(250));
    mkdirSync(deep, { recursive: true });
    writeFileSync(join(deep, 'program'), readFileSync(join(tree, 'bin/program')));
    const { status, stderr } = elfnoteHere(['build-cache', '--root', ROOT, '--output-dir', out, tree]);
    assert.equal(status, 1);
    assert.ok(stderr.startsWith(`elfnote: ${deep}/program: cannot make the directory of ${out}/pkg/ddd`));
    assert.doesNotMatch(stderr, /internal error/);
    assert.equal(nixosNotes(join(out, 'pkg/bin/program')).length, 1);
  });

  test('a path that is a link is copied as what it leads to', t => {
    const dir = tempDir(t);
    symlinkSync(makeTree(dir), join(dir, 'result'));
    elfnoteHereOk(['build-cache', '--root', ROOT, '--output-dir', join(dir, 'out'), join(dir, 'result')]);
    assert.equal(lstatSync(join(dir, 'out/result')).isDirectory(), true);
    assert.equal(nixosNotes(join(dir, 'out/result/bin/program')).length, 1);
  });

  test('a FIFO is named and left out, and what cannot be written is named', t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    runOk('mkfifo', [join(tree, 'fifo')]);
    const { status, stderr } = elfnoteHere([
      'build-cache',
      '--root',
      ROOT,
      '--output-dir',
      join(dir, 'out'),
      tree,
    ]);
    assert.equal(status, 1);
    assert.equal(stderr, `elfnote: ${join(tree, 'fifo')}: is no file, directory or link: not copied\n`);
  });

  test('a name in a tree that is not UTF-8 is told once, and the others are copied', t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    writeFileSync(Buffer.from(`${tree}/bad\xff`, 'latin1'), 'text');
    const out = join(dir, 'out');
    const { status, stderr } = elfnoteHere(['build-cache', '--root', ROOT, '--output-dir', out, tree]);
    assert.equal(status, 1);
    assert.equal(stderr, `elfnote: ${tree}/bad\\xff: cannot open: its name is not UTF-8\n`);
    assert.equal(nixosNotes(join(out, 'pkg/bin/program')).length, 1);
  });

  test('what keeps a file from its copy is told once', t => {
    const dir = tempDir(t);
    const [program, out] = [join(makeTree(dir), 'bin/program'), join(dir, 'out')];
    const args = [process.execPath, BIN, 'build-cache', '--json', '--root', ROOT, '--output-dir', out];
    // Of 512 bytes each.
    const { status, stdout, stderr } = run('sh', ['-c', 'ulimit -f 8; exec "$@"', 'sh', ...args, program]);
    assert.equal(status, 1);
    assert.equal(
      stderr,
      `elfnote: ${program}: ${out}/program: cannot write: the file would become too large\n`,
    );
    const { files, failed } = jsonLines(stdout).at(-1) ?? {};
    assert.deepEqual({ files, failed }, { files: 1, failed: 1 });
  });

  test('with --dry-run nothing is made', t => {
    const dir = tempDir(t);
    elfnoteHereOk([
      'build-cache',
      '--dry-run',
      '--root',
      ROOT,
      '--output-dir',
      join(dir, 'out'),
      makeTree(dir),
    ]);
    assert.equal(lstatSync(join(dir, 'out'), { throwIfNoEntry: false }), undefined);
  });

  test('a copy whose owner cannot be kept is not setuid', { skip: needsNobody() }, t => {
    const dir = sharedDir(t);
    makeTree(dir);
    chmodSync(dir, 0o777);
    chmodSync(join(dir, 'pkg/script'), 0o4755);
    chmodSync(join(dir, 'pkg/empty'), 0o755);
    const ids = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
    const args = ['build-cache', '--root', ROOT, '--output-dir', join(dir, 'out'), join(dir, 'pkg')];
    runOk('setpriv', [...ids, process.execPath, BIN, ...args]);
    const { mode, uid } = lstatSync(join(dir, 'out/pkg/script'));
    assert.deepEqual({ mode: mode & 0o7777, uid }, { mode: 0o755, uid: 65534 });
  });

  describe('is refused, with exit status 2 and nothing made,', () => {
    const refusals: [rule: string, args: (dir: string) => string[], message: RegExp][] = [
      [
        'over something that is there',
        dir => ['out', `${dir}/there/pkg`],
        /out\/pkg: --output-dir: is there already/,
      ],
      [
        'inside a tree that is copied',
        dir => ['pkg/out', `${dir}/pkg`],
        /pkg\/out: --output-dir: is inside /,
      ],
      [
        'where two paths have one name',
        dir => ['new', `${dir}/pkg`, `${dir}/there/pkg`],
        /would be the copy of /,
      ],
      [
        'where one path is inside another',
        dir => ['new', `${dir}/pkg`, `${dir}/pkg/bin`],
        /pkg\/bin: .*is inside /,
      ],
      [
        'where one path is far inside another that is named later',
        dir => ['new', `${dir}/pkg/a/b/c/../c/d`, `${dir}/pkg-extra`, `${dir}/pkg/`],
        /pkg\/a\/b\/c\/\.\.\/c\/d: .*is inside \S+\/pkg\/$/m,
      ],
      ['for the root directory', () => ['new', '/'], /\/: is the root directory/],
      ['together with --output', dir => ['new', '--output', 'x', `${dir}/pkg/script`], /exclude each other/],
    ];
    for (const [rule, args, message] of refusals) {
      test(rule, t => {
        const dir = tempDir(t);
        makeTree(dir);
        mkdirSync(join(dir, 'there/pkg'), { recursive: true });
        mkdirSync(join(dir, 'out'));
        symlinkSync('/nowhere', join(dir, 'out/pkg'));
        const before = layout(dir);
        const [out = '', ...paths] = args(dir);
        const { status, stderr } = elfnoteHere(['build-cache', '--output-dir', join(dir, out), ...paths]);
        assert.equal(status, 2);
        assert.match(stderr, message);
        assert.equal(stderr.trimEnd().split('\n').length, 1);
        assert.deepEqual(layout(dir), before);
      });
    }
  });

  test('a directory that cannot be made is named', t => {
    const dir = tempDir(t);
    const out = join(makeTree(dir), 'script');
    const { status, stderr } = elfnoteHere(['build-cache', '--output-dir', out, join(FIXTURES, 'kinds')]);
    assert.equal(status, 1);
    assert.equal(stderr, `elfnote: ${out}: cannot make: a part of the path is not a directory\n`);
  });

  test('paths of which one begins like the other are not inside each other', t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    mkdirSync(join(dir, 'pkg-extra'));
    elfnoteHereOk([
      'build-cache',
      '--root',
      ROOT,
      '--output-dir',
      join(dir, 'out'),
      `${dir}/pkg-extra`,
      tree,
    ]);
    assert.deepEqual(readdirSync(join(dir, 'out')), ['pkg', 'pkg-extra']);
  });

  test('a signal is heard between two files, ends the copying, and what is there is finished', async t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    const data = join(tree, 'data');
    mkdirSync(data);
    for (let i = 0; i < 1000; i++) writeFileSync(join(data, `${i}`), '');
    chmodSync(data, 0o555);
    const copies = new OutputDir([tree], join(dir, 'out'));
    const copy = copies.place(join(data, '0'));
    const interrupt = new AbortController();
    // Not SIGUSR2: under Node 24's test runner that writes a report into the clone.
    process.once('SIGWINCH', () => interrupt.abort());
    process.kill(process.pid, 'SIGWINCH');
    assert.deepEqual(await failuresOf(copies, interrupt.signal), []);
    assert.ok(interrupt.signal.aborted);
    assert.ok(readdirSync(dirname(copy)).length < 1000);
    assert.deepEqual(
      [dirname(copy), join(dir, 'out/pkg')].map(path => lstatSync(path).mode),
      [data, tree].map(path => lstatSync(path).mode),
    );
  });

  test('a run that stops leaves directories with the modes of the originals, and nothing more', t => {
    const dir = tempDir(t);
    const tree = makeTree(dir);
    writeFileSync(join(tree, 'bin-extra/broken'), malformed(readFileSync(join(tree, 'bin/program'))));
    const out = join(dir, 'out');
    const { status, stdout } = elfnoteHere([
      'build-cache',
      '--root',
      ROOT,
      '--fail-fast',
      '--output-dir',
      out,
      tree,
    ]);
    assert.equal(status, 1);
    assert.match(stdout, /^stopped by --fail-fast$/m);
    assert.deepEqual(readdirSync(join(out, 'pkg'), { recursive: true }).sort(), ['bin', 'bin-extra']);
    for (const made of ['.', 'bin', 'bin-extra']) {
      assert.equal(lstatSync(join(out, 'pkg', made)).mode, lstatSync(join(tree, made)).mode, made);
    }
  });

  test('a path that belongs to no tree has no place', t => {
    const dir = tempDir(t);
    const copies = new OutputDir([makeTree(dir)], join(dir, 'out'));
    assert.throws(() => copies.place(join(dir, 'other')), ElfnoteError);
  });
});
