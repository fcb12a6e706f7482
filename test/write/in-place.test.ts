import assert from 'node:assert/strict';
import fs, {
  appendFileSync,
  chmodSync,
  copyFileSync,
  linkSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { describe, test } from 'node:test';
import { FileSource } from '../../src/files/source.js';
import { runNow } from '../../src/files/steps.js';
import type { Edit } from '../../src/layout/model/plan.js';
import type { Change } from '../../src/write/change.js';
import { commitChange } from '../../src/write/commit.js';
import {
  assertAlone,
  CHANGE,
  callsTo,
  changed,
  commit,
  FAST,
  failing,
  instead,
  isElfnoteError,
  ORIGINAL,
  program,
} from '../support/commits.js';
import { needsRoot } from '../support/tools.js';

const SIZE = ORIGINAL.length;

const at = (offset: number, bytes: Buffer | number, step = 1): Edit => ({
  offset,
  bytes: typeof bytes === 'number' ? Buffer.alloc(bytes, 'x') : bytes,
  step,
  why: 'test',
});

/** Commits of edits that leave the size as it is. */
const change = (...commits: readonly (readonly Edit[])[]): Change => ({
  commits: commits.map(edits => ({ edits, size: SIZE })),
  inPlaceIsSafe: true,
});

/** Lets something happen right behind the n-th write. */
function behindWrite(t: Parameters<typeof callsTo>[0], n: number, work: () => void): void {
  let done = 0;
  instead(t, 'writeSync', original => (...args) => {
    const written = original(...args);
    if (++done === n) work();
    return written;
  });
}

describe('the pages of the first edit of a commit', () => {
  test('come from behind, in a call each; what comes later is one call', t => {
    const calls = callsTo(t);
    commit(program(t), change([at(8182, 4126), at(4090, 12, 2)], [at(4095, 2)]), undefined, FAST);
    assert.deepEqual(calls, [
      ...['write 12288 20', 'write 8192 4096', 'write 8182 10', 'write 4090 12'],
      ...['write 4096 1', 'write 4095 1'],
    ]);
  });

  test('are one where it ends with its page, or starts with the ELF header', t => {
    const calls = callsTo(t);
    commit(program(t), change([at(4086, 10)], [at(0, 5000)]), undefined, FAST);
    assert.deepEqual(calls, ['write 4086 10', 'write 0 5000']);
  });

  test('come from the front where the undo record is on two of them', t => {
    const calls = callsTo(t);
    const withRecord = (...places: readonly number[]) => {
      const bytes = Buffer.alloc(4096 + 100);
      for (const place of places) bytes.write('elfnote\0', place + 12, 'latin1');
      return change([at(4096, bytes)]);
    };
    const three = Buffer.alloc(2 * 4096 + 100);
    three.write('elfnote\0', 5000 + 12, 'latin1');
    commit(program(t), change([at(4096, three)]), undefined, FAST);
    assert.deepEqual(calls.splice(0), ['write 4096 4096', 'write 8192 4096', 'write 12288 100']);
    const front = ['write 4096 4096', 'write 8192 100'];
    for (const [expected, ...places] of [
      [front, 4095],
      [front, 0],
      [front.toReversed(), 4096],
      [front.toReversed(), 0, 4096],
      [front.toReversed()],
    ] as const) {
      commit(program(t), withRecord(...places), undefined, FAST);
      assert.deepEqual(calls.splice(0), expected, `${places}`);
    }
  });
});

describe('an edit in place', () => {
  test('has each step on the disk before the next, and the first edit of a commit before all else', t => {
    const file = program(t);
    linkSync(file, `${file}.other`);
    const calls = callsTo(t);
    const edits = [at(4095, 2), at(100, 1), at(200, 1), at(300, 1, 2), at(400, 1, 2)];
    assert.equal(commit(file, change(edits, [at(500, 1, 2), at(600, 1, 2)])), 'in-place');
    assert.deepEqual(calls, [
      ...['write 4096 1', 'sync', 'write 4095 1', 'sync', 'write 100 1', 'write 200 1', 'sync'],
      ...['write 300 1', 'write 400 1', 'sync', 'write 500 1', 'sync', 'write 600 1', 'sync'],
    ]);
  });

  test('sets the size where the edits of a commit leave another', t => {
    const file = program(t);
    const calls = callsTo(t);
    const commits = [
      { edits: [at(SIZE - 5, 10)], size: SIZE + 5 },
      { edits: [at(100, 1)], size: SIZE + 20 },
      { edits: [at(200, 1)], size: SIZE - 50 },
    ];
    commit(file, { commits, inPlaceIsSafe: true }, undefined, FAST);
    const expected = ['write 100 1', `cut ${SIZE + 20}`, 'write 200 1', `cut ${SIZE - 50}`];
    assert.deepEqual(calls, [`write ${SIZE - 5} 10`, ...expected]);
    assert.equal(statSync(file).size, SIZE - 50);
  });

  test('with `fast` under a lock asks nothing between its writes, and reads nothing back', t => {
    const file = program(t);
    instead(t, 'statfsSync', () => () => assert.fail('nothing has changed'));
    const counts = { stats: 0, reads: 0 };
    const count = (name: 'fstatSync' | 'readSync', key: 'stats' | 'reads') =>
      failing(t, name, 'none', () => {
        counts[key]++;
        return false;
      });
    const edits = [at(100, 1), at(200, 1, 2), at(300, 1, 3), at(400, 1, 4)];
    const meanwhile = () => {
      count('fstatSync', 'stats');
      count('readSync', 'reads');
    };
    assert.equal(commit(file, change(edits), meanwhile, FAST), 'in-place');
    assert.deepEqual(counts, { stats: 1, reads: 0 });
  });

  test('of nothing leaves the file as it is', t => {
    const file = program(t);
    assert.equal(commit(file, change(), undefined, FAST), 'in-place');
    assert.ok(readFileSync(file).equals(ORIGINAL));
  });

  for (const options of [{ copyLoses: true }, { copyLoses: true, fast: true }]) {
    for (const [name, count] of [
      ['writeSync', 4],
      ['ftruncateSync', 2],
      ...(options.fast ? [] : ([['fsyncSync', 3]] as const)),
    ] as const) {
      for (let n = 1; n <= count; n++) {
        test(`is undone where ${name} ${n} fails ${options.fast ? '(fast)' : ''}`, t => {
          const file = program(t);
          const commits = [
            { edits: [at(SIZE, 14), at(100, 6, 2)], size: SIZE + 14 },
            { edits: [at(SIZE - 4, 8), at(200, 6, 2)], size: SIZE - 90 },
            { edits: [], size: SIZE + 7 },
          ];
          let calls = 0;
          failing(t, name, 'EIO', () => ++calls === n);
          assert.throws(() => commit(file, { commits, inPlaceIsSafe: true }, undefined, options), {
            code: 'unwritable',
            path: file,
            message: /: input\/output error$/,
          });
          assert.ok(readFileSync(file).equals(ORIGINAL));
          assertAlone(file);
        });
      }
    }
  }

  for (const code of ['EACCES', 'EPERM', 'EROFS', 'ETXTBSY']) {
    test(`is none where the file cannot be opened for it (${code}): then a copy takes its place`, t => {
      const file = program(t);
      failing(t, 'openSync', code, (path, flags) => path === file && flags === fs.constants.O_RDWR);
      assert.equal(commit(file, CHANGE, undefined, FAST), 'replaced');
      assert.ok(readFileSync(file).equals(changed()));
    });
  }

  test('of a file that a disk does not open is told', t => {
    const file = program(t);
    failing(t, 'openSync', 'EIO', (path, flags) => path === file && flags === fs.constants.O_RDWR);
    assert.throws(() => commit(file, CHANGE, undefined, FAST), {
      code: 'unwritable',
      message: 'cannot open for writing: input/output error',
    });
  });

  test('that cannot ask for the state of the file is a failed write', t => {
    const file = program(t);
    const meanwhile = () => failing(t, 'fstatSync', 'EIO', () => true);
    assert.throws(() => commit(file, CHANGE, meanwhile, FAST), isElfnoteError('unwritable', file));
  });
});

describe('another process that writes while a file is edited in place', () => {
  const isNoticed = (what: RegExp) => ({ code: 'changed', message: what });
  const COMPANY = isNoticed(/^another process wrote to the file at the same time$/);
  const edits = [at(100, 1), at(5000, 10, 2), at(SIZE, 14, 2)];
  const long: Change = { commits: [{ edits, size: SIZE + 14 }], inPlaceIsSafe: true };

  for (const n of [1, 2, 3]) {
    test(`is noticed where it appends behind write ${n}, and nothing is undone`, t => {
      const file = program(t);
      const calls = callsTo(t);
      behindWrite(t, n, () => appendFileSync(file, 'more'));
      assert.throws(() => commit(file, long, undefined, { copyLoses: true }), COMPANY);
      assert.equal(calls.filter(call => call.startsWith('write')).length, n);
      assert.equal(readFileSync(file).toString('latin1', 100, 101), 'x');
      assert.match(readFileSync(file).toString('latin1'), /more$/);
    });

    test(`is noticed where it changes a byte behind write ${n} and the clock has not gone on`, t => {
      const file = program(t);
      behindWrite(t, n, () => {
        const fd = fs.openSync(file, 'r+');
        fs.writevSync(fd, [Buffer.from('!')], 5001);
        fs.closeSync(fd);
      });
      instead(t, 'writeSync', original => (...args) => {
        const written = original(...args);
        utimesSync(file, 1e9, 1e9);
        return written;
      });
      assert.throws(() => commit(file, long, undefined, { copyLoses: true }), COMPANY);
      assert.equal(readFileSync(file).toString('latin1', 5001, 5002), '!');
    });
  }

  test('is noticed by the time stamp where nobody looks at the bytes', t => {
    const file = program(t);
    behindWrite(t, 1, () => {
      const fd = fs.openSync(file, 'r+');
      fs.writevSync(fd, [Buffer.from('!')], 9000);
      fs.closeSync(fd);
    });
    // Time stamps are as coarse as the kernel's clock.
    let looks = 0;
    instead(t, 'fsyncSync', original => (...args) => {
      if (looks++ === 0) utimesSync(file, 1e9, 1e9);
      return original(...args);
    });
    const source = FileSource.open(file);
    t.after(() => source.close());
    assert.throws(() => runNow(commitChange(file, source, long, { copyLoses: true })), COMPANY);
    assert.equal(readFileSync(file).toString('latin1', 5000, 5001) === 'x', false);
  });

  test('is noticed with `fast` too where the file would grow over what was appended', t => {
    const file = program(t);
    const calls = callsTo(t);
    behindWrite(t, 1, () => appendFileSync(file, 'more'));
    const growing = {
      commits: [{ edits: [at(100, 1), at(SIZE, 14, 2)], size: SIZE + 14 }],
      inPlaceIsSafe: true,
    };
    assert.throws(() => commit(file, growing, undefined, FAST), COMPANY);
    assert.deepEqual(calls, ['write 100 1']);
    assert.match(readFileSync(file).toString('latin1'), /more$/);
  });

  test('is noticed with `fast` too where it appends behind the last write', t => {
    const file = program(t);
    behindWrite(t, 1, () => appendFileSync(file, 'more'));
    assert.throws(() => commit(file, change([at(100, 1)]), undefined, FAST), COMPANY);
  });

  test('is noticed with `fast` too where the file would be cut', t => {
    const file = program(t);
    const calls = callsTo(t);
    behindWrite(t, 1, () => appendFileSync(file, 'more'));
    const cut = { commits: [{ edits: [at(100, 1)], size: SIZE - 10 }], inPlaceIsSafe: true };
    assert.throws(() => commit(file, cut, undefined, FAST), COMPANY);
    assert.deepEqual(calls, ['write 100 1']);
  });

  test('is noticed where it puts another file in its place', t => {
    const file = program(t);
    copyFileSync(file, `${file}.new`);
    behindWrite(t, 3, () => renameSync(`${file}.new`, file));
    const what = /^another process replaced the file while it was written$/;
    const replaced = { ...isNoticed(what), path: file };
    assert.throws(() => commit(file, long, undefined, { copyLoses: true }), replaced);
    assert.ok(readFileSync(file).equals(ORIGINAL));
  });
});

describe('mode and dates of a file that is edited in place', () => {
  const before = new Date('2001-02-03T04:05:06Z');
  const clear = (file: string) => chmodSync(file, 0o755);

  /** As the kernel does, a write clears the setuid bit. */
  function losses(t: Parameters<typeof callsTo>[0], file: string, mode: number, preserveDates: boolean) {
    chmodSync(file, mode);
    utimesSync(file, before, before);
    behindWrite(t, 1, () => clear(file));
    const lost: string[] = [];
    const onLoss = (what: string) => lost.push(what);
    assert.equal(commit(file, CHANGE, undefined, { fast: true, preserveDates, onLoss }), 'in-place');
    assert.ok(readFileSync(file).equals(changed()));
    return lost;
  }

  test('are put back: setuid and setgid bits that a write has cleared, and dates where that is asked for', t => {
    for (const mode of [0o4755, 0o2755, 0o6711]) {
      const file = program(t);
      assert.deepEqual(losses(t, file, mode, true), []);
      assert.equal(statSync(file).mode & 0o7777, mode);
      assert.equal(statSync(file).mtimeMs, before.getTime());
    }
    const file = program(t);
    assert.deepEqual(losses(t, file, 0o4755, false), []);
    assert.notEqual(statSync(file).mtimeMs, before.getTime());
  });

  test('that cannot be put back are told, and the file is written', t => {
    const file = program(t);
    failing(t, 'fchmodSync', 'EPERM', () => true);
    failing(t, 'futimesSync', 'EPERM', () => true);
    assert.deepEqual(losses(t, file, 0o4755, true), ['mode', 'dates']);
    const other = program(t);
    behindWrite(t, 1, () => clear(other));
    chmodSync(other, 0o4755);
    assert.equal(commit(other, CHANGE, undefined, FAST), 'in-place', 'nobody need be told');
  });

  test('are left alone where root writes, for whom the kernel clears nothing', { skip: needsRoot() }, t => {
    const file = program(t);
    chmodSync(file, 0o4755);
    failing(t, 'fchmodSync', 'EPERM', () => true);
    const onLoss = (what: string) => assert.fail(what);
    assert.equal(commit(file, CHANGE, undefined, { fast: true, onLoss }), 'in-place');
    assert.equal(statSync(file).mode & 0o7777, 0o4755);
  });

  test('without a bit to lose the mode is left alone', t => {
    const file = program(t);
    failing(t, 'fchmodSync', 'EPERM', () => true);
    assert.deepEqual(losses(t, file, 0o751, false), []);
  });
});

describe('a file of which overlayfs has made a copy when it was opened for writing', () => {
  const OVERLAYFS = 0x794c7630;

  /** Commits to a file that had another inode and one or more names when it was read. */
  function commitCopied(
    t: Parameters<typeof callsTo>[0],
    type: number,
    meanwhile: () => void,
    file: string,
    nlink = 2n,
  ) {
    let isRead = false;
    instead(t, 'statfsSync', () => () => ({ type }));
    instead(t, 'fstatSync', original => (...args) => {
      const stats = original(...args);
      return isRead ? stats : Object.assign(Object.create(Object(stats)), { ino: 1n, nlink });
    });
    const lost: string[] = [];
    const onLoss = (what: string) => lost.push(what);
    const happen = () => {
      isRead = true;
      meanwhile();
    };
    assert.equal(commit(file, CHANGE, happen, { fast: true, onLoss }), 'in-place');
    return lost;
  }

  test('is written, and that its other names keep the old content is told', t => {
    const file = program(t);
    assert.deepEqual(
      commitCopied(t, OVERLAYFS, () => {}, file),
      ['hard links'],
    );
    assert.ok(readFileSync(file).equals(changed()));
    assert.deepEqual(
      commitCopied(t, OVERLAYFS, () => {}, program(t), 1n),
      [],
    );
  });

  test('is not written where nobody can tell what file system that is', t => {
    const file = program(t);
    const ask = () =>
      instead(t, 'statfsSync', () => () => {
        throw Object.assign(new Error('EIO: made up'), { code: 'EIO' });
      });
    assert.throws(() => commitCopied(t, OVERLAYFS, ask, file), {
      code: 'unwritable',
      path: file,
      message: 'cannot ask for the file system: input/output error',
    });
  });

  test('is refused on another file system, and where it is not what was read', t => {
    const file = program(t);
    const refused = isElfnoteError('changed', file);
    assert.throws(() => commitCopied(t, 0xef53, () => {}, file), refused);
    assert.throws(() => commitCopied(t, OVERLAYFS, () => chmodSync(file, 0o700), file), refused);
    assert.throws(() => commitCopied(t, OVERLAYFS, () => appendFileSync(file, 'more'), file), refused);
  });
});
