import assert from 'node:assert/strict';
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { FIXTURES, jsonLines, listIn, objectIn, ROOT, type RunResult, runOk } from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import { library } from '../support/tree.js';

const GREET = 'nix/store/v1v4v3fhk4j3y12dzxran4y6d6gq8vq2-libgreet-x86_64/lib';
const NAME = 'nix/store/ihir73skm2v4yqwz2jn1sv88h830nkj0-libname-x86_64/lib';

/** A program with a note, and a copy of the store that its libraries are in. */
function noted(t: TestContext, kind = 'pie-gold') {
  const dir = tempDir(t);
  const root = join(dir, 'root');
  const file = join(dir, 'tree', kind);
  cpSync(ROOT, root, { recursive: true, verbatimSymlinks: true });
  mkdirSync(join(dir, 'tree'));
  copyFileSync(join(FIXTURES, 'kinds', kind), file);
  elfnoteHereOk(['build-cache', '-q', '--root', root, file]);
  return { dir, root, file };
}

/** The state and the exit status of a file, by verify and, where it has a note, by dump. */
function states({ root, file }: { root: string; file: string }, ...flags: string[]) {
  const { status, stdout, stderr } = elfnoteHere(['verify', '--json', '--root', root, ...flags, file]);
  assert.equal(stderr, '');
  const [report] = jsonLines(stdout);
  assert.ok(report !== undefined);
  return { state: report.state, status, dump: elfnoteHere(['dump', '--root', root, file]).status, report };
}

/** What verify says of the sonames of a file. */
function sonames(result: ReturnType<typeof states>): object[] {
  return listIn(result.report, 'findings').map(({ soname, recorded, actual }) => ({
    soname,
    recorded,
    actual,
  }));
}

function assertState(result: ReturnType<typeof states>, state: string, status: number, dump: number): void {
  const { state: found, status: exit, dump: dumped } = result;
  assert.deepEqual({ state: found, exit, dump: dumped }, { state, exit: status, dump });
}

describe('verify calls a note', () => {
  test('fresh that build-cache would keep', t => {
    const files = noted(t);
    assertState(states(files), 'fresh', 0, 0);
    const [{ action } = {}] = jsonLines(
      elfnoteHereOk(['build-cache', '--json', '-n', '--root', files.root, files.file]).stdout,
    );
    assert.equal(action, 'up-to-date');
  });

  test('absent where a recorded library is gone, and says what the run path gives now', t => {
    const files = noted(t);
    rmSync(join(files.root, GREET, 'libgreet.so.1'));
    const result = states(files);
    assertState(result, 'absent', 1, 1);
    assert.deepEqual(sonames(result), [
      { soname: 'libgreet.so.1', recorded: [`=/${GREET}/libgreet.so.1`], actual: [] },
    ]);
  });

  test('stale whose run path leads elsewhere now', { skip: needs('patchelf') }, t => {
    const files = noted(t);
    mkdirSync(join(files.root, 'nix/store/new/lib'), { recursive: true });
    for (const [from, name] of [
      [GREET, 'libgreet.so.1'],
      [NAME, 'libname.so.2'],
    ] as const) {
      copyFileSync(join(files.root, from, name), join(files.root, 'nix/store/new/lib', name));
    }
    runOk('patchelf', ['--set-rpath', `/nix/store/new/lib:/${NAME}`, files.file]);
    const result = states(files);
    assertState(result, 'stale', 1, 1);
    assert.deepEqual(sonames(result), [
      {
        soname: 'libgreet.so.1',
        recorded: [`=/${GREET}/libgreet.so.1`],
        actual: ['=/nix/store/new/lib/libgreet.so.1'],
      },
      {
        soname: 'libname.so.2',
        recorded: [`=/${NAME}/libname.so.2`],
        actual: ['=/nix/store/new/lib/libname.so.2', `=/${NAME}/libname.so.2`],
      },
    ]);
  });

  test('stale that does not name a library which a run path directory has by now', t => {
    const files = noted(t);
    copyFileSync(join(files.root, GREET, 'libgreet.so.1'), join(files.root, NAME, 'libc.so.6'));
    const result = states(files);
    // dump asks the paths that are noted, and no others.
    assertState(result, 'stale', 1, 0);
    assert.deepEqual(sonames(result), [
      { soname: 'libc.so.6', recorded: [], actual: [`=/${NAME}/libc.so.6`] },
    ]);
  });

  test('missing that build-cache would write; a finding with --require alone', t => {
    const files = noted(t);
    copyFileSync(join(FIXTURES, 'kinds/pie-gold'), files.file);
    assertState(states(files), 'missing', 0, 1);
    assertState(states(files, '--require'), 'missing', 1, 1);
  });

  test('foreign with a path outside the store directories, where these are known', t => {
    const files = noted(t);
    assertState(states(files, '--store-dir', '/nix/store'), 'fresh', 0, 0);
    const foreign = states(files, '--store-dir', `/${GREET.replace('/lib', '')}`);
    assertState(foreign, 'foreign', 0, 0);
    assert.match(String(listIn(foreign.report, 'findings')[0]?.why), /^outside the store: =/);
  });

  test('malformed that the loader rejects, with the offset, and a file that is cut off', t => {
    const files = noted(t);
    const bytes = readFileSync(files.file);
    const at = bytes.indexOf(`\0=/${GREET}`);
    assert.ok(at > 0);
    bytes[at + 1] = 0x21;
    writeFileSync(files.file, bytes);
    const { report, status } = states(files);
    assert.deepEqual([report.state, status], ['malformed', 1]);
    assert.equal(listIn(report, 'findings')[0]?.offset, at + 1);
    assert.equal(elfnoteHere(['dump', files.file]).status, 2);
    writeFileSync(files.file, bytes.subarray(0, 100));
    assert.equal(states(files).state, 'malformed');
  });

  test('fresh that patchelf would write, with elements that help no loader; useless where no other are in it', t => {
    const files = noted(t, 'runtime-dirs');
    elfnoteHereOk(['build-cache', '-q', '--like-patchelf', '--root', files.root, files.file]);
    assert.match(elfnoteHere(['dump', files.file]).stdout, /^ +\? \/run\/opengl-driver\/lib/m);
    assertState(states(files), 'useless', 0, 0);
    const file = join(files.dir, 'tree/origin');
    copyFileSync(join(FIXTURES, 'kinds/bin/origin'), file);
    elfnoteHereOk(['build-cache', '-q', '--like-patchelf', '--root', files.root, file]);
    assertState(states({ ...files, file }), 'fresh', 0, 0);
    const { root } = files;
    const [{ action } = {}] = jsonLines(
      elfnoteHereOk(['build-cache', '--json', '-n', '--root', root, file]).stdout,
    );
    assert.equal(action, 'planned');
  });

  test('useless that a patched loader never gets to, behind DT_RPATH; not so with the audit module', t => {
    const files = noted(t, 'rpath');
    assertState(states(files), 'useless', 0, 0);
    assertState(states(files, '--with', 'audit'), 'fresh', 0, 0);
    copyFileSync(join(FIXTURES, 'kinds/rpath'), files.file);
    assertState(states(files, '--require'), 'none', 0, 1);
    assertState(states(files, '--require', '--with', 'audit'), 'missing', 1, 1);
  });
});

