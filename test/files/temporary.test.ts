import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { withFaults } from '../../scripts/hardening/shim.js';
import { ElfnoteError } from '../../src/errors.js';
import { hasEnded, ownerOfThisProcess } from '../../src/files/owner.js';
import {
  isTemporary,
  lockBeside,
  makeTemporary,
  sweep,
  sweepListed,
  temporaryBeside,
} from '../../src/files/temporary.js';
import { withLock } from '../support/lock.js';
import { tempDir } from '../support/temp.js';

for (const name of ['hello', 'x'.repeat(255), '\u8a9e'.repeat(85), '.hidden', 'new\nline']) {
  test(`a file whose name has ${Buffer.byteLength(name)} bytes (${name[0]}) has a temporary one beside it`, () => {
    for (const path of [temporaryBeside(`/store/lib/${name}`), lockBeside(`/store/lib/${name}`)]) {
      assert.equal(dirname(path), '/store/lib');
      assert.ok(Buffer.byteLength(basename(path)) <= 143, basename(path));
      assert.ok(!path.includes('\ufffd'), 'no character is cut');
      assert.ok(isTemporary(basename(path)));
    }
  });
}

test('no two temporary names of one process are the same, and one that is taken is passed over', t => {
  const path = join(tempDir(t), 'x'.repeat(255));
  const names = Array.from({ length: 100 }, () => temporaryBeside(path));
  assert.equal(new Set(names).size, 100);
  let calls = 0;
  const rule = ({ name }: { readonly name: string }) =>
    name === 'openSync' && ++calls < 4 ? ({ kind: 'fail', code: 'EEXIST' } as const) : undefined;
  const { result, error } = withFaults(dirname(path), rule, () => makeTemporary(path));
  assert.equal(error, undefined);
  assert.deepEqual(readdirSync(dirname(path)), [basename(result?.name ?? '')]);
  assert.equal(calls, 4);
});

test('what is beside a file is in its directory, though `LINK/..` is not where LINK is', () => {
  assert.ok(lockBeside('/d/link/../file').startsWith('/d/link/../.file.'));
  assert.ok(lockBeside('file').startsWith('.file.'));
});

test('two files with names that begin alike have two locks', () => {
  assert.notEqual(lockBeside(`/d/${'x'.repeat(200)}a`), lockBeside(`/d/${'x'.repeat(200)}b`));
});

/** An owner's text with another pid, start or space. */
function owner(change: { readonly pid?: number; readonly start?: string; readonly space?: string }): string {
  const [pid, start, space] = ownerOfThisProcess().split('-');
  return [change.pid ?? pid, change.start ?? start, change.space ?? space].join('-');
}

function deadPid(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}

describe('a process has ended', () => {
  test('when its pid is free, or belongs to one that started at another time', () => {
    assert.equal(hasEnded(ownerOfThisProcess(), 1e9), false);
    assert.equal(hasEnded(owner({ pid: deadPid() }), 0), true);
    assert.equal(hasEnded(owner({ start: '1' }), 0), true);
  });

  test('in another container or boot when its file has rested for long', () => {
    assert.equal(hasEnded(owner({ space: '00000000' }), 1000), false);
    assert.equal(hasEnded(owner({ space: '00000000' }), 1e6), true);
  });
});

