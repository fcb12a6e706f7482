import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { isObject, jsonLines, run, runOk } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
import { EXTENT, RUN, share } from '../support/extent.js';
import { generation } from '../support/generations.js';
import { describeInQuick } from '../support/quick.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { isSkipped, needs, type Skip, toolPath } from '../support/tools.js';

/**
 * patchelf before 0.17 and after it understand files differently (docs/layout.md): the one goes through section headers
 * in their order, the other keeps sections by name and wants every PT_NOTE filled by sections. Both have to be able to
 * edit what elfnote has written, and elfnote what they have.
 */
const LATER = generation('trixie');

interface Patchelf {
  readonly name: string;
  readonly skip: () => Skip;
  readonly path: () => string;
}

const PATCHELFS: readonly Patchelf[] = [
  { name: 'the patchelf of this machine', skip: () => needs('patchelf'), path: () => 'patchelf' },
  { name: 'the patchelf of Debian 13', skip: () => LATER.skip, path: () => LATER.tool('patchelf') },
];

/** Linkers, and what makes their files differ in notes: only a build-id, properties too, no note at all. */
const SHAPES: readonly (readonly [name: string, linker: string, flags: readonly string[]])[] = [
  ['bfd, build-id', 'bfd', ['-Wl,--build-id']],
  ['bfd, build-id and properties', 'bfd', ['-Wl,--build-id', '-fcf-protection', '-Wl,-z,ibt']],
  ['bfd, nothing', 'bfd', ['-Wl,--build-id=none']],
  ['bfd, fixed address', 'bfd', ['-Wl,--build-id', '-no-pie']],
  ['gold, build-id', 'gold', ['-Wl,--build-id']],
  ['lld, build-id', 'lld', ['-Wl,--build-id']],
  ['mold, build-id', 'mold', ['-Wl,--build-id']],
];

const LONG = `/absent/${'x'.repeat(200)}`;

interface Operation {
  readonly name: string;
  readonly onLibrary: boolean;
  args(dir: string): readonly string[];
}

const OPERATIONS: readonly Operation[] = [
  { name: '--set-rpath, longer', onLibrary: true, args: dir => ['--set-rpath', `${LONG}:${dir}`] },
  { name: '--add-rpath', onLibrary: true, args: () => ['--add-rpath', LONG] },
  { name: '--add-needed', onLibrary: true, args: () => ['--add-needed', 'libm.so.6'] },
  {
    name: '--replace-needed',
    onLibrary: true,
    args: dir => ['--replace-needed', 'libone.so', join(dir, 'libone.so')],
  },
  {
    name: '--set-interpreter',
    onLibrary: false,
    args: dir => ['--set-interpreter', join(dir, 'y'.repeat(120), '../ld.so')],
  },
];

const MAIN_C = 'int two(void);\nint main(void) { return two() == 2 ? 42 : 1; }\n';
const ONE_C = 'int one(void) { return 1; }\n';
const TWO_C = 'int one(void);\nint two(void) { return one() + 1; }\n';

const objects = new Map<string, string>();
const fileScope = suiteScope();

/** main.o, one.o and two.o, in a directory for each set of flags. */
function compiled(flags: readonly string[]): string {
  const key = flags.join(' ');
  const known = objects.get(key);
  if (known !== undefined) return known;
  const dir = tempDir(fileScope);
  const sources = { 'main.c': MAIN_C, 'one.c': ONE_C, 'two.c': TWO_C };
  for (const [name, text] of Object.entries(sources)) writeFileSync(join(dir, name), text);
  runOk('gcc', ['-g', '-c', '-fPIC', ...flags, ...Object.keys(sources)], { cwd: dir });
  objects.set(key, dir);
  return dir;
}

/** A program that needs libtwo.so, which needs libone.so, each over a run path. */
function make(dir: string, linker: string, flags: readonly string[]): void {
  mkdirSync(join(dir, 'y'.repeat(120)), { recursive: true });
  copyFileSync(interpreter(), join(dir, 'ld.so'));
  const from = compiled(flags.filter(flag => flag.startsWith('-f')));
  const link = [`-fuse-ld=${linker}`, `-Wl,--enable-new-dtags,-rpath,${dir}`, '-L', dir];
  const library = (name: string, ...needed: readonly string[]) => {
    const shared = ['-shared', ...link, ...flags.filter(flag => flag !== '-no-pie')];
    const file = join(dir, `lib${name}.so`);
    runOk('gcc', [...shared, `-Wl,-soname,lib${name}.so`, '-o', file, join(from, `${name}.o`), ...needed]);
  };
  library('one');
  library('two', '-lone');
  runOk('gcc', [...link, ...flags, '-o', join(dir, 'main'), join(from, 'main.o'), '-ltwo']);
}

