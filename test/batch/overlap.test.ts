import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Work } from '../../src/batch/job.js';
import { Overlap, type Result } from '../../src/batch/overlap.js';
import { ElfnoteError, systemCode } from '../../src/errors.js';
import { ALONE, type Steps } from '../../src/files/steps.js';
import { type FileOutcome, failedOutcome, skippedOutcome } from '../../src/outcome.js';

const NOTHING = { found: new Map<string, string[]>(), knowsAll: true };

const done = (path: string): FileOutcome => skippedOutcome(path, 'static', path);

/** Slow calls that end when the test says so. */
class Calls {
  readonly #waiting = new Map<string, (error: Error | null) => void>();
  /** What was carried out at once. */
  readonly now: string[] = [];

  /** In the order in which they were asked for. */
  get names(): string[] {
    return [...this.#waiting.keys()];
  }

  *make(name: string): Steps<void> {
    yield { now: () => this.now.push(name), later: done => this.#waiting.set(name, done) };
  }

  end(name: string, code?: string): void {
    const done = this.#waiting.get(name);
    assert.ok(done !== undefined, `${name} is not waited for`);
    this.#waiting.delete(name);
    done(code === undefined ? null : systemError(code));
  }
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: made up`), { code, syscall: 'copyfile' });
}

function overlapOf(work: (path: string) => Steps<FileOutcome>, finish?: (result: Result) => FileOutcome) {
  const job: Work = {
    passOver: ({ path }) => (path.startsWith('passed') ? done(path) : undefined),
    begin: ({ path }) => work(path),
    failed: ({ path }, cause) =>
      failedOutcome(path, new ElfnoteError('unwritable', 'failed', { path, cause })),
  };
  const overlap = new Overlap(job, finish ?? (({ outcome }) => outcome));
  return {
    overlap,
    begin: (...paths: readonly string[]) => {
      for (const path of paths) overlap.begin({ path, explicit: false }, NOTHING);
    },
    /** What can be taken, as `PATH ACTION` or `PATH CODE`. */
    taken: () => {
      const all: string[] = [];
      for (let result = overlap.take(); result !== undefined; result = overlap.take()) {
        const { path, ...outcome } = result.outcome;
        const code = outcome.action === 'failed' ? systemCode(outcome.error.cause) : undefined;
        all.push(`${path} ${code ?? outcome.action}`);
      }
      return all;
    },
  };
}

describe('work on several files at once', () => {
  test('gives outcomes in the order of the files, whichever is finished first', () => {
    const calls = new Calls();
    const { overlap, begin, taken } = overlapOf(function* (path) {
      yield* calls.make(path);
      return done(path);
    });
    begin('a', 'b', 'c');
    assert.deepEqual(calls.names, ['a', 'b', 'c']);
    calls.end('c');
    calls.end('b');
    assert.deepEqual(taken(), []);
    calls.end('a');
    assert.deepEqual(taken(), ['a skipped', 'b skipped', 'c skipped']);
    assert.ok(overlap.isEmpty && !overlap.isBusy);
  });

  test('takes the steps of each file one after the other', () => {
    const calls = new Calls();
    const { begin, taken } = overlapOf(function* (path) {
      yield* calls.make(`${path} copy`);
      yield* calls.make(`${path} sync`);
      return done(path);
    });
    begin('a', 'b');
    assert.deepEqual(calls.names, ['a copy', 'b copy']);
    calls.end('b copy');
    assert.deepEqual(calls.names, ['a copy', 'b sync']);
    calls.end('a copy');
    calls.end('a sync');
    assert.deepEqual(taken(), ['a skipped']);
    calls.end('b sync');
    assert.deepEqual(taken(), ['b skipped']);
  });

  test('a file whose work meets no slow call is finished at once, and so is one that is passed over', () => {
    const { overlap, begin, taken } = overlapOf(function* (path) {
      assert.ok(!path.startsWith('passed'));
      yield ALONE;
      return done(path);
    });
    begin('a', 'passed', 'b');
    assert.ok(!overlap.isBusy);
    assert.deepEqual(taken(), ['a skipped', 'passed skipped', 'b skipped']);
  });

  test('work that cannot be begun fails its file', () => {
    const { overlap, begin, taken } = overlapOf(() => {
      throw systemError('EINVAL');
    });
    begin('a');
    assert.deepEqual(taken(), ['a EINVAL']);
    assert.ok(overlap.hasFailed && overlap.isEmpty);
  });

  test('is bounded: in files under work, and in files whose outcomes wait for an earlier one', async () => {
    const calls = new Calls();
    const { overlap, begin, taken } = overlapOf(function* (path) {
      yield* calls.make(path);
      return done(path);
    });
    let count = 0;
    const fill = () => {
      while (!overlap.isFull) begin(`${count++}`);
    };
    fill();
    const atOnce = count;
    assert.ok(atOnce > 1 && atOnce <= 16, `${atOnce} at once`);
    while (calls.names.length > 1) {
      const change = overlap.change();
      calls.end(calls.names[1] ?? '');
      await change;
      fill();
    }
    assert.ok(count > atOnce && count <= 300, `${count} begun behind the first`);
    calls.end('0');
    assert.equal(taken().length, count);
  });

  test('a failed call fails its file, where it was made, and no other', () => {
    const calls = new Calls();
    const { overlap, begin, taken } = overlapOf(function* (path) {
      try {
        yield* calls.make(path);
      } finally {
        yield* calls.make(`${path} clean-up`);
      }
      return done(path);
    });
    begin('a', 'b');
    calls.end('a', 'EIO');
    calls.end('b');
    assert.deepEqual(calls.names, ['a clean-up', 'b clean-up']);
    assert.ok(!overlap.hasFailed, 'not before its outcome is known');
    for (const name of calls.names) calls.end(name);
    assert.deepEqual(taken(), ['a EIO', 'b skipped']);
    assert.ok(overlap.hasFailed);
  });

  test('the last that is done to a file is done before it counts as finished, and tells its outcome', () => {
    const calls = new Calls();
    const finished: string[] = [];
    const { begin, taken } = overlapOf(
      function* (path) {
        yield* calls.make(path);
        return done(path);
      },
      ({ file }) => {
        finished.push(file.path);
        return failedOutcome(
          file.path,
          new ElfnoteError('unwritable', 'late', { cause: systemError('EXDEV') }),
        );
      },
    );
    begin('a', 'b');
    calls.end('b');
    assert.deepEqual(finished, ['b']);
    calls.end('a');
    assert.deepEqual(taken(), ['a EXDEV', 'b EXDEV']);
  });

  test('what wants to be alone goes on when all others are finished, and none is begun before', async () => {
    const calls = new Calls();
    const { overlap, begin, taken } = overlapOf(function* (path) {
      if (path === 'alone') yield ALONE;
      yield* calls.make(path);
      return done(path);
    });
    begin('a', 'b', 'alone');
    assert.deepEqual(calls.names, ['a', 'b']);
    assert.ok(overlap.isFull);
    calls.end('a');
    await Promise.race([overlap.change(), Promise.resolve()]);
    assert.deepEqual(calls.names, ['b']);
    calls.end('b');
    await overlap.change();
    assert.deepEqual(calls.names, ['alone']);
    assert.ok(!overlap.isFull, 'once it is planned, others may be begun');
    calls.end('alone');
    assert.deepEqual(taken(), ['a skipped', 'b skipped', 'alone skipped']);
    begin('alone');
    assert.deepEqual(calls.names, ['alone'], 'it waits for nobody where nobody is');
  });

  for (const code of ['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'ENOMEM']) {
    test(`what ${code} has failed beside others is done once more, at once and alone`, async () => {
      const calls = new Calls();
      const { overlap, begin, taken } = overlapOf(function* (path) {
        yield* calls.make(path);
        return done(path);
      });
      begin('a', 'b', 'c');
      calls.end('a', code);
      calls.end('b', code);
      assert.ok(overlap.isFull && !overlap.hasFailed);
      assert.deepEqual(calls.now, []);
      calls.end('c');
      while (overlap.isBusy) await overlap.change();
      assert.deepEqual(calls.now, ['a', 'b']);
      assert.deepEqual(taken(), ['a skipped', 'b skipped', 'c skipped']);
    });
  }

  test('what fails for want of room alone has failed', async () => {
    const calls = new Calls();
    const { overlap, begin, taken } = overlapOf(function* (path) {
      yield* calls.make(path);
      return done(path);
    });
    begin('a');
    calls.end('a', 'ENOSPC');
    assert.ok(!overlap.isBusy);
    assert.deepEqual(taken(), ['a ENOSPC']);
    assert.deepEqual(calls.now, []);
  });
});
