import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { run, runOk } from '../support/cli.js';
import {
  ANSWERED,
  annotatedClosure,
  assertSame,
  type Closure,
  ReaderShop,
  sayings,
} from '../support/reader-shop.js';
import { sharedDir, suiteScope } from '../support/temp.js';
import { needs, needsOtherUser } from '../support/tools.js';

/** Copies $FROM to $TO. */
const COPIER = `#include <stdlib.h>
void *copier_opens(const char *n) { (void)n; return system("cp $FROM $TO") == 0 ? &system : 0; }
`;

const LEFT = 'libthree.so.1 for two/libtwo.so.1: left to the loader: LD_LIBRARY_PATH may hold it';

describe('the reader leaves to the loader what comes before a note:', {
  skip: needs('gcc', 'patchelf'),
}, () => {
  const scope = suiteScope();
  let shop: ReaderShop;
  let files: Closure;
  before(() => {
    shop = new ReaderShop(sharedDir(scope));
    files = annotatedClosure(shop);
    shop.library('path', 'three');
    shop.library('tall/glibc-hwcaps/x86-64-v2', 'three');
    shop.library('old/tls/x86_64', 'three');
    mkdirSync(shop.at('other'));
  });
  const inShop = (value: string) => ({ LD_LIBRARY_PATH: value.replaceAll('%', shop.dir) });

  test('LD_PRELOAD', () => {
    const { stdout, said } = assertSame(shop, files.program, [], {
      LD_PRELOAD: shop.at('path/libthree.so.1'),
    });
    assert.match(stdout, /\/path\/libthree.so.1$/m);
    assert.ok(!said.some(line => line.startsWith('libthree')));
  });

  for (const value of [
    '%/path',
    '%/none:%/path',
    '%/none;%/path',
    'path',
    'none:./path',
    '%/path///',
    '%//path',
  ]) {
    test(`LD_LIBRARY_PATH that holds the library: "${value}"`, () => {
      const { stdout, said } = assertSame(shop, files.program, [], inShop(value));
      assert.match(stdout, /path\/+libthree.so.1$/m);
      assert.deepEqual(said, [...ANSWERED.slice(0, 3), LEFT]);
    });
  }

  for (const value of [':%/other', '%/other:', '%/other::%/none']) {
    test(`the current directory, as an empty component of LD_LIBRARY_PATH: "${value}"`, () => {
      const env = inShop(value);
      const reading = { ...env, LD_AUDIT: shop.reader };
      const [plain, read] = [env, reading].map(e =>
        runOk(files.program, [], { cwd: shop.at('path'), env: e }),
      );
      assert.equal(read?.stdout, plain?.stdout);
      assert.doesNotMatch(read?.stdout ?? '', /\/three\/libthree/);
    });
  }

  test('LD_LIBRARY_PATH only as far as it holds the library', () => {
    for (const value of ['%/other', '%/none', '%/other:%/none/', 'other', '']) {
      assert.deepEqual(assertSame(shop, files.program, [], inShop(value)).said, ANSWERED, value);
    }
  });

  /** More directories than the reader asks one by one. */
  const MANY = [...Array(6).keys()].map(i => `%/many${i}`).join(':');

  test('many directories in LD_LIBRARY_PATH, each of which is read once at the start', () => {
    for (let i = 0; i < 6; i += 2) mkdirSync(shop.at(`many${i}`));
    const { said } = assertSame(shop, files.program, [], inShop(MANY));
    assert.deepEqual(said, ANSWERED);
    // The three that are there are read, the others found to be absent, and no library is looked for in any.
    const { missed, calls } = shop.traced(files.program, [], inShop(MANY));
    const looked = missed.filter(path => /many\d\/lib(?:one|two|three)/.test(path));
    assert.deepEqual(looked, []);
    assert.ok(calls > 0);
  });

  test('many directories in LD_LIBRARY_PATH, of which the last holds the library, or subdirectories', () => {
    for (const last of ['%/path', '%/tall', '%/old', 'path', '']) {
      const { said } = assertSame(shop, files.program, [], inShop(`${MANY}:${last}`));
      if (last !== '') assert.ok(!said.some(line => line.includes('/three/')), said.join('\n'));
    }
  });

  test('a library that comes into one of many directories of LD_LIBRARY_PATH after the start', () => {
    const late = shop.library('late-user', 'lateuser', { needs: [files.three] });
    shop.annotate(late);
    mkdirSync(shop.at('fresh'));
    const copier = shop.library('copier', 'copier', { source: COPIER });
    const program = shop.program('copies', { needs: [copier] });
    const env = { ...inShop(`${MANY}:%/fresh`), FROM: files.three, TO: shop.at('fresh/libthree.so.1') };
    const args = ['call:copier_opens:x', `open:${late}`];
    const plain = shop.plain(program, args, env);
    rmSync(shop.at('fresh/libthree.so.1'));
    const { stdout } = shop.explained(program, args, env);
    assert.match(plain, /\/fresh\/libthree.so.1$/m);
    assert.equal(stdout, plain);
  });

  for (const value of ['%/tall', '%/old', 'tall', 'old:', '%/other:%/tall']) {
    test(`LD_LIBRARY_PATH with subdirectories for some processors: "${value}"`, () => {
      const { said } = assertSame(shop, files.program, [], inShop(value));
      assert.ok(!said.some(line => line.includes('/three/')), said.join('\n'));
    });
  }

  test('the subdirectories are really searched, here: else the rule above proves nothing', () => {
    const found = ['%/tall', '%/old'].map(value => shop.plain(files.program, [], inShop(value)));
    assert.ok(found.some(stdout => /glibc-hwcaps|tls/.test(stdout)));
  });

  test('LD_LIBRARY_PATH with $ORIGIN and the like', () => {
    const { said } = assertSame(shop, files.program, [], inShop('$ORIGIN/path'));
    assert.deepEqual(said, ['stands aside: LD_LIBRARY_PATH has more to it than plain directories']);
  });

  test('LD_LIBRARY_PATH longer than the reader keeps', () => {
    // Four times as much is more than the kernel hands to a program.
    const none = '%/none:'.repeat(Math.ceil(32768 / shop.dir.length));
    const { said } = assertSame(shop, files.program, [], inShop(`${none}%/path`));
    assert.deepEqual(said, ['stands aside: LD_LIBRARY_PATH has more to it than plain directories']);
  });

  test('of two LD_LIBRARY_PATHs the last', () => {
    const source = shop.at('twice.c');
    writeFileSync(
      source,
      '#include <unistd.h>\nint main(int c, char *v[]) { return c < 2 ? 2 : execve(v[1], v + 1, v + 2); }\n',
    );
    const launcher = shop.at('launcher');
    runOk('gcc', [source, '-o', launcher]);
    const set = (dir: string) => `LD_LIBRARY_PATH=${shop.at(dir)}`;
    for (const dirs of [
      ['other', 'path'],
      ['path', 'other'],
    ]) {
      const args = [files.program, ...dirs.map(set)];
      const plain = runOk(launcher, args).stdout;
      assert.equal(runOk(launcher, [...args, `LD_AUDIT=${shop.reader}`]).stdout, plain);
      assert.equal(plain.includes(`${shop.at('path')}/`), dirs[1] === 'path');
    }
  });

  test('LD_LIBRARY_PATH as it was at the start, whatever the program does to its environment', () => {
    const leaf = shop.library('leaf', 'leaf');
    const late = shop.library('late', 'late', { needs: [leaf] });
    shop.library('late-path', 'leaf');
    shop.annotate(late);
    const program = shop.program('titled');
    const { stdout } = assertSame(shop, program, ['title', `open:${late}`], inShop('%/other:%/late-path'));
    assert.match(stdout, /\/late-path\/libleaf.so.1$/m);
    assert.match(assertSame(shop, program, ['title', `open:${late}`]).stdout, /\/leaf\/libleaf.so.1$/m);
  });

  test('the DT_RPATH of an object that has no DT_RUNPATH', () => {
    const library = shop.library('rpath-lib', 'rpathlib', { needs: [files.three] });
    shop.annotate(library);
    runOk('patchelf', ['--force-rpath', '--set-rpath', shop.at('path'), library]);
    const { stdout, said } = assertSame(shop, shop.program('rpath-program'), [`open:${library}`]);
    assert.match(stdout, /\/path\/libthree.so.1$/m);
    assert.match(said.at(-1) ?? '', /left to the loader/);
  });

  test('but answers from the note of an object that has only DT_RPATH, whatever LD_LIBRARY_PATH says', () => {
    const library = shop.library('own-rpath', 'ownrpath', {
      needs: [files.three],
      runPath: [shop.at('empty'), `${shop.at('three')}/`],
      flags: ['-Wl,--disable-new-dtags'],
    });
    shop.annotate(library);
    const program = shop.program('own-rpath-program');
    const { stdout, said } = assertSame(shop, program, [`open:${library}`], inShop('%/path'));
    assert.match(stdout, /\/three\/libthree.so.1$/m);
    assert.equal(said.at(-1), 'libthree.so.1 for own-rpath/libownrpath.so.1: three/libthree.so.1');
  });

  test('the DT_RPATH of the program, for an object without any run path', () => {
    const library = shop.library('bare-lib', 'barelib', { needs: [files.three] });
    shop.annotate(library);
    runOk('patchelf', ['--remove-rpath', library]);
    const program = shop.program('rpath-of-program', {
      needs: [library],
      runPath: [shop.at('path'), shop.at('bare-lib')],
      flags: ['-Wl,--disable-new-dtags'],
    });
    assert.match(assertSame(shop, program).stdout, /\/path\/libthree.so.1$/m);
  });

  test('the --library-path of a loader that was started by hand', () => {
    const interpreter = runOk('patchelf', ['--print-interpreter', files.program]).stdout.trim();
    const args = ['--library-path', shop.at('path'), files.program];
    const { stdout, said } = assertSame(shop, interpreter, args);
    assert.match(stdout, /\/path\/libthree.so.1$/m);
    assert.deepEqual(said, ['stands aside: the loader was started by hand, and may have a --library-path']);
  });

  test('the list of a loader that is asked for one, as by ldd', () => {
    const lines = (text: string) => text.replaceAll(/\(0x[0-9a-f]+\)/g, '');
    const asked = { LD_TRACE_LOADED_OBJECTS: '1' };
    const plain = shop.plain(files.program, [], asked);
    const { stdout, stderr } = shop.explained(files.program, [], asked);
    assert.match(plain, /libone.so.1 => \/.*\/one\/libone.so.1 /);
    assert.equal(lines(stdout), lines(plain));
    assert.equal(
      stderr,
      'elfnote: stands aside: the loader lists the libraries under the names that are asked for\n',
    );
  });

  test('another auditor: both are asked', {
    skip: needs('/usr/lib/x86_64-linux-gnu/audit/sotruss-lib.so'),
  }, () => {
    const LD_AUDIT = `/usr/lib/x86_64-linux-gnu/audit/sotruss-lib.so:${shop.reader}`;
    const env = { SOTRUSS_OUTNAME: shop.at('sotruss'), LD_AUDIT };
    const { said } = assertSame(shop, files.program, [], env);
    assert.deepEqual(said, ANSWERED);
  });

  test('a set-user-ID program, which never gets a reader from its environment', {
    skip: needsOtherUser('setpriv'),
  }, () => {
    runOk('chmod', ['-R', 'go+rX', shop.dir]);
    const program = shop.at('privileged');
    copyFileSync(files.program, program);
    const asNobody = () =>
      run('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', program], {
        env: { LD_AUDIT: shop.reader, ELFNOTE_DEBUG: '1' },
      });
    chmodSync(program, 0o755);
    // After what it says of setpriv.
    assert.deepEqual(sayings(asNobody()).slice(-ANSWERED.length), ANSWERED);
    chmodSync(program, 0o4755);
    const result = asNobody();
    assert.equal(result.stdout, shop.plain(program));
    assert.ok(!sayings(result).some(line => line.includes('libthree')), result.stderr);
  });

  test('a static program, which has no loader', () => {
    const program = shop.at('static');
    const source = shop.at('static.c');
    writeFileSync(source, '#include <stdio.h>\nint main(void) { return puts("static") < 0; }\n');
    runOk('gcc', ['-static', source, '-o', program]);
    const { stdout, said } = assertSame(shop, program);
    assert.deepEqual({ stdout, said }, { stdout: 'static\n', said: [] });
  });
});
