import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { before, describe, test } from 'node:test';
import { Encoding } from '../../src/elf/bytes.js';
import { encodeClosureNote } from '../../src/note/closure-encode.js';
import { SANITIZED } from '../support/audit-module.js';
import { run, runOk } from '../support/cli.js';
import { answer, closureObject, path, WORKED } from '../support/closure-samples.js';
import { EXTENT } from '../support/extent.js';
import { READER_SOURCES } from '../support/reader.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

const object = closureObject;
const LE = new Encoding(true, true);
const OWN_NAMES = ['-fno-builtin', '-Dmemcpy=own_memcpy', '-Dmemset=own_memset'];

/** What the reader of closure notes is built from, with a harness of this directory. */
interface Parts {
  readonly flags: readonly string[];
  readonly objects: readonly string[];
}

/** All but that reader itself. */
function compile(dir: string, harness: string, flags: readonly string[]): Parts {
  const all = ['-O1', ...flags, `-I${READER_SOURCES}`];
  const objects = ['text', 'note', harness].map(name => `${dir}/${name}.o`);
  const [text = '', note = '', own = ''] = objects;
  // What the module has for want of a libc is not to take the place of the harness's libc.
  runOk('gcc', [...all, ...OWN_NAMES, '-c', `${READER_SOURCES}/text.c`, '-o', text]);
  runOk('gcc', [...all, '-c', `${READER_SOURCES}/note.c`, '-o', note]);
  runOk('gcc', [...all, '-c', `${import.meta.dirname}/${harness}.c`, '-o', own]);
  return { flags: all, objects };
}

function build(dir: string, { flags, objects }: Parts, closure = `${READER_SOURCES}/closure.c`): string {
  const program = `${dir}/program`;
  runOk('gcc', [...flags, closure, ...objects, '-o', program]);
  return program;
}

describe('the reader of closure notes', { skip: needs('gcc') }, () => {
  const scope = suiteScope();
  let dir: string;
  let fuzzer: Parts;
  let program: string;
  before(() => {
    dir = tempDir(scope);
    fuzzer = compile(dir, 'fuzz-closure', SANITIZED);
    program = build(dir, fuzzer);
    writeFileSync(`${dir}/notes`, encodeClosureNote(WORKED, LE));
  });

  test('reads of the worked dump what it says', () => {
    const { stdout } = runOk(program, [`${dir}/notes`, '1', '0']);
    assert.deepEqual(stdout.trimEnd().split('\n'), [
      '/nix/store/a/lib/liba.so is 1, 9785136f',
      '/carrier/bin/../lib/libo.so is 3, 0',
      '/nix/store/b/lib/libb.so is 2, 0',
      '0 liba.so =/nix/store/a/lib/liba.so after 15000',
      '0 libo.so =/carrier/bin/../lib/libo.so after 14000',
      '1 libb.so ?/run/drivers before 0',
      '1 libb.so =/nix/store/b/lib/libb.so before 4294967295',
    ]);
  });

  test('reads mutated notes by the hundred thousand without a fault, below the sanitizers', () => {
    const { stdout } = runOk(program, [`${dir}/notes`, '1', String(EXTENT.parsedNotes)]);
    assert.ok(Number.parseInt(stdout, 10) > EXTENT.parsedNotes / 5, stdout);
  });

  const CHECKS: readonly [check: string, without: string][] = [
    ['size != descriptor.size', 'size == 0'],
    ["descriptor.start[descriptor.size - 1] != '\\0'", '0'],
    ['number >= closure->directory_count', '0'],
    ['target >= closure->object_count ||', ''],
    ['offset < closure->string_size ? offset :', '1 ? offset :'],
    ['end > closure->edge_count', '0'],
    ['requester >= closure->object_count', '0'],
  ];
  for (const [check, without] of CHECKS.slice(0, EXTENT.missingChecks)) {
    test(`the sanitizers notice when it does not check "${check}"`, t => {
      const place = tempDir(t);
      const source = readFileSync(`${READER_SOURCES}/closure.c`, 'utf8');
      assert.ok(source.includes(check));
      writeFileSync(`${place}/closure.c`, source.replace(check, without));
      const broken = build(place, fuzzer, `${place}/closure.c`);
      const { status, stderr } = run(broken, [`${dir}/notes`, '1', '500000']);
      assert.notEqual(status, 0);
      assert.match(stderr, /AddressSanitizer|runtime error|broken:/);
    });
  }

  test('takes hardly more steps to find one library of 2,000 than one of 200', t => {
    const place = tempDir(t);
    const parts = compile(place, 'lookup', ['-Wall', '-Wextra', '-Werror']);
    const lookup = build(place, { ...parts, flags: [...parts.flags, '-fsanitize-coverage=trace-pc'] });
    const steps = [200, 2000].map(count => stepsFor(lookup, `${place}/notes`, count));
    const [few = Number.NaN, many = Number.NaN] = steps;
    assert.ok(few > 10 && many < 1.5 * few, `${few} and ${many} steps`);
  });
});

/** To find one library of a closure of so many, of which each asks for four. */
function stepsFor(lookup: string, file: string, count: number): number {
  const paths = Array.from({ length: count }, (_, i) => `/nix/store/store-lib${i}-1.2/lib/lib${i}.so.1`);
  const all = paths.map(one => answer(basename(one), path(one)));
  const objects = paths.map((one, i) => object(one, { answers: all.slice(i, i + 4) }));
  writeFileSync(file, encodeClosureNote({ objects: [object('', { answers: all }), ...objects] }, LE));
  const questions = objects.flatMap(one => one.answers.map(({ soname }) => `${one.path} ${soname}\n`));
  const [steps = Number.NaN, found] = runOk(lookup, [file], { input: questions.join('') })
    .stdout.split(' ')
    .map(Number);
  assert.equal(found, questions.length);
  return steps;
}