/** Of the first process of all, which is there as long as we are. */
function startOfInit(): string {
  const text = readFileSync('/proc/1/stat', 'latin1');
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

/** Files beside `file`, each with the owner's text in its name. */
function leftovers(t: TestContext, ...owners: readonly string[]): { dir: string; names: string[] } {
  const dir = tempDir(t);
  const names = owners.map((text, i) => `.file.elfnote-${text}-0000000${i}`);
  for (const name of names) writeFileSync(join(dir, name), '');
  return { dir, names };
}

describe('a sweep', () => {
  test('removes what processes that have died have left, and nothing else', t => {
    const living = ownerOfThisProcess();
    const { dir, names } = leftovers(t, owner({ pid: deadPid() }), living, owner({ space: 'ffffffff' }));
    const others = ['.file.elfnote-1', 'file.elfnote-1-1-00000000-00000000', '.elfnote-x', 'file'];
    for (const name of others) writeFileSync(join(dir, name), '');
    symlinkSync(owner({ start: '1' }), lockBeside(join(dir, 'dead')));
    symlinkSync(living, lockBeside(join(dir, 'alive')));
    sweep(dir);
    const alive = basename(lockBeside(join(dir, 'alive')));
    assert.deepEqual(readdirSync(dir).sort(), [...names.slice(1), ...others, alive].sort());
  });

  test('is made once in a while only, and a directory that is not there is no failure', t => {
    const { dir, names } = leftovers(t);
    sweep(dir);
    writeFileSync(join(dir, `.file.elfnote-${owner({ start: '1' })}-00000000`), '');
    sweep(dir);
    assert.equal(readdirSync(dir).length, names.length + 1);
    sweep(join(dir, 'none'));
  });
});

describe('a directory that was listed for another purpose', () => {
  test('is not listed again soon where nothing is left, and swept where something is', t => {
    const [clean, left] = [leftovers(t), leftovers(t, owner({ pid: deadPid() }))];
    for (const { dir } of [clean, left]) {
      sweepListed(dir, ['file', ...readdirSync(dir)]);
      writeFileSync(join(dir, `.new.elfnote-${owner({ start: '1' })}-00000000`), '');
      sweep(dir);
    }
    assert.deepEqual(
      [clean, left].map(({ dir }) => readdirSync(dir).length),
      [1, 0],
    );
  });
});

describe('a lock', () => {
  const isBusy = (error: unknown) =>
    error instanceof ElfnoteError && error.message === 'another elfnote is writing to the file';

  test('keeps others off as long as it is held', t => {
    const path = join(tempDir(t), 'file');
    assert.equal(
      withLock(path, () => {
        assert.throws(() => withLock(path, () => 0), isBusy);
        return withLock(`${path}2`, () => 1);
      }),
      1,
    );
    assert.deepEqual(readdirSync(dirname(path)), []);
    assert.throws(() => withLock(path, () => assert.fail('work')), /work/);
    assert.equal(
      withLock(path, () => 2),
      2,
    );
  });

  test('of a process that has died is taken away, of a living one never', t => {
    const path = join(tempDir(t), 'file');
    symlinkSync(owner({ pid: deadPid() }), lockBeside(path));
    assert.equal(
      withLock(path, () => 1),
      1,
    );
    symlinkSync(owner({ pid: 1, start: startOfInit() }), lockBeside(path));
    assert.throws(() => withLock(path, () => 0), isBusy);
  });

  test('that others have made where we may not is kept, unless they have died', t => {
    const path = join(tempDir(t), 'file');
    const failing = ({ name }: { readonly name: string }) =>
      name === 'symlinkSync' ? ({ kind: 'fail', code: 'EACCES' } as const) : undefined;
    const attempt = () => withFaults(dirname(path), failing, () => withLock(path, () => 1));
    symlinkSync(owner({ pid: 1, start: startOfInit() }), lockBeside(path));
    const { error } = attempt();
    assert.ok(isBusy(error));
    rmSync(lockBeside(path));
    symlinkSync(owner({ pid: deadPid() }), lockBeside(path));
    assert.equal(attempt().result, 1);
  });

  test('of a process that has died is done without where it may not be taken away, and so is what is no lock', t => {
    const path = join(tempDir(t), 'file');
    const failing = ({ name }: { readonly name: string }) =>
      name === 'renameSync' ? ({ kind: 'fail', code: 'EPERM' } as const) : undefined;
    symlinkSync(owner({ pid: deadPid() }), lockBeside(path));
    const isLocked = () => withLock(path, isLocked => isLocked);
    assert.equal(withFaults(dirname(path), failing, isLocked).result, false);
    rmSync(lockBeside(path));
    writeFileSync(lockBeside(path), 'no lock');
    assert.equal(isLocked(), false);
    assert.equal(readFileSync(lockBeside(path), 'utf8'), 'no lock');
  });

  test('that cannot be made in a directory is done without, and any other failure is told', t => {
    const path = join(tempDir(t), 'file');
    const failing =
      (code: string) =>
      ({ name }: { readonly name: string }) =>
        name === 'symlinkSync' ? ({ kind: 'fail', code } as const) : undefined;
    for (const code of ['EACCES', 'EROFS', 'EPERM']) {
      assert.equal(withFaults(dirname(path), failing(code), () => withLock(path, () => 1)).result, 1);
    }
    const isLocked = () => withLock(path, isLocked => isLocked);
    assert.equal(isLocked(), true);
    assert.equal(withFaults(dirname(path), failing('EACCES'), isLocked).result, false);
    const { error } = withFaults(dirname(path), failing('EIO'), () => withLock(path, () => 1));
    assert.ok(error instanceof ElfnoteError);
    assert.equal(error.line, `${path}: cannot lock: input/output error`);
  });
});
