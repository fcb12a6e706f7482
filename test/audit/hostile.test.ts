import assert from 'node:assert/strict';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { SANITIZED } from '../support/audit-module.js';
import { numberIn, objectIn, run, runOk } from '../support/cli.js';
import { dumpJson } from '../support/dump.js';
import { EXTENT } from '../support/extent.js';
import { needsTracing, READER_SOURCES } from '../support/reader.js';
import { ANSWERED, annotatedClosure, assertSame, type Closure, ReaderShop } from '../support/reader-shop.js';
import { sharedDir, suiteScope, tempDir } from '../support/temp.js';
import { needs, needsOtherUser } from '../support/tools.js';

describe('a note that is not true any more', { skip: needs('gcc', 'patchelf') }, () => {
  function annotated(t: TestContext): { shop: ReaderShop; files: Closure } {
    const shop = new ReaderShop(tempDir(t));
    const files = annotatedClosure(shop);
    return { shop, files };
  }
  const NOWHERE = 'libthree.so.1 for two/libtwo.so.1: left to the loader: no path of the note is there';

  test('a library that has gone is searched for as ever', t => {
    const { shop, files } = annotated(t);
    renameSync(files.three, shop.at('one/libthree.so.1'));
    const { stdout, said } = assertSame(shop, files.program);
    assert.match(stdout, /\/one\/libthree.so.1$/m);
    assert.deepEqual(said, [...ANSWERED.slice(0, 3), NOWHERE]);
  });

  test('of two paths the second is answered where the first has gone', t => {
    const { shop, files } = annotated(t);
    copyFileSync(files.three, shop.at('one/libthree.so.1'));
    shop.annotate(files.two);
    rmSync(shop.at('one/libthree.so.1'));
    assert.deepEqual(assertSame(shop, files.program).said, ANSWERED);
  });

  test('a run path that was changed since, with the old library gone', t => {
    const { shop, files } = annotated(t);
    shop.library('new', 'three');
    rmSync(files.three);
    runOk('patchelf', ['--set-rpath', shop.at('new'), files.two]);
    const { stdout, said } = assertSame(shop, files.program);
    assert.match(stdout, /\/new\/libthree.so.1$/m);
    assert.equal(said.at(-1), NOWHERE);
  });

  test('a run path that was taken out since: the note no longer counts', t => {
    const { shop, files } = annotated(t);
    runOk('patchelf', ['--remove-rpath', files.two]);
    shop.library('system', 'three');
    const LD_LIBRARY_PATH = shop.at('system');
    assert.match(
      assertSame(shop, files.program, [], { LD_LIBRARY_PATH }).stdout,
      /\/system\/libthree.so.1$/m,
    );
  });
});

test('a path that the effective user may not open is passed over, whoever the real one is', {
  skip: needsOtherUser('gcc'),
}, t => {
  const shop = new ReaderShop(sharedDir(t));
  const locked = shop.library('locked', 'three');
  shop.library('open', 'three');
  const user = shop.library('user', 'user', {
    needs: [locked],
    runPath: [shop.at('locked'), shop.at('open')],
  });
  const program = shop.program('program');
  shop.annotate(user);
  chmodSync(shop.at('locked'), 0o700);
  const { stdout, said } = assertSame(shop, program, ['user:65534', `open:${user}`]);
  assert.match(stdout, /\/open\/libthree.so.1$/m);
  assert.ok(said.includes('libthree.so.1 for user/libuser.so.1: open/libthree.so.1'), said.join('\n'));
});

