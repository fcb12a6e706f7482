import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { Ajv } from 'ajv';
import { shellWord } from '../../src/cli/reports/trace-words.js';
import { BIN, type JsonObject, jsonLines, listIn, PROJECT, ROOT, run, runOk } from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { entriesOf } from '../support/dump.js';
import { needsTracing } from '../support/reader.js';
import { type Closure, closure, ReaderShop } from '../support/reader-shop.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs, toolPath } from '../support/tools.js';

const schema = new Ajv({ allErrors: true, allowUnionTypes: true }).compile(
  JSON.parse(readFileSync(join(PROJECT, 'docs/trace-schema.json'), 'utf8')),
);

/** The one object, as the schema has it. */
function json(args: readonly string[], status = 0): JsonObject {
  const result = elfnoteHere(['trace', '--json', ...args]);
  assert.equal(result.status, status, result.stderr);
  const [object] = jsonLines(result.stdout);
  assert.ok(object !== undefined);
  assert.ok(schema(object), JSON.stringify(schema.errors, null, 2));
  return object;
}

/** A machine without capabilities, whose loader searches the fewest subdirectories. */
const PLAIN = ['--loader', 'glibc-2.37', '--hwcaps', 'none'];

describe('elfnote trace', { skip: needsTracing('gcc') }, () => {
  const scope = suiteScope();
  let shop: ReaderShop;
  let files: Closure;
  before(() => {
    shop = new ReaderShop(tempDir(scope));
    files = closure(shop);
  });

  const text = (...args: readonly string[]) => elfnoteHereOk(['trace', ...PLAIN, ...args]).stdout.split('\n');
  const short = (lines: readonly string[]) => lines.map(line => line.replaceAll(`${shop.dir}/`, ''));

  test('says in one line what a person wants, then shows the tree', () => {
    const lines = short(text(files.program));
    assert.match(
      lines[0] ?? '',
      /^4 libraries, \d+ failing opens and \d failing stats?; with notes everywhere \d+$/,
    );
    const tree = lines.slice(2, lines.indexOf('', 2));
    const libc = / => .*\/libc\.so\.6 \[ld\.so\.cache\]$/;
    assert.deepEqual(
      tree.map(line => line.replace(libc, ' => libc [ld.so.cache]')),
      [
        'program',
        '├── libone.so.1 => one/libone.so.1 [runpath]',
        '│   └── libc.so.6 [loaded]',
        '├── libtwo.so.1 => two/libtwo.so.1 [runpath]',
        '│   ├── libthree.so.1 => three/libthree.so.1 [runpath]',
        '│   │   └── libc.so.6 [loaded]',
        '│   └── libc.so.6 [loaded]',
        '└── libc.so.6 => libc [ld.so.cache]',
        '    └── ld-linux-x86-64.so.2 [loaded]',
      ],
    );
  });

  test('--depth cuts the tree, --flat lists objects in the order of loading', () => {
    const cut = short(text('--depth', '1', files.program));
    assert.equal(cut.filter(line => /^(?:│ {3}| {4})*[├└]/.test(line)).length, 3);
    const flat = short(text('--flat', files.program)).slice(2, 6);
    assert.deepEqual(
      flat.map(line => line.split(' ')[0]),
      ['libone.so.1', 'libtwo.so.1', 'libc.so.6', 'libthree.so.1'],
    );
  });

  test('names the objects that cost most, and what to do', () => {
    const all = text(files.program).join('\n');
    assert.match(
      all,
      /\nWhat 2 objects ask for costs that; most of it:\n +\d+ opens, +\d+ stats {2}.*\/program\n/,
    );
    assert.match(
      all,
      /What to do:\n {2}notes save \d+ failing lookups; written into the program and its libraries by\n/,
    );
    for (const command of [
      'build-cache --closure-files --store-dir DIR',
      'build-cache --closure --store-dir DIR',
      'exec --',
    ])
      assert.ok(all.includes(`\n    elfnote ${command} ${files.program}\n`), command);
  });

  test('says what --system-libraries would save besides, and nothing of it where the notes have it', t => {
    const copy = join(tempDir(t), 'program');
    copyFileSync(files.program, copy);
    const saves = /^ {2}\d+ failing lookups are for libraries that the system has: --system-libraries lets$/m;
    assert.match(text(copy).join('\n'), saves);
    const store = ['--store-dir', shop.dir];
    elfnoteHereOk(['build-cache', '--quiet', '--closure', '--system-libraries', ...store, copy]);
    const [first, ...rest] = text('--with', 'audit', ...store, copy);
    assert.equal(first, '4 libraries, 0 failing opens and 0 failing stats');
    assert.doesNotMatch(rest.join('\n'), /What to do/);
  });

  test('the commands that it advises are a shell’s words, whatever the name of the program', t => {
    const dir = tempDir(t);
    const name = "a b'c $(x)";
    copyFileSync(files.program, join(dir, name));
    const advised = text(join(dir, name)).find(line => line.includes(' --closure '));
    const words = runOk('sh', ['-c', `printf '<%s>' ${advised?.trim()}`]).stdout;
    assert.equal(words, `<elfnote><build-cache><--closure><--store-dir><DIR><${join(dir, name)}>`);
    assert.equal(shellWord('-n'), './-n');
    assert.equal(shellWord('/nix/store/a-1.0+b/bin/c'), '/nix/store/a-1.0+b/bin/c');
  });

  test('a program that asks for the audit module is traced with it, unless that is said', t => {
    const copy = join(tempDir(t), 'program');
    copyFileSync(files.program, copy);
    elfnoteHereOk(['build-cache', '--quiet', '--reader', shop.reader, copy]);
    assert.equal(json([copy]).with, 'audit');
    assert.equal(json(['--with', 'none', copy]).with, 'none');
    assert.equal(json([files.program]).with, 'none');
    const found = listIn(json([copy]), 'lookups').filter(({ failingOpens }) => failingOpens === 0);
    assert.ok(found.some(({ name }) => name === 'libtwo.so.1'));
  });

  test('--why tells each probe for a name in order', () => {
    const { dir } = shop;
    assert.deepEqual(text('--why', 'libtwo.so.1', files.program).slice(0, -1), [
      `libtwo.so.1 for ${files.program}: ${files.two} (runpath of program ${dir}/two)`,
      `  runpath of program ${dir}/empty`,
      `    open ${dir}/empty/libtwo.so.1  ENOENT`,
      `  runpath of program ${dir}/one`,
      `    open ${dir}/one/libtwo.so.1  ENOENT`,
      `  runpath of program ${dir}/two`,
      `    open ${dir}/two/libtwo.so.1  opened`,
    ]);
    const { status, stderr } = elfnoteHere(['trace', '--why', 'libnone.so', files.program]);
    assert.equal(status, 2);
    assert.match(stderr, /no object asks for libnone\.so/);
  });

  test('--json is as the schema says, with the probes of what --why names', () => {
    const object = json(['--why', 'libtwo.so.1', files.program]);
    const probed = listIn(object, 'lookups').filter(lookup => 'probes' in lookup);
    assert.deepEqual(
      probed.map(({ name }) => name),
      ['libtwo.so.1'],
    );
    const { failingOpens, failingStats, lookups, objects } = object;
    assert.ok(Array.isArray(lookups) && Array.isArray(objects));
    const sum = (list: readonly JsonObject[], field: string) =>
      list.reduce((total, one) => total + Number(one[field]), 0);
    for (const list of [listIn(object, 'lookups'), listIn(object, 'objects')]) {
      assert.equal(sum(list, 'failingOpens'), failingOpens);
      assert.equal(sum(list, 'failingStats'), failingStats);
    }
  });

  test('the schema refuses what it does not know', () => {
    assert.equal(schema({ ...json([files.program]), more: 1 }), false);
    assert.equal(schema({ ...json([files.program]), failingOpens: 'many' }), false);
  });

  test('what is not found is told with every place, and the status is 1', t => {
    const copy = join(tempDir(t), 'program');
    copyFileSync(files.program, copy);
    runOk('patchelf', ['--set-rpath', '/none:/tmp', copy]);
    const { status, stdout } = elfnoteHere(['trace', copy]);
    assert.equal(status, 1);
    assert.match(stdout, /├── libone\.so\.1 not found\n│ {3}runpath of program: \/none \(absent\), \/tmp\n/);
    assert.match(stdout, /\n│ {3}ld\.so\.cache: \/etc\/ld\.so\.cache\n│ {3}default: \/\S+, /);
    assert.match(stdout, /\n {2}libone\.so\.1 is nowhere: the program does not start without it\n/);
    const missing = listIn(json([copy], 1), 'lookups').filter(({ outcome }) => outcome === 'missing');
    assert.deepEqual(
      missing.map(({ name }) => name),
      ['libone.so.1', 'libtwo.so.1'],
    );
  });

  test('a file that ends the program is told', t => {
    const dir = tempDir(t);
    writeFileSync(join(dir, 'libone.so.1'), 'no ELF file, but long enough to be read as one is');
    const { status, stdout } = elfnoteHere(['trace', '--library-path', dir, files.program]);
    assert.equal(status, 1);
    assert.match(
      stdout,
      /libone\.so\.1 ends the program\n.*libone\.so\.1: not an ELF file|is not an ELF file/,
    );
    assert.notEqual(json(['--library-path', dir, files.program], 1).fatal, null);
  });

  test('a library is traced as if it were a program', () => {
    assert.match(short(text(files.two)).join('\n'), /^two\/libtwo\.so\.1\n├── libthree\.so\.1 => /m);
  });

  test('a static program, a script and an absent file are refused by name', t => {
    const dir = tempDir(t);
    writeFileSync(join(dir, 'static.c'), 'int main(void) { return 0; }\n');
    runOk('gcc', ['-static', join(dir, 'static.c'), '-o', join(dir, 'static')]);
    assert.match(elfnoteHere(['trace', join(dir, 'static')]).stderr, /: is statically linked: no loader/);
    for (const path of [join(dir, 'static.c'), join(dir, 'absent')]) {
      assert.equal(elfnoteHere(['trace', path]).status, 2, path);
    }
  });

  const logs = new Map<string, string>();

  /** What is run, opened and written; the same command is run once. */
  const calls = (...args: readonly string[]): string => {
    const key = args.join(' ');
    const known = logs.get(key);
    if (known !== undefined) return known;
    const log = shop.at('calls.log');
    const filter = 'trace=execve,openat,open,creat,rename,unlink,mkdir,ftruncate,chmod';
    runOk('strace', ['-f', '-e', filter, '-o', log, process.execPath, BIN, 'trace', ...args, files.program]);
    const said = readFileSync(log, 'utf8');
    logs.set(key, said);
    return said;
  };

  test('nothing of the program is run and nothing is written; with --hwcaps nothing is run at all', () => {
    const isRun = (line: string) => line.includes('execve(');
    assert.equal(calls('--hwcaps', 'none').split('\n').filter(isRun).length, 1);
    const lines = calls().split('\n');
    const [, ...others] = lines.filter(isRun);
    assert.ok(others.length <= 1, 'the loader is asked once');
    for (const line of others) assert.match(line, /execve\("[^"]*\/ld[^"/]*", \["[^"]*", "--help"\]/);
    const writing = lines.filter(line => /O_(?:WRONLY|RDWR|CREAT)|rename\(|unlink\(|mkdir\(/.test(line));
    assert.deepEqual(
      writing.filter(line => !/"\/(?:dev|proc)\//.test(line)),
      [],
    );
  });

  test('what lays a picture out is read only for a picture', t => {
    const layout = '/dist/cli/dagre.js"';
    assert.ok(!calls().includes(layout));
    assert.ok(calls('--svg', join(tempDir(t), 'picture.svg')).includes(layout));
  });

  test('colours and nothing but text without a terminal', { skip: needs('script') }, () => {
    const onTerminal = (env: Record<string, string>) => {
      const command = [process.execPath, BIN, 'trace', files.program].map(word => `'${word}'`).join(' ');
      return runOk('script', ['-qec', command, '/dev/null'], { env: { TERM: 'xterm', ...env }, input: '' })
        .stdout;
    };
    assert.ok(onTerminal({}).includes('\u001b[36mlibone.so.1'));
    assert.ok(!onTerminal({ NO_COLOR: '1' }).includes('\u001b['));
    assert.ok(!text(files.program).join('').includes('\u001b'));
    assert.ok(!elfnoteHereOk(['trace', files.program], { env: { CI: 'true' } }).stdout.includes('\u001b'));
  });

  test('a pipe and a device in the place of the loader are no loader, and nothing is waited for', {
    skip: needs('patchelf', 'mkfifo'),
  }, t => {
    const dir = tempDir(t);
    const [copy, pipe] = [join(dir, 'program'), join(dir, 'pipe')];
    copyFileSync(files.program, copy);
    runOk('mkfifo', [pipe]);
    for (const loader of [pipe, '/dev/zero']) {
      runOk('patchelf', ['--set-interpreter', loader, copy]);
      for (const args of [['trace'], ['exec', '--print-env']])
        assert.equal(elfnoteHere([...args, copy]).status, 0, loader);
    }
    for (const file of [pipe, '/dev/zero']) {
      const { status, stderr } = elfnoteHere(['trace', '--ld-cache', file, copy]);
      assert.equal(status, 2);
      assert.match(stderr, /: cannot read this ld\.so\.cache: invalid argument \(EINVAL\)\n$/);
    }
  });

  test('--dot has each object and each request', () => {
    const lines = text('--dot', files.program);
    assert.equal(lines[0], 'digraph trace {');
    assert.equal(lines.filter(line => line.includes(' -> ')).length, 8);
    const dot = toolPath('dot');
    if (dot !== undefined) assert.equal(run(dot, ['-Tplain'], { input: lines.join('\n') }).status, 0);
  });
});

describe('a program of another machine, below a root', () => {
  const program = readdirSync(join(ROOT, 'nix/store')).find(name => name.endsWith('hello-s390x'));
  const file = join(ROOT, 'nix/store', program ?? '', 'bin/hello');

  test('its libraries are found there, with the subdirectories of its architecture', () => {
    const object = json(['--root', ROOT, '--loader', 'glibc-2.36', '--hwcaps', 'z13', file], 1);
    assert.equal(object.architecture, 's390x');
    assert.deepEqual(object.subdirectories, [
      'glibc-hwcaps/z13/',
      'tls/z13/zarch/',
      'tls/z13/',
      'tls/zarch/',
      'tls/',
      'z13/zarch/',
      'z13/',
      'zarch/',
      '',
    ]);
    const loaded = listIn(object, 'objects').filter(({ kind }) => kind === 'library');
    assert.ok(loaded.length > 1);
    for (const { path } of loaded) assert.match(String(path), /^\/nix\/store\//);
  });

  test('a capability of another architecture is refused', () => {
    const { status, stderr } = elfnoteHere(['trace', '--root', ROOT, '--hwcaps', 'haswell', file]);
    assert.equal(status, 2);
    assert.match(stderr, /'haswell' is no processor capability of s390x: they are z16, /);
  });
});

function shopWithClosure(scope: Parameters<typeof tempDir>[0]): { shop: ReaderShop; files: Closure } {
  const shop = new ReaderShop(tempDir(scope));
  return { shop, files: closure(shop) };
}

describe('build-cache --closure-files', { skip: needs('gcc') }, () => {
  const scope = suiteScope();
  let untouched: ReturnType<typeof shopWithClosure>;
  before(() => {
    untouched = shopWithClosure(scope);
  });

  test('works on the program and every library that is loaded, inside the store directories', t => {
    const { shop, files } = shopWithClosure(t);
    const { stdout } = elfnoteHereOk([
      'build-cache',
      '--closure-files',
      '--store-dir',
      shop.dir,
      files.program,
    ]);
    assert.match(stdout, /^4 files, 4 ELF; 2 written, /m);
    assert.deepEqual(entriesOf(files.two), [`libthree.so.1: =${files.three}`]);
    const lookups = listIn(json([...PLAIN, '--with', 'audit', files.program]), 'lookups');
    const costs = new Map(lookups.map(({ name, failingOpens }) => [name, failingOpens]));
    assert.deepEqual(
      ['libone.so.1', 'libtwo.so.1', 'libthree.so.1'].map(name => costs.get(name)),
      [0, 0, 0],
    );
  });

  test('a library outside, also one behind a link, is left alone', t => {
    const { shop, files } = shopWithClosure(t);
    const outside = tempDir(t);
    const moved = join(outside, 'libtwo.so.1');
    copyFileSync(files.two, moved);
    rmSync(files.two);
    symlinkSync(moved, files.two);
    const before = readFileSync(moved);
    const args = ['build-cache', '-v', '--closure-files', '--store-dir', shop.dir, files.program];
    const { stderr } = elfnoteHereOk(args);
    assert.ok(readFileSync(moved).equals(before));
    assert.match(stderr, new RegExp(`${moved}: left alone: outside the store`));
    assert.match(stderr, /libc\.so\.6: left alone/);
  });

  test('a library whose path is not UTF-8 is one that fails, and the others are done', {
    skip: needs('patchelf', 'mv', 'sh'),
  }, t => {
    const { shop, files } = shopWithClosure(t);
    const script =
      'o=$(printf "o\\377"); mv "$1/one" "$1/$o"; patchelf --set-rpath "$1/$o:$1/two" "$1/program"';
    runOk('sh', ['-c', script, 'sh', shop.dir]);
    const args = ['build-cache', '--closure-files', '--store-dir', shop.dir, files.program];
    const { status, stderr } = elfnoteHere(args);
    assert.equal(status, 1);
    const line = `elfnote: ${shop.dir}/o\\xff/libone.so.1: cannot open: its name is not UTF-8\n`;
    assert.ok(stderr.startsWith(line), stderr);
    assert.equal(entriesOf(files.two).length, 1);
  });

  test('a program outside is refused, and nothing is written', () => {
    const { shop, files } = untouched;
    const bytes = [files.program, files.two].map(file => readFileSync(file));
    mkdirSync(join(shop.dir, 'store'));
    const store = join(shop.dir, 'store');
    const result = elfnoteHere(['build-cache', '--closure-files', '--store-dir', store, files.program]);
    assert.equal(result.status, 1);
    assert.match(result.stderr, /program: lies outside the store directories \(/);
    assert.deepEqual(
      [files.program, files.two].map(file => readFileSync(file)),
      bytes,
    );
  });

  test('without store directories, without a program, or with a list of files it is refused', () => {
    const { shop, files } = untouched;
    const refused = (...args: readonly string[]) => {
      const { status, stderr } = elfnoteHere(['build-cache', '--closure-files', ...args]);
      assert.equal(status, 2);
      return stderr;
    };
    assert.match(refused(files.program), /needs --store-dir/);
    assert.match(refused('--store-dir', shop.dir), /needs a program/);
    assert.match(
      refused('--store-dir', shop.dir, '--files-from', '/dev/null', files.program),
      /exclude each other/,
    );
  });
});
