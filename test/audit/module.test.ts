import assert from 'node:assert/strict';
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PROJECT, run, runOk } from '../support/cli.js';
import { ClosureShop } from '../support/closure-shop.js';
import { FOREIGN } from '../support/matrix.js';
import { makePrefix, runInPrefix } from '../support/programs.js';
import { buildReader, READER_SOURCES } from '../support/reader.js';
import { ANSWERED, closure, ReaderShop, sayings } from '../support/reader-shop.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import type { Target } from '../support/workshop.js';

/** The cross compilers of the architectures that the reader is written for. */
const WRITTEN_FOR = new Set(['i686', 'aarch64', 'armhf', 'riscv64', 'ppc64le', 's390x']);
const CROSS = FOREIGN.filter(({ name }) => WRITTEN_FOR.has(name));

const COMPILERS = ['gcc', 'clang', ...CROSS.map(({ cc }) => cc)];

describe('the module', () => {
  test('is written for seven architectures', () => {
    assert.equal(CROSS.length + 1, 7);
  });

  for (const compiler of COMPILERS) {
    test(`by ${compiler} is small, needs nothing, and has nothing that loaders frown at`, {
      skip: needs(compiler, 'readelf'),
    }, t => {
      const file = buildReader(tempDir(t), [compiler]);
      assert.ok(statSync(file).size < 20_480, `${statSync(file).size} bytes`);
      const { stdout: all } = runOk('readelf', ['-ldW', '--dyn-syms', file]);
      assert.doesNotMatch(all, /^ +TLS /m);
      assert.doesNotMatch(all, /RWE|INTERP/);
      assert.match(all, /GNU_STACK .* RW /);
      assert.match(all, /\(SONAME\)/);
      assert.doesNotMatch(all, /NEEDED|TEXTREL|RPATH|RUNPATH/);
      const defined = all.split('\n').flatMap(line => {
        const [, section, name] = /(?:GLOBAL|WEAK) +DEFAULT +(?:\[[^\]]*\] +)?(\w+) +(\w+)/.exec(line) ?? [];
        assert.notEqual(section, 'UND', line);
        return name === undefined ? [] : [name];
      });
      assert.deepEqual(defined.sort(), [
        'la_objclose',
        'la_objopen',
        'la_objsearch',
        'la_preinit',
        'la_version',
      ]);
    });
  }

  const MESSAGES: readonly [what: string, args: string[], env: Record<string, string>, message: RegExp][] = [
    ['there is no compiler', [], { CC: 'no-such-cc' }, /was not built: no-such-cc is not there/],
    ['it is for another system', [], { CC: 'false' }, /was not built: false failed/],
    ['there is no cross compiler', ['--target', 'none-linux-gnu'], {}, /none-linux-gnu-gcc is not there/],
  ];
  for (const [what, args, env, message] of MESSAGES) {
    test(`says so when ${what}; --if-possible lets an installation go on`, () => {
      for (const [more, expected] of [
        [[], 1],
        [['--if-possible'], 0],
      ] as const) {
        const all = ['audit/build.js', ...args, ...more];
        const { status, stderr } = run(process.execPath, all, { cwd: PROJECT, env });
        assert.match(stderr, message);
        assert.equal(status, expected);
      }
    });
  }

  test('is made by one command of the compiler, the same by make and by npm run build:audit', {
    skip: needs('make', 'cc'),
  }, t => {
    const dir = tempDir(t);
    // It says that build.js is an ES module.
    copyFileSync(join(PROJECT, 'package.json'), join(dir, 'package.json'));
    const CC = join(dir, 'cc');
    // What it would build has the command in it.
    writeFileSync(
      CC,
      '#!/bin/sh\ncase $1 in @cflags) printf "%s\\n" "$@" >"$3" ;; *) exec cc "$@" ;; esac\n',
      { mode: 0o755 },
    );
    const built = ['make', 'npm'].map(how => {
      const copy = join(dir, how);
      cpSync(READER_SOURCES, copy, { recursive: true, filter: path => !path.endsWith('/build') });
      if (how === 'make') runOk('make', ['-s', '-C', copy, `CC=${CC}`]);
      else runOk(process.execPath, [join(copy, 'build.js')], { env: { CC } });
      return readFileSync(join(copy, 'build/elfnote-audit-x86_64.so'), 'utf8');
    });
    assert.match(built[0] ?? '', /^@cflags\n-o\nbuild\/\S+\nanswer\.c\n(?:\w+\.c\n)+text\.c\n$/);
    assert.equal(built[0], built[1]);
  });

  for (const target of CROSS) {
    test(`answers from a closure note on ${target.name}`, {
      skip: needs(target.cc, target.emulator?.qemu ?? ''),
    }, t => {
      closureElsewhere(new ClosureShop(tempDir(t), target.cc), target);
    });

    test(`answers on ${target.name}`, { skip: needs(target.cc, target.emulator?.qemu ?? '') }, t => {
      runsElsewhere(new ReaderShop(tempDir(t), target.cc), target);
    });
  }
});

/** The same, with one note on the program alone, and files that were replaced by longer ones since. */
function closureElsewhere(shop: ClosureShop, { emulator }: Target): void {
  assert.ok(emulator !== undefined);
  const { one, two, three, dirs } = closure(shop);
  const program = shop.programWithClosure('program', { needs: [one, two], runPath: dirs });
  const prefix = shop.at('prefix');
  mkdirSync(shop.at('nix'));
  makePrefix(prefix, shop.dir, emulator.libDir);
  const env = { LD_AUDIT: shop.reader, ELFNOTE_DEBUG: '1' };
  const said = [0, 1].map(round => {
    if (round === 1) for (const file of [one, three]) appendFileSync(file, 'longer');
    return sayings(runInPrefix(emulator.qemu, prefix, program, env));
  });
  assert.deepEqual(said, [ANSWERED, ANSWERED]);
}

/** The closure of reader.test.ts in an emulator. */
function runsElsewhere(shop: ReaderShop, { emulator }: Target): void {
  assert.ok(emulator !== undefined);
  const { program, one, two, three } = closure(shop);
  shop.annotate(program, one, two, three);
  const prefix = shop.at('prefix');
  mkdirSync(shop.at('nix'));
  makePrefix(prefix, shop.dir, emulator.libDir);
  const plain = runInPrefix(emulator.qemu, prefix, program);
  const read = runInPrefix(emulator.qemu, prefix, program, { LD_AUDIT: shop.reader, ELFNOTE_DEBUG: '1' });
  assert.match(plain.stdout, /\/three\/libthree.so.1$/m, plain.stderr);
  assert.equal(read.stdout, plain.stdout, read.stderr);
  assert.deepEqual(sayings(read), ANSWERED);
}
