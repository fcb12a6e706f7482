import assert from 'node:assert/strict';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { before, describe, test } from 'node:test';
import {
  FIXTURES,
  isObject,
  type JsonObject,
  jsonLines,
  listIn,
  ROOT,
  type RunResult,
  run,
  runOk,
} from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { entriesIn } from '../support/dump.js';
import { EXTENT, isInQuick, isTaken, isTested, RUN, share } from '../support/extent.js';
import {
  type Architecture,
  architecture,
  architectures,
  copyFixtures,
  GREETING,
  inPrefix,
  loadedObjects,
  makePrefix,
  runInPrefix,
} from '../support/programs.js';
import { describeInQuick } from '../support/quick.js';
import { allNewComplaints, type Change, nixosNotesOf } from '../support/readelf.js';
import { type Command, runAll } from '../support/run-all.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

/** What becomes of each file of fixtures/kinds; every file there has to be named here. */
const KINDS: Readonly<Record<string, string>> = {
  appended: 'written',
  'bin/origin': 'written',
  debugonly: 'debug-only',
  'lib/libgreet.so.1': 'written',
  'libuse-bfd.so': 'written',
  'libuse-gold.so': 'written',
  'libuse-lld.so': 'written',
  'libuse-mold.so': 'written',
  'libuse-nobuildid.so': 'written',
  'maxpage2m-bfd': 'written',
  'noneeded.so': 'no-needed',
  'nopie-bfd': 'written',
  'nopie-gold': 'written',
  'nopie-lld': 'written',
  norunpath: 'no-run-path',
  nosections: 'written',
  'noseparate-bfd': 'written',
  'null-entries': 'written',
  'pie-bfd': 'written',
  'pie-gold': 'written',
  'pie-lld': 'written',
  'pie-mold': 'written',
  'relocatable.o': 'relocatable',
  rpath: 'written',
  'runtime-dirs': 'nothing-to-gain',
  static: 'static',
  'static-pie': 'no-needed',
};

const WRITTEN_KINDS = Object.keys(KINDS).filter(kind => KINDS[kind] === 'written');
const LIBRARY_KINDS = WRITTEN_KINDS.filter(kind => kind.includes('.so'));
const PROGRAM_KINDS = WRITTEN_KINDS.filter(kind => !kind.includes('.so'));
/** Without a section for the note, strip and objcopy cannot know of it. */
const STRIPPABLE_PROGRAMS = PROGRAM_KINDS.filter(kind => kind !== 'nosections' && kind !== 'appended');

const WRITTEN_STORE_FILES = architectures().flatMap(({ program, libraries }) => [
  program,
  ...libraries.filter(library => library.includes('libgreet')),
]);
const WRITTEN = [
  ...WRITTEN_KINDS.map(kind => `kinds/${kind}`),
  ...WRITTEN_STORE_FILES.map(file => `root/${file}`),
];

const X86 = architecture('x86_64');

const BINUTILS_PREFIX: Readonly<Record<string, string>> = {
  i686: 'i686-linux-gnu-',
  aarch64: 'aarch64-linux-gnu-',
  armhf: 'arm-linux-gnueabihf-',
  riscv64: 'riscv64-linux-gnu-',
  s390x: 's390x-linux-gnu-',
  ppc64le: 'powerpc64le-linux-gnu-',
  powerpc: 'powerpc-linux-gnu-',
  mips: 'mips-linux-gnu-',
};

const work = tempDir(suiteScope());

/** The fixtures as they are, and a copy on which build-cache ran once. */
const original = join(work, 'original');
const processed = join(work, 'processed');
let outcomes: JsonObject[] = [];

before(() => {
  for (const dir of [original, processed]) {
    mkdirSync(dir);
    copyFixtures(dir);
    makePrefix(join(dir, 'x86_64'), join(dir, 'root'), X86.libDir);
  }
  const result = elfnoteHereOk(['build-cache', '--json', '--root', ROOT, ...inputs(processed)]);
  outcomes = jsonLines(result.stdout);
});

function inputs(dir: string): string[] {
  return [join(dir, 'root'), join(dir, 'kinds')];
}

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => relative(dir, join(entry.parentPath, entry.name)))
    .sort();
}

function bytesBelow(dir: string): Map<string, string> {
  return new Map(
    inputs(dir).flatMap(part =>
      filesBelow(part).map(
        file => [relative(dir, join(part, file)), readFileSync(join(part, file)).toString('base64')] as const,
      ),
    ),
  );
}