describe('a directory that the loader has to search (?)', { skip: needsTracing('gcc') }, () => {
  const scope = suiteScope();
  let shop: ReaderShop;
  let program: string;
  before(() => {
    shop = new ReaderShop(tempDir(scope));
    const one = shop.library('one', 'one');
    program = shop.program('program', { needs: [one], runPath: [shop.at('later'), shop.at('one')] });
    // It is not there yet, so the note has it as a hint.
    shop.annotate(program);
  });
  const ANSWER = 'libone.so.1 for the program: one/libone.so.1';
  const LEFT =
    'libone.so.1 for the program: left to the loader: the note has a directory that the loader has to search';

  test('is passed over as long as it is not there', () => {
    assert.equal(assertSame(shop, program).said[0], ANSWER);
    assert.deepEqual(shop.missed(shop.traced(program)), []);
  });

  test('is asked for once by all objects, as long as it is not there', () => {
    const [two, three] = [shop.library('two', 'two'), shop.library('three', 'three')];
    const runPath = ['later', 'two', 'three', 'one'].map(dir => shop.at(dir));
    const user = shop.library('user', 'user', { needs: [two, three], runPath });
    const many = shop.program('many', {
      needs: [shop.at('one/libone.so.1'), user],
      runPath: [...runPath, shop.at('user')],
    });
    shop.annotate(many, user);
    const log = shop.at('asked.log');
    runOk('strace', ['-o', log, '-E', `LD_AUDIT=${shop.reader}`, many]);
    const asked = readFileSync(log, 'utf8')
      .split('\n')
      .filter(line => line.includes('/later'));
    // The loader asks once too, for the C library.
    assert.equal(asked.filter(line => !line.includes('/later/libc') && /\/later\/\."/.test(line)).length, 1);
    assert.ok(!asked.some(line => /lib(one|two|three|user)/.test(line)), asked.join('\n'));
  });

  test('is passed over when the library is not in it', () => {
    mkdirSync(shop.at('later/unrelated'), { recursive: true });
    assert.equal(assertSame(shop, program).said[0], ANSWER);
    rmSync(shop.at('later'), { recursive: true });
  });

  test('is answered when the library is in it', () => {
    const found = shop.library('later', 'one');
    const { stdout, said } = assertSame(shop, program);
    assert.match(stdout, /\/later\/libone.so.1$/m);
    assert.equal(said[0], 'libone.so.1 for the program: later/libone.so.1');
    assert.deepEqual(shop.missed(shop.traced(program)), []);
    // A trailing slash is none of the path that the loader has.
    const slashed = shop.program('slashed', {
      needs: [shop.at('one/libone.so.1')],
      runPath: [`${shop.at('later')}//`, shop.at('one')],
    });
    rmSync(shop.at('later'), { recursive: true });
    shop.annotate(slashed);
    mkdirSync(shop.at('later'));
    copyFileSync(shop.at('one/libone.so.1'), found);
    assert.match(assertSame(shop, slashed).stdout, /[^/]\/later\/libone.so.1$/m);
    rmSync(shop.at('later'), { recursive: true });
  });

  test('is left to the loader when what it holds is no library for this machine', () => {
    const library = shop.library('later', 'one');
    const bytes = readFileSync(library);
    for (const [what, at, value] of [
      ['another class', 4, 1],
      ['another machine', 18, 183],
    ] as const) {
      const other = Buffer.from(bytes);
      other[at] = value;
      writeFileSync(library, other);
      const { stdout, said } = assertSame(shop, program);
      assert.match(stdout, /\/one\/libone.so.1$/m, what);
      assert.equal(said[0], LEFT, what);
    }
    rmSync(shop.at('later'), { recursive: true });
  });

  test('is left to the loader when there are subdirectories for some processors in it', () => {
    for (const sub of ['glibc-hwcaps/x86-64-v2', 'tls', 'x86_64', 'haswell']) {
      shop.library(`later/${sub}`, 'one');
      assert.equal(assertSame(shop, program).said[0], LEFT, sub);
      rmSync(shop.at('later'), { recursive: true });
    }
  });

  test('is left to the loader when it is relative, empty, or has a token that is not $ORIGIN alone', () => {
    for (const dir of ['here', '', '/$LIB', '$ORIGIN/$LIB', '$ORIGINAL/here', `${shop.dir}/$ORIGIN`]) {
      const other = shop.program('other', {
        needs: [shop.at('one/libone.so.1')],
        runPath: [dir, shop.at('one')],
      });
      shop.annotate('--like-patchelf', other);
      const { said } = assertSame(shop, other);
      assert.match(said[0] ?? '', /left to the loader: the note has an element that only the loader/, dir);
    }
  });
});

describe('$ORIGIN in a note', { skip: needsTracing('gcc') }, () => {
  const scope = suiteScope();
  let shop: ReaderShop;
  before(() => {
    shop = new ReaderShop(tempDir(scope));
  });
  /** A program in bin/, a library in lib/ that needs another one beside itself. */
  const tree = (name: string, origin: string) => {
    const inner = shop.library(`${name}/lib`, 'inner');
    const outer = shop.library(`${name}/lib`, 'outer', { needs: [inner], runPath: [origin, '/none'] });
    mkdirSync(shop.at(name, 'bin'));
    const program = shop.program(`${name}/bin/program`, {
      needs: [outer],
      runPath: ['/none', `${origin}/../lib/`],
    });
    shop.annotate('--like-patchelf', program, outer);
    return { program, outer, inner };
  };
  const SAID = [
    'libouter.so.1 for the program: lib/libouter.so.1',
    'libinner.so.1 for lib/libouter.so.1: lib/libinner.so.1',
  ];
  const withoutC = (said: readonly string[]) => said.filter(line => !line.startsWith('libc.so.6'));

  for (const [name, origin] of [
    ['plain', '$ORIGIN'],
    ['braced', `$\{ORIGIN}`],
  ] as const) {
    test(`is the directory of the object that asks: ${origin}`, () => {
      const { program } = tree(name, origin);
      assert.deepEqual(withoutC(assertSame(shop, program).said), SAID);
      assert.deepEqual(shop.missed(shop.traced(program)), []);
    });
  }

  test('is where the tree is now: moved, copied, and called through a link from another directory', () => {
    tree('first', '$ORIGIN');
    renameSync(shop.at('first'), shop.at('second'));
    cpSync(shop.at('second'), shop.at('third'), { recursive: true });
    symlinkSync(shop.at('second/bin/program'), shop.at('link'));
    for (const program of [shop.at('second/bin/program'), shop.at('third/bin/program'), shop.at('link')])
      assert.deepEqual(withoutC(assertSame(shop, program).said), SAID, program);
  });

  test('is left to the loader where the directory has subdirectories for some processors', () => {
    const { program } = tree('capable', '$ORIGIN');
    shop.library('capable/lib/glibc-hwcaps/x86-64-v2', 'outer');
    assert.match(assertSame(shop, program).said[0] ?? '', /has a directory that the loader has to search/);
  });
});

/** A file's note, and where it stands. */
function noteOf(file: string): { bytes: Buffer; offset: number; end: number } {
  const note = objectIn(dumpJson(file), 'note');
  const offset = numberIn(note, 'offset');
  return { bytes: readFileSync(file), offset, end: offset + numberIn(note, 'size') };
}

/** The same numbers on every machine. */
function seeded(seed: number): (limit: number) => number {
  let state = seed;
  return limit => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

describe('a note full of nonsense', { skip: needs('gcc', 'patchelf') }, () => {
  const scope = suiteScope();
  let shop: ReaderShop;
  let files: Closure;
  let plain: string;
  before(() => {
    const dir = tempDir(scope);
    // How much nonsense hits a path depends on how long the paths are.
    const padded = join(dir, 'p'.repeat(Math.max(1, 99 - dir.length)));
    mkdirSync(padded);
    shop = new ReaderShop(padded);
    files = annotatedClosure(shop);
    plain = shop.plain(files.program);
  });

  test('never keeps a program from running, nor changes what it loads', () => {
    const random = seeded(20);
    const notes = [files.program, files.two].map(file => ({ file, ...noteOf(file) }));
    let answered = 0;
    for (let round = 0; round < EXTENT.hostileNotes; round++) {
      for (const { file, bytes, offset, end } of notes) {
        const mutant = Buffer.from(bytes);
        for (let count = 1 + random(4); count > 0; count--) {
          const byte = [0, 0xff, 0x3a, 0x3d, 0x3f, 0x2f, 0x24][random(12)] ?? random(256);
          mutant[offset + random(end - offset)] = byte;
        }
        writeFileSync(file, mutant);
      }
      const { status, stdout, stderr } = shop.explained(files.program);
      assert.equal(`${status} ${stdout}`, `0 ${plain}`, `round ${round}: ${stderr}`);
      answered += stderr.split('\n').filter(line => /: \/\S+$/.test(line)).length;
    }
    // Some were still good enough to be used: the reader did not just give up at the first byte.
    assert.ok(answered > EXTENT.hostileNotes / 3, `${answered} answers`);
    for (const { file, bytes } of notes) writeFileSync(file, bytes);
    assert.deepEqual(assertSame(shop, files.program).said, ANSWERED);
  });

  /** Program headers of a 64-bit file, little-endian. */
  const headersOf = (bytes: Buffer) => {
    const [start, count] = [Number(bytes.readBigUInt64LE(32)), bytes.readUInt16LE(56)];
    return Array.from({ length: count }, (_, i) => start + 56 * i);
  };
  const [PT_LOAD, PT_NOTE] = [1, 4];
  const isNote = (bytes: Buffer, at: number) =>
    bytes.readUInt32LE(at) === PT_NOTE && bytes.readBigUInt64LE(at + 48) === 4n;

  const poked: readonly [rule: string, poke: (bytes: Buffer, at: number) => void][] = [
    ['an alignment of 8', (bytes, at) => bytes.writeBigUInt64LE(8n, at + 48)],
    ['an odd address', (bytes, at) => bytes.writeBigUInt64LE(bytes.readBigUInt64LE(at + 16) + 2n, at + 16)],
    ['an address outside every segment', (bytes, at) => bytes.writeBigUInt64LE(0x7000_0000n, at + 16)],
    ['an address that wraps around', (bytes, at) => bytes.writeBigUInt64LE(0xffff_ffff_ffff_f000n, at + 16)],
    ['a size beyond its segment', (bytes, at) => bytes.writeBigUInt64LE(0x10_0000n, at + 32)],
    ['a size that wraps around', (bytes, at) => bytes.writeBigUInt64LE(0xffff_ffff_ffff_fff0n, at + 32)],
  ];
  for (const [rule, poke] of poked) {
    test(`a PT_NOTE with ${rule} is not read`, () => {
      const bytes = readFileSync(files.two);
      const mutant = Buffer.from(bytes);
      for (const at of headersOf(mutant)) if (isNote(mutant, at)) poke(mutant, at);
      writeFileSync(files.two, mutant);
      const { said } = assertSame(shop, files.program);
      assert.match(said.at(-1) ?? '', /there is no note to go by/);
      writeFileSync(files.two, bytes);
    });
  }

  for (const base of ['0x1000', '0x10000', '0x3000000000']) {
    test(`a library linked to start at ${base} has no header where the others have it, and does no harm`, () => {
      const flags = [`-Wl,-Ttext-segment=${base}`];
      const library = shop.library('based', 'based', { needs: [files.three], flags });
      shop.annotate(library);
      const { stdout, said } = assertSame(shop, shop.program('opens-based'), [`open:${library}`]);
      assert.match(stdout, /\/based\/libbased.so.1$/m);
      assert.match(
        said.at(-1) ?? '',
        /libthree.so.1 for based\/libbased.so.1: left to the loader: there is no note/,
      );
    });
  }

  test('a note behind the end of a file that was cut off is not read', () => {
    const library = shop.library('cut', 'cut', { needs: [files.three] });
    // A last segment of its own, of which the loader maps pages that the file does not have.
    const bytes = readFileSync(library);
    const end = Math.ceil(bytes.length / 4096) * 4096;
    const grown = Buffer.concat([bytes, Buffer.alloc(end - bytes.length)]);
    const address = 0x20_0000n + BigInt(end);
    for (const at of headersOf(grown)) {
      const type = grown.readUInt32LE(at);
      // PT_GNU_EH_FRAME, which only unwinding needs, makes room for the segment.
      const spare = type === 0x6474e550;
      if (!isNote(grown, at) && !spare) continue;
      grown.writeUInt32LE(spare ? PT_LOAD : PT_NOTE, at);
      grown.writeUInt32LE(4, at + 4);
      grown.writeBigUInt64LE(BigInt(end), at + 8);
      grown.writeBigUInt64LE(address, at + 16);
      grown.writeBigUInt64LE(address, at + 24);
      grown.writeBigUInt64LE(64n, at + 32);
      grown.writeBigUInt64LE(64n, at + 40);
      grown.writeBigUInt64LE(spare ? 4096n : 4n, at + 48);
    }
    writeFileSync(library, grown);
    const { said } = assertSame(shop, shop.program('opens-cut'), [`open:${library}`]);
    assert.match(
      said.at(-1) ?? '',
      /libthree.so.1 for cut\/libcut.so.1: left to the loader: there is no note/,
    );
  });
});

describe('the parser of notes', { skip: needs('gcc') }, () => {
  const scope = suiteScope();
  const flags = ['-O1', ...SANITIZED, `-I${READER_SOURCES}`];
  let fuzzer: string;
  before(() => {
    fuzzer = `${tempDir(scope)}/fuzz.o`;
    runOk('gcc', [...flags, '-c', `${import.meta.dirname}/fuzz.c`, '-o', fuzzer]);
  });
  const build = (dir: string, parser: string) => {
    const program = `${dir}/fuzz`;
    runOk('gcc', [...flags, parser, fuzzer, '-o', program]);
    return program;
  };

  test('reads mutated notes by the hundred thousand without a fault, below the sanitizers', t => {
    const program = build(tempDir(t), `${READER_SOURCES}/note.c`);
    const { stdout } = runOk(program, ['1', String(EXTENT.parsedNotes)]);
    assert.ok(Number.parseInt(stdout, 10) > EXTENT.parsedNotes / 5, stdout);
  });

  for (const check of [
    'header->n_namesz > notes.size',
    'header->n_descsz > notes.size',
    "descriptor.start[descriptor.size - 1] != '\\0'",
  ].slice(0, EXTENT.missingChecks)) {
    test(`the sanitizers notice when it does not check "${check}"`, t => {
      const dir = tempDir(t);
      const source = readFileSync(`${READER_SOURCES}/note.c`, 'utf8');
      assert.ok(source.includes(check));
      writeFileSync(`${dir}/note.c`, source.replace(check, '0'));
      const { status, stderr } = run(build(dir, `${dir}/note.c`), ['1', '500000']);
      assert.notEqual(status, 0);
      assert.match(stderr, /AddressSanitizer|runtime error|broken:/);
    });
  }
});
