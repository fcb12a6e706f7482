import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { FIXTURES, jsonLines, ROOT, run } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import { library } from '../support/tree.js';

const ELF = readFileSync(join(FIXTURES, 'kinds/pie-bfd'));
const E_TYPE = 16;
const E_PHOFF = 64;
const E_PHENTSIZE = 54;
const PHDR = 56;
const P_VADDR = 16;

function changed(change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(ELF);
  change(bytes);
  return bytes;
}

const core = changed(bytes => bytes.writeUInt16LE(4, E_TYPE));
/** As vmlinux has it: every address in the upper half. */
const kernel = changed(bytes => {
  const count = bytes.readUInt16LE(56);
  for (let i = 0; i < count; i++) bytes.writeBigUInt64LE(0xffffffff81000000n, E_PHOFF + i * PHDR + P_VADDR);
});

const FILES: Readonly<Record<string, readonly [Buffer, string]>> = {
  'core.whole': [core, 'core'],
  'core.cut': [core.subarray(0, 5000), 'core'],
  'core.cut-in-table': [core.subarray(0, 200), 'core'],
  'cut.in-header': [ELF.subarray(0, 40), 'truncated'],
  'cut.in-table': [ELF.subarray(0, 300), 'truncated'],
  'cut.in-segments': [ELF.subarray(0, 5000), 'truncated'],
  'cut.in-sections': [ELF.subarray(0, ELF.length - 10), 'truncated'],
  vmlinux: [kernel, 'high-addresses'],
  wrong: [changed(bytes => bytes.writeUInt16LE(57, E_PHENTSIZE)), 'failed'],
};

function tree(t: TestContext): string {
  const dir = join(tempDir(t), 'tree');
  mkdirSync(dir);
  for (const [name, [bytes]] of Object.entries(FILES)) writeFileSync(join(dir, name), bytes);
  return dir;
}

const expected = (dir: string, others: Readonly<Record<string, string>> = {}) =>
  Object.entries(FILES)
    .map(([name, [, what]]) => `${join(dir, name)} ${others[name] ?? what}`)
    .sort();

describe('in a walk core files, files that are cut short, and kernels are passed over by name', () => {
  // A note is found without sections, and there is none.
  const NO_NOTE = { 'cut.in-sections': 'no-note' };
  for (const [command, others] of [
    ['build-cache', {}],
    ['remove-cache', NO_NOTE],
  ] as const) {
    test(command, t => {
      const dir = tree(t);
      const { status, stdout, stderr } = elfnoteHere([command, '--json', dir]);
      const files = jsonLines(stdout).filter(({ type }) => type === 'file');
      assert.deepEqual(
        files.map(({ path, reason, action }) => `${path} ${reason ?? action}`).sort(),
        expected(dir, others),
      );
      assert.equal(status, 1, 'for the one that is wrong');
      assert.match(stderr, /^elfnote: \S+\/wrong: e_phentsize is 57, not 56 \(at offset 54\)\n$/);
    });
  }

  test('the library', async t => {
    const dir = tree(t);
    const outcomes: string[] = [];
    for await (const outcome of library.annotateTree([dir])) {
      outcomes.push(`${outcome.path} ${outcome.action === 'skipped' ? outcome.reason : outcome.action}`);
    }
    assert.deepEqual(outcomes.sort(), expected(dir));
  });

  test('verify', async t => {
    const dir = tree(t);
    const reports: string[] = [];
    for await (const report of library.verifyTree([dir])) {
      reports.push(`${report.path} ${report.state === 'none' ? report.reason : report.state}`);
    }
    assert.deepEqual(reports.sort(), expected(dir, { wrong: 'malformed' }));
  });
});

describe('named by the caller', () => {
  const WHY: Readonly<Record<string, readonly [status: number, said: RegExp]>> = {
    'core.whole': [0, /: skipped: is a core file/],
    'core.cut': [0, /: skipped: is a core file/],
    'cut.in-header': [2, /: the file ends inside the ELF header/],
    'cut.in-segments': [2, /: PT_LOAD .* reaches beyond the end of the file/],
    vmlinux: [1, /: program header \d+ has a value above 2\^53/],
  };
  for (const [name, [status, said]] of Object.entries(WHY)) {
    test(`${name} exits ${status} and says why`, t => {
      const result = elfnoteHere(['build-cache', '--root', ROOT, join(tree(t), name)]);
      assert.equal(result.status, status);
      assert.match(result.stdout + result.stderr, said);
    });
  }
});

test('a real core file, whole and cut, is passed over', { skip: needs('gcore', 'gdb') }, t => {
  const dir = join(tempDir(t), 'tree');
  mkdirSync(dir);
  const script = `sleep 60 & gcore -o "${dir}/core" $! >&2; kill $!`;
  run('sh', ['-c', script]);
  const [made] = run('sh', ['-c', `echo "${dir}"/core*`])
    .stdout.trim()
    .split(' ');
  assert.ok(made);
  copyFileSync(made, `${made}.whole`);
  writeFileSync(made, readFileSync(made).subarray(0, 100_000));
  const { status, stdout } = elfnoteHere(['build-cache', '--json', dir]);
  const reasons = jsonLines(stdout).flatMap(({ reason }) => reason ?? []);
  assert.deepEqual([status, reasons], [0, ['core', 'core']]);
});
