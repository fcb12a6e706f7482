import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { withFaults } from '../../scripts/hardening/shim.js';
import { die, passTime } from '../../scripts/hardening/state.js';
import { ElfnoteError } from '../../src/errors.js';
import { Lock } from '../../src/files/lock.js';
import { ownerOfThisProcess } from '../../src/files/owner.js';
import { spareLock } from '../../src/files/spare-lock.js';
import { lockBeside, sweep } from '../../src/files/temporary.js';
import { withLock } from '../support/lock.js';
import { tempDir } from '../support/temp.js';

/** Locks each of the files in a run that locks many; told of the names that are there meanwhile. */
function lockMany(dir: string, names: readonly string[], during: (lock: string) => void = () => {}): void {
  spareLock.begin();
  try {
    for (const name of names) withLock(join(dir, name), () => during(lockBeside(join(dir, name))));
  } finally {
    spareLock.end();
  }
}

const NAMES = ['a', 'b', 'c'];

describe('a run that locks many files', () => {
  test('makes one symbolic link, and of all later locks hard links to it; in the end none is left', t => {
    const dir = tempDir(t);
    const inodes: number[] = [];
    lockMany(dir, NAMES, lock => {
      assert.equal(readlinkSync(lock), ownerOfThisProcess());
      inodes.push(lstatSync(lock).ino);
    });
    assert.equal(new Set(inodes).size, 1);
    assert.deepEqual(readdirSync(dir), []);
  });

  test('holds others off as ever', t => {
    const dir = tempDir(t);
    const isBusy = (error: unknown) => error instanceof ElfnoteError && error.code === 'changed';
    let refused = 0;
    lockMany(dir, NAMES, lock => {
      const [, name = ''] = /\.(.)\.elfnote/.exec(basename(lock)) ?? [];
      assert.throws(() => withLock(join(dir, name), () => 0), isBusy);
      refused++;
    });
    assert.equal(refused, NAMES.length);
  });

  test('within another one, or alone, leaves nothing either', t => {
    const dir = tempDir(t);
    lockMany(dir, NAMES, () => lockMany(dir, ['d', 'e']));
    assert.deepEqual(readdirSync(dir), []);
    withLock(join(dir, 'a'), () => 0);
    assert.deepEqual(readdirSync(dir), []);
  });

  test('makes none a link to a lock that others have put in the place of its own', t => {
    const dir = tempDir(t);
    const others = '1-1-00000000';
    const owners: string[] = [];
    lockMany(dir, NAMES, lock => {
      owners.push(readlinkSync(lock));
      if (owners.length > 1) return;
      unlinkSync(lock);
      symlinkSync(others, lock);
    });
    assert.deepEqual(new Set(owners), new Set([ownerOfThisProcess()]));
  });

  for (const [call, ...codes] of [
    ['linkSync', 'EXDEV', 'EPERM', 'ENOENT', 'EIO'],
    ['renameSync', 'EIO', 'EACCES'],
  ] as const) {
    for (const code of codes) {
      test(`makes every lock all the same where ${call} says ${code}`, t => {
        const dir = tempDir(t);
        let locks = 0;
        const rule = ({ name }: { readonly name: string }) =>
          name === call ? ({ kind: 'fail', code } as const) : undefined;
        const { error } = withFaults(dir, rule, () =>
          lockMany(dir, NAMES, lock => {
            assert.equal(readlinkSync(lock), ownerOfThisProcess());
            locks++;
          }),
        );
        assert.equal(error, undefined);
        assert.equal(locks, NAMES.length);
        assert.deepEqual(readdirSync(dir), []);
      });
    }
  }

  test('leaves nothing that a later run does not sweep, wherever it dies', t => {
    const dir = tempDir(t);
    const { calls } = withFaults(
      dir,
      () => undefined,
      () => lockMany(dir, NAMES),
    );
    let left = 0;
    for (let index = 0; index < calls; index++) {
      withFaults(
        dir,
        call => (call.index === index ? { kind: 'kill' } : undefined),
        () => lockMany(dir, NAMES),
      );
      left += readdirSync(dir).length;
      die(join(dir, 'a'));
      passTime();
      sweep(dir);
      assert.deepEqual(readdirSync(dir), [], `killed at call ${index}`);
    }
    assert.ok(left >= 5, `${left} left`);
  });
});

test('a lock that another container has taken for one that was left is its own, and stays', t => {
  const path = join(tempDir(t), 'file');
  const name = lockBeside(path);
  const lock = new Lock(path);
  const late = process.uptime() + 121;
  t.mock.method(process, 'uptime', () => late);
  unlinkSync(name);
  symlinkSync('1-2-00000000', name);
  lock.release();
  assert.equal(readlinkSync(name), '1-2-00000000');
});

test('a lock that was held for long, and is ours all the same, is taken away', t => {
  const path = join(tempDir(t), 'file');
  const lock = new Lock(path);
  const late = process.uptime() + 121;
  t.mock.method(process, 'uptime', () => late);
  lock.release();
  assert.equal(lstatSync(lockBeside(path), { throwIfNoEntry: false }), undefined);
});