/** What the notes say; a file without a sound note fails the test. */
function notesOf(files: readonly string[]): string[] {
  return jsonLines(elfnoteHereOk(['dump', '--json', '--root', ROOT, ...files]).stdout).map(dumped =>
    entriesIn(dumped).join('\n'),
  );
}

/** A program of fixtures/kinds under qemu-x86_64, or a library of it, loaded into the store's program. */
function kindCommand(dir: string, kind: string, file = join(dir, 'kinds', kind)): Command {
  const prefix = join(dir, 'x86_64');
  return kind.includes('.so')
    ? inPrefix(X86.qemu, prefix, join(dir, 'root', X86.program), { LD_PRELOAD: file })
    : inPrefix(X86.qemu, prefix, file);
}

function runKind(dir: string, kind: string, file?: string): RunResult {
  const [command, ...args] = kindCommand(dir, kind, file);
  return run(command, args);
}

describeInQuick('every fixture', {}, () => {
  test('is written, or skipped for the reason it was made for', () => {
    const expected = new Map<string, string>([
      ...filesBelow(join(FIXTURES, 'kinds')).map(kind => [`kinds/${kind}`, KINDS[kind] ?? '?'] as const),
      ...filesBelow(ROOT).map(file => [`root/${file}`, 'no-run-path'] as const),
      ...WRITTEN_STORE_FILES.map(file => [`root/${file}`, 'written'] as const),
    ]);
    const found = outcomes
      .filter(({ type }) => type === 'file')
      .map(o => [relative(processed, String(o.path)), String(o.reason ?? o.action)] as const);
    assert.deepEqual(Object.fromEntries(found), Object.fromEntries(expected));
    assert.ok(WRITTEN.length > 30);
  });

  test('that is skipped keeps every byte', () => {
    const skipped = filesBelow(processed)
      .filter(file => !file.startsWith('x86_64'))
      .filter(file => !WRITTEN.includes(file));
    assert.ok(skipped.length >= 15);
    for (const file of skipped) {
      assert.ok(readFileSync(join(processed, file)).equals(readFileSync(join(original, file))), file);
    }
  });

  test('that is written is another file than before, with the mode it had', () => {
    for (const file of WRITTEN) {
      assert.ok(!readFileSync(join(processed, file)).equals(readFileSync(join(original, file))), file);
      assert.equal(statSync(join(processed, file)).mode, statSync(join(original, file)).mode, file);
    }
  });

  test('that is written: readelf and eu-readelf have nothing new to say against it', {
    skip: needs('readelf', 'eu-readelf'),
  }, () => {
    const changes = WRITTEN.map(file => [join(original, file), join(processed, file)] as const);
    assert.deepEqual(allNewComplaints(changes), []);
  });

  test('that is written has one note with owner NixOS and type 0x63a86cb6', {
    skip: needs('readelf'),
  }, () => {
    const were = nixosNotesOf(WRITTEN.map(file => join(original, file)));
    const are = nixosNotesOf(WRITTEN.map(file => join(processed, file)));
    for (const [i, file] of WRITTEN.entries()) {
      assert.deepEqual(were[i], [], file);
      const notes = are[i] ?? [];
      // readelf looks for notes in sections where there are any, and this one could not get one
      if (file === 'kinds/appended') continue;
      assert.equal(notes.length, 1, file);
      assert.match(notes[0] ?? '', /^NixOS\s+0x[0-9a-f]+\s+Unknown note type: \(0x63a86cb6\)/, file);
    }
  });

  test('is accepted by objdump -p afterwards', { skip: needs('objdump') }, () => {
    const neededIn = (dir: string) => {
      const { status, stdout, stderr } = run('objdump', ['-p', ...WRITTEN.map(file => join(dir, file))]);
      assert.deepEqual([status, stderr], [0, '']);
      const texts = stdout.split(/^\S.*: +file format .*$/m).slice(1);
      assert.equal(texts.length, WRITTEN.length);
      return texts.map(text => text.split('\n').filter(line => line.includes('NEEDED')));
    };
    const needed = neededIn(processed);
    for (const [i, file] of WRITTEN.entries())
      assert.ok((needed[i] ?? []).length > 0 || file.endsWith('nosections'), file);
    assert.deepEqual(needed, neededIn(original));
  });

  test('is accepted by elfy afterwards, with its sections in their order and those of the notes behind them', () => {
    for (const file of WRITTEN.filter(file => !file.endsWith('nosections'))) {
      const now = elfyParse(join(processed, file));
      const was = elfyParse(join(original, file));
      const names = listIn(now, 'sections').map(({ name }) => String(name));
      const old = listIn(was, 'sections').map(({ name }) => String(name));
      // A header that a note has left keeps the rest of its name, which is nobody else's.
      const kept = names.slice(0, old.length).map((name, i) => (`.${name}` === old[i] ? `.${name}` : name));
      assert.deepEqual(kept, old, file);
      const added = names.slice(old.length);
      const own = file.endsWith('appended') ? undefined : '.note.nixos.ldcache';
      assert.equal(added.at(-1), own, file);
      assert.ok(
        added.every(name => name === own || name.startsWith('.note.')),
        file,
      );
      assert.ok(listIn(now, 'programs').length >= listIn(was, 'programs').length, file);
    }
  });

  test('says in PT_PHDR where its program header table is and how long, as ld.so believes it', () => {
    let grown = 0;
    for (const file of WRITTEN) {
      const [was, now] = [original, processed].map(dir => phdrOf(join(dir, file)));
      // A library needs none, so that a note may take its entry.
      if (now?.phdr === undefined && file.endsWith('.so')) continue;
      assert.equal(now?.phdr === undefined, was?.phdr === undefined, file);
      assert.deepEqual(now?.phdr, now?.phdr && now.table, file);
      if (now?.phdr !== undefined && now.table.size > (was?.table.size ?? 0)) grown++;
    }
    assert.ok(grown > 0, 'no fixture with PT_PHDR got a longer table, so this shows nothing');
  });

  test('is up to date at the second run, which leaves identical bytes', () => {
    const once = bytesBelow(processed);
    const again = jsonLines(
      elfnoteHereOk(['build-cache', '--json', '--root', ROOT, ...inputs(processed)]).stdout,
    );
    const actions = again
      .filter(({ type }) => type === 'file')
      .map(o => [relative(processed, String(o.path)), o.action] as const);
    assert.deepEqual(
      actions
        .filter(([, action]) => action === 'up-to-date')
        .map(([file]) => file)
        .sort(),
      [...WRITTEN].sort(),
    );
    assert.deepEqual(bytesBelow(processed), once);
    const text = elfnoteHereOk(['build-cache', '--root', ROOT, join(processed, 'kinds/pie-bfd')]).stdout;
    assert.equal(
      text,
      `${join(processed, 'kinds/pie-bfd')}: up to date: 2 found at once, 1 left to the loader (libc.so.6)\n`,
    );
  });

  test('gets its bytes back from remove-cache', t => {
    const dir = tempDir(t);
    copyFixtures(dir);
    const files = WRITTEN.map(file => join(dir, file));
    elfnoteHereOk(['build-cache', '--root', ROOT, ...files]);
    assert.deepEqual(bytesBelow(dir), bytesBelow(processed));
    elfnoteHereOk(['remove-cache', ...files]);
    assert.deepEqual(bytesBelow(dir), bytesBelow(original));
  });

  test('gets the same bytes when its libraries have notes already or not', t => {
    const dir = tempDir(t);
    copyFixtures(dir);
    elfnoteHereOk(['build-cache', '--root', join(processed, 'root'), join(dir, 'kinds/pie-bfd')]);
    const expected = readFileSync(join(processed, 'kinds/pie-bfd'));
    assert.ok(readFileSync(join(dir, 'kinds/pie-bfd')).equals(expected));
  });
});

