import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { runOk } from '../support/cli.js';
import { entriesOf } from '../support/dump.js';
import { NEEDS_NIX, NixStore } from '../support/nix.js';
import { nixosNotes } from '../support/readelf.js';
import { buildReader, needsTracing, trace } from '../support/reader.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

/** The `DT_NEEDED` names, as readelf sees them. */
function needed(file: string): string[] {
  const { stdout } = runOk('readelf', ['-dW', file]);
  return [...stdout.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, soname = '']) => soname).sort();
}

/** What the note must say when every library is found: soname and the one directory of the run path that has it. */
function exactEntries(file: string): string[] {
  const { stdout } = runOk('readelf', ['-dW', file]);
  const dirs = /\(RUNPATH\).*\[(.*)\]/.exec(stdout)?.[1]?.split(':') ?? [];
  return needed(file).map(soname => {
    const found = dirs
      .map(dir => join(dir, soname))
      .filter(path => statSync(path, { throwIfNoEntry: false }));
    return `${soname}: ${found.map(path => `=${path}`).join(' ')}`;
  });
}

const hasNote = (file: string) => nixosNotes(file).length === 1;

/** The lines that elfnote's hook has to say, without what Nix says itself. */
function said(log: string, store: NixStore): string[] {
  return log
    .split('\n')
    .filter(line => line !== '' && !/^(?: |building|these|this|starting|writing)/.test(line))
    .map(line => line.replaceAll(store.dir, 'STORE').replaceAll(/\b[0-9a-z]{32}-/g, ''));
}

/** A copy of libgood.so whose class nobody knows. */
const BREAK =
  "cp $out/lib/libgood.so $out/lib/libbad.so; printf '\\\\007' | dd of=$out/lib/libbad.so bs=1 seek=4 conv=notrunc";

