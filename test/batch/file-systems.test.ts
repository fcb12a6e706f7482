import assert from 'node:assert/strict';
import fs, { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { findFiles } from '../../src/batch/walk.js';
import { ElfnoteError } from '../../src/errors.js';
import { pseudoFileSystemOf } from '../../src/files/file-systems.js';
import { BIN, FIXTURES, jsonLines, PROJECT, ROOT, run } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
import { memoryDir, tempDir } from '../support/temp.js';
import { needs, type Skip, unavailable } from '../support/tools.js';
import { library } from '../support/tree.js';

const ELF = join(FIXTURES, 'kinds/pie-bfd');
/** Nothing is found, even where a walk is not refused that should be. */
const NOTHING = { include: ['no such name'] };

function refusal(path: string): (error: unknown) => boolean {
  return error => {
    assert.ok(error instanceof ElfnoteError || error instanceof library.ElfnoteError, String(error));
    assert.deepEqual([error.code, error.path], ['usage', path]);
    assert.match(error.message, /^is the root directory: /);
    return true;
  };
}

describe('the root directory is not walked', () => {
  const names = ['/', '//', '/.', '/..', '/tmp/..', '/proc/1/../..', '/../../'];
  for (const name of names) {
    test(`as ${name}`, async () => {
      await assert.rejects(findFiles([name], NOTHING), refusal(name));
      const outcomes = library.annotateTree([name], { ...NOTHING, dryRun: true });
      await assert.rejects(outcomes.next(), refusal(name));
      await assert.rejects(library.cleanTree([name], { ...NOTHING, dryRun: true }).next(), refusal(name));
    });
  }

  test('behind a link, in a list, and by the command line, which says so in a line', async t => {
    const dir = tempDir(t);
    const link = join(dir, 'link');
    symlinkSync('/', link);
    await assert.rejects(findFiles([link], NOTHING), refusal(link));
    const listed = { paths: ['/'], failures: [] };
    await assert.rejects(findFiles([], { ...NOTHING, listed }), refusal('/'));
    const { status, stderr, stdout } = elfnoteHere(['build-cache', '-n', '--include', 'none', link]);
    assert.deepEqual([status, stdout], [2, '']);
    assert.equal(
      stderr,
      `elfnote: ${link}: is the root directory: --no-preserve-root (preserveRoot: false) walks it all the same\n`,
    );
  });
});

describe('a pseudo file system is not entered', { skip: needs('/proc/self/mountinfo') }, () => {
  test('and is told by its type', () => {
    assert.deepEqual(
      ['/proc', '/proc/version', '/proc/self/root', PROJECT, '/no/such/path'].map(pseudoFileSystemOf),
      ['proc', 'proc', undefined, undefined, undefined],
    );
  });

  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  const KINDS = { proc: '/proc', sysfs: '/sys', devtmpfs: '/dev', devpts: '/dev/pts', mqueue: '/dev/mqueue' };
  for (const [type, place] of Object.entries(KINDS)) {
    const isMounted = mounts
      .split('\n')
      .some(line => line.includes(` ${place} `) && line.includes(` - ${type} `));
    test(`${type}, a directory or a file in it`, {
      skip: !isMounted && `no ${type} at ${place}`,
    }, async () => {
      const unreadable = `is in a pseudo file system (${type}), which elfnote does not enter`;
      assert.deepEqual(await findFiles([place], NOTHING), [
        { path: place, explicit: true, named: place, unreadable },
      ]);
      const inside = readdirSync(place).map(name => join(place, name))[0] ?? place;
      for (const call of [library.buildCache, library.removeCache, library.readNote, library.resolveFile]) {
        assert.throws(
          () => call(pseudoFileSystemOf(inside) === undefined ? place : inside),
          (error: unknown) => error instanceof library.ElfnoteError && error.message === unreadable,
        );
      }
    });
  }
});

/** The files that are read meanwhile. */
function readFiles(t: TestContext, work: () => void): string[] {
  const { mock } = t.mock.method(fs, 'readFileSync');
  syncBuiltinESMExports();
  try {
    work();
  } finally {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  }
  return mock.calls.map(({ arguments: [path] }) => String(path));
}

test('the list of mounts is read once for all files of one file system in memory', {
  skip: needs('/proc/self/mountinfo', '/dev/shm'),
}, t => {
  const dir = memoryDir(t);
  const files = [1, 2, 3].map(name => join(dir, String(name)));
  for (const file of files) copyFileSync(ELF, file);
  const types = () => files.map(pseudoFileSystemOf);
  const read = readFiles(t, () => assert.deepEqual(types(), [undefined, undefined, undefined]));
  assert.deepEqual(read.slice(1), []);
  assert.deepEqual(readFiles(t, types), []);
});

/** Whether this user may mount something, in name spaces of its own; the mount goes with them. */
function canMount(): Skip {
  const missing = needs('unshare', 'mount');
  if (missing !== false) return missing;
  const { status } = run('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'none', '/tmp']);
  return status === 0 ? false : unavailable('no mount in a user name space');
}

describe('a walk stays on the file system on which it starts', { skip: canMount() }, () => {
  /** A tree with `here`, and a mount `mnt` with `there`; the mount is gone when the command ends. */
  function walkOver(t: TestContext, mount: string, args: readonly string[]) {
    const dir = tempDir(t);
    mkdirSync(join(dir, 'tree/mnt'), { recursive: true });
    copyFileSync(ELF, join(dir, 'tree/here'));
    const tree = join(dir, 'tree');
    const script = `${mount}\ncd /\nexec "${process.execPath}" "${BIN}" build-cache --json --root "${ROOT}" "$@"`;
    const result = run('unshare', ['-rm', 'sh', '-ec', script, tree, ...args], {
      cwd: dir,
      env: { ELF },
    });
    const files = (result.stdout === '' ? [] : jsonLines(result.stdout))
      .filter(({ type }) => type === 'file')
      .map(({ path, action, reason }) => `${String(path).slice(tree.length)} ${reason ?? action}`);
    return { ...result, files, dir, tree };
  }
  const TMPFS = 'mount -t tmpfs none "$0/mnt"; cp "$ELF" "$0/mnt/there"; set -- "$@" "$0"';

  test('by default, and says what it leaves out', t => {
    const { files, status } = walkOver(t, TMPFS, []);
    assert.deepEqual([status, files], [0, ['/here written', '/mnt other-file-system']]);
  });

  test('but for --cross-file-systems', t => {
    const { files, status } = walkOver(t, TMPFS, ['--cross-file-systems']);
    assert.deepEqual([status, files], [0, ['/here written', '/mnt/there written']]);
  });

  test('one that is named is walked', t => {
    const { files } = walkOver(t, TMPFS.replace('"$@" "$0"', '"$@" "$0/mnt"'), []);
    assert.deepEqual(files, ['/mnt/there written']);
  });

  test('and enters no pseudo file system even so', t => {
    const sys = 'mount --rbind /proc "$0/mnt"; set -- "$@" "$0"';
    const { files } = walkOver(t, sys, ['--dry-run', '--cross-file-systems']);
    assert.deepEqual(files, ['/here planned', '/mnt pseudo-file-system']);
  });

  test('nor a file of one that is mounted over a file', t => {
    const { files, stdout } = walkOver(t, 'mount --bind /proc/version "$0/here"; set -- "$@" "$0"', []);
    assert.deepEqual(files, ['/here failed']);
    assert.match(stdout, /is in a pseudo file system \(proc\), which elfnote does not enter/);
  });

  test('nor the root directory where it is mounted once more', t => {
    const bind = 'mount --rbind / "$0/mnt"; set -- "$@" "$0"';
    const { files } = walkOver(t, bind, ['--dry-run', '--cross-file-systems']);
    assert.deepEqual(files, ['/here planned', '/mnt other-file-system']);
    const named = walkOver(t, bind.replace('"$@" "$0"', '"$@" "$0/mnt"'), ['--dry-run', '--include', 'none']);
    assert.equal(named.status, 2);
    assert.match(named.stderr, /mnt: is the root directory: /);
  });

  test('copies of --output-dir have an empty directory there, as cp -x makes it', t => {
    const dir = tempDir(t);
    const { files, stdout } = walkOver(t, TMPFS, ['--output-dir', join(dir, 'out')]);
    assert.deepEqual(files, ['/here written', '/mnt other-file-system'], stdout);
    assert.deepEqual(readdirSync(join(dir, 'out'), { recursive: true }).sort(), [
      'tree',
      'tree/here',
      'tree/mnt',
    ]);
  });
});