const ORDERS: readonly (readonly [string, (files: readonly string[]) => string[]])[] = [
  ['no', files => files.toSorted((a, b) => hash(a) - hash(b))],
  ['the opposite', files => files.toReversed()],
];
for (const [order, ordered] of share(ORDERS, EXTENT.orders)) {
  test(`every fixture gets the same bytes in ${order} order of arguments`, t => {
    const dir = tempDir(t);
    copyFixtures(dir);
    const files = ordered(WRITTEN).map(file => join(dir, file));
    elfnoteHereOk(['build-cache', '--root', ROOT, ...files]);
    assert.deepEqual(bytesBelow(dir), bytesBelow(processed));
  });
}

describe('every architecture', () => {
  const tested = architectures().filter(({ arch }) => isTested(arch));
  for (const arch of tested.filter(({ arch }) => RUN !== 'rest' || !isInQuick(arch))) {
    test(`${arch.arch}: the program prints the same before and after under ${arch.qemu}`, {
      skip: needs(arch.qemu, arch.libDir),
    }, t => {
      for (const dir of [original, processed]) {
        const prefix = join(tempDir(t), 'prefix');
        makePrefix(prefix, join(dir, 'root'), arch.libDir);
        const result = runInPrefix(arch.qemu, prefix, join(prefix, arch.program));
        assert.deepEqual([result.status, result.stdout, result.stderr], [0, GREETING, '']);
      }
    });

    test(`${arch.arch}: ld.so loads the same libraries before and after`, {
      skip: needs(arch.qemu, arch.libDir),
    }, t => {
      const prefix = join(tempDir(t), 'prefix');
      const lists = [original, processed].map(dir => {
        const at = join(tempDir(t), 'prefix');
        makePrefix(at, join(dir, 'root'), arch.libDir);
        const { stdout } = runInPrefix(arch.qemu, at, join(at, arch.program), {
          LD_TRACE_LOADED_OBJECTS: '1',
        });
        return loadedObjects(stdout.replaceAll(at, prefix));
      });
      assert.ok((lists[0] ?? []).some(line => line.includes('libname.so.2 => /nix/store/')));
      assert.deepEqual(lists[1], lists[0]);
    });
  }

  const names = architectures().map(({ arch }) => arch);
  const isStripped = ({ arch }: Architecture) =>
    arch !== 'x86_64' && isTaken(EXTENT.machines, names.indexOf(arch) + 1, isInQuick(arch));
  for (const arch of tested.filter(isStripped)) {
    const strip = `${BINUTILS_PREFIX[arch.arch] ?? '?'}strip`;
    test(`${arch.arch}: ${strip}, strip -g, eu-strip and llvm-strip keep the notes, and the program running`, {
      skip: needs(arch.qemu, arch.libDir, strip, 'eu-strip', 'llvm-strip'),
    }, t => {
      const tools = [[strip], [strip, '-g'], ['eu-strip'], ['llvm-strip']];
      const roots = tools.map(tool => strippedStore(arch, tool, tempDir(t)));
      const files = [arch.program, ...arch.libraries].filter(file => WRITTEN_STORE_FILES.includes(file));
      assert.equal(files.length, 2);
      const expected = notesOf(files.map(file => join(processed, 'root', file)));
      const found = notesOf(roots.flatMap(root => files.map(file => join(root, file))));
      assert.deepEqual(
        found,
        tools.flatMap(() => expected),
      );
    });
  }
});

