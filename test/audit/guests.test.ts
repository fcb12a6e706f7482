import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { run, runOk } from '../support/cli.js';
import { needsTracing, READER_SOURCES } from '../support/reader.js';
import { annotatedClosure, type Closure, ReaderShop } from '../support/reader-shop.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

describe('the module is a quiet guest', { skip: needsTracing('gcc', 'patchelf') }, () => {
  const scope = suiteScope();
  let shop: ReaderShop;
  let files: Closure;
  before(() => {
    shop = new ReaderShop(tempDir(scope));
    files = annotatedClosure(shop);
  });

  /** The system calls of a program, by their numbers. */
  const callsOf = (env: Readonly<Record<string, string>>) => {
    const log = shop.at('calls.log');
    const variables = Object.entries(env).flatMap(([name, value]) => ['-E', `${name}=${value}`]);
    runOk('strace', ['-n', '-o', log, ...variables, files.program]);
    const lines = runOk('cat', [log]).stdout.split('\n');
    return new Set(lines.flatMap(line => line.match(/^\[ *(\d+)\]/)?.[1] ?? []));
  };

  test('makes no system call that the loader does not make', () => {
    const plain = callsOf({});
    const read = callsOf({ LD_AUDIT: shop.reader });
    assert.deepEqual(
      [...read].filter(call => !plain.has(call)),
      [],
    );
  });

  test('does not die below a filter that lets the program through', () => {
    const filter = shop.at('filter');
    runOk('gcc', ['-Wall', '-Wextra', '-Werror', join(import.meta.dirname, 'filter.c'), '-o', filter]);
    const numbers = [...callsOf({})];
    const start = (list: readonly string[]) =>
      run(filter, [list.join(), files.program], { env: { LD_AUDIT: shop.reader } });
    assert.deepEqual([start(numbers).status, start(numbers).stdout], [0, shop.plain(files.program)]);
    // The filter is one: without openat the loader itself is killed.
    assert.notEqual(start(numbers.filter(number => number !== '257')).status, 0);
  });

  test('gives valgrind nothing to say', { skip: needs('valgrind') }, () => {
    const said = (env: Readonly<Record<string, string>>) => {
      const log = shop.at('valgrind.log');
      // With any auditor, what glibc frees for valgrind's sake at the end was not allocated by malloc.
      runOk('valgrind', ['-q', '--run-libc-freeres=no', `--log-file=${log}`, files.program], { env });
      return runOk('cat', [log]).stdout;
    };
    assert.equal(said({ LD_AUDIT: shop.reader }), said({}));
  });

  test('is no trouble to a program below the address sanitizer', () => {
    const program = shop.program('sanitized', {
      needs: [files.one, files.two],
      runPath: files.dirs,
      flags: ['-fsanitize=address'],
    });
    shop.annotate(program);
    const result = shop.explained(program);
    assert.equal(result.status, 0, result.stderr);
    assert.equal(result.stdout, shop.plain(program));
    assert.match(result.stderr, /libtwo.so.1 for the program: /);
  });

  test('gdb steps through a program that has it', { skip: needs('gdb') }, () => {
    const args = [
      '-q',
      '-batch',
      '-ex',
      `set env LD_AUDIT ${shop.reader}`,
      '-ex',
      'break main',
      '-ex',
      'run',
    ];
    const { stdout } = runOk('gdb', [...args, '-ex', 'info sharedlibrary', '-ex', 'continue', files.program]);
    assert.match(stdout, /Breakpoint 1, .*main/);
    assert.match(stdout, /\/three\/libthree\.so\.1/);
    assert.match(stdout, /exited normally/);
  });
});

test('what the module says is never more than it has put together', { skip: needs('gcc') }, t => {
  const file = join(tempDir(t), 'say');
  const sources = ['process', 'library_path', 'file', 'note', 'text'].map(name =>
    join(READER_SOURCES, `${name}.c`),
  );
  const flags = ['-g', '-O1', '-fno-builtin', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  const say = join(import.meta.dirname, 'say.c');
  runOk('gcc', [
    ...flags,
    '-Dmemcpy=own_memcpy',
    '-Dmemset=own_memset',
    `-I${READER_SOURCES}`,
    say,
    ...sources,
    '-o',
    file,
  ]);
  assert.equal(runOk(file, []).stderr, '12345678\n');
});
