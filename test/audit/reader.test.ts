import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { runOk } from '../support/cli.js';
import { elfnoteHereOk } from '../support/cli-here.js';
import { needsTracing } from '../support/reader.js';
import { ANSWERED, annotatedClosure, assertSame, type Closure, ReaderShop } from '../support/reader-shop.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

describe('the reader', { skip: needsTracing('gcc', 'patchelf') }, () => {
  const scope = suiteScope();
  let shop: ReaderShop;
  let files: Closure;
  before(() => {
    shop = new ReaderShop(tempDir(scope));
    files = annotatedClosure(shop);
  });

  test('answers from the note of the object that asks, and the loader misses nothing', () => {
    const { program, one, two, three } = files;
    const plain = shop.plain(program);
    const read = shop.traced(program);
    assert.equal(read.stdout, plain);
    assert.deepEqual(shop.own(read.opened), [one, two, three]);
    assert.deepEqual(shop.missed(read), []);
    assert.ok(shop.missed(shop.traced(program, [], { LD_AUDIT: '' })).length >= 4);
  });

  test('says with ELFNOTE_DEBUG=1 what it answered, and is silent without', () => {
    const { said } = assertSame(shop, files.program);
    assert.deepEqual(said, ANSWERED);
    assert.equal(shop.explained(files.program, [], { ELFNOTE_DEBUG: '0' }).stderr, '');
  });

  test('leaves a program without a note to the loader', () => {
    const bare = shop.at('bare');
    copyFileSync(files.program, bare);
    elfnoteHereOk(['remove-cache', bare]);
    const { said } = assertSame(shop, bare);
    assert.match(said[0] ?? '', /libone.so.1 for the program: left to the loader: there is no note/);
    // The note of libtwo still counts.
    assert.match(said.at(-1) ?? '', /libthree.so.1 for .*: three\/libthree.so.1$/);
  });

  test('works where the program has a fixed address', () => {
    const program = shop.program('fixed', { needs: [files.one], flags: ['-no-pie'] });
    shop.annotate(program);
    assert.equal(assertSame(shop, program).said[0], 'libone.so.1 for the program: one/libone.so.1');
  });

  test('finds the note where the program header table was moved', { skip: needs('llvm-strip') }, () => {
    const flags = ['-Wl,--build-id=none'];
    const two = shop.library('moved', 'two', { needs: [files.three], runPath: files.dirs, flags });
    const program = shop.program('moved-program', { needs: [files.one, two], flags });
    // Without notes and section headers there is nothing that may make room for another program header.
    for (const file of [program, two]) {
      runOk('objcopy', ['-R', '.note.ABI-tag', '-R', '.note.gnu.property', file]);
      runOk('llvm-strip', ['--strip-sections', file]);
    }
    elfnoteHereOk(['build-cache', '--quiet', '--move-table', program, two]);
    for (const file of [program, two]) {
      assert.doesNotMatch(runOk('readelf', ['-hW', file]).stdout, /Start of program headers: +64 /);
    }
    const { said } = assertSame(shop, program);
    assert.deepEqual(
      said.filter(line => !line.startsWith('libc.so.6')),
      [
        'libone.so.1 for the program: one/libone.so.1',
        'libtwo.so.1 for the program: moved/libtwo.so.1',
        'libthree.so.1 for moved/libtwo.so.1: three/libthree.so.1',
      ],
    );
  });

  test('answers for dlopen, from the note of the object that calls it', () => {
    const opener = shop.library('opener', 'opener', { needs: [files.three, files.one] });
    const program = shop.program('opens', { needs: [opener] });
    shop.annotate(opener, program);
    runOk('patchelf', ['--remove-needed', 'libone.so.1', '--remove-needed', 'libthree.so.1', opener]);
    const { said } = assertSame(shop, program, ['call:opener_opens:libthree.so.1', 'open:libone.so.1']);
    assert.ok(said.includes('libthree.so.1 for opener/libopener.so.1: three/libthree.so.1'), said.join('\n'));
    assert.ok(said.includes('libone.so.1 for the program: left to the loader: the note does not name it'));
  });

  test('answers for dlmopen', () => {
    const { stdout } = assertSame(shop, files.program, ['new:libtwo.so.1']);
    assert.match(stdout, /^new: .*\/two\/libtwo.so.1$/m);
    assert.match(stdout, /^new: .*\/three\/libthree.so.1$/m);
    assert.deepEqual(shop.missed(shop.traced(files.program, ['new:libtwo.so.1'])), []);
  });

  test('answers threads that open libraries at once', () => {
    const names = Array.from({ length: 8 }, (_, i) => `t${i}`);
    const leaves = names.map(name => shop.library(`leaf-${name}`, `leaf${name}`));
    const opened = names.map((name, i) =>
      shop.library(name, name, {
        needs: [leaves[i] ?? ''],
        runPath: [shop.at('empty'), shop.at(`leaf-${name}`)],
      }),
    );
    const program = shop.program('threads', { needs: opened, flags: ['-pthread'] });
    shop.annotate(program, ...opened);
    runOk('patchelf', [...names.flatMap(name => ['--remove-needed', `lib${name}.so.1`]), program]);
    const sorted = (text: string) => text.split('\n').sort().join('\n');
    const args = [`threads:${names.map(name => `lib${name}.so.1`).join()}`];
    const plain = sorted(shop.plain(program, args));
    for (let round = 0; round < 20; round++) {
      const { stdout, stderr } = shop.explained(program, args);
      assert.equal(sorted(stdout), plain);
      for (const name of names) assert.match(stderr, new RegExp(`leaf-${name}/libleaf${name}.so.1\n`));
    }
  });

  test('asks a library that stands where a closed one was for its own note', () => {
    const builds = ['x', 'y'].map(build => {
      const leaf = shop.library(`leaf-${build}`, 'leaf');
      return shop.library(`mid-${build}`, 'mid', { needs: [leaf] });
    });
    const [x = '', y = ''] = builds;
    const program = shop.program('closes', {});
    shop.annotate(x);
    const { said } = assertSame(shop, program, [`open:${x}`, 'close', `open:${y}`, 'close', `open:${x}`]);
    const answers = said.filter(line => line.startsWith('libleaf'));
    assert.deepEqual(answers, [
      'libleaf.so.1 for mid-x/libmid.so.1: leaf-x/libleaf.so.1',
      'libleaf.so.1 for mid-y/libmid.so.1: left to the loader: there is no note to go by',
      'libleaf.so.1 for mid-x/libmid.so.1: leaf-x/libleaf.so.1',
    ]);
  });

  test('two builds of one soname: each object has its own note, and the first one loaded stays', () => {
    const [z1, z2] = [shop.library('z1', 'z'), shop.library('z2', 'z')];
    const a = shop.library('a', 'a', { needs: [z1] });
    const b = shop.library('b', 'b', { needs: [z2] });
    const program = shop.program('twice', { needs: [a, b] });
    shop.annotate(a, b, program);
    const { stdout, said } = assertSame(shop, program);
    assert.match(stdout, /\/z1\/libz.so.1$/m);
    assert.doesNotMatch(stdout, /\/z2\//);
    assert.equal(said.filter(line => line.startsWith('libz.so.1')).length, 1);
    const apart = assertSame(shop, shop.program('apart'), [`new:${b}`, `new:${a}`]);
    assert.match(apart.stdout, /\/z2\/[\s\S]*\/z1\//);
  });
});