/** Strips the program and its libraries in a copy of the processed store, and runs the program. */
function strippedStore(arch: Architecture, [tool = '', ...args]: readonly string[], dir: string): string {
  const root = join(dir, 'root');
  const files = [arch.program, ...arch.libraries];
  for (const place of new Set(files.map(file => join(file, '../..')))) {
    cpSync(join(processed, 'root', place), join(root, place), { recursive: true, verbatimSymlinks: true });
  }
  makePrefix(join(dir, 'prefix'), root, arch.libDir);
  assert.equal(runOk(tool, [...args, ...files.map(file => join(root, file))]).stderr, '', tool);
  const result = runInPrefix(arch.qemu, join(dir, 'prefix'), join(root, arch.program));
  assert.deepEqual([result.status, result.stdout, result.stderr], [0, GREETING, ''], tool);
  return root;
}

describe('every x86-64 kind', () => {
  const skip = needs(X86.qemu, X86.libDir);

  for (const kind of share(PROGRAM_KINDS, EXTENT.kinds)) {
    test(`${kind}: prints the same before and after`, { skip }, () => {
      for (const dir of [original, processed]) {
        const result = runKind(dir, kind);
        assert.deepEqual([result.status, result.stdout, result.stderr], [0, GREETING, ''], dir);
      }
    });
  }

  for (const kind of share(LIBRARY_KINDS, EXTENT.kinds)) {
    test(`${kind}: is loaded, with the libraries it needs, before and after`, { skip }, () => {
      const lists = [original, processed].map(dir => {
        const file = join(dir, 'kinds', kind);
        const result = runKind(dir, kind);
        assert.deepEqual([result.status, result.stdout, result.stderr], [0, GREETING, ''], dir);
        const listed = runInPrefix(X86.qemu, join(dir, 'x86_64'), join(dir, 'root', X86.program), {
          LD_PRELOAD: file,
          LD_TRACE_LOADED_OBJECTS: '1',
        });
        return loadedObjects(listed.stdout.replaceAll(dir, 'DIR'));
      });
      assert.ok((lists[0] ?? []).some(line => line.startsWith(`DIR/kinds/${kind}`)));
      assert.deepEqual(lists[1], lists[0]);
    });
  }

  /** Each kind is started after one tool or another; a tool is in one run alone. */
  const shareOfStarts = <T>(kinds: readonly T[], round: number): T[] =>
    kinds.filter((_, i) => (i + Math.floor(round / 2)) % EXTENT.startedKinds === 0);

  const STRIPS: readonly (readonly string[])[] = [
    ['strip'],
    ['strip', '-g'],
    ['eu-strip'],
    ['eu-strip', '-g'],
    ['llvm-strip'],
    ['llvm-strip', '-g'],
    ['objcopy'],
    ['llvm-objcopy'],
  ];
  for (const [number, [tool = '', ...args]] of share([...STRIPS.entries()], EXTENT.strips)) {
    test(`${[tool, ...args].join(' ')} keeps the note of every kind, and those running that are started`, {
      skip: skip || needs(tool, 'readelf', 'eu-readelf'),
    }, async t => {
      const kinds = [...STRIPPABLE_PROGRAMS, ...LIBRARY_KINDS];
      const [dir, plain] = [tempDir(t), tempDir(t)];
      const changes: Change[] = [];
      const files = kinds.map(kind => {
        const [file, same] = [dir, plain].map(place => join(place, kind.replace('/', '-')));
        assert.ok(file !== undefined && same !== undefined);
        copyFileSync(join(processed, 'kinds', kind), file);
        copyFileSync(join(original, 'kinds', kind), same);
        changes.push([same, file]);
        return file;
      });
      // Of these, objcopy alone takes one file a call.
      const work = (paths: readonly string[]) =>
        runAll(
          (tool.endsWith('objcopy') ? paths.map(path => [path]) : [paths]).map(part => [
            [tool, ...args, ...part],
          ]),
        );
      for (const { status, stderr } of await work(files)) assert.deepEqual([status, stderr], [0, '']);
      for (const { status } of await work(changes.map(([same]) => same))) assert.equal(status, 0);
      const started = shareOfStarts([...kinds.entries()], number);
      const runs = await runAll(started.map(([i, kind]) => [kindCommand(processed, kind, files[i])]));
      for (const [n, [, kind]] of started.entries()) {
        const result = runs[n];
        assert.deepEqual([result?.status, result?.stdout, result?.stderr], [0, GREETING, ''], kind);
      }
      assert.deepEqual(allNewComplaints(changes), []);
      assert.ok(files.length > 15);
      assert.deepEqual(notesOf(files), notesOf(kinds.map(kind => join(processed, 'kinds', kind))));
    });
  }

  test('strip of a file whose note could not get a section loses the note and keeps the program', {
    skip: skip || needs('strip'),
  }, t => {
    const file = join(tempDir(t), 'file');
    copyFileSync(join(processed, 'kinds/appended'), file);
    runOk('strip', [file]);
    assert.equal(elfnoteHere(['dump', file]).status, 1);
    assert.equal(runKind(processed, 'appended', file).stdout, GREETING);
    // and the next run gives it one, now that nothing is appended
    elfnoteHereOk(['build-cache', '--root', ROOT, file]);
    assert.deepEqual(notesOf([file]), notesOf([join(processed, 'kinds/pie-bfd')]));
    assert.equal(runKind(processed, 'appended', file).stdout, GREETING);
  });
});

