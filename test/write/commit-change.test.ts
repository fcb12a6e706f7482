import assert from 'node:assert/strict';
import fs, {
  appendFileSync,
  chmodSync,
  copyFileSync,
  linkSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ElfnoteError } from '../../src/errors.js';
import { ownerOfThisProcess } from '../../src/files/owner.js';
import { FileSource } from '../../src/files/source.js';
import { runNow } from '../../src/files/steps.js';
import { lockBeside } from '../../src/files/temporary.js';
import { writeCopy } from '../../src/write/commit.js';
import {
  assertAlone,
  CHANGE,
  changed,
  commit,
  FAST,
  failing,
  isDirectory,
  isElfnoteError,
  ORIGINAL,
  program,
  writesOf,
} from '../support/commits.js';

/** The file holds just that. */
function assertWritten(file: string, expected: Buffer): void {
  assert.ok(readFileSync(file).equals(expected), `${file} holds other bytes`);
}

describe('commitChange', () => {
  test('with `fast` edits in place, or replaces where no order of writes is safe; the bytes are the same', t => {
    const [inPlace, replaced] = [program(t), program(t)];
    const inode = (file: string) => statSync(file).ino;
    const before = [inode(inPlace), inode(replaced)];
    assert.equal(commit(inPlace, CHANGE, undefined, FAST), 'in-place');
    assert.equal(commit(replaced, { ...CHANGE, inPlaceIsSafe: false }, undefined, FAST), 'replaced');
    assert.equal(inode(inPlace), before[0]);
    assert.notEqual(inode(replaced), before[1]);
    for (const file of [inPlace, replaced]) {
      assertWritten(file, changed());
      assertAlone(file);
    }
  });

  test('joins neighbours of one step into one write, and never those of two', t => {
    const file = program(t);
    const at = (offset: number, text: string, step: number) => ({
      offset,
      bytes: Buffer.from(text),
      step,
      why: 'test',
    });
    const edits = [
      at(1000, 'ab', 1),
      at(1002, 'cd', 1),
      at(1004, 'ef', 1),
      at(1007, 'gap', 1),
      at(900, 'before', 1),
      at(906, 'next step', 2),
    ];
    const writes = writesOf(t, () =>
      commit(file, { commits: [{ edits, size: ORIGINAL.length }], inPlaceIsSafe: true }, undefined, FAST),
    );
    assert.deepEqual(writes, ['abcdef at 1000', 'gap at 1007', 'before at 900', 'next step at 906']);
    const expected = Buffer.from(ORIGINAL);
    for (const { offset, bytes } of edits) bytes.copy(expected, offset);
    assertWritten(file, expected);
  });

  test('cuts a file that becomes shorter', t => {
    const file = program(t);
    commit(file, { commits: [{ edits: [], size: 5000 }], inPlaceIsSafe: true });
    assertWritten(file, ORIGINAL.subarray(0, 5000));
  });

  test('with `fast` sees what comes between two writes by another name of the file, whose lock is another', t => {
    const file = program(t);
    linkSync(file, `${file}.other`);
    const { writeSync } = fs;
    const fake = (...args: Parameters<typeof writeSync>) => {
      mock.restore();
      syncBuiltinESMExports();
      const written = writeSync(...args);
      const fd = fs.openSync(`${file}.other`, 'r+');
      writeSync(fd, Buffer.from('other'), 0, 5, 2000);
      fs.closeSync(fd);
      return written;
    };
    const { mock } = t.mock.method(fs, 'writeSync', fake);
    syncBuiltinESMExports();
    assert.throws(() => commit(file, CHANGE, undefined, FAST), isElfnoteError('changed', file));
    assert.equal(readFileSync(file).toString('latin1', 2000, 2005), 'other');
  });

  for (const fast of [true, false]) {
    const way = fast ? 'in place' : 'by a copy';
    const MEANWHILE: Readonly<Record<string, (file: string) => void>> = {
      grew: file => appendFileSync(file, 'more'),
      'was written to': file => {
        const bytes = Buffer.from(ORIGINAL);
        bytes.write('other', 2000);
        writeFileSync(file, bytes);
        utimesSync(file, 1_000_000_000, 1_000_000_000);
      },
      'was replaced': file => {
        copyFileSync(file, `${file}.new`);
        renameSync(`${file}.new`, file);
      },
      // As with attributes that were set: the time stamp of the inode tells.
      'got another mode': file => {
        const ctime = () => statSync(file, { bigint: true }).ctimeNs;
        for (const before = ctime(); ctime() === before; ) chmodSync(file, 0o700);
      },
    };
    for (const [what, meanwhile] of Object.entries(MEANWHILE)) {
      test(`refuses, ${way}, a file that ${what} since it was read, and leaves it as it is now`, t => {
        const file = program(t);
        let now = Buffer.alloc(0);
        const happen = () => {
          meanwhile(file);
          now = readFileSync(file);
        };
        assert.throws(() => commit(file, CHANGE, happen, { fast }), {
          code: 'changed',
          path: file,
          message: 'the file changed while it was read',
        });
        assert.ok(now.length > 0 && readFileSync(file).equals(now));
        assertAlone(file);
      });
    }
  }

  test('calls beforeReplacing before a replacement, which it can prevent, and not before an edit in place', t => {
    const file = program(t);
    let calls = 0;
    const beforeReplacing = () => {
      calls++;
      throw new ElfnoteError('refused', 'no', { path: file });
    };
    assert.throws(
      () => commit(file, { ...CHANGE, inPlaceIsSafe: false }, undefined, { beforeReplacing }),
      isElfnoteError('refused', file),
    );
    assert.ok(readFileSync(file).equals(ORIGINAL));
    assertAlone(file);
    assert.equal(commit(file, CHANGE, undefined, { beforeReplacing, fast: true }), 'in-place');
    assert.equal(calls, 1);
  });

  test('with hard links is an edit in place, or refused; --force and unshare replace the one name alone', t => {
    const linked = () => {
      const file = program(t);
      linkSync(file, `${file}.other`);
      return file;
    };
    const refused = linked();
    const copied = { ...CHANGE, inPlaceIsSafe: false };
    assert.throws(() => commit(refused, copied), {
      code: 'refused',
      path: refused,
      message: 'has 2 hard links and cannot be edited in place; --force replaces this one alone',
    });
    assertWritten(refused, ORIGINAL);
    assertAlone(refused, 'program.other');
    for (const [change, options, outcome] of [
      [CHANGE, {}, 'in-place'],
      [CHANGE, { unshare: true }, 'replaced'],
      [CHANGE, { unshare: true, fast: true }, 'replaced'],
      [copied, { unshare: true }, 'replaced'],
      [copied, { force: true }, 'replaced'],
    ] as const) {
      const file = linked();
      assert.equal(commit(file, change, undefined, options), outcome);
      assertWritten(file, changed());
      assertWritten(`${file}.other`, outcome === 'in-place' ? changed() : ORIGINAL);
    }
  });

  test('tells an error of the path that it was given, and one that says so, or names none, as it is', t => {
    const file = program(t);
    const link = join(file, '../link');
    symlinkSync('program', link);
    const told = (error: Error): unknown => {
      try {
        commit(link, { ...CHANGE, inPlaceIsSafe: false }, undefined, {
          beforeReplacing: () => {
            throw error;
          },
        });
        return undefined;
      } catch (caught) {
        return caught;
      }
    };
    for (const path of [undefined, link]) {
      const known = new ElfnoteError('refused', 'no', { path });
      assert.equal(told(known), known);
    }
    const target = new ElfnoteError('refused', 'no', { path: file, offset: 7, cause: 'why' });
    for (const [error, code, message] of [
      [target, 'refused', 'no'],
      [
        Object.assign(new Error('EIO: made up'), { code: 'EIO' }),
        'unwritable',
        'cannot write: input/output error',
      ],
    ] as const) {
      const under = told(error);
      assert.ok(under instanceof ElfnoteError);
      assert.deepEqual([under.code, under.message, under.path], [code, message, link]);
      assert.deepEqual([under.offset, under.cause], error === target ? [7, 'why'] : [undefined, error]);
    }
    assertAlone(file, 'link');
  });

  test('of a file that is gone is told', t => {
    const file = program(t);
    assert.throws(() => commit(file, CHANGE, () => rmSync(file)), {
      code: 'unwritable',
      path: file,
      message: 'cannot find: no such file or directory',
    });
  });

  test('replaces the target of a symbolic link, not the link', t => {
    const file = program(t);
    const link = join(file, '../link');
    symlinkSync('program', link);
    assert.equal(commit(link, { ...CHANGE, inPlaceIsSafe: false }), 'replaced');
    assertWritten(file, changed());
    assert.equal(realpathSync(link), realpathSync(file));
    assertAlone(file, 'link');
  });
});

