import assert from 'node:assert/strict';
import { existsSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { before, describe, test } from 'node:test';
import fastGlob from 'fast-glob';
import { EXTENT } from '../support/extent.js';
import { annotateStore, makePackageStore, type PackageStore } from '../support/package-store.js';
import { buildReader, needsTracing, type Traced, trace } from '../support/reader.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { unavailable } from '../support/tools.js';

/** Programs as Debian has them: where they may be, and arguments with which they start and soon end. The first are for all. */
const PROGRAMS: readonly [name: string, places: readonly string[], args: readonly string[]][] = [
  ['convert', ['/usr/bin/convert-im6.q16', '/usr/bin/magick'], ['--version']],
  ['gdb', ['/usr/bin/gdb'], ['--version']],
  ['git', ['/usr/bin/git'], ['--version']],
  ['python3', ['/usr/bin/python3'], ['-c', 'import ssl, sqlite3, ctypes']],
  ['ld.lld', ['/usr/bin/ld.lld'], ['--version']],
  ['node', [process.execPath], ['--version']],
  ['ffmpeg', ['/usr/bin/ffmpeg'], ['-version']],
  ['emacs', ['/usr/bin/emacs-gtk', '/usr/bin/emacs-nox'], ['--version']],
  ['curl', ['/usr/bin/curl'], ['--version']],
  ['clang', ['/usr/bin/clang'], ['--version']],
  ['as', ['/usr/bin/as'], ['--version']],
  ['eu-readelf', ['/usr/bin/eu-readelf'], ['--version']],
  ['strace', ['/usr/bin/strace'], ['--version']],
];

/** How often the loader looked in vain for one of the libraries that the program loads. */
function misses({ missed }: Traced, { libraries }: PackageStore): number {
  const sonames = new Set(libraries.map(path => basename(path)));
  return missed.filter(path => sonames.has(basename(path))).length;
}

describe('a program in a store of one directory a package', {
  skip: needsTracing('patchelf', 'ldd', 'gcc'),
}, () => {
  const scope = suiteScope();
  let reader: string;
  before(() => {
    reader = buildReader(tempDir(scope));
  });

  for (const [name, places, args] of PROGRAMS.slice(0, EXTENT.storePrograms)) {
    const binary = places.find(place => existsSync(place));
    const skip = binary === undefined ? unavailable(`not on this machine: ${name}`) : false;
    test(`${name} loads the same libraries from the same paths, and misses 97 % fewer`, { skip }, t => {
      const dir = tempDir(t);
      const store = makePackageStore(dir, binary ?? '');
      annotateStore(store);
      // Emacs has its compiled code beside itself.
      for (const lisp of fastGlob.sync('/usr/lib/emacs/*/native-lisp', { onlyDirectories: true }))
        symlinkSync(lisp, join(dir, 'native-lisp'));
      const plain = trace(dir, store.program, args);
      const read = trace(dir, store.program, args, { LD_AUDIT: reader });
      assert.equal(plain.status, 0, plain.stderr);
      assert.deepEqual([read.status, read.stdout, read.stderr], [0, plain.stdout, plain.stderr]);
      assert.deepEqual(read.opened, plain.opened);
      const [before, after] = [misses(plain, store), misses(read, store)];
      const [count, opened] = [
        store.libraries.length,
        read.opened.filter(path => path.startsWith(dir)).length,
      ];
      assert.ok(opened >= count && before >= count, `${opened} of ${count} opened, ${before} missed`);
      t.diagnostic(
        `${count} libraries: ${before} misses, ${after} with the reader; ${plain.calls} system calls, ${read.calls}`,
      );
      assert.ok(after <= before * 0.03, `${before} misses without the reader, ${after} with it`);
    });
  }
});