describe('the setup hook in a Nix build', { skip: NEEDS_NIX }, () => {
  const scope = suiteScope();
  let store: NixStore;
  before(() => {
    store = new NixStore(scope);
    store.build('program { }');
  });

  test('every object of every output gets its note, exact for all sonames, and the program runs', () => {
    const packages = { one: 'lib/libone.so', two: 'lib/libtwo.so', three: 'lib/libthree.so' };
    for (const [name, file] of Object.entries(packages)) {
      const { path } = store.build(name);
      assert.deepEqual(entriesOf(join(path, file)), exactEntries(join(path, file)));
    }
    const program = join(store.build('program { }').path, 'bin/program');
    assert.deepEqual(needed(program), ['libc.so.6', 'libone.so', 'libthree.so', 'libtwo.so']);
    assert.deepEqual(entriesOf(program), exactEntries(program));
    assert.equal(runOk(program).stdout, '7\n');
  });

  test('with the reader for an unpatched glibc, no library is looked for in vain', {
    skip: needsTracing(),
  }, t => {
    const dir = tempDir(t);
    const LD_AUDIT = buildReader(dir);
    const [noted, plain] = ['program { }', 'program { nativeBuildInputs = [ ]; }'].map(expression => {
      const program = join(store.build(expression).path, 'bin/program');
      const { stdout, missed } = trace(dir, program, [], { LD_AUDIT });
      return { stdout, missed: missed.filter(path => path.startsWith(store.dir)).length };
    });
    assert.deepEqual(noted, { stdout: '7\n', missed: 0 });
    assert.ok((plain?.missed ?? 0) > 0, 'without notes some are');
  });

  test('references are the same with and without the hook', () => {
    const [noted, plain] = ['program { }', 'program { nativeBuildInputs = [ ]; }'].map(expression => {
      const { path } = store.build(expression);
      return { hasNote: hasNote(join(path, 'bin/program')), references: store.references(path) };
    });
    assert.deepEqual(noted, { hasNote: true, references: ['glibc', 'one', 'three', 'two'] });
    assert.deepEqual(plain, { hasNote: false, references: ['glibc', 'one', 'three', 'two'] });
  });

  test('`nix-build --check` finds the outputs reproducible', () => {
    for (const expression of ['three', 'program { }']) {
      const { path, log } = store.build(expression, '--check');
      assert.match(log, /starting elfnote/, `${path} was built again`);
    }
  });

  test('all outputs are done by one process, with one line for each', () => {
    const { log, path } = store.build(
      `package "outputs" ''
        link outputs $out \${one}; link dev $dev \${one}; link debug $debug \${one}
        mkdir -p $debug/lib/debug/.build-id/ab
        cp $debug/lib/libdebug.so $debug/lib/debug/.build-id/ab/cdef.debug
      '' { outputs = [ "out" "dev" "debug" ]; }`,
    );
    assert.equal(log.match(/starting elfnote/g)?.length, 1);
    const line = (name: string) => `STORE/${name}: 1 file, 1 ELF; 1 written; libraries: 2 found at once`;
    assert.deepEqual(
      said(log, store).map(text => text.replace(/; \d+ bytes added$/, '')),
      ['outputs', 'outputs-dev', 'outputs-debug'].map(line),
    );
    const debug = log.match(/\S+-outputs-debug(?=:)/)?.[0] ?? '';
    assert.equal(path.endsWith('-outputs'), true);
    assert.equal(hasNote(join(debug, 'lib/libdebug.so')), true);
    assert.equal(hasNote(join(debug, 'lib/debug/.build-id/ab/cdef.debug')), false, '.build-id is left out');
  });

  test('the outputs of a derivation with __structuredAttrs, and its flags in an array', () => {
    const { log } = store.build(
      `package "structured" "link structured $out \${one}; link dev $dev \${one}"
        { __structuredAttrs = true; outputs = [ "out" "dev" ]; elfnoteFlags = [ "--placement" "tail" "-v" ]; }`,
    );
    const written = said(log, store).filter(line => line.includes('note written'));
    assert.deepEqual(
      written.map(line => line.replace(/, table.*/, '')).sort(),
      ['-dev/lib/libdev.so', '/lib/libstructured.so'].map(
        file => `STORE/structured${file}: note written in tail`,
      ),
    );
  });

  test('files of another architecture are processed, and nothing of theirs is run', {
    skip: needs('aarch64-linux-gnu-gcc'),
  }, () => {
    const cross = '{ CC = "aarch64-linux-gnu-gcc"; }';
    const { path, log } = store.build(
      `let dep = package "dep" "link dep $out" ${cross}; in package "cross" "program $out/bin/cross \${dep}" ${cross}`,
    );
    const file = join(path, 'bin/cross');
    assert.match(runOk('readelf', ['-hW', file]).stdout, /Machine: *AArch64/);
    assert.match(entriesOf(file).join('\n'), /^libdep\.so: =\S+-dep\/lib\/libdep\.so$/m);
    assert.match(
      log,
      /libraries: 1 found at once, 1 left to the loader \(libc\.so\.6\)/,
      'the libc is of another architecture',
    );
  });

  test('dontBuildElfCache: no notes, and no elfnote', () => {
    const { path, log } = store.build('program { dontBuildElfCache = true; }');
    assert.equal(hasNote(join(path, 'bin/program')), false);
    assert.doesNotMatch(log, /starting elfnote/);
  });

  test('elfnoteFlags as one text reach elfnote', () => {
    const { log } = store.build(`program { elfnoteFlags = "--placement tail\n  --verbose"; }`);
    assert.match(log, /note written in tail/);
  });

  test('an unknown flag fails the build', () => {
    const { status, stderr } = store.tryBuild('program { elfnoteFlags = "--placment tail"; }');
    assert.equal(status, 1 + 99);
    assert.match(stderr, /elfnote: unknown option '--placment'/);
  });

  /** A second place of libone.so, so that a note that was made for another run path shows. */
  const COPY = `copy = package "copy" "mkdir $out; cp -r \${one}/lib $out/" { }`;

  test('notes are made after autoPatchelf, however early elfnote was named', () => {
    const { path } = store.build(
      `let ${COPY}; in package "patched" "link patched $out \${one}" {
        nativeBuildInputs = [ elfnoteHook autoPatchelfHook ];
        finalRunPath = "\${copy}/lib:\${glibc}/lib";
      }`,
    );
    const file = join(path, 'lib/libpatched.so');
    assert.match(entriesOf(file).join('\n'), /^libone\.so: =\S+-copy\/lib\/libone\.so$/m);
    assert.deepEqual(entriesOf(file), exactEntries(file));
  });

  test("notes are made after the package's own postFixup and after what its preFixup adds", () => {
    const file = '$out/lib/liblate.so';
    const { path } = store.build(
      `let ${COPY}; in package "late" "link late $out \${one}" {
        preFixup = "postFixupHooks+=('patchelf --set-rpath \${copy}/lib:\${glibc}/lib ${file}')";
        postFixup = "patchelf --set-rpath \${one}/lib ${file}";
      }`,
    );
    const late = join(path, 'lib/liblate.so');
    assert.match(entriesOf(late).join('\n'), /^libone\.so: =\S+-copy\/lib\/libone\.so$/m);
    assert.deepEqual(entriesOf(late), exactEntries(late));
  });

  test('dontPatchELF is honoured, unless autoPatchelf runs all the same', () => {
    const expression = (attrs: string) =>
      `package "unpatched" "link unpatched $out \${one}" { dontPatchELF = true; ${attrs} }`;
    const hooks = `nativeBuildInputs = [ autoPatchelfHook elfnoteHook ]; finalRunPath = "\${one}/lib:\${glibc}/lib";`;
    const noted = ['', hooks, `${hooks} dontAutoPatchelf = true;`].map(attrs =>
      hasNote(join(store.build(expression(attrs)).path, 'lib/libunpatched.so')),
    );
    assert.deepEqual(noted, [false, true, false]);
  });

  test('a note that is there and stale is refreshed', () => {
    const { path } = store.build(
      `package "stale" ''
        link stale $out \${one}
        cp -r \${one}/lib $out/old
        patchelf --set-rpath $out/old:\${glibc}/lib $out/lib/libstale.so
        \${elfnote}/bin/elfnote build-cache $out/lib
        patchelf --set-rpath \${one}/lib:\${glibc}/lib $out/lib/libstale.so
        \${elfnote}/bin/elfnote dump $out/lib/libstale.so > $out/before || true
      '' { }`,
    );
    assert.match(readFileSync(join(path, 'before'), 'utf8'), /^ {2}stale: /m);
    const file = join(path, 'lib/libstale.so');
    assert.deepEqual(entriesOf(file), exactEntries(file));
  });

  test('a broken ELF file is a warning with its reason, and stays as it is; the others get their notes', () => {
    const { path, log } = store.build(
      `package "broken" "link good $out \${one}; head -c 100 $out/lib/libgood.so > $out/lib/libcut.so; ${BREAK}" { }`,
    );
    assert.match(log, /^elfnote: warning: \S+-broken\/lib\/libbad\.so: EI_CLASS is 7 \(at offset 4\)$/m);
    assert.match(log, /^elfnote: warning: \S+-broken\/lib\/libcut\.so: gets no note: is cut short/m);
    assert.match(log, /3 files, 3 ELF; 1 written, 1 skipped \(1 cut short\), 1 failed;/);
    assert.equal(statSync(join(path, 'lib/libcut.so')).size, 100);
    assert.deepEqual(entriesOf(join(path, 'lib/libgood.so')), exactEntries(join(path, 'lib/libgood.so')));
  });

  test('with --strict a broken ELF file, or a library that is not found, fails the build', () => {
    const strict = '{ elfnoteFlags = [ "--strict" ]; }';
    const broken = store.tryBuild(`package "broken" "link good $out \${one}; ${BREAK}" ${strict}`);
    assert.match(broken.stderr, /elfnote: \S+libbad\.so: /);
    const lost = store.tryBuild(
      `package "lost" "link lost $out \${one}; patchelf --set-rpath \${glibc}/lib $out/lib/liblost.so" ${strict}`,
    );
    assert.match(lost.stderr, /elfnote: \S+liblost\.so: not found over the run path: libone\.so/);
    for (const { status, stderr } of [broken, lost]) {
      assert.equal(status, 100);
      assert.match(stderr, /failed with exit code 1/);
    }
  });

  test('a file that gets no note is a warning with its reason; what needs none is not', () => {
    const { log } = store.build(
      `package "none" ''
        mkdir -p $out/lib; cd $out/lib
        echo 'int f(void) { return 1; }' > f.c
        gcc -c f.c -o f.o
        gcc -shared f.o -nostdlib -o needs-nothing.so
        gcc -shared f.o needs-nothing.so -Wl,--no-as-needed -Wl,-soname,x -o no-run-path.so
        echo 'int main(void) { return 0; }' | gcc -x c -static - -o static
      '' { }`,
    );
    assert.deepEqual(
      said(log, store).filter(line => line.includes('warning')),
      ['elfnote: warning: STORE/none/lib/no-run-path.so: gets no note: has no run path'],
    );
  });

  test('each run path directory outside the store is named once, with what it costs', () => {
    const outside = '-Wl,-rpath,/run/opengl-driver/lib';
    const { log, path } = store.build(
      `package "outside" ''
        export CC="gcc ${outside}"
        link a $out \${one}; link b $out \${one}
      '' { }`,
    );
    assert.deepEqual(
      said(log, store).filter(line => line.includes('warning')),
      [
        'elfnote: warning: /run/opengl-driver/lib: run path directory outside the store: 2 files search it at every start, for 4 libraries',
      ],
    );
    const [first] = entriesOf(join(path, 'lib/liba.so'));
    assert.match(first ?? '', /^libc\.so\.6: \?\/run\/opengl-driver\/lib =/);
  });

  test('names with spaces', () => {
    const { path } = store.build(
      `package "spaces" ''
        link spaces $out \${one}
        mkdir "$out/lib/a dir"; mv $out/lib/libspaces.so "$out/lib/a dir/lib spaces.so"
      '' { }`,
    );
    assert.equal(hasNote(join(path, 'lib/a dir/lib spaces.so')), true);
  });

  test('an output that is empty, a text or an ELF file is no failure; a link is left alone', () => {
    const { log } = store.build(
      `package "odd" ''
        mkdir $out
        echo text > $text
        link elf $TMPDIR \${one}; mv $TMPDIR/lib/libelf.so $elf
        head -c 100 $elf > $broken
        ln -s \${one} $link
      '' { outputs = [ "out" "text" "elf" "broken" "link" ]; }`,
    );
    const lines = said(log, store).map(line =>
      line.replace(/^(.*: \d+ files?[^;]*(?:; \d+ written)?).*/, '$1').replace(/: gets no note.*/, ''),
    );
    assert.deepEqual(lines, [
      'elfnote: warning: STORE/odd-broken',
      'STORE/odd: 0 files',
      'STORE/odd-text: 1 file',
      'STORE/odd-elf: 1 file, 1 ELF; 1 written',
      'STORE/odd-broken: 1 file, 1 ELF',
    ]);
  });
});