describeInQuick('special files', {}, () => {
  test('what is appended to a program stays at its offset, byte for byte, and the file does not grow', () => {
    const was = readFileSync(join(original, 'kinds/appended'));
    const now = readFileSync(join(processed, 'kinds/appended'));
    const archive = was.indexOf('PK\x03\x04');
    assert.ok(archive > 0);
    assert.equal(now.length, was.length);
    assert.ok(now.subarray(archive).equals(was.subarray(archive)));
  });

  test('an appended zip archive still unpacks', { skip: needs('unzip') }, () => {
    const [was, now] = [original, processed].map(dir =>
      run('unzip', ['-p', join(dir, 'kinds/appended'), 'payload.txt']),
    );
    assert.ok((now?.stdout ?? '').length > 0);
    assert.equal(now?.stdout, was?.stdout);
  });

  test('a file without section headers stays without, and does not grow', () => {
    const now = readFileSync(join(processed, 'kinds/nosections'));
    assert.equal(now.readBigUInt64LE(40), 0n);
    assert.equal(now.readUInt16LE(60), 0);
    assert.equal(now.length, statSync(join(original, 'kinds/nosections')).size);
  });

  test('no file grows by 1,300 bytes, the record of how to undo it included', () => {
    for (const file of WRITTEN) {
      const growth = statSync(join(processed, file)).size - statSync(join(original, file)).size;
      assert.ok(growth >= 0 && growth < 1300, `${file}: ${growth}`);
    }
  });

  test('a program whose run path starts with $ORIGIN leaves that directory to the loader', () => {
    const [line] = elfnoteHereOk([
      'dump',
      '--json',
      '--root',
      ROOT,
      join(processed, 'kinds/bin/origin'),
    ]).stdout.split('\n');
    assert.match(line ?? '', /"element":"\?\$ORIGIN\/\.\.\/lib"/);
  });

  test('a file is processed in the same way when it is writable by nobody', t => {
    const file = join(tempDir(t), 'file');
    copyFileSync(join(FIXTURES, 'kinds/pie-bfd'), file);
    chmodSync(file, 0o555);
    elfnoteHereOk(['build-cache', '--root', ROOT, file]);
    assert.ok(readFileSync(file).equals(readFileSync(join(processed, 'kinds/pie-bfd'))));
    assert.equal(statSync(file).mode & 0o7777, 0o555);
  });

  test('a cut-off file is refused at every length that cuts a table, and stays as it is', t => {
    const dir = tempDir(t);
    const whole = readFileSync(join(FIXTURES, 'kinds/pie-bfd'));
    const files = [20, 63, 64, 100, 1000, 5000, 12000, whole.length - 1].map(length => {
      const file = join(dir, `cut-${length}`);
      writeFileSync(file, whole.subarray(0, length));
      return file;
    });
    for (const file of files) {
      const was = readFileSync(file);
      const result = elfnoteHere(['build-cache', '--root', ROOT, file]);
      assert.equal(result.status, 2, file);
      assert.match(result.stderr, new RegExp(`^elfnote: ${file}: [^\\n]+ \\(at offset \\d+\\)\\n$`));
      assert.ok(readFileSync(file).equals(was), file);
    }
  });
});

