import assert from 'node:assert/strict';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { runOk } from './support/cli.js';
import { stampOfLibraries } from './support/compile-once.js';
import { tempDir } from './support/temp.js';
import { needs } from './support/tools.js';

test('what is compiled once is compiled anew with another C library, of whichever machine', t => {
  const usr = tempDir(t);
  const stamps = new Set<string>();
  const libraries = ['lib64', 'lib/x86_64-linux-gnu', 'aarch64-linux-gnu/lib'];
  const files = libraries.flatMap(dir =>
    ['crt1.o', 'crti.o', 'libc.so.6', 'libc_nonshared.a'].map(name => join(usr, dir, name)),
  );
  for (const file of files) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, 'one');
  }
  stamps.add(stampOfLibraries(usr));
  for (const file of files) {
    utimesSync(file, 1, 1);
    stamps.add(stampOfLibraries(usr));
    writeFileSync(file, 'another');
    utimesSync(file, 1, 1);
    stamps.add(stampOfLibraries(usr));
  }
  assert.equal(stamps.size, 1 + 2 * files.length);
});

test("this machine's C library is one of them", { skip: needs('gcc') }, () => {
  const own = runOk('gcc', ['-print-file-name=crt1.o']).stdout.trim();
  assert.ok(stampOfLibraries('/usr').includes(`/${dirname(own).split('/').at(-1)}/crt1.o `), own);
});