describe('the last look at a file', () => {
  for (const options of [{}, { fast: true }] as const) {
    const way = 'fast' in options ? 'in place' : 'to a copy';

    test(`that a disk refuses is blamed on nobody else (${way})`, t => {
      const file = program(t);
      failing(t, 'statSync', 'EIO', path => path === file);
      assert.throws(() => commit(file, CHANGE, undefined, options), {
        code: 'unwritable',
        message: 'cannot look at the file once more: input/output error',
      });
      assertAlone(file);
    });

    test(`that finds no file says that another process took it away (${way})`, t => {
      const file = program(t);
      failing(t, 'statSync', 'none', path => {
        if (path === file) rmSync(file, { force: true });
        return false;
      });
      assert.throws(() => commit(file, CHANGE, undefined, options), {
        code: 'changed',
        path: file,
        message: /took the file away/,
      });
    });
  }
});

describe('what is in the way of a copy', () => {
  for (const code of ['EACCES', 'EPERM', 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EROFS']) {
    test(`a directory that is not brought to the disk (${code}) is none to fail on`, t => {
      const file = program(t);
      failing(t, 'fsyncSync', code, isDirectory);
      assert.equal(commit(file, CHANGE), 'replaced');
      assertWritten(file, changed());
    });
  }

  test('a directory whose disk fails is told of, and the file is written', t => {
    const file = program(t);
    failing(t, 'fsyncSync', 'EIO', isDirectory);
    assert.throws(() => commit(file, CHANGE), {
      code: 'unwritable',
      message: /its new name may not be on the disk yet/,
    });
    assertWritten(file, changed());
    assertAlone(file);
  });

  // A mount point is busy, another's file in a sticky directory may not be replaced.
  for (const code of ['EBUSY', 'EACCES', 'EPERM', 'EROFS', 'EXDEV']) {
    test(`a name that cannot be taken (${code}) makes it an edit in place`, t => {
      const file = program(t);
      failing(t, 'renameSync', code, (_, to) => to === file);
      assert.equal(commit(file, CHANGE), 'in-place');
      assertWritten(file, changed());
      assertAlone(file);
    });
  }

  test('a name that cannot be given leaves the file as it was', t => {
    const file = program(t);
    failing(t, 'renameSync', 'EIO', (_, to) => to === file);
    assert.throws(() => commit(file, CHANGE), {
      code: 'unwritable',
      message: /cannot give the copy its name/,
    });
    assert.ok(readFileSync(file).equals(ORIGINAL));
    assertAlone(file);
  });

  test('the lock of another elfnote leaves the file as it was', t => {
    const file = program(t);
    symlinkSync(ownerOfThisProcess(), lockBeside(file));
    assert.throws(() => commit(file, CHANGE), isElfnoteError('changed', file));
    assert.ok(readFileSync(file).equals(ORIGINAL));
  });
});

describe('writeCopy', () => {
  test('writes the whole output or, when the directory is not there, nothing', t => {
    const file = program(t);
    const source = FileSource.open(file);
    t.after(() => source.close());
    const output = join(file, '../output');
    runNow(writeCopy(file, output, source, CHANGE));
    assertWritten(output, changed());
    assert.ok(readFileSync(file).equals(ORIGINAL));
    const none = join(file, '../none/output');
    assert.throws(() => runNow(writeCopy(file, none, source, CHANGE)), {
      code: 'unwritable',
      path: file,
      message: `${none}: cannot write a copy beside it: no such file or directory`,
    });
    assertAlone(file, 'output');
  });

  test('without a change copies the file as it is', t => {
    const file = program(t);
    const source = FileSource.open(file);
    t.after(() => source.close());
    const output = join(file, '../output');
    runNow(writeCopy(file, output, source, undefined));
    assertWritten(output, ORIGINAL);
  });
});
