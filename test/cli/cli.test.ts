import assert from 'node:assert/strict';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import {
  elfnoteAsNobody,
  FIXTURES,
  isObject,
  jsonLines,
  listIn,
  needsNobody,
  numberIn,
  objectIn,
  PROJECT,
  ROOT,
  type RunResult,
  run,
  runOk,
} from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { dumpJson, entriesOf } from '../support/dump.js';
import { architecture } from '../support/programs.js';
import { sharedDir, suiteScope, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

const GREET = '/nix/store/v1v4v3fhk4j3y12dzxran4y6d6gq8vq2-libgreet-x86_64/lib';
const NAME = '/nix/store/ihir73skm2v4yqwz2jn1sv88h830nkj0-libname-x86_64/lib';
const EXPECTED = [`libgreet.so.1: =${GREET}/libgreet.so.1`, `libname.so.2: =${NAME}/libname.so.2`];

/** A copy of a file of fixtures/kinds that may be written to. */
function kind(t: TestContext, name: string, as = name): string {
  const file = join(tempDir(t), as);
  copyFileSync(join(FIXTURES, 'kinds', name), file);
  return file;
}

/** The only thing on standard error is one line that says what is wrong with this file. */
function assertOneError({ stderr }: RunResult, path: string, what: RegExp): void {
  const start = `elfnote: ${path}: `;
  assert.ok(stderr.startsWith(start), stderr);
  assert.equal(stderr.split('\n').length, 2, stderr);
  assert.match(stderr.slice(start.length), what);
}

describe('build-cache exits with', () => {
  test('2 for a named file that is not ELF', t => {
    const file = join(tempDir(t), 'text');
    writeFileSync(file, 'not ELF\n');
    const result = elfnoteHere(['build-cache', file]);
    assert.equal(result.status, 2);
    assertOneError(result, file, /^is not an ELF file\n$/);
    assert.equal(result.stdout, '');
  });

  test('2 for a named file that is empty, and for one that is no regular file', t => {
    const dir = tempDir(t);
    const empty = join(dir, 'empty');
    writeFileSync(empty, '');
    const result = elfnoteHere(['build-cache', empty]);
    assert.equal(result.status, 2);
    assertOneError(result, empty, /^is not an ELF file\n$/);
    const pipe = join(dir, 'pipe');
    runOk('mkfifo', [pipe]);
    const fifo = elfnoteHere(['build-cache', pipe]);
    assert.equal(fifo.status, 2);
    assertOneError(fifo, pipe, /^is not a regular file\n$/);
  });

  test('0 when a walk finds a file that is not ELF, which -v names', t => {
    const dir = tempDir(t);
    writeFileSync(join(dir, 'text'), 'not ELF\n');
    writeFileSync(join(dir, 'empty'), '');
    const quiet = elfnoteHere(['build-cache', dir]);
    assert.deepEqual([quiet.status, quiet.stderr], [0, '']);
    assert.equal(quiet.stdout, '2 files; 2 skipped\n  skipped  2 not ELF\n');
    const verbose = elfnoteHereOk(['build-cache', '-v', dir]);
    assert.ok(verbose.stdout.startsWith(`${join(dir, 'empty')}: skipped: is not an ELF file\n`));
  });

  const NOTHING_TO_DO = {
    static: /is statically linked: it has no dynamic section/,
    'relocatable.o': /is an object file \(ET_REL\)/,
    'noneeded.so': /needs no library \(no DT_NEEDED\)/,
    norunpath: /has no run path/,
    debugonly: /is a separate debug file: its dynamic section has no content/,
  };
  for (const [name, reason] of Object.entries(NOTHING_TO_DO)) {
    test(`0 and a named reason for ${name}, which stays as it is`, t => {
      const file = kind(t, name);
      const bytes = readFileSync(file);
      const result = elfnoteHere(['build-cache', '--root', ROOT, file]);
      assert.deepEqual([result.status, result.stderr], [0, '']);
      assert.ok(result.stdout.startsWith(`${file}: skipped: `));
      assert.match(result.stdout, reason);
      assert.ok(readFileSync(file).equals(bytes));
    });
  }

  test('0 for a core file', t => {
    const file = kind(t, 'relocatable.o', 'core');
    const bytes = readFileSync(file);
    bytes.writeUInt16LE(4, 16);
    writeFileSync(file, bytes);
    const result = elfnoteHere(['build-cache', file]);
    assert.deepEqual([result.status, result.stderr], [0, '']);
    assert.equal(result.stdout, `${file}: skipped: is a core file (ET_CORE)\n`);
  });

  test('0 for a file of which nothing resolves, with the reason', t => {
    const file = kind(t, 'pie-bfd');
    for (const dir of [GREET, NAME]) mkdirSync(join(file, '..', dir), { recursive: true });
    const result = elfnoteHere(['build-cache', '--root', join(file, '..'), file]);
    assert.deepEqual([result.status, result.stderr], [0, '']);
    assert.equal(result.stdout, `${file}: skipped: no soname was found over the run path\n`);
  });

  test('1 with --strict for an unresolved soname, and the file is unchanged', t => {
    const file = kind(t, 'pie-bfd');
    const [bytes, { mtimeMs }] = [readFileSync(file), statSync(file)];
    const result = elfnoteHere(['build-cache', '--strict', '--root', ROOT, file]);
    assert.equal(result.status, 1);
    assertOneError(result, file, /^not found over the run path: libc\.so\.6\n$/);
    assert.ok(readFileSync(file).equals(bytes));
    assert.equal(statSync(file).mtimeMs, mtimeMs);
    assert.equal(elfnoteHere(['build-cache', '--root', ROOT, file]).status, 0, 'without --strict it is none');
  });

  test('1 for a file that does not exist, where other files are done', t => {
    const file = kind(t, 'pie-bfd');
    const missing = join(file, '../missing');
    assert.equal(elfnoteHere(['build-cache', missing]).status, 2);
    const result = elfnoteHere(['build-cache', '--root', ROOT, missing, file]);
    assert.equal(result.status, 1);
    assertOneError(result, missing, /^cannot open: no such file or directory\n$/);
    assert.deepEqual(entriesOf(file), EXPECTED);
  });

  test('2 for a file that may not be read', { skip: needsNobody() }, t => {
    const file = join(sharedDir(t), 'pie-bfd');
    copyFileSync(join(FIXTURES, 'kinds/pie-bfd'), file);
    chmodSync(file, 0o600);
    const result = elfnoteAsNobody(['build-cache', '--root', ROOT, file]);
    assert.equal(result.status, 2);
    assertOneError(result, file, /^cannot open: permission denied\n$/);
  });

  test('1 when a walk cannot look into a directory, and the rest is done', {
    skip: needsNobody(),
  }, t => {
    const dir = sharedDir(t);
    mkdirSync(join(dir, 'closed'), { mode: 0o700 });
    const result = elfnoteAsNobody(['build-cache', '--root', ROOT, dir]);
    assert.equal(result.status, 1);
    assertOneError(result, join(dir, 'closed'), /^cannot list: permission denied\n$/);
  });

  test('2 for a file that is malformed, with the offset', t => {
    const file = kind(t, 'pie-bfd');
    const bytes = readFileSync(file);
    bytes.writeUInt16LE(57, 54);
    writeFileSync(file, bytes);
    const result = elfnoteHere(['build-cache', '--root', ROOT, file]);
    assert.equal(result.status, 2);
    assertOneError(result, file, /^e_phentsize is 57, not 56 \(at offset 54\)\n$/);
  });

  test('1 for a malformed file in a walk, and the rest is done', t => {
    const file = kind(t, 'pie-bfd');
    const dir = join(file, '..');
    const bytes = readFileSync(file);
    bytes.writeUInt16LE(57, 54);
    writeFileSync(join(dir, 'broken'), bytes);
    const result = elfnoteHere(['build-cache', '--root', ROOT, dir]);
    assert.equal(result.status, 1);
    assertOneError(result, join(dir, 'broken'), /^e_phentsize is 57/);
    assert.deepEqual(entriesOf(file), EXPECTED);
    assert.match(result.stdout, /^2 files, 2 ELF; 1 written, 1 failed\n/);
  });

  const USAGE: Readonly<Record<string, readonly string[]>> = {
    'an option that there is not': ['build-cache', '--nonsense', 'file'],
    'an option without its value': ['build-cache', 'file', '--root'],
    'a log level that there is not': ['build-cache', '--log-level', 'loud', 'file'],
    'no path at all': ['build-cache'],
    'dump without a file': ['dump'],
    'a command that there is not': ['make-coffee'],
  };
  for (const [what, args] of Object.entries(USAGE)) {
    test(`2 for ${what}, with one line on standard error`, () => {
      const result = elfnoteHere(args);
      assert.equal(result.status, 2);
      assert.match(result.stderr, /^elfnote: [^\n]+\n$/);
      assert.equal(result.stdout, '');
    });
  }
});

describe('build-cache', () => {
  test('-n prints rung, edits with their reasons and entries, and changes neither bytes nor times', t => {
    const file = kind(t, 'pie-bfd');
    utimesSync(file, 1_000_000_000, 1_000_000_000);
    const [bytes, stats] = [readFileSync(file), statSync(file)];
    const brief = elfnoteHereOk(['build-cache', '-n', '--root', ROOT, file]);
    assert.match(
      brief.stdout,
      /^[^\n]*: note would be written: 2 found at once, 1 left to the loader \(libc\.so\.6\), \+\d+ bytes\n$/,
    );
    const { stdout, stderr } = elfnoteHereOk(['build-cache', '-n', '-v', '--root', ROOT, file]);
    assert.equal(stderr, '');
    assert.match(stdout, /: note would be written in slack, table [a-z-]+: 2 found at once, /);
    assert.match(stdout, /\n {2}step 1: \d+ bytes at offset \d+: the notes\n/);
    assert.match(stdout, /\n {2}step 3: \d+ bytes at offset 0: ELF header and program header table\n/);
    assert.ok(stdout.includes(`\n  libgreet.so.1\n    = ${GREET}/libgreet.so.1\n`));
    assert.ok(stdout.includes('\n  libc.so.6: left to the loader (not-found)\n'));
    assert.ok(readFileSync(file).equals(bytes));
    assert.deepEqual([statSync(file).mtimeMs, statSync(file).ino], [stats.mtimeMs, stats.ino]);
    assert.deepEqual(readdirSync(join(file, '..')), ['pie-bfd']);
  });

  test('-n --json prints edits that lead to the very bytes that a run writes', t => {
    const file = kind(t, 'pie-bfd');
    const [plan] = jsonLines(elfnoteHereOk(['build-cache', '-n', '--json', '--root', ROOT, file]).stdout);
    assert.ok(plan !== undefined);
    assert.equal(plan.action, 'planned');
    const expected = Buffer.alloc(numberIn(plan, 'size'));
    readFileSync(file).copy(expected);
    for (const edit of listIn(plan, 'edits')) {
      const bytes = Buffer.from(String(edit.bytes), 'hex');
      assert.equal(bytes.length, edit.length);
      assert.ok(typeof edit.why === 'string' && edit.why.length > 0);
      bytes.copy(expected, numberIn(edit, 'offset'));
    }
    const steps = listIn(plan, 'edits').map(edit => numberIn(edit, 'step'));
    assert.deepEqual(
      steps,
      steps.toSorted((a, b) => a - b),
    );
    elfnoteHereOk(['build-cache', '--root', ROOT, file]);
    assert.ok(readFileSync(file).equals(expected));
  });

  test('--json prints one object a file with the documented fields, then a summary', t => {
    const file = kind(t, 'pie-bfd');
    const dir = join(file, '..');
    copyFileSync(join(FIXTURES, 'kinds/static'), join(dir, 'static'));
    writeFileSync(join(dir, 'text'), 'text');
    const { stdout } = elfnoteHereOk(['build-cache', '--json', '--root', ROOT, dir]);
    const [program, skipped, text, summary, ...more] = jsonLines(stdout);
    assert.deepEqual(more, []);
    assert.ok(program !== undefined && skipped !== undefined && text !== undefined && summary !== undefined);

    assert.deepEqual(
      ['schema', 'type', 'path', 'action'].map(name => program[name]),
      ['elfnote/1', 'file', file, 'written'],
    );
    assert.equal(objectIn(program, 'rung').note, 'slack');
    assert.equal(numberIn(program, 'size'), statSync(file).size);
    assert.equal(
      numberIn(program, 'bytesAdded'),
      statSync(file).size - statSync(join(FIXTURES, 'kinds/pie-bfd')).size,
    );
    assert.deepEqual([program.addedSegments, program.hasSection, program.lost], [0, true, []]);
    assert.equal(program.runPath, 'DT_RUNPATH');
    assert.ok(!('edits' in program), 'only a plan shows edits');
    assert.deepEqual(listIn(program, 'entries'), [
      {
        soname: 'libgreet.so.1',
        elements: [`=${GREET}/libgreet.so.1`],
        attempts: [
          { directory: GREET, outcome: 'recorded', why: '' },
          { directory: NAME, outcome: 'passed-over', why: 'not there' },
        ],
      },
      {
        soname: 'libname.so.2',
        elements: [`=${NAME}/libname.so.2`],
        attempts: [
          { directory: GREET, outcome: 'passed-over', why: 'not there' },
          { directory: NAME, outcome: 'recorded', why: '' },
        ],
      },
    ]);
    const [unresolved] = listIn(program, 'unresolved');
    assert.deepEqual([unresolved?.soname, unresolved?.why], ['libc.so.6', 'not-found']);
    assert.deepEqual(
      [program.foundAtOnce, program.searched, program.leftToLoader, program.leftSonames],
      [2, 0, 1, ['libc.so.6']],
    );
    assert.deepEqual(program.warnings, []);

    assert.deepEqual([skipped.action, skipped.reason], ['skipped', 'static']);
    assert.equal(typeof skipped.detail, 'string');
    assert.deepEqual([text.action, text.reason], ['skipped', 'not-elf']);

    assert.deepEqual(summary, {
      schema: 'elfnote/1',
      type: 'summary',
      files: 3,
      elf: 2,
      written: 1,
      removed: 0,
      upToDate: 0,
      failed: 0,
      failedBy: {},
      behindRpath: 0,
      skipped: { static: 1, 'not-elf': 1 },
      foundAtOnce: 2,
      searched: 0,
      leftToLoader: 1,
      onSystem: 0,
      bytesAdded: program.bytesAdded,
      addedSegments: 0,
      withoutSection: 0,
      dryRun: false,
      stopped: null,
      leftSonames: [{ soname: 'libc.so.6', files: 1 }],
    });
  });

  test('--json prints an object with an error for a file that failed, and the line on standard error', t => {
    const file = join(tempDir(t), 'text');
    writeFileSync(file, 'text');
    const result = elfnoteHere(['build-cache', '--json', file]);
    assert.equal(result.status, 2);
    assertOneError(result, file, /^is not an ELF file\n$/);
    const [failed, summary] = jsonLines(result.stdout);
    assert.deepEqual(
      [failed?.action, failed?.error],
      ['failed', { code: 'not-elf', message: 'is not an ELF file', offset: null, exitStatus: 2 }],
    );
    assert.equal(summary?.failed, 1);
  });

  test('logs to standard error: a warning for DT_RPATH, as text or as JSON', t => {
    const file = kind(t, 'rpath');
    const text = elfnoteHereOk(['build-cache', '-n', '--root', ROOT, file]);
    assert.match(text.stderr, /^elfnote: warning: [^\n]+: has DT_RPATH and no DT_RUNPATH: [^\n]+\n$/);
    assert.ok(!text.stdout.includes('DT_RPATH'));
    const json = elfnoteHereOk(['build-cache', '-n', '--log-format', 'json', '--root', ROOT, file]);
    const [line, ...more] = jsonLines(json.stderr);
    assert.deepEqual(more, []);
    assert.deepEqual([line?.level, line?.path], [40, file]);
    assert.match(String(line?.msg), /^has DT_RPATH and no DT_RUNPATH/);
    assert.equal(json.stdout, text.stdout);
  });

  test('--log-format json prints an error as JSON too', t => {
    const file = join(tempDir(t), 'text');
    writeFileSync(file, 'text');
    const result = elfnoteHere(['build-cache', '--log-format', 'json', file]);
    assert.equal(result.status, 2);
    const [line] = jsonLines(result.stderr);
    assert.deepEqual(
      [line?.level, line?.path, line?.msg, line?.code],
      [50, file, 'is not an ELF file', 'not-elf'],
    );
  });

  test('--log-level error keeps warnings back', t => {
    const file = kind(t, 'rpath');
    assert.equal(elfnoteHereOk(['build-cache', '--log-level', 'error', '--root', ROOT, file]).stderr, '');
  });

  test('-q prints nothing but errors', t => {
    const file = kind(t, 'rpath');
    const done = elfnoteHereOk(['build-cache', '-q', '--root', ROOT, file]);
    assert.deepEqual([done.stdout, done.stderr], ['', '']);
    assert.deepEqual(entriesOf(file), EXPECTED);
    const text = join(file, '../text');
    writeFileSync(text, 'text');
    const failed = elfnoteHere(['build-cache', '-q', text]);
    assert.deepEqual([failed.status, failed.stdout], [2, '']);
    assertOneError(failed, text, /^is not an ELF file\n$/);
  });

  test('-v names what a walk leaves alone, which is silent without it', t => {
    const file = kind(t, 'static');
    const dir = join(file, '..');
    const { stdout } = elfnoteHereOk(['build-cache', dir]);
    assert.equal(stdout, '1 file, 1 ELF; 1 skipped\n  skipped  1 static\n', 'the summary alone');
    assert.match(elfnoteHereOk(['build-cache', '-v', dir]).stdout, /static: skipped: is statically linked/);
  });

  test('walks directories without following links, and takes a file that is named twice once', t => {
    const file = kind(t, 'pie-bfd');
    const dir = join(file, '..');
    const elsewhere = kind(t, 'pie-gold');
    symlinkSync(elsewhere, join(dir, 'link'));
    symlinkSync(join(elsewhere, '..'), join(dir, 'linked-directory'));
    const before = readFileSync(elsewhere);
    const outcomes = jsonLines(
      elfnoteHereOk(['build-cache', '--json', '--root', ROOT, dir, dir, file]).stdout,
    );
    assert.deepEqual(
      outcomes.filter(({ type }) => type === 'file').map(({ path }) => path),
      [file],
    );
    assert.ok(readFileSync(elsewhere).equals(before));
  });

  test('keeps a name with control characters on one line', t => {
    const file = join(tempDir(t), 'new\nline\u001b[31m');
    writeFileSync(file, 'text');
    const result = elfnoteHere(['build-cache', file]);
    assert.equal(result.status, 2);
    assertOneError(result, file.replace('\n', '\\x0a').replace('\u001b', '\\x1b'), /^is not an ELF file\n$/);
  });
});

describe('--root', () => {
  test('looks run paths up below it and records them without it', t => {
    const file = kind(t, 'pie-bfd');
    elfnoteHereOk(['build-cache', '--root', ROOT, file]);
    assert.deepEqual(entriesOf(file, '--root', ROOT), EXPECTED);
  });

  test('follows absolute symbolic links inside it, and never out of it', t => {
    const file = kind(t, 'pie-bfd');
    const root = join(file, '../root');
    mkdirSync(join(root, GREET), { recursive: true });
    mkdirSync(join(root, '/nix/store/real'), { recursive: true });
    mkdirSync(join(root, NAME, '..'), { recursive: true });
    const x86 = architecture('x86_64');
    const [greet = '', name = ''] = x86.libraries;
    // Inside: the directory of libname is an absolute link. Out of it: libgreet is one to where only `/` has it.
    copyFileSync(join(ROOT, name), join(root, '/nix/store/real/libname.so.2'));
    symlinkSync('/nix/store/real', join(root, NAME));
    symlinkSync(join(ROOT, greet), join(root, GREET, 'libgreet.so.1'));
    elfnoteHereOk(['build-cache', '--root', root, file]);
    assert.deepEqual(entriesOf(file), [EXPECTED[1]]);
  });
});

describe('--store-dir', () => {
  const elements =
    (...args: readonly string[]) =>
    (t: TestContext, env: Readonly<Record<string, string>> = {}) => {
      const file = kind(t, 'pie-bfd');
      elfnoteHereOk(['build-cache', '--root', ROOT, ...args, file], { env });
      return entriesOf(file);
    };
  /** A directory that may change is left to the loader for every soname that it does not hold. */
  const MUTABLE = [`libgreet.so.1: =${GREET}/libgreet.so.1`, `libname.so.2: ?${GREET} =${NAME}/libname.so.2`];

  test('in which the run path lies: an absent soname is recorded for none of its directories', t => {
    assert.deepEqual(elements('--store-dir', '/nix/store')(t), EXPECTED);
  });

  test('in which the run path does not lie: its directories are hints for absent sonames', t => {
    assert.deepEqual(elements('--store-dir', '/gnu/store')(t), MUTABLE);
  });

  test('with --like-patchelf also where that helps no loader', t => {
    assert.deepEqual(elements('--store-dir', '/gnu/store', '--like-patchelf')(t), [
      `libc.so.6: ?${GREET} ?${NAME}`,
      `libgreet.so.1: =${GREET}/libgreet.so.1 ?${NAME}`,
      `libname.so.2: ?${GREET} =${NAME}/libname.so.2`,
    ]);
  });

  test('a note with more than helps is renewed, or taken out where nothing helps', t => {
    const like = (name: string, as: string) => {
      const file = kind(t, name, as);
      elfnoteHereOk(['build-cache', '--root', ROOT, '--like-patchelf', file]);
      return file;
    };
    const origin = like('bin/origin', 'origin');
    assert.deepEqual(entriesOf(origin).length, 3);
    assert.match(
      elfnoteHereOk(['build-cache', '--root', ROOT, origin]).stdout,
      /: note written: 2 searched, 1 left to the loader \(libc\.so\.6\), /,
    );
    assert.deepEqual(entriesOf(origin), [
      `libgreet.so.1: ?$ORIGIN/../lib =${GREET}/libgreet.so.1`,
      `libname.so.2: ?$ORIGIN/../lib =${NAME}/libname.so.2`,
    ]);
    const runtime = like('runtime-dirs', 'runtime-dirs');
    const { stdout } = elfnoteHereOk(['build-cache', '--root', ROOT, runtime]);
    assert.match(stdout, /: old note removed, nothing to gain, -\d+ bytes\n$/);
    assert.ok(readFileSync(runtime).equals(readFileSync(join(FIXTURES, 'kinds/runtime-dirs'))));
    const again = elfnoteHereOk(['build-cache', '--json', '--root', ROOT, runtime]);
    assert.equal(jsonLines(again.stdout)[0]?.reason, 'nothing-to-gain');
  });

  test('may be given more than once', t => {
    assert.deepEqual(elements('--store-dir', '/gnu/store', '--store-dir', '/nix/store')(t), EXPECTED);
  });

  test('is taken from NIX_STORE when it is not given, and not when it is', t => {
    assert.deepEqual(elements()(t, { NIX_STORE: '/gnu/store' }), MUTABLE);
    assert.deepEqual(elements('--store-dir', '/nix/store')(t, { NIX_STORE: '/gnu/store' }), EXPECTED);
    assert.deepEqual(elements()(t, { NIX_STORE: '' }), EXPECTED);
  });
});

describe('--output', () => {
  test('leaves the input alone and gives the output its mode', t => {
    const file = kind(t, 'pie-bfd');
    chmodSync(file, 0o751);
    const before = readFileSync(file);
    const output = join(file, '../output');
    const { stdout } = elfnoteHereOk(['build-cache', '--root', ROOT, '-o', output, file]);
    assert.match(stdout, /: note written: /);
    assert.ok(readFileSync(file).equals(before));
    assert.equal(statSync(output).mode & 0o7777, 0o751);
    assert.deepEqual(entriesOf(output), EXPECTED);
    elfnoteHereOk(['build-cache', '--root', ROOT, file]);
    assert.ok(readFileSync(file).equals(readFileSync(output)), 'it is what an edit in place gives');
    assert.deepEqual(readdirSync(join(file, '..')).sort(), ['output', 'pie-bfd']);
  });

  test('replaces a file that is there', t => {
    const file = kind(t, 'pie-bfd');
    const output = join(file, '../output');
    writeFileSync(output, 'old');
    elfnoteHereOk(['build-cache', '--root', ROOT, '-o', output, file]);
    assert.deepEqual(entriesOf(output), EXPECTED);
  });

  test('gets a copy of a file that is skipped, and of one that is up to date', t => {
    const skipped = kind(t, 'static');
    const output = join(skipped, '../output');
    elfnoteHereOk(['build-cache', '-o', output, skipped]);
    assert.ok(readFileSync(output).equals(readFileSync(skipped)));
    assert.equal(statSync(output).mode, statSync(skipped).mode);
    const done = kind(t, 'pie-bfd');
    elfnoteHereOk(['build-cache', '--root', ROOT, done]);
    assert.match(
      elfnoteHereOk(['build-cache', '--root', ROOT, '-o', output, done]).stdout,
      /: up to date: 2 found at once, .*\n$/,
    );
    assert.ok(readFileSync(output).equals(readFileSync(done)));
  });

  test('refuses several inputs and a directory, and writes nothing', t => {
    const file = kind(t, 'pie-bfd');
    const other = kind(t, 'pie-gold');
    const output = join(file, '../output');
    for (const inputs of [[file, other], [join(file, '..')]]) {
      const result = elfnoteHere(['build-cache', '--root', ROOT, '-o', output, ...inputs]);
      assert.equal(result.status, 2);
      assert.equal(result.stderr, 'elfnote: --output takes exactly one input file\n');
      assert.equal(existsSync(output), false);
    }
  });

  test('that is the input itself changes it, as a call without it does', t => {
    const file = kind(t, 'pie-bfd');
    const link = join(file, '../link');
    symlinkSync(file, link);
    elfnoteHereOk(['build-cache', '--root', ROOT, '-o', link, file]);
    assert.ok(lstatSync(link).isSymbolicLink());
    assert.deepEqual(entriesOf(file), EXPECTED);
  });

  test('is not written by a dry run, nor for a file that fails', t => {
    const file = kind(t, 'pie-bfd');
    const output = join(file, '../output');
    elfnoteHereOk(['build-cache', '-n', '--root', ROOT, '-o', output, file]);
    assert.equal(elfnoteHere(['build-cache', '--strict', '--root', ROOT, '-o', output, file]).status, 1);
    assert.deepEqual(readdirSync(join(file, '..')), ['pie-bfd']);
  });

  test('in a directory that is not there fails with one line', t => {
    const file = kind(t, 'pie-bfd');
    const output = join(file, '../none/output');
    const result = elfnoteHere(['build-cache', '--root', ROOT, '-o', output, file]);
    assert.equal(result.status, 1);
    const why = /^[^\n]*none\/output: cannot write a copy beside it: no such file or directory\n$/;
    assertOneError(result, file, why);
  });
});

describe('dump', () => {
  const scope = suiteScope();
  let file = '';
  before(() => {
    file = join(tempDir(scope), 'pie-bfd');
    copyFileSync(join(FIXTURES, 'kinds/pie-bfd'), file);
    elfnoteHereOk(['build-cache', '--root', ROOT, file]);
  });

  test('exits with 1 for a file without a note, and says so', () => {
    const plain = join(FIXTURES, 'kinds/pie-bfd');
    const result = elfnoteHere(['dump', plain]);
    assert.deepEqual([result.status, result.stdout], [1, `${plain}: has no cache note\n`]);
    const [json] = jsonLines(elfnoteHere(['dump', '--json', plain]).stdout);
    assert.deepEqual([json?.path, json?.note], [plain, null]);
    const raw = elfnoteHere(['dump', '--raw', plain]);
    assert.deepEqual([raw.status, raw.stdout], [1, '']);
    assertOneError(raw, plain, /^has no cache note\n$/);
  });

  test('exits with 2 for a file that is not ELF, not there or malformed', t => {
    const text = join(tempDir(t), 'text');
    writeFileSync(text, 'text');
    const result = elfnoteHere(['dump', text]);
    assert.equal(result.status, 2);
    assertOneError(result, text, /^is not an ELF file\n$/);
    assert.equal(elfnoteHere(['dump', join(text, '../missing')]).status, 2);
  });

  test('exits with the worst status of all files, and prints each', () => {
    const plain = join(FIXTURES, 'kinds/pie-bfd');
    const result = elfnoteHere(['dump', file, plain]);
    assert.equal(result.status, 1);
    assert.ok(result.stdout.includes(`${file}: cache note of `));
    assert.ok(result.stdout.includes(`${plain}: has no cache note\n`));
  });

  test('says what the machine has for each path now, with --root and without', () => {
    const inRoot = elfnoteHereOk(['dump', '--root', ROOT, file]).stdout;
    assert.ok(inRoot.includes(`    = ${GREET}/libgreet.so.1  (there, and acceptable)\n`));
    const states = (...args: readonly string[]) =>
      listIn(objectIn(dumpJson(file, ...args), 'note'), 'entries').flatMap(entry =>
        listIn(entry, 'elements').map(({ state, why }) => [state, why]),
      );
    assert.deepEqual(states('--root', ROOT), [
      ['accepted', ''],
      ['accepted', ''],
    ]);
    assert.deepEqual(states('--root', join(file, '..')), [
      ['passed-over', 'not there'],
      ['passed-over', 'not there'],
    ]);
  });

  test('--json says where the note stands, and readelf agrees', { skip: needs('readelf') }, () => {
    const note = objectIn(dumpJson(file), 'note');
    const section = objectIn(note, 'section');
    assert.equal(section.name, '.note.nixos.ldcache');
    const line = run('readelf', ['-SW', file])
      .stdout.split('\n')
      .find(text => text.includes('.note.nixos.ldcache'));
    const [index, , , address, offset, size] = (line ?? '').replaceAll(/[[\]]/g, ' ').trim().split(/\s+/);
    assert.deepEqual(
      [section.index, note.address, note.offset],
      [Number(index), ...[address, offset].map(text => Number.parseInt(text ?? '', 16))],
    );
    const behind = run('readelf', ['-nW', file]).stdout.match(/^ +elfnote +0x([0-9a-f]+)/m);
    const record = 20 + Math.ceil(Number.parseInt(behind?.[1] ?? '', 16) / 4) * 4;
    assert.equal(
      numberIn(note, 'size') + record,
      Number.parseInt(size ?? '', 16),
      'the undo record is behind it',
    );
    assert.equal(numberIn(note, 'size'), 20 + Math.ceil(numberIn(note, 'descriptorSize') / 4) * 4);
  });

  test('--raw writes the very bytes of the descriptor, which split into the entries', () => {
    const { output } = elfnoteHereOk(['dump', '--raw', file]);
    const note = objectIn(dumpJson(file), 'note');
    const start = numberIn(note, 'offset') + 20;
    assert.ok(output.equals(readFileSync(file).subarray(start, start + numberIn(note, 'descriptorSize'))));
    assert.deepEqual(output.toString('latin1').split('\0'), [
      'libgreet.so.1',
      `=${GREET}/libgreet.so.1`,
      'libname.so.2',
      `=${NAME}/libname.so.2`,
      '',
      '',
    ]);
  });
});

interface NotePlace {
  /** File offsets. */
  readonly header: number;
  readonly descriptor: number;
  readonly size: number;
  /** Of the `PT_NOTE`'s entry in the program header table. */
  readonly segment: number;
}

interface Malformed {
  readonly edit: (bytes: Buffer, note: NotePlace) => void;
  readonly message: RegExp;
  /** File offset that the error names. */
  readonly at: (note: NotePlace) => number;
}

const atHeader = (note: NotePlace) => note.header;
const atDescriptor = (note: NotePlace) => note.descriptor;

/** Puts another descriptor in the place of the note's, with a last path that fills it up. */
function replaceDescriptor(head: string, length?: (note: NotePlace) => number): Malformed['edit'] {
  return (bytes, note) => {
    const size = length?.(note) ?? note.size;
    const text = `${head}${'x'.repeat(size - head.length - 2)}\0\0`;
    bytes.write(text, note.descriptor, 'latin1');
    bytes.writeUInt32LE(size, note.header + 4);
  };
}

/** What the loader's readers reject (FL section 1), each made by changing bytes of a sound file. */
const MALFORMED: Readonly<Record<string, Malformed>> = {
  'no NUL at its end': {
    edit: (bytes, note) => bytes.write('x', note.descriptor + note.size - 1),
    message: /^the descriptor does not end with two NUL bytes/,
    at: note => note.descriptor + note.size - 2,
  },
  'one NUL at its end': {
    edit: (bytes, note) => bytes.write('x', note.descriptor + note.size - 2),
    message: /^the descriptor does not end with two NUL bytes/,
    at: note => note.descriptor + note.size - 2,
  },
  'a descriptor of one byte': {
    edit: (bytes, note) => {
      bytes.fill(0, note.descriptor, note.descriptor + note.size);
      bytes.writeUInt32LE(1, note.header + 4);
    },
    message: /^the descriptor has 1 bytes, fewer than two/,
    at: atDescriptor,
  },
  'an empty descriptor': {
    edit: (bytes, note) => {
      bytes.fill(0, note.descriptor, note.descriptor + note.size);
      bytes.writeUInt32LE(0, note.header + 4);
    },
    message: /^the descriptor has 0 bytes, fewer than two/,
    at: atDescriptor,
  },
  'a descriptor that leaves its segment': {
    edit: (bytes, note) => bytes.writeUInt32LE(0x7fffffff, note.header + 4),
    message: /^the cache note's descriptor of 2147483647 bytes reaches beyond its segment/,
    at: note => note.header + 4,
  },
  'an element without = or ?': {
    edit: replaceDescriptor('a\0=/x\0b\0/y'),
    message: /^a path-list element starts with neither '=' nor '\?'/,
    at: note => note.descriptor + 8,
  },
  'an empty element': {
    edit: replaceDescriptor('a\0=/x::=/y'),
    message: /^a path-list element starts with neither '=' nor '\?'/,
    at: note => note.descriptor + 6,
  },
  'a path that is not absolute': {
    edit: replaceDescriptor('a\0=x'),
    message: /^a path-list element names a path that is not absolute/,
    at: note => note.descriptor + 2,
  },
  'an empty soname': {
    edit: replaceDescriptor('\0=/x'),
    message: /^a soname is empty/,
    at: atDescriptor,
  },
  'an empty path-list': {
    edit: replaceDescriptor('a\0\0b\0=/x'),
    message: /^a path-list is empty/,
    at: note => note.descriptor + 2,
  },
  'a soname without path-list': {
    edit: replaceDescriptor('a\0=/x\0b'),
    message: /^a soname has no path-list/,
    at: note => note.descriptor + 6,
  },
  'sonames out of order': {
    edit: replaceDescriptor('b\0=/x\0a\0=/y'),
    message: /^the sonames are not sorted/,
    at: note => note.descriptor + 6,
  },
  'a soname that stands twice': {
    edit: replaceDescriptor('a\0=/x\0a\0=/y'),
    message: /^a soname stands twice/,
    at: note => note.descriptor + 6,
  },
  'padding that is not zero': {
    edit: (bytes, note) => {
      replaceDescriptor('a\0=/x', ({ size }) => size - 3)(bytes, note);
      bytes.fill(0, note.descriptor + note.size - 3, note.descriptor + note.size);
      bytes.write('x', note.descriptor + note.size - 2);
    },
    message: /^the padding behind the descriptor is not zero/,
    at: note => note.descriptor + note.size - 2,
  },
  'a segment aligned to 16': {
    edit: (bytes, note) => bytes.writeBigUInt64LE(16n, note.segment + 48),
    message: /^the PT_NOTE of the cache note has p_align 16, not 4/,
    at: atHeader,
  },
  'a segment aligned to 8': {
    edit: (bytes, note) => bytes.writeBigUInt64LE(8n, note.segment + 48),
    message: /p_align 8, not 4/,
    at: atHeader,
  },
  'an address at which it is not loaded': {
    edit: (bytes, note) => {
      bytes.writeBigUInt64LE(bytes.readBigUInt64LE(note.segment + 16) + 0x10000n, note.segment + 16);
    },
    message: /^the cache note does not lie inside one PT_LOAD/,
    at: atHeader,
  },
  'a section and no PT_NOTE': {
    edit: (bytes, note) => bytes.writeUInt32LE(0, note.segment),
    message: /^the cache note has a section and no PT_NOTE, so the loader cannot find it/,
    at: atHeader,
  },
  'a second cache note behind it': {
    edit: (bytes, note) => {
      const half = 40;
      const header = Buffer.from(bytes.subarray(note.header, note.descriptor));
      replaceDescriptor('a\0=/x', () => half)(bytes, note);
      const second = note.descriptor + half;
      header.copy(bytes, second);
      const rest = { ...note, header: second, descriptor: second + 20, size: note.size - half - 20 };
      replaceDescriptor('a\0=/y')(bytes, rest);
    },
    message: /^there is a second cache note/,
    at: note => note.descriptor + 40,
  },
};

describe('dump exits with 2 and names the offset for a note with', () => {
  const scope = suiteScope();
  let sound = Buffer.alloc(0);
  let place: NotePlace = { header: 0, descriptor: 0, size: 0, segment: 0 };

  before(() => {
    // It has no other note, so the cache note has a PT_NOTE to itself.
    const file = join(tempDir(scope), 'sound');
    copyFileSync(join(FIXTURES, 'kinds/libuse-nobuildid.so'), file);
    elfnoteHereOk(['build-cache', '--root', ROOT, file]);
    const note = objectIn(dumpJson(file), 'note');
    sound = readFileSync(file);
    const header = numberIn(note, 'offset');
    const segment = Number(sound.readBigUInt64LE(32)) + 56 * numberIn(note, 'segment');
    assert.equal(Number(sound.readBigUInt64LE(segment + 8)), header);
    place = { header, descriptor: header + 20, size: numberIn(note, 'descriptorSize'), segment };
  });

  for (const [what, { edit, message, at }] of Object.entries(MALFORMED)) {
    test(what, t => {
      const file = join(tempDir(t), 'malformed');
      const bytes = Buffer.from(sound);
      edit(bytes, place);
      writeFileSync(file, bytes);
      const result = elfnoteHere(['dump', file]);
      assert.equal(result.status, 2, result.stdout);
      assertOneError(result, file, message);
      assert.ok(result.stderr.endsWith(` (at offset ${at(place)})\n`), `${result.stderr} not ${at(place)}`);
      assert.equal(result.stdout, '');
      const json = elfnoteHere(['dump', '--json', file]);
      assert.equal(json.status, 2);
      const [object] = jsonLines(json.stdout);
      assert.ok(object !== undefined && isObject(object.error));
      assert.deepEqual(
        [object.note, object.error.code, object.error.offset],
        [null, 'malformed-note', at(place)],
      );
    });
  }

  test('an element of 4,096 bytes or more', { skip: needs('gcc') }, t => {
    const dir = tempDir(t);
    const root = join(dir, 'root');
    const runPath = ['a', 'b'].map(letter => `/${[...Array(12)].map(() => letter.repeat(200)).join('/')}`);
    for (const place of runPath) {
      mkdirSync(join(root, place), { recursive: true });
      copyFileSync(join(ROOT, architecture('x86_64').libraries[0] ?? ''), join(root, place, 'libc.so.6'));
    }
    writeFileSync(join(dir, 'main.c'), 'int main(void) { return 0; }\n');
    const file = join(dir, 'main');
    runOk('gcc', [join(dir, 'main.c'), '-o', file, `-Wl,-rpath,${runPath.join(':')},--enable-new-dtags`]);
    elfnoteHereOk(['build-cache', '--root', root, file]);
    const { output } = elfnoteHereOk(['dump', '--raw', file]);
    const bytes = readFileSync(file);
    const start = bytes.lastIndexOf(output);
    // The `:` between two elements of 2,422 bytes each goes, and they are one.
    bytes.write('x', start + output.indexOf(':'));
    writeFileSync(file, bytes);
    const result = elfnoteHere(['dump', file]);
    assert.equal(result.status, 2);
    assertOneError(result, file, /^a path-list element has \d{4} bytes; the loader skips it/);
    assert.ok(result.stderr.endsWith(` (at offset ${start + 'libc.so.6\0'.length})\n`));
  });

  test('build-cache replaces a malformed note by a sound one', t => {
    const file = join(tempDir(t), 'malformed');
    const bytes = Buffer.from(sound);
    bytes.write('x', place.descriptor + place.size - 1);
    writeFileSync(file, bytes);
    elfnoteHereOk(['build-cache', '--root', ROOT, file]);
    assert.deepEqual(entriesOf(file), EXPECTED);
  });
});

describe('help and version', () => {
  test('--version prints the version of package.json', () => {
    const parsed: unknown = JSON.parse(readFileSync(`${PROJECT}/package.json`, 'utf8'));
    assert.ok(isObject(parsed));
    assert.equal(elfnoteHereOk(['--version']).stdout, `${String(parsed.version)}\n`);
  });

  for (const command of [[], ['build-cache'], ['dump']]) {
    test(`${['elfnote', ...command].join(' ')} --help has an example and exits with 0`, () => {
      const { stdout, stderr } = elfnoteHereOk([...command, '--help']);
      assert.match(stdout, new RegExp(`\\nExample:\\n {2}\\$ elfnote ${command[0] ?? 'build-cache'} `));
      assert.equal(stderr, '');
    });
  }

  test('build-cache --help names every option', () => {
    const { stdout } = elfnoteHereOk(['build-cache', '--help']);
    const options = [
      '-n, --dry-run',
      '--json',
      '--root <dir>',
      '--store-dir <dir>',
      '-o, --output <file>',
      '--strict',
      '--report <file>',
      '--include <glob>',
      '--exclude <glob>',
      '--files-from <file>',
      '-0, --null',
      '--fail-fast',
      '--no-progress',
      '--force',
      '--preserve-dates',
      '-q, --quiet',
      '-v, --verbose',
      '--log-level <level>',
      '--log-format <format>',
    ];
    assert.deepEqual(
      options.filter(option => !stdout.includes(`\n  ${option}`)),
      [],
    );
  });
});