describe('a walk', () => {
  test('tells problems by their kind with what to do, then counts; -v names the rest, -q nothing', t => {
    const { dir, root, file } = noted(t);
    for (const kind of ['pie-lld', 'static', 'norunpath']) {
      copyFileSync(join(FIXTURES, 'kinds', kind), join(dir, 'tree', kind));
    }
    rmSync(join(root, GREET, 'libgreet.so.1'));
    const verify = (...flags: string[]): RunResult =>
      elfnoteHere(['verify', '--root', root, ...flags, join(dir, 'tree')]);
    const { status, stdout, stderr } = verify();
    assert.deepEqual([status, stderr], [1, '']);
    assert.equal(
      stdout,
      [
        'absent: a recorded path is gone, and the loader searches for it; run `elfnote build-cache` again',
        `  ${file}`,
        `    libgreet.so.1: /${GREET}/libgreet.so.1: not there`,
        '',
        'missing: there is no note, and `elfnote build-cache` would write one',
        `  ${join(dir, 'tree/pie-lld')}: build-cache would record 1 library`,
        '',
        '4 files: 1 absent, 1 missing, 2 without need of a note',
        '',
      ].join('\n'),
    );
    assert.match(verify('-v').stdout, /^.*norunpath: needs none: has no run path\n.*static: needs none: /);
    assert.equal(verify('-q').stdout, '');
    assert.equal(verify('-q').status, 1);
    assert.match(verify('--exclude', 'pie-*').stdout, /^2 files: 2 without need of a note\n$/);
  });

  test('counts in JSON every state, also those that no file has', t => {
    const { root, file } = noted(t);
    const [, summary] = jsonLines(elfnoteHereOk(['verify', '--json', '--root', root, file]).stdout);
    assert.deepEqual(objectIn({ summary }, 'summary'), {
      schema: 'elfnote/1',
      type: 'summary',
      files: 1,
      fresh: 1,
      malformed: 0,
      absent: 0,
      stale: 0,
      missing: 0,
      foreign: 0,
      useless: 0,
      none: 0,
      failed: 0,
    });
  });

  test('writes nothing and changes no time', t => {
    const { root, file } = noted(t, 'pie-lld');
    const before = statSync(file, { bigint: true });
    rmSync(join(root, GREET), { recursive: true });
    elfnoteHere(['verify', '--root', root, file]);
    const after = statSync(file, { bigint: true });
    assert.deepEqual([after.ino, after.mtimeNs, after.ctimeNs], [before.ino, before.mtimeNs, before.ctimeNs]);
  });
});

describe('a file that cannot be verified', () => {
  test('is status 2 alone, 1 beside others, and nothing in a tree', t => {
    const { dir, root, file } = noted(t);
    const text = join(dir, 'tree/text');
    writeFileSync(text, 'text\n');
    const verify = (...paths: string[]) => elfnoteHere(['verify', '--root', root, ...paths]);
    assert.equal(verify(text).status, 2);
    assert.equal(verify(text).stderr, `elfnote: ${text}: is not an ELF file\n`);
    assert.equal(verify(text, file).status, 1);
    assert.equal(verify(join(dir, 'tree')).status, 0);
    assert.equal(verify(join(dir, 'gone')).status, 2);
    assert.match(verify().stderr, /^elfnote: name a file or directory, or --files-from\n$/);
  });
});

describe('the library', () => {
  test('verifies a file, and a tree', async t => {
    const { root, file, dir } = noted(t);
    const one = library.verifyFile(file, { root });
    assert.deepEqual(one, { path: file, state: 'fresh', findings: [] });
    const all: string[][] = [];
    for await (const { path, state } of library.verifyTree([join(dir, 'tree'), join(dir, 'gone')], {
      root,
    })) {
      all.push([path, state]);
    }
    assert.deepEqual(all, [
      [file, 'fresh'],
      [join(dir, 'gone'), 'failed'],
    ]);
  });
});
