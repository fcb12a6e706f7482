import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { ElfnoteError } from '../../src/errors.js';
import { pseudoFileSystemOn } from '../../src/files/file-systems.js';
import { OpenFile } from '../../src/files/open-file.js';
import { FileSource, inodeOf, withFile } from '../../src/files/source.js';
import { runOk } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

/** Longer than a tick of any kernel's clock, in milliseconds. */
const TICK = 20;

function written(t: TestContext): string {
  const file = join(tempDir(t), 'file');
  writeFileSync(file, 'content');
  return file;
}

test('a link to a pseudo file that has taken the place of a file since the walk is not opened', {
  skip: needs('/proc/version'),
}, t => {
  const file = written(t);
  const stats = statSync(file, { bigint: true });
  assert.equal(pseudoFileSystemOn(stats.dev, file), undefined);
  const found = inodeOf(stats);
  withFile(file, source => assert.equal(source.size, 7), { settled: true, found });
  rmSync(file);
  symlinkSync('/proc/version', file);
  const opened = t.mock.method(OpenFile.prototype, 'stat');
  for (const settled of [true, false]) {
    assert.throws(() => withFile(file, () => assert.fail('opened'), { settled, found }), {
      code: 'unreadable',
      path: file,
      message: 'is in a pseudo file system (proc), which elfnote does not enter',
    });
  }
  assert.equal(opened.mock.callCount(), 0);
});

describe('a file that is opened settled', () => {
  test('is older than a clock tick, so that a later write has another time stamp', t => {
    const file = written(t);
    for (let round = 0; round < 50; round++) {
      writeFileSync(file, `content ${round % 10}`);
      const source = FileSource.open(file, true);
      assert.ok(Date.now() - Number(source.stats.mtimeMs) >= TICK);
      assert.equal(source.hasChanged, false);
      writeFileSync(file, `CONTENT ${round % 10}`);
      assert.equal(source.hasChanged, true);
      source.close();
    }
  });

  test('is not waited for when it is older, or from the future, nor without being asked', t => {
    const file = written(t);
    const wait = t.mock.method(Atomics, 'wait');
    FileSource.open(file).close();
    for (const seconds of [-3600, 3600]) {
      const time = Date.now() / 1000 + seconds;
      utimesSync(file, time, time);
      FileSource.open(file, true).close();
    }
    assert.equal(wait.mock.callCount(), 0);
  });

  test('is given up when others keep writing to it', t => {
    const file = written(t);
    // On a busy machine more than a tick may go by before the file is looked at again.
    t.mock.method(Date, 'now', () => statSync(file).mtimeMs);
    t.mock.method(Atomics, 'wait', () => {
      appendFileSync(file, 'more');
      return 'timed-out';
    });
    assert.throws(
      () => FileSource.open(file, true),
      (error: unknown) =>
        error instanceof ElfnoteError &&
        error.code === 'changed' &&
        error.line === `${file}: is being written to by another process`,
    );
  });
});

test('a file that grew, shrank or was written to has changed; one that was read has not', t => {
  const CHANGES: readonly ((file: string) => void)[] = [
    file => appendFileSync(file, 'more'),
    file => writeFileSync(file, 'less'),
    file => utimesSync(file, 1, 1),
  ];
  for (const change of CHANGES) {
    const file = written(t);
    const source = FileSource.open(file);
    source.read(0, source.size);
    assert.equal(source.hasChanged, false);
    change(file);
    assert.equal(source.hasChanged, true);
    source.close();
  }
});

test('blocks are read once each, and none but those next to what is asked for', t => {
  const file = written(t);
  writeFileSync(file, Buffer.alloc(100_000, 'x'));
  const source = FileSource.open(file);
  for (let round = 0; round < 3; round++) {
    source.read(0, 64);
    source.read(5000, 10);
    source.read(4000, 2000);
    source.read(99_999, 1);
  }
  assert.equal(source.bytesRead, 2 * 4096 + (100_000 % 4096));
  source.close();
});

test('a directory, a FIFO and a device are no ELF files, and nothing is waited for', {
  skip: needs('mkfifo'),
}, t => {
  const dir = tempDir(t);
  mkdirSync(join(dir, 'directory'));
  runOk('mkfifo', [join(dir, 'fifo')]);
  for (const path of [join(dir, 'directory'), join(dir, 'fifo'), '/dev/null']) {
    assert.throws(
      () => FileSource.open(path, true),
      (error: unknown) =>
        error instanceof ElfnoteError &&
        error.code === 'not-elf' &&
        error.message === 'is not a regular file',
    );
  }
});