let ownInterpreter: string | undefined;

function interpreter(): string {
  ownInterpreter ??= readInterpreter();
  return ownInterpreter;
}

function readInterpreter(): string {
  const { stdout } = run('readelf', ['-lW', '/proc/self/exe']);
  return /interpreter: ([^\]]+)\]/.exec(stdout)?.[1] ?? '/lib64/ld-linux-x86-64.so.2';
}

/** The entries of a file's note, `undefined` without one. */
function entriesOf(file: string): unknown {
  const [object] = jsonLines(elfnoteHere(['dump', '--json', file]).stdout);
  return isObject(object) ? object.entries : undefined;
}

/** By readelf, which goes through the section headers, and by the program headers alone. */
function notesOf(file: string): { buildIds: number; caches: number } {
  const { stdout } = run('readelf', ['-nW', file]);
  const count = (pattern: RegExp) => [...stdout.matchAll(pattern)].length;
  return { buildIds: count(/NT_GNU_BUILD_ID/g), caches: count(/0x63a86cb6/g) };
}

function annotate(file: string): void {
  const { status, stderr } = elfnoteHere(['build-cache', file]);
  assert.equal(status, 0, stderr);
  assert.doesNotMatch(stderr, /no section header/);
}

for (const [round, [shape, linker, flags]] of SHAPES.entries()) {
  const mayBeQuick = round % EXTENT.shapes.quick === 0;
  if (RUN === 'quick' && !mayBeQuick) continue;
  const skip = needs('gcc', 'readelf', `ld.${linker}`.replace('ld.mold', 'mold'));
  describe(`${shape}:`, { skip }, () => {
    const scope = suiteScope();
    let made = '';
    before(() => {
      made = tempDir(scope);
      make(made, linker, flags);
    });

    const known = new Map<string, number>();
    /** How many a file of this shape has, as it was linked. */
    const buildIdsOf = (name: string): number => {
      const ids = known.get(name) ?? notesOf(join(made, name)).buildIds;
      known.set(name, ids);
      return ids;
    };

    const runs = (dir: string) => {
      const { status, stderr } = run(join(dir, 'main'), []);
      assert.equal(status, 42, stderr);
    };

    /** Copies, since run paths are absolute, keep the directory's name in a subdirectory's files only. */
    const copy = (name: string): string => {
      const file = join(made, `${name}.copy`);
      copyFileSync(join(made, name), file);
      return file;
    };
    const start = (file: string, name: string) => {
      if (name === 'main') {
        const { status, stderr } = run(file, []);
        assert.equal(status, 42, stderr);
        return;
      }
      copyFileSync(join(made, name), join(made, `${name}.kept`));
      copyFileSync(file, join(made, name));
      try {
        runs(made);
      } finally {
        copyFileSync(join(made, `${name}.kept`), join(made, name));
      }
    };

    for (const patchelf of PATCHELFS) {
      for (const operation of share(OPERATIONS, EXTENT.operations, round, mayBeQuick)) {
        for (const name of operation.onLibrary ? ['main', 'libtwo.so'] : ['main']) {
          test(`${patchelf.name} can still do ${operation.name} to ${name}`, t => {
            if (isSkipped(t, patchelf.skip())) return;
            const file = copy(name);
            annotate(file);
            const before = entriesOf(file);
            const ids = buildIdsOf(name);
            assert.deepEqual(notesOf(file), { buildIds: ids, caches: 1 }, 'each note once');
            start(file, name);
            const { status, stderr } = run(patchelf.path(), [...operation.args(made), file]);
            assert.equal(status, 0, stderr);
            start(file, name);
            assert.deepEqual(entriesOf(file), before, 'the note is still there');
            assert.deepEqual(notesOf(file), { buildIds: ids, caches: 1 }, 'each note once');
          });
        }
      }

      // `npm test` has these of its own shapes.
      for (const name of RUN === 'rest' && mayBeQuick ? [] : ['main', 'libtwo.so']) {
        test(`what ${patchelf.name} has given a run path, ${name}, gets a note with a section`, t => {
          if (isSkipped(t, patchelf.skip())) return;
          const file = copy(name);
          const { status, stderr } = run(patchelf.path(), ['--set-rpath', `${LONG}:${made}`, file]);
          assert.equal(status, 0, stderr);
          const outcome = elfnoteHere(['build-cache', file]);
          if (/no room|gets no note/.test(outcome.stdout + outcome.stderr)) {
            assert.ok(linker !== 'bfd', `${outcome.stdout}${outcome.stderr}`);
            return;
          }
          annotate(file);
          start(file, name);
          runOk('strip', [file]);
          start(file, name);
          assert.equal(notesOf(file).caches, 1, 'strip keeps the note');
        });
      }
    }
  });
}

