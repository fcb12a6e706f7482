import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readProgram } from '../../src/loader/program.js';
import { buildElf, type ElfSpec } from '../support/elf-builder.js';
import { tempDir } from '../support/temp.js';

/** A program that names a loader, of which the file has some text. */
function program(t: Parameters<typeof tempDir>[0], text: string | undefined, spec: ElfSpec = {}) {
  const dir = tempDir(t);
  const loader = join(dir, 'ld.so');
  if (text !== undefined) writeFileSync(loader, text);
  const notes = [{ bytes: Buffer.from(`${loader}\0rest`), segment: false }];
  const [at = 0] = buildElf({ ...spec, notes, extra: [{}] }).at.notes;
  const interp = { p_type: 3, p_offset: at, p_vaddr: 0x10000 + at, p_filesz: loader.length + 5 };
  const path = join(dir, 'program');
  writeFileSync(path, buildElf({ ...spec, notes, extra: [interp] }).bytes);
  return { loader, ...readProgram(path) };
}

test('the architecture is told by class, byte order and machine', t => {
  const of = (is64: boolean, littleEndian: boolean, e_machine: number) =>
    program(t, undefined, { is64, littleEndian, e_machine }).architecture;
  assert.equal(of(true, true, 62), 'x86_64');
  assert.equal(of(false, true, 3), 'i386');
  assert.equal(of(true, true, 183), 'aarch64');
  assert.equal(of(false, true, 40), 'arm');
  assert.equal(of(true, true, 243), 'riscv64');
  assert.equal(of(true, true, 21), 'powerpc64le');
  assert.equal(of(true, false, 22), 's390x');
  assert.equal(of(false, true, 62), undefined, 'x32');
  assert.equal(of(true, false, 21), undefined);
  assert.equal(of(true, true, 8), undefined);
});

test('a loader is told by what its file says', t => {
  const tunable = 'glibc.rtld.optional_static_tls\0';
  for (const [text, hasAudit, slowsCalls, hasTlsTunable] of [
    [`la_objsearch\0GLIBC_2.35\0${tunable}`, true, false, true],
    [`la_objsearch\0${tunable}`, true, true, true],
    ['la_objsearch\0GLIBC_2.351\0', true, true, false],
    ['GLIBC_2.35\0', false, false, false],
  ] as const) {
    const { interpreter, loader } = program(t, text);
    assert.deepEqual(interpreter, { path: loader, hasAudit, slowsCalls, hasTlsTunable });
  }
});

test('a loader that is not there gives no reason to warn', t => {
  const { interpreter, loader } = program(t, undefined);
  assert.deepEqual(interpreter, { path: loader, hasAudit: true, slowsCalls: false, hasTlsTunable: true });
});

test('a static program names none', t => {
  const path = join(tempDir(t), 'static');
  writeFileSync(path, buildElf({ dynamic: false }).bytes);
  assert.deepEqual(readProgram(path), { architecture: 'x86_64', interpreter: undefined });
});