interface Range {
  readonly offset: number;
  readonly size: number;
}

/** The program header table by the ELF header's word, and by that of `PT_PHDR`. */
function phdrOf(file: string): { table: Range; phdr: Range | undefined } {
  const bytes = readFileSync(file);
  const [is64, little] = [bytes[4] === 2, bytes[5] === 1];
  const half = (at: number) => (little ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at));
  const word = (at: number) => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const long = (at: number) =>
    is64 ? Number(little ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at)) : word(at);
  const [offset, entry, count] = is64 ? [long(32), half(54), half(56)] : [long(28), half(42), half(44)];
  const starts = Array.from({ length: count }, (_, i) => offset + i * entry);
  const at = starts.find(start => word(start) === 6);
  const phdr =
    at === undefined ? undefined : { offset: long(at + (is64 ? 8 : 4)), size: long(at + (is64 ? 32 : 16)) };
  return { table: { offset, size: count * entry }, phdr };
}

/** FNV-1a, for an order that has nothing to do with the names. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  return value;
}

/** elfy's own view of a whole file; src/elf/elfy.d.ts only declares what elfnote uses. */
function elfyParse(file: string): { programs: JsonObject[]; sections: JsonObject[] } {
  const elfy: unknown = createRequire(import.meta.url)('elfy');
  if (!isObject(elfy) || typeof elfy.parse !== 'function') throw new Error('elfy has no parse');
  const parsed: unknown = Reflect.apply(elfy.parse, elfy, [readFileSync(file)]);
  if (!isObject(parsed) || !isObject(parsed.body)) throw new Error(`${file}: elfy gives no body`);
  return { programs: listIn(parsed.body, 'programs'), sections: listIn(parsed.body, 'sections') };
}
