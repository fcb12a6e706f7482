import assert from 'node:assert/strict';
import { chmodSync, chownSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { buildAuditModule } from '../support/audit-module.js';
import { FIXTURES, jsonLines, objectIn, type RunResult, runOk } from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { dumpJson } from '../support/dump.js';
import { EXTENT, RUN, share } from '../support/extent.js';
import { LATER_TOOLS, type LaterTool } from '../support/later-tools.js';
import { matrix, X86_64 } from '../support/matrix.js';
import { describeInQuick } from '../support/quick.js';
import { ReaderShop } from '../support/reader-shop.js';
import { runAll } from '../support/run-all.js';
import { sharedDir, suiteScope, tempDir } from '../support/temp.js';
import { isSkipped, needs, needsOtherUser } from '../support/tools.js';
import { buildCells, type Cell, type Sample, Workshop } from '../support/workshop.js';

const skip = needs('gcc', 'readelf', 'eu-readelf');

const CELLS = matrix().flatMap(({ cells }) => cells);

function cellNamed(name: string): Cell {
  const found = CELLS.find(cell => cell.name === name);
  assert.ok(found !== undefined, `the matrix has no ${name}`);
  return found;
}

/** A built program and two modules of its machine. */
interface Subject {
  readonly shop: Workshop;
  readonly sample: Sample;
  readonly one: string;
  readonly two: string;
}

function build(dir: string, cell: Cell): Subject {
  const shop = new Workshop(dir);
  const { samples, failures } = buildCells(shop, [cell]);
  const sample = samples.get(cell);
  if (sample === undefined) throw new Error(failures.get(cell));
  const module = (word: string): string => {
    const place = join(dir, `${word}.so`);
    const kept = shop.kit(cell.target).once(`audit-${word}.so`, made => {
      buildAuditModule(cell.target, made, word);
    });
    copyFileSync(kept, place);
    return place;
  };
  return { shop, sample, one: module('one'), two: module('two') };
}

function copyOf({ sample }: Subject, t: TestContext): string {
  const file = join(tempDir(t), 'program');
  copyFileSync(sample.file, file);
  return file;
}

function withReader(subject: Subject, t: TestContext, module = subject.one): string {
  const file = copyOf(subject, t);
  elfnoteHereOk(['build-cache', '--reader', module, file]);
  return file;
}

/** The modules that a program's loader asked; the program has to say what it said before. */
function asked({ shop, sample }: Subject, file: string, said = sample.said): string[] {
  const { status, stdout, stderr } = shop.start(sample.cell, file);
  assert.equal(status, 0, stderr);
  // The note adds one to the number of notes that the program counts.
  assert.equal(stdout.replace(/ notes=\d+/, ''), said.replace(/ notes=\d+/, ''));
  return [...new Set(stderr.split('\n').filter(line => line !== ''))];
}

/** What readelf and eu-readelf read behind `DT_AUDIT`. */
function auditOf(file: string): string[] {
  const { stdout, stderr } = runOk('readelf', ['-dW', file]);
  assert.doesNotMatch(stderr, /warning/i);
  assert.doesNotMatch(stdout, /corrupt/i);
  runOk('eu-readelf', ['-d', file]);
  return [...stdout.matchAll(/\(AUDIT\)\s+Audit library: \[(.*)\]/g)].map(match => match[1] ?? '');
}

const PROGRAMS = [
  'x86_64 bfd pie',
  'x86_64 bfd nopie',
  'x86_64 gold pie',
  'x86_64 gold nopie',
  'x86_64 mold pie',
  'x86_64 mold nopie',
  'x86_64 bfd pie stripped',
  'x86_64 bfd pie patched',
  'i686 bfd pie',
  'i686 bfd nopie',
  'aarch64 bfd pie',
  's390x bfd pie',
];

/** Those of `npm test`: each linker, both ways to be loaded, each byte order. */
const QUICK = [
  'x86_64 bfd pie',
  'x86_64 gold nopie',
  'x86_64 mold nopie',
  'x86_64 bfd pie patched',
  's390x bfd pie',
];

const TOOLS = LATER_TOOLS.filter(tool => typeof tool.work === 'function' && tool.name !== 'nothing');

/** Each linker's ways are seen with every tool once; elsewhere the two that lay a file out anew will do. */
const EVERY_TOOL = ['x86_64 bfd pie', 'x86_64 bfd nopie', 'x86_64 mold nopie'];
const SOME_TOOLS = ['strip', 'patchelf --set-rpath longer'];

/** After these, a note has a place and a longer path has none; the reader that is there stays. */
const WITHOUT_ROOM_AFTER = [
  'x86_64 mold nopie, patchelf --set-rpath longer',
  'x86_64 mold nopie, trixie patchelf --set-rpath longer',
  'x86_64 mold nopie, llvm-strip',
  'x86_64 bfd nopie, trixie patchelf --set-rpath longer',
];

/** These have room for a note alone, and less than a record more. */
const WITHOUT_RECORD = ['x86_64 gold nopie'];

function goesWith(tool: LaterTool, { name }: Cell): boolean {
  return EVERY_TOOL.includes(name) || SOME_TOOLS.includes(tool.name);
}

for (const [i, name] of PROGRAMS.entries()) {
  const cell = cellNamed(name);
  const mayBeQuick = QUICK.includes(name);
  if (RUN === 'quick' && !mayBeQuick) continue;
  const tools = share(
    TOOLS.filter(tool => goesWith(tool, cell)),
    EXTENT.toolsPerProgram,
    i,
    mayBeQuick,
  );
  describe(`a program with an audit module: ${name}`, { skip: skip || cell.skip }, () => {
    const scope = suiteScope();
    let subject: Subject;
    before(() => {
      subject = build(tempDir(scope), cell);
    });

    // `npm test` has these of its own programs.
    if (RUN !== 'rest' || !mayBeQuick) testOnItsOwn();

    for (const tool of tools) {
      test(`${tool.name} leaves it right`, async t => {
        if (isSkipped(t, tool.skip())) return;
        const file = withReader(subject, t);
        if (typeof tool.work !== 'function') throw new Error('no tool');
        const [result] = await runAll([tool.work(file, subject.sample, subject.shop)]);
        assert.equal(result?.status, 0, result?.stderr);
        assert.deepEqual(auditOf(file), [subject.one]);
        assert.deepEqual(asked(subject, file), ['one']);
        elfnoteHereOk(['build-cache', file]);
        assert.deepEqual(asked(subject, file), ['one'], 'kept');
        if (WITHOUT_ROOM_AFTER.includes(`${name}, ${tool.name}`)) {
          assert.match(
            elfnoteHere(['build-cache', '--reader', subject.two, file]).stderr,
            /no segment has room/,
          );
          assert.deepEqual(asked(subject, file), ['one'], 'untouched');
        } else {
          elfnoteHereOk(['build-cache', '--reader', subject.two, file]);
          assert.deepEqual(asked(subject, file), ['two'], 'replaced');
        }
        elfnoteHereOk(['remove-cache', file]);
        assert.deepEqual(asked(subject, file), [], 'removed');
        assert.deepEqual(auditOf(file), []);
      });
    }

    function testOnItsOwn(): void {
      test('its loader asks the module, with no variable set', t => {
        assert.deepEqual(asked(subject, subject.sample.file), []);
        const file = withReader(subject, t);
        assert.deepEqual(asked(subject, file), ['one']);
        assert.deepEqual(auditOf(file), [subject.one]);
      });

      test('a second run changes nothing, and a run without the option keeps it', t => {
        const file = withReader(subject, t);
        const bytes = readFileSync(file);
        assert.match(elfnoteHereOk(['build-cache', '--reader', subject.one, file]).stdout, /up to date/);
        assert.match(elfnoteHereOk(['build-cache', file]).stdout, /up to date/);
        assert.ok(readFileSync(file).equals(bytes));
      });

      test('a new path gives the bytes that a first run would have given', t => {
        const file = withReader(subject, t);
        elfnoteHereOk(['build-cache', '--reader', subject.two, file]);
        assert.deepEqual(asked(subject, file), ['two']);
        assert.ok(readFileSync(file).equals(readFileSync(withReader(subject, t, subject.two))));
      });

      test('a file that has its note gets the bytes that a first run would have given', t => {
        const file = copyOf(subject, t);
        elfnoteHereOk(['build-cache', file]);
        const isExact = objectIn(dumpJson(file), 'note').removalIsExact === true;
        elfnoteHereOk(['build-cache', '--reader', subject.one, file]);
        assert.deepEqual(asked(subject, file), ['one']);
        // Where there was no room for a record, what was there before is not known.
        if (isExact) assert.ok(readFileSync(file).equals(readFileSync(withReader(subject, t))));
        else assert.ok(WITHOUT_RECORD.includes(name), 'it has a record');
      });

      test('remove-cache gives the file its old bytes back', t => {
        const file = withReader(subject, t);
        elfnoteHereOk(['remove-cache', file]);
        assert.ok(readFileSync(file).equals(readFileSync(subject.sample.file)));
      });
    }
  });
}

describeInQuick('who gets a reader, and who does not', { skip }, () => {
  const scope = suiteScope();
  let subject: Subject;
  before(() => {
    subject = build(sharedDir(scope), cellNamed('x86_64 bfd pie'));
  });

  /** The program's objects, linked otherwise. */
  function linked(t: TestContext, ...options: readonly string[]): string {
    const kit = subject.shop.kit(X86_64);
    const file = join(tempDir(t), 'program');
    kit.link(file, 'bfd', 'pie', [join(kit.dir, 'main.pie.o')], options);
    return file;
  }

  /** Fails by name with one line, and leaves the file alone. */
  function refuses(result: RunResult, file: string, bytes: Buffer, why: RegExp): void {
    assert.equal(result.status, 1, result.stderr);
    assert.match(result.stderr, why);
    assert.equal(result.stderr.trimEnd().split('\n').length, 1);
    assert.ok(readFileSync(file).equals(bytes), 'the file changed');
  }

  const NO_SPARE: readonly (readonly [string, string])[] = [
    ['lld leaves no spare entry', 'x86_64 lld pie'],
    ['musl has no audit interface', 'x86_64-musl bfd pie'],
  ];
  for (const [why, name] of NO_SPARE) {
    const cell = cellNamed(name);
    test(`${why}: named, and nothing is written`, { skip: cell.skip }, t => {
      const shop = new Workshop(tempDir(t));
      const sample = shop.make(cell);
      const other = { ...subject, shop, sample };
      const result = elfnoteHere(['build-cache', '--reader', subject.one, other.sample.file]);
      const known =
        /: cannot have an audit module: (its dynamic section has no spare entry|musl has no audit interface)/;
      refuses(result, other.sample.file, readFileSync(copyOf(other, t)), known);
      assert.equal(elfnoteHere(['build-cache', other.sample.file]).status, 0, 'a note alone has room');
    });
  }

  test('a program that names an audit module of its own is refused by name', t => {
    const file = linked(t, `-Wl,--audit=${subject.two}`);
    const bytes = readFileSync(file);
    const result = elfnoteHere(['build-cache', '--reader', subject.one, file]);
    refuses(result, file, bytes, new RegExp(`another audit module \\(${subject.two}\\)`));
    elfnoteHereOk(['build-cache', file]);
    assert.deepEqual(auditOf(file), [subject.two]);
    assert.deepEqual(asked(subject, file), ['two']);
    assert.equal(objectIn(dumpJson(file), 'reader').own, false);
    elfnoteHereOk(['remove-cache', file]);
    assert.ok(readFileSync(file).equals(bytes));
  });

  test('DT_DEPAUDIT is another matter and stays', t => {
    const file = linked(t, `-Wl,--depaudit=${subject.two}`);
    elfnoteHereOk(['build-cache', '--reader', subject.one, file]);
    assert.deepEqual(asked(subject, file).sort(), ['one', 'two']);
  });

  test('a library gets a note and no DT_AUDIT', t => {
    const kit = subject.shop.kit(X86_64);
    const file = join(tempDir(t), 'liba.so.1');
    copyFileSync(kit.libraries[0] ?? '', file);
    assert.match(elfnoteHereOk(['build-cache', '--reader', subject.one, file]).stdout, /note written/);
    assert.deepEqual(auditOf(file), []);
  });

  test('a program that gets no note gets no reader', t => {
    const file = join(tempDir(t), 'program');
    writeFileSync(`${file}.c`, 'int main(void) { return 0; }\n');
    runOk('gcc', [`${file}.c`, '-o', file]);
    const bytes = readFileSync(file);
    assert.match(elfnoteHereOk(['build-cache', '--reader', subject.one, file]).stdout, /has no run path/);
    assert.ok(readFileSync(file).equals(bytes));
  });

  test('a module that the loader would not take is refused, but for --force', t => {
    const other = join(FIXTURES, 'root/nix/store/v1v4v3fhk4j3y12dzxran4y6d6gq8vq2-libgreet-x86_64');
    const wrong = join(
      FIXTURES,
      'root/nix/store/gafr5h7n9mh18ls2rzjdzbvdssjb78v0-libgreet-armhf/lib/libgreet.so.1',
    );
    const missing = join(other, 'lib/absent.so');
    for (const [module, why] of [
      [missing, /the loader would not take the audit module .*absent\.so: .*; --force/],
      [wrong, /the loader would not take the audit module .*: wrong ELF class \(32-bit\)/],
    ] as const) {
      const file = copyOf(subject, t);
      refuses(
        elfnoteHere(['build-cache', '--reader', module, file]),
        file,
        readFileSync(subject.sample.file),
        why,
      );
      elfnoteHereOk(['build-cache', '--force', '--reader', module, file]);
      assert.deepEqual(auditOf(file), [module]);
    }
  });

  for (const [path, why] of [
    ['one.so', 'must be absolute'],
    ['/store/a:b.so', 'must not have a colon'],
    ['/store/$LIB/a.so', 'must not have a \\$'],
    [`/${'a'.repeat(254)}`, 'must be shorter than 255 bytes'],
  ] as const) {
    test(`the path ${JSON.stringify(path.slice(0, 20))} is no reader's: ${why.replace('\\', '')}`, t => {
      const file = copyOf(subject, t);
      const { status, stderr } = elfnoteHere(['build-cache', '--reader', path, file]);
      assert.equal(status, 2);
      assert.match(stderr, new RegExp(`^elfnote: the audit module's path ${why}`));
      assert.ok(readFileSync(file).equals(readFileSync(subject.sample.file)));
    });
  }

  test('in a walk, one that cannot have an audit module does not stop the others', {
    skip: needs('ld.lld'),
  }, t => {
    const dir = tempDir(t);
    const lld = build(join(tempDir(t)), cellNamed('x86_64 lld pie'));
    copyFileSync(lld.sample.file, join(dir, 'a'));
    copyFileSync(subject.sample.file, join(dir, 'b'));
    mkdirSync(join(dir, 'c'));
    copyFileSync(subject.shop.kit(X86_64).libraries[0] ?? '', join(dir, 'c/liba.so.1'));
    const { status, stdout } = elfnoteHere(['build-cache', '--json', '--reader', subject.one, dir]);
    assert.equal(status, 1);
    const seen = jsonLines(stdout).flatMap(({ type, action, reader }) =>
      type === 'file' ? [[action, reader]] : [],
    );
    assert.deepEqual(seen, [
      ['failed', undefined],
      ['written', subject.one],
      ['written', undefined],
    ]);
  });

  test('--dry-run shows it and writes nothing; dump shows it, and whether it is there', t => {
    const file = copyOf(subject, t);
    const { stdout } = elfnoteHereOk(['build-cache', '--dry-run', '-v', '--reader', subject.one, file]);
    assert.match(stdout, new RegExp(`16 bytes at offset \\d+: DT_AUDIT: ${subject.one}\n`));
    assert.ok(readFileSync(file).equals(readFileSync(subject.sample.file)));
    const module = join(tempDir(t), 'gone.so');
    elfnoteHereOk(['build-cache', '--reader', subject.one, file]);
    assert.match(
      elfnoteHereOk(['dump', file]).stdout,
      new RegExp(`^  DT_AUDIT: ${subject.one}  \\(there, and acceptable\\)$`, 'm'),
    );
    elfnoteHereOk(['build-cache', '--force', '--reader', module, file]);
    assert.match(elfnoteHereOk(['dump', file]).stdout, /DT_AUDIT: .*gone\.so {2}\(the loader passes over it/);
    assert.deepEqual(objectIn(dumpJson(file), 'reader').state, 'passed-over');
  });

  test('a stale note is written anew, and the reader stays', t => {
    const file = withReader(subject, t);
    const kit = subject.shop.kit(X86_64);
    runOk('patchelf', ['--set-rpath', join(kit.dir, 'both'), file]);
    elfnoteHereOk(['build-cache', file]);
    assert.deepEqual(asked(subject, file), ['one']);
    assert.equal(objectIn(dumpJson(file), 'note').agreesWithRunPath, true);
  });

  test('a reader whose note is gone is still taken out', { skip: needs('objcopy') }, t => {
    const file = withReader(subject, t);
    runOk('objcopy', ['--remove-section=.note.nixos.ldcache', file]);
    assert.deepEqual(asked(subject, file), ['one']);
    elfnoteHereOk(['remove-cache', file]);
    assert.deepEqual(asked(subject, file), []);
    assert.deepEqual(auditOf(file), []);
  });

  test('a setuid program does not get it', { skip: needsOtherUser() }, t => {
    const shop = new ReaderShop(sharedDir(t));
    const file = shop.program('program', { needs: [shop.library('lib', 'plain')] });
    elfnoteHereOk(['build-cache', '--reader', subject.one, file]);
    assert.match(runOk(file).stderr, /^one$/m);
    chownSync(file, 65534, 65534);
    chmodSync(file, 0o4755);
    assert.equal(runOk(file).stderr, '');
  });
});
