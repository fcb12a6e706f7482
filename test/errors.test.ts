import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  ElfnoteError,
  type ErrorCode,
  EXIT,
  exitStatusOf,
  fromSystemError,
  systemCode,
  unforeseenSystemError,
} from '../src/errors.js';

/** Every code; the compiler fails on one that is missing or new. */
const STATUS: Readonly<Record<ErrorCode, 1 | 2>> = {
  'not-elf': 2,
  malformed: 2,
  'malformed-note': 2,
  unreadable: 2,
  usage: 2,
  unsupported: 1,
  refused: 1,
  unresolved: 1,
  'no-note': 1,
  unwritable: 1,
  changed: 1,
  verify: 1,
  internal: 1,
};

const system = (code: string) => Object.assign(new Error(`${code}: made up, open 'x'`), { code });

describe('an ElfnoteError', () => {
  test('tells no offset in words that it could not tell exactly', () => {
    const line = (offset: number) => new ElfnoteError('malformed', 'is odd', { offset }).line;
    assert.equal(line(2 ** 53 - 1), 'is odd (at offset 9007199254740991)');
    assert.equal(line(2 ** 63 - 1), 'is odd');
  });

  test('is an Error with code, path, offset and cause', () => {
    const cause = new Error('why');
    const error = new ElfnoteError('malformed', 'is odd', { path: 'a/b', offset: 52, cause });
    assert.ok(error instanceof Error);
    assert.equal(error.name, 'ElfnoteError');
    assert.deepEqual(
      [error.code, error.message, error.path, error.offset, error.cause],
      ['malformed', 'is odd', 'a/b', 52, cause],
    );
  });

  test('has no cause unless it was given one', () => {
    assert.equal('cause' in new ElfnoteError('usage', 'x'), false);
    assert.equal('cause' in new ElfnoteError('usage', 'x', { cause: undefined }), false);
  });

  const lines: [rule: string, error: ElfnoteError, line: string][] = [
    [
      'path, message and offset where all are known',
      new ElfnoteError('malformed', 'is odd', { path: 'a/b', offset: 52 }),
      'a/b: is odd (at offset 52)',
    ],
    [
      'offset 0, which is an offset too',
      new ElfnoteError('malformed', 'is odd', { path: 'a', offset: 0 }),
      'a: is odd (at offset 0)',
    ],
    ['no offset where there is none', new ElfnoteError('not-elf', 'no', { path: 'a' }), 'a: no'],
    ['no path where there is none', new ElfnoteError('usage', 'no files'), 'no files'],
  ];
  for (const [rule, error, line] of lines) {
    test(`its line shows ${rule}`, () => assert.equal(error.line, line));
  }
});

describe('exit statuses', () => {
  test('0 is success, 1 a finding, 2 a failure', () => {
    assert.deepEqual(EXIT, { ok: 0, findings: 1, failure: 2 });
  });

  for (const [code, status] of Object.entries(STATUS)) {
    test(`${code} ends with ${status}`, () => {
      const known: ErrorCode[] = Object.keys(STATUS).filter((name): name is ErrorCode => name === code);
      assert.deepEqual(known.map(exitStatusOf), [status]);
    });
  }
});

describe('system errors', () => {
  const words: [code: string, words: string][] = [
    ['EACCES', 'permission denied'],
    ['EISDIR', 'is a directory'],
    ['ELOOP', 'too many levels of symbolic links'],
    ['ENOENT', 'no such file or directory'],
    ['ENOSPC', 'no space left on device'],
    ['ENOTDIR', 'a part of the path is not a directory'],
    ['EPERM', 'operation not permitted'],
    ['EROFS', 'read-only file system'],
    ['ETXTBSY', 'the file is being executed'],
    ['EIO', 'input/output error'],
    ['EDQUOT', 'disk quota exceeded'],
    ['EMFILE', 'too many open files'],
    ['ENOSTR', 'made up (ENOSTR)'],
  ];
  for (const [code, text] of words) {
    test(`${code} is told as "${text}"`, () => {
      const cause = system(code);
      const error = fromSystemError('unreadable', 'cannot open', 'some/file', cause);
      assert.deepEqual(
        [error.code, error.line, error.cause],
        ['unreadable', `some/file: cannot open: ${text}`, cause],
      );
    });
  }

  test('one without plain words is told in the system’s own, with its code', () => {
    const cause = Object.assign(new Error("EPROTO: protocol error, open 'x'"), { code: 'EPROTO' });
    assert.equal(
      fromSystemError('unreadable', 'cannot open', 'f', cause).message,
      'cannot open: protocol error (EPROTO)',
    );
  });

  test('one that nobody foresaw is no internal error', () => {
    const cause = Object.assign(new Error('EIO: i/o error, fstat'), { code: 'EIO', syscall: 'fstat' });
    assert.equal(unforeseenSystemError(cause, 'f')?.line, 'f: the system refused fstat: input/output error');
    assert.equal(unforeseenSystemError(new TypeError('x is not a function')), undefined);
  });

  test('one that nobody foresaw names the path that was asked for', () => {
    const path = join(tmpdir(), 'elfnote-no-such-file');
    const line = (of?: string) => {
      try {
        readFileSync(path);
      } catch (error) {
        return unforeseenSystemError(error, of)?.line;
      }
      return undefined;
    };
    assert.equal(line(), `${path}: the system refused open: no such file or directory`);
    assert.equal(line(path), `${path}: the system refused open: no such file or directory`);
    assert.equal(line('f'), `f: the system refused open of ${path}: no such file or directory`);
  });

  test('a working directory that has gone is told as that', () => {
    const details = { code: 'ENOENT', syscall: 'uv_cwd' };
    const cause = Object.assign(new Error('ENOENT: no such file or directory, uv_cwd'), details);
    const line = 'cannot tell the working directory: no such file or directory';
    assert.equal(unforeseenSystemError(cause)?.line, line);
  });

  test('one that has a number alone is told in the words that Node has for it', () => {
    const cause = Object.assign(new Error('spawn EAGAIN'), {
      code: 'EAGAIN',
      errno: -constants.errno.EAGAIN,
    });
    assert.equal(
      fromSystemError('unreadable', 'cannot be run', 'f', cause).message,
      'cannot be run: resource temporarily unavailable (EAGAIN)',
    );
  });

  test('an error of any other kind keeps its message', () => {
    assert.equal(
      fromSystemError('unwritable', 'cannot write', 'f', new Error('odd')).message,
      'cannot write: odd',
    );
    assert.equal(fromSystemError('unwritable', 'cannot write', 'f', 'text').message, 'cannot write: text');
  });

  test('an ElfnoteError is passed on as it is', () => {
    const own = new ElfnoteError('changed', 'x', { path: 'y' });
    assert.equal(fromSystemError('unwritable', 'cannot write', 'f', own), own);
  });

  test('a code is found only on an error that has one', () => {
    assert.equal(systemCode(system('ENOENT')), 'ENOENT');
    assert.equal(systemCode(new Error('x')), undefined);
    assert.equal(systemCode(Object.assign(new Error('x'), { code: 5 })), undefined);
    assert.equal(systemCode({ code: 'ENOENT' }), undefined);
    assert.equal(systemCode(undefined), undefined);
  });

  test('what Node throws has a code', () => {
    assert.throws(
      () => readFileSync(join(tmpdir(), 'elfnote-no-such-file')),
      (error: unknown) => systemCode(error) === 'ENOENT',
    );
  });
});