describeInQuick('other layouts', { skip: needs('gcc', 'ld.lld') }, () => {
  const scope = suiteScope();

  /** As patchelf up to 0.9 does: the table goes to the end of the file, with a `PT_LOAD` of its own. */
  function moveTableToEnd(file: string): void {
    const old = readFileSync(file);
    const [phoff, phnum] = [Number(old.readBigUInt64LE(32)), old.readUInt16LE(56)];
    const entry = (i: number) => old.subarray(phoff + 56 * i, phoff + 56 * (i + 1));
    const entries = Array.from({ length: phnum }, (_, i) => Buffer.from(entry(i)));
    const top = Math.max(...entries.map(p => Number(p.readBigUInt64LE(16)) + Number(p.readBigUInt64LE(40))));
    const at = Math.ceil(old.length / 4096) * 4096;
    const address = Math.ceil(top / 4096) * 4096;
    const size = 56 * (phnum + 1);
    const load = Buffer.alloc(56);
    load.writeUInt32LE(1, 0);
    load.writeUInt32LE(4, 4);
    for (const [field, value] of [at, address, address, size, size, 4096].entries())
      load.writeBigUInt64LE(BigInt(value), 8 + 8 * field);
    const lastLoad = entries.findLastIndex(p => p.readUInt32LE(0) === 1);
    const table = Buffer.concat(entries.toSpliced(lastLoad + 1, 0, load));
    const moved = Buffer.concat([old, Buffer.alloc(at - old.length), table]);
    moved.writeBigUInt64LE(BigInt(at), 32);
    moved.writeUInt16LE(phnum + 1, 56);
    writeFileSync(file, moved);
  }

  test('a library whose program header table is at the end of the file gets a note: it has no AT_PHDR', () => {
    const dir = tempDir(scope);
    make(dir, 'bfd', ['-Wl,--build-id', '-fcf-protection', '-Wl,-z,ibt']);
    const library = join(dir, 'libtwo.so');
    moveTableToEnd(library);
    assert.equal(run(join(dir, 'main')).status, 42, 'the loader takes such a table');
    annotate(library);
    assert.equal(run(join(dir, 'main')).status, 42);
    assert.equal(notesOf(library).caches, 1);
  });

  test('lld leaves a gap before page-aligned constants, and a note there costs no segment', () => {
    const dir = tempDir(scope);
    make(dir, 'lld', ['-Wl,--build-id']);
    const library = join(dir, 'libtwo.so');
    writeFileSync(
      join(dir, 'two.c'),
      `${TWO_C}const char table[5000] __attribute__((aligned(4096))) = {1};\n`,
    );
    const link = ['-fuse-ld=lld', `-Wl,--enable-new-dtags,-rpath,${dir}`, '-L', dir, '-lone'];
    runOk('gcc', ['-shared', '-fPIC', '-o', library, join(dir, 'two.c'), ...link, '-Wl,-soname,libtwo.so']);
    const { stdout } = elfnoteHere(['build-cache', '-v', library]);
    assert.match(stdout, /table phdr/);
    assert.equal(run(join(dir, 'main')).status, 42);
    for (const strip of ['strip', 'eu-strip', 'llvm-strip']) {
      if (toolPath(strip) === undefined) continue;
      runOk(strip, [library]);
      assert.equal(run(join(dir, 'main')).status, 42, strip);
      assert.equal(notesOf(library).caches, 1, strip);
    }
  });

  test('a file that patchelf has taken an entry of its section header table from gets a note again', () => {
    const dir = tempDir(scope);
    make(dir, 'bfd', ['-Wl,--build-id']);
    const library = join(dir, 'libtwo.so');
    annotate(library);
    // patchelf 0.19 writes one header less into the table, in its place, and leaves the rest of the bytes.
    const bytes = readFileSync(library);
    const names = bytes.readUInt16LE(62);
    const count = bytes.readUInt16LE(60);
    assert.ok(names < count - 1, 'the note has the last header');
    const note = Number(bytes.readBigUInt64LE(40)) + 64 * (count - 1);
    const [offset, size] = [note + 24, note + 32].map(at => Number(bytes.readBigUInt64LE(at)));
    bytes.fill(0, offset, (offset ?? 0) + (size ?? 0));
    bytes.writeUInt16LE(count - 1, 60);
    writeFileSync(library, bytes);
    assert.equal(run(join(dir, 'main')).status, 42);
    annotate(library);
    assert.equal(run(join(dir, 'main')).status, 42);
    runOk('strip', [library]);
    assert.equal(notesOf(library).caches, 1);
  });
});
