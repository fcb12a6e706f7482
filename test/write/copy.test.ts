import assert from 'node:assert/strict';
import fs, {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { FileSource } from '../../src/files/source.js';
import { runNow } from '../../src/files/steps.js';
import type { Change, CommitOptions } from '../../src/write/change.js';
import { commitChange, writeCopy } from '../../src/write/commit.js';
import {
  assertAlone,
  CHANGE,
  callsTo,
  changed,
  commit,
  failing,
  instead,
  isElfnoteError,
  ORIGINAL,
  program,
} from '../support/commits.js';
import { needsRoot } from '../support/tools.js';

/** No edit in place is a way out. */
const COPIED: Change = { ...CHANGE, inPlaceIsSafe: false };

/** Writes an output beside the file; `meanwhile` happens when the file has been read. */
function output(file: string, options: CommitOptions = {}, meanwhile: () => void = () => {}): string {
  const source = FileSource.open(file);
  try {
    meanwhile();
    const name = join(file, '../output');
    runNow(writeCopy(file, name, source, CHANGE, options));
    return name;
  } finally {
    source.close();
  }
}

/** Told what is lost. */
function losses(): { readonly lost: string[]; readonly onLoss: (what: string) => void } {
  const lost: string[] = [];
  return { lost, onLoss: what => lost.push(what) };
}

const { fchmodSync } = fs;
const toOwnerAlone = (fd: number) => fchmodSync(fd, 0o600);

describe('a copy in the place of a file', () => {
  test('is refused where the file has got another mode since it was read', t => {
    const file = program(t);
    assert.throws(() => commit(file, COPIED, () => chmodSync(file, 0o711)), isElfnoteError('changed', file));
    assert.ok(readFileSync(file).equals(ORIGINAL));
    assertAlone(file);
  });

  test('is there, and told of, where another process wrote to the file at the last moment', t => {
    const file = program(t);
    failing(t, 'renameSync', 'none', (_, to) => {
      if (to === file) appendFileSync(file, 'more');
      return false;
    });
    assert.throws(() => commit(file, COPIED), {
      code: 'changed',
      path: file,
      message: 'another process wrote to the file while it was replaced: what it wrote is lost',
    });
    assert.ok(readFileSync(file).equals(changed()));
    assertAlone(file);
  });

  test('is on the disk before it has the name, and the name after; with `fast` nobody waits', t => {
    const file = program(t);
    const calls = callsTo(t);
    instead(t, 'renameSync', original => (...args) => {
      calls.push('rename');
      return original(...args);
    });
    commit(file, COPIED);
    const edits = [`write ${ORIGINAL.length} 14`, 'write 100 6'];
    assert.deepEqual(calls, [...edits, 'sync', 'rename', 'sync directory'], 'the kernel has copied the rest');
    calls.length = 0;
    const [grown] = CHANGE.commits;
    assert.ok(grown !== undefined);
    const longer = { ...grown, size: grown.size + 10 };
    commit(program(t), { commits: [longer, { edits: [], size: longer.size }], inPlaceIsSafe: false });
    assert.deepEqual(
      calls.filter(call => call.startsWith('cut')),
      [`cut ${longer.size}`],
    );
    calls.length = 0;
    commit(program(t), COPIED, undefined, { fast: true });
    assert.deepEqual(
      calls.filter(call => /sync|rename/.test(call)),
      ['rename'],
    );
  });

  test('has the dates of the file where that is asked for', t => {
    const [kept, plain] = [program(t), program(t)];
    for (const file of [kept, plain]) utimesSync(file, 1e9, 1e9 + 1);
    commit(kept, COPIED, undefined, { preserveDates: true });
    commit(plain, COPIED);
    assert.deepEqual([statSync(kept).atimeMs, statSync(kept).mtimeMs], [1e12, 1e12 + 1000]);
    assert.ok(statSync(plain).mtimeMs > 1.1e12);
  });

  test('with another mode is refused; --force gives the mode up, and tells', t => {
    const file = program(t);
    chmodSync(file, 0o751);
    instead(t, 'fchmodSync', () => toOwnerAlone);
    const { lost, onLoss } = losses();
    assert.throws(() => commit(file, COPIED, undefined, { onLoss }), {
      code: 'refused',
      path: file,
      message: 'cannot be edited in place, and replacing it would change its mode',
    });
    assertAlone(file);
    assert.deepEqual(lost, []);
    assert.equal(commit(file, COPIED, undefined, { force: true, onLoss }), 'replaced');
    assert.deepEqual(lost, ['mode']);
    assert.ok(readFileSync(file).equals(changed()));
    assert.equal(statSync(file).mode & 0o7777, 0o600);
    assert.equal(commit(program(t), COPIED, undefined, { force: true }), 'replaced', 'nobody need be told');
  });

  test('leaves no file open, nor the directory', t => {
    const open = () => readdirSync('/proc/self/fd').length;
    const files = [program(t), program(t), program(t)];
    const before = open();
    for (const file of files) commit(file, COPIED);
    assert.equal(open(), before);
  });

  test('needs no right to give files away where it is of the same owner', t => {
    failing(t, 'fchownSync', 'EPERM', () => true);
    assert.equal(commit(program(t), COPIED), 'replaced');
  });

  test('with another mode is none where the file can be edited in place', t => {
    const file = program(t);
    instead(t, 'fchmodSync', () => toOwnerAlone);
    assert.equal(commit(file, CHANGE, undefined, { force: true }), 'in-place');
    assertAlone(file);
  });
});

describe('who may not give a file away', { skip: needsRoot() }, () => {
  /** A setuid file of somebody else. */
  function foreign(t: TestContext): string {
    const file = program(t);
    chownSync(file, 1234, 5678);
    chmodSync(file, 0o6755);
    return file;
  }

  test('does not replace it; with --force it is his, without setuid and setgid bits, and that is told', t => {
    const file = foreign(t);
    failing(t, 'fchownSync', 'EPERM', () => true);
    const { lost, onLoss } = losses();
    assert.throws(() => commit(file, COPIED, undefined, { onLoss }), {
      code: 'refused',
      message: 'cannot be edited in place, and replacing it would change its owner or group',
    });
    assertAlone(file);
    assert.equal(commit(file, COPIED, undefined, { force: true, onLoss }), 'replaced');
    const { uid, mode } = statSync(file);
    assert.deepEqual([uid, mode & 0o7777, lost], [process.getuid?.(), 0o755, ['owner or group']]);
  });

  test('writes an output that is his, and nothing of that is a loss', t => {
    const file = foreign(t);
    failing(t, 'fchownSync', 'EPERM', () => true);
    const { lost, onLoss } = losses();
    const { uid, mode } = statSync(output(file, { onLoss }));
    assert.deepEqual([uid, mode & 0o7777, lost], [process.getuid?.(), 0o755, []]);
  });

  test('because of a disk that fails is told so', t => {
    const file = foreign(t);
    failing(t, 'fchownSync', 'EIO', () => true);
    assert.throws(() => commit(file, COPIED, undefined, { force: true }), {
      code: 'unwritable',
      message: 'cannot set owner and group: input/output error',
    });
    assertAlone(file);
  });

  test('may keep one whose owner or group alone is another, if he may give it away', t => {
    for (const [uid, gid] of [
      [1234, 0],
      [0, 5678],
    ] as const) {
      const file = program(t);
      chownSync(file, uid, gid);
      commit(file, COPIED);
      assert.deepEqual([statSync(file).uid, statSync(file).gid], [uid, gid]);
    }
  });
});

test('a source knows whether another file has its name by now', t => {
  const file = program(t);
  const outcome = (write: (source: FileSource) => void) => {
    const source = FileSource.open(file);
    try {
      write(source);
      return [source.isReplaced, source.isEdited];
    } finally {
      source.close();
    }
  };
  const name = join(file, '../output');
  assert.deepEqual(
    outcome(source => runNow(writeCopy(file, name, source, CHANGE))),
    [false, false],
  );
  assert.deepEqual(
    outcome(source => runNow(commitChange(file, source, COPIED))),
    [true, false],
  );
  assert.deepEqual(
    outcome(source => runNow(commitChange(file, source, CHANGE, { copyLoses: true }))),
    [false, true],
  );
});

test('a copy comes out the same where its slow calls are left to other threads', async t => {
  const file = program(t);
  const source = FileSource.open(file);
  t.after(() => source.close());
  const steps = commitChange(file, source, COPIED);
  let step = steps.next();
  let calls = 0;
  while (step.done !== true) {
    const { value } = step;
    const error = await new Promise<Error | null>(resolve => value.later(resolve));
    calls++;
    step = error ? steps.throw(error) : steps.next();
  }
  assert.deepEqual([step.value, calls], ['replaced', 3]);
  assert.ok(readFileSync(file).equals(changed()));
  assertAlone(file);
});

describe('an output', () => {
  test('is whole, whoever writes to the file at the last moment', t => {
    const file = program(t);
    failing(t, 'renameSync', 'none', () => {
      appendFileSync(file, 'more');
      return false;
    });
    assert.ok(readFileSync(output(file)).equals(changed()));
  });

  test('has the dates of the file where that is asked for', t => {
    const file = program(t);
    utimesSync(file, 1e9, 1e9 + 1);
    assert.equal(statSync(output(file, { preserveDates: true })).mtimeMs, 1e12 + 1000);
    assert.ok(statSync(output(file)).mtimeMs > 1.1e12);
  });

  test('is not written of a file that changed since it was read', t => {
    const file = program(t);
    assert.throws(
      () => output(file, {}, () => appendFileSync(file, 'more')),
      isElfnoteError('changed', file),
    );
    assertAlone(file);
  });

  test('is written to where a symbolic link leads, and nowhere where that is a loop', t => {
    const file = program(t);
    const link = join(file, '../output');
    symlinkSync('target', link);
    writeFileSync(join(file, '../target'), 'old');
    assert.ok(readFileSync(output(file)).equals(changed()));
    assertAlone(file, 'output', 'target');
    assert.ok(readFileSync(join(file, '../target')).equals(changed()));
    assert.equal(readlinkSync(link), 'target');

    rmSync(link);
    symlinkSync('output', link);
    assert.throws(() => output(file), {
      code: 'unwritable',
      path: file,
      message: `${link}: cannot write: too many levels of symbolic links`,
    });
  });

  test('does not take the place of a directory', t => {
    const file = program(t);
    mkdirSync(join(file, '../output'));
    assert.throws(() => output(file), {
      code: 'refused',
      path: file,
      message: `the output ${join(file, '../output')} is not a regular file`,
    });
  });
});

describe('the bytes of a copy', () => {
  /** How often the kernel is asked to copy. */
  function kernelCopies(t: TestContext, file: string, change = COPIED): number {
    let copies = 0;
    instead(t, 'copyFileSync', original => (...args) => {
      copies++;
      return original(...args);
    });
    commit(file, change);
    t.mock.restoreAll();
    return copies;
  }

  test('are copied by the kernel, but for setuid and setgid files and those with holes', t => {
    const [plain, setuid, setgid, sparse] = [program(t), program(t), program(t), program(t)];
    chmodSync(setuid, 0o4755);
    chmodSync(setgid, 0o2755);
    truncateSync(sparse, 3 << 20);
    appendFileSync(sparse, 'end');
    const size = { commits: [], inPlaceIsSafe: false };
    const expected = readFileSync(sparse);
    assert.deepEqual(
      [plain, setuid, setgid].map(file => kernelCopies(t, file)),
      [1, 0, 0],
    );
    for (const file of [plain, setuid, setgid]) assert.ok(readFileSync(file).equals(changed()));
    assert.equal(kernelCopies(t, sparse, size), 0, 'holes would be filled');
    assert.ok(readFileSync(sparse).equals(expected));
    assert.ok(statSync(sparse).blocks * 512 < 2 << 20, 'holes stay holes');
  });

  test('are copied in pieces where the kernel does not, also zeros at the end', t => {
    const file = program(t);
    appendFileSync(file, Buffer.alloc(1 << 20, 'a'));
    appendFileSync(file, Buffer.alloc(3 << 20));
    const expected = readFileSync(file);
    failing(t, 'copyFileSync', 'EIO', () => true);
    commit(file, { commits: [], inPlaceIsSafe: false });
    assert.ok(readFileSync(file).equals(expected));
  });
});
