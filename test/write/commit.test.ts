import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { ownerOfThisProcess } from '../../src/files/owner.js';
import {
  BIN,
  elfnoteAsNobody,
  elfnoteOk,
  FIXTURES,
  needsNobody,
  ROOT,
  type RunResult,
  run,
  runOk,
} from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { assertAlone, ORIGINAL, program } from '../support/commits.js';
import { compileOnce } from '../support/compile-once.js';
import { quoted } from '../support/starter.js';
import { sharedDir, tempDir } from '../support/temp.js';
import { needs, needsRoot, needsSuccess } from '../support/tools.js';

const ATTRIBUTES = needs('getfattr') || needsSuccess('setfattr', '-n', 'user.origin', '-v', 'trial');
const CAPABILITIES = needsRoot('getcap') || needsSuccess('setcap', 'cap_net_raw+ep');

/** Not being allowed to mount is no missing tool. */
function needsOverlay(): string | false {
  const reason = needsRoot('unshare', 'mount', 'cmp');
  if (reason !== false) return reason;
  const script =
    'cd "$0" && mount -t tmpfs n . && cd "$0" && mkdir u w && mount -t overlay n -o lowerdir=.,upperdir=u,workdir=w .';
  const dir = tempDir({ after });
  return run('unshare', ['-m', 'sh', '-c', script, dir]).status === 0 ? false : 'overlayfs cannot be mounted';
}

function noted(file: string, ...args: readonly string[]): RunResult {
  return elfnoteHere(['build-cache', '--root', ROOT, ...args, file]);
}

/** What build-cache makes of the fixture; the file is checked to hold just that. */
function assertWritten(file: string, expected: Buffer = reference()): void {
  assert.ok(readFileSync(file).equals(expected), `${file} is not what build-cache makes of it`);
}

let known: Buffer | undefined;

function reference(): Buffer {
  if (known === undefined) {
    const hooks: (() => void)[] = [];
    const file = join(tempDir({ after: hook => hooks.push(hook) }), 'program');
    copyFileSync(join(FIXTURES, 'kinds/pie-bfd'), file);
    elfnoteHereOk(['build-cache', '--root', ROOT, file]);
    known = readFileSync(file);
    for (const hook of hooks) hook();
  }
  assert.ok(!known.equals(ORIGINAL));
  return known;
}

describe('a file that is written', () => {
  // Without the tool nobody knows whether a copy would lose something.
  test('is a new one under the old name, and with --fast or hard links the same one', {
    skip: needs('getfattr'),
  }, t => {
    const [replaced, fast, linked] = [program(t), program(t), program(t)];
    linkSync(linked, join(linked, '../other'));
    const inode = (file: string) => statSync(file).ino;
    const before = [replaced, fast, linked].map(inode);
    for (const [file, ...args] of [[replaced], [fast, '--fast'], [linked]] as const) {
      assert.equal(noted(file, ...args).status, 0);
      assertWritten(file);
    }
    const isSame = [replaced, fast, linked].map((file, i) => inode(file) === before[i]);
    assert.deepEqual(isSame, [false, true, true]);
    assertAlone(replaced);
  });

  test('keeps mode, inode and hard links', t => {
    const file = program(t);
    const other = join(file, '../other');
    linkSync(file, other);
    chmodSync(file, 0o2710);
    const before = statSync(file);
    assert.equal(noted(file).status, 0);
    const after = statSync(file);
    assert.deepEqual([after.ino, after.mode, after.nlink], [before.ino, before.mode, 2]);
    assertWritten(file);
    assertWritten(other);
    assertAlone(file, 'other');
  });

  test('keeps owner, group and the setgid bit', { skip: needsRoot() }, t => {
    const file = program(t);
    chownSync(file, 1234, 5678);
    chmodSync(file, 0o2755);
    const before = statSync(file);
    assert.equal(noted(file).status, 0);
    assertWritten(file);
    const { uid, gid, mode } = statSync(file);
    assert.deepEqual([uid, gid, mode], [1234, 5678, before.mode]);
  });

  for (const way of [[], ['--fast']]) {
    test(`keeps the setuid and the setgid bit ${way.join()}`, t => {
      const file = program(t);
      chmodSync(file, 0o6755);
      assert.equal(noted(file, ...way).status, 0);
      assertWritten(file);
      assert.equal(statSync(file).mode & 0o7777, 0o6755);
    });
  }

  test('in a directory that gives new files another group keeps its own', { skip: needsRoot() }, t => {
    const file = program(t);
    chownSync(join(file, '..'), 0, 4321);
    chmodSync(join(file, '..'), 0o2755);
    assert.equal(noted(file).status, 0);
    assertWritten(file);
    assert.equal(statSync(file).gid, 0);
  });

  test('is edited in place where a copy could not keep the group', { skip: needsNobody() }, t => {
    const file = program(t, sharedDir(t));
    chownSync(file, 65534, 4321);
    chmodSync(file, 0o755);
    chownSync(join(file, '..'), 65534, 65534);
    const before = statSync(file);
    const result = elfnoteAsNobody(['build-cache', '--root', ROOT, file]);
    assert.deepEqual([result.status, result.stderr], [0, '']);
    assertWritten(file);
    const { ino, gid } = statSync(file);
    assert.deepEqual([ino, gid], [before.ino, 4321]);
    assertAlone(file);
  });

  test('is edited in place in a directory that its owner may not write to', {
    skip: needsNobody(),
  }, t => {
    const file = program(t, sharedDir(t));
    chownSync(file, 65534, 65534);
    const { ino } = statSync(file);
    const result = elfnoteAsNobody(['build-cache', '--root', ROOT, file]);
    assert.deepEqual([result.status, result.stderr], [0, '']);
    assertWritten(file);
    assert.equal(statSync(file).ino, ino);
  });

  test('gets no access list that its directory gives to new files', {
    skip: needsSuccess('setfacl', '-m', 'u:1234:r'),
  }, t => {
    const file = program(t);
    runOk('setfacl', ['-d', '-m', 'u:1234:rwx', join(file, '..')]);
    const before = statSync(file);
    assert.equal(noted(file).status, 0);
    assertWritten(file);
    assert.equal(statSync(file).mode, before.mode);
    assert.doesNotMatch(runOk('getfacl', ['-p', file]).stdout, /1234/);
    assert.equal(statSync(file).ino, before.ino);
  });

  test('under a symbolic link neither gets the access list of the directory that it is in', {
    skip: needsSuccess('setfacl', '-m', 'u:1234:r'),
  }, t => {
    const [file, other] = [program(t), tempDir(t)];
    runOk('setfacl', ['-d', '-m', 'u:1234:rwx', join(file, '..')]);
    const link = join(other, 'link');
    runOk('ln', ['-s', file, link]);
    const before = statSync(file);
    assert.equal(noted(link).status, 0);
    assertWritten(file);
    assert.equal(statSync(file).ino, before.ino);
    assert.doesNotMatch(runOk('getfacl', ['-p', file]).stdout, /1234/);
  });

  test('keeps its access list', { skip: needsSuccess('setfacl', '-m', 'u:1234:r') }, t => {
    const file = program(t);
    runOk('setfacl', ['-m', 'u:1234:rx', file]);
    const before = runOk('getfacl', ['-p', file]).stdout;
    assert.equal(noted(file).status, 0);
    assertWritten(file);
    assert.equal(runOk('getfacl', ['-p', file]).stdout, before);
  });

  test('of a lower layer of overlayfs is written in the first run, one with hard links too', {
    skip: needsOverlay(),
  }, t => {
    const file = program(t);
    const dir = join(file, '..');
    linkSync(file, join(dir, 'other'));
    const work = tempDir(t);
    const script = `
      mount -t tmpfs none ${work}
      mkdir ${work}/upper ${work}/work ${work}/merged
      mount -t overlay none -o lowerdir=${dir},upperdir=${work}/upper,workdir=${work}/work ${work}/merged
      ${[process.execPath, BIN, 'build-cache', '--root', ROOT].map(quoted).join(' ')} ${work}/merged/program
      cat ${work}/merged/program > ${work}/result
      cmp ${work}/merged/other ${file}
      ls -A ${work}/merged
      cat ${work}/result >&3
    `;
    const out = join(dir, 'out');
    const { status, stdout, stderr } = run('unshare', ['-m', 'sh', '-euc', `exec 3>${out}\n${script}`]);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /gave up hard links\n$/);
    assert.match(stdout, /\nother\nout\nprogram\n$/);
    assertWritten(out);
  });

  test('of a setuid file keeps the bit though the kernel clears it at a write of another user', {
    skip: needsNobody(),
  }, t => {
    const file = program(t, sharedDir(t));
    chownSync(file, 65534, 65534);
    chownSync(join(file, '..'), 65534, 65534);
    chmodSync(file, 0o4755);
    assert.equal(elfnoteAsNobody(['build-cache', '--root', ROOT, file]).status, 0);
    assertWritten(file);
    assert.equal(statSync(file).mode & 0o7777, 0o4755);
  });

  test('keeps user attributes', { skip: ATTRIBUTES }, t => {
    const file = program(t);
    runOk('setfattr', ['-n', 'user.origin', '-v', 'upstream', file]);
    const result = noted(file);
    assert.deepEqual([result.status, result.stderr], [0, '']);
    assertWritten(file);
    assert.match(runOk('getfattr', ['-d', file]).stdout, /^user\.origin="upstream"$/m);
  });

  test('changes the modification time, and with --preserve-dates keeps it to the microsecond', t => {
    const [plain, kept] = [program(t), program(t)];
    const [atime, mtime] = [1_111_111_111.123456, 1_222_222_222.654321];
    for (const file of [plain, kept]) utimesSync(file, atime, mtime);
    const before = statSync(kept, { bigint: true });
    assert.equal(noted(plain).status, 0);
    assert.equal(noted(kept, '--preserve-dates').status, 0);
    assert.ok(statSync(plain).mtimeMs > Date.UTC(2020));
    const after = statSync(kept, { bigint: true });
    assert.deepEqual(
      [after.atimeNs / 1000n, after.mtimeNs / 1000n],
      [before.atimeNs / 1000n, before.mtimeNs / 1000n],
    );
    assertWritten(kept);
  });

  for (const way of ['written', 'kept']) {
    test(`under a symbolic link and ${way} has what dead runs left beside it taken away, not beside the link`, t => {
      const [file, other] = [program(t), tempDir(t)];
      const link = join(other, 'link');
      runOk('ln', ['-s', file, link]);
      if (way === 'kept') assert.equal(noted(file).status, 0);
      const left = `.x.elfnote-${ownerOfThisProcess().replace(/-\d+-/, '-1-')}-00000000`;
      for (const dir of [join(file, '..'), other]) writeFileSync(join(dir, left), '');
      // A process looks once into a directory, so this is another.
      elfnoteOk(['build-cache', '--root', ROOT, link]);
      assertWritten(file);
      assertAlone(file);
      assert.deepEqual(readdirSync(other), [left, 'link']);
    });
  }

  test('that has nothing to change does not touch the file', t => {
    const file = program(t);
    assert.equal(noted(file).status, 0);
    utimesSync(file, 1_000_000_000, 1_000_000_000);
    const before = statSync(file, { bigint: true });
    assert.equal(noted(file).status, 0);
    const after = statSync(file, { bigint: true });
    assert.deepEqual([after.mtimeNs, after.ctimeNs], [before.mtimeNs, before.ctimeNs]);
  });

  test('writes through a symbolic link, which stays one', t => {
    const file = program(t);
    const link = join(file, '../link');
    runOk('ln', ['-s', 'program', link]);
    assert.equal(noted(link).status, 0);
    assertWritten(file);
    assert.equal(realpathSync(link), realpathSync(file));
    assertAlone(file, 'link');
  });
});

describe('file capabilities', { skip: CAPABILITIES }, () => {
  test('are not lost without --force, and named', t => {
    const file = program(t);
    runOk('setcap', ['cap_net_raw+ep', file]);
    const result = noted(file);
    assert.equal(result.status, 1);
    assert.equal(
      result.stderr,
      `elfnote: ${file}: writing would lose security.capability; --force writes all the same\n`,
    );
    assert.ok(readFileSync(file).equals(ORIGINAL));
    assert.match(runOk('getcap', [file]).stdout, /cap_net_raw[=+]ep/);
  });

  test('are given up with --force, and named', t => {
    const file = program(t);
    runOk('setcap', ['cap_net_raw+ep', file]);
    const result = noted(file, '--force');
    assert.equal(result.status, 0);
    assert.equal(result.stderr, `elfnote: warning: ${file}: gave up security.capability\n`);
    assertWritten(file);
    assert.equal(runOk('getcap', [file]).stdout, '');
  });

  test('of a file that has nothing to change are kept', t => {
    const file = program(t);
    assert.equal(noted(file).status, 0);
    runOk('setcap', ['cap_net_raw+ep', file]);
    const result = noted(file);
    assert.deepEqual([result.status, result.stderr], [0, '']);
    assert.match(runOk('getcap', [file]).stdout, /cap_net_raw[=+]ep/);
  });
});

describe('--output', () => {
  test('refuses to lose user attributes, and gives them up with --force', {
    skip: ATTRIBUTES,
  }, t => {
    const file = program(t);
    const output = join(file, '../output');
    runOk('setfattr', ['-n', 'user.origin', '-v', 'upstream', file]);
    const refused = noted(file, '-o', output);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /: writing would lose user\.origin; --force writes all the same\n$/);
    assertAlone(file);
    const forced = noted(file, '-o', output, '--force');
    assert.equal(forced.status, 0);
    assert.match(forced.stderr, /: gave up user\.origin\n$/);
    assertWritten(output);
    assertAlone(file, 'output');
  });

  test('keeps owner, setuid bit and dates', { skip: needsRoot() }, t => {
    const file = program(t);
    const output = join(file, '../output');
    chownSync(file, 1234, 5678);
    chmodSync(file, 0o4755);
    utimesSync(file, 1_000_000_000, 1_000_000_001);
    assert.equal(noted(file, '-o', output, '--preserve-dates').status, 0);
    const { uid, gid, mode, mtimeMs } = statSync(output);
    assert.deepEqual([uid, gid, mode & 0o7777, mtimeMs], [1234, 5678, 0o4755, 1_000_000_001_000]);
    assertWritten(output);
  });
});

/** A program of this machine that says `ready`, waits for a line, and says it back. */
async function runningProgram(t: TestContext): Promise<{ file: string; child: ChildProcess }> {
  const dir = tempDir(t);
  const lib = join(dir, 'lib');
  mkdirSync(lib);
  const [source, library, file] = [join(dir, 'source.c'), join(lib, 'libecho.so.1'), join(dir, 'program')];
  writeFileSync(source, 'const char *word(void) { return "ready"; }\n');
  compileOnce('gcc', ['-shared', '-fPIC', '-Wl,-soname,libecho.so.1', source], library, dir);
  writeFileSync(
    source,
    `#include <stdio.h>
const char *word(void);
int main(void) {
  char line[80];
  puts(word());
  fflush(stdout);
  if (fgets(line, sizeof line, stdin)) fputs(line, stdout);
  return 0;
}
`,
  );
  compileOnce('gcc', [source, library, `-Wl,-rpath,${lib},--enable-new-dtags`], file, dir);
  const child = spawn(file, { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill());
  assert.ok(child.stdout !== null);
  const [data] = await once(child.stdout, 'data');
  assert.equal(String(data), 'ready\n');
  return { file, child };
}

/** The program that was started before still does what it did. */
async function assertAlive(child: ChildProcess): Promise<void> {
  assert.ok(child.stdout !== null && child.stdin !== null);
  assert.equal(child.exitCode, null);
  const [answer, exit] = [once(child.stdout, 'data'), once(child, 'exit')];
  child.stdin.end('still here\n');
  assert.equal(String((await answer)[0]), 'still here\n');
  assert.deepEqual(await exit, [0, null]);
}

describe('a running program', { skip: needs('gcc') }, () => {
  test('is replaced by rename, keeps its mode, and lives on', async t => {
    const { file, child } = await runningProgram(t);
    chmodSync(file, 0o750);
    const before = statSync(file);
    const names = readdirSync(join(file, '..'));
    const result = elfnoteHere(['build-cache', file]);
    assert.deepEqual([result.status, result.stderr], [0, '']);
    const after = statSync(file);
    assert.notEqual(after.ino, before.ino);
    assert.equal(after.mode, before.mode);
    assert.equal(elfnoteHere(['dump', file]).status, 0);
    assert.match(runOk('sh', ['-c', `echo new | ${file}`]).stdout, /^ready\nnew\n$/);
    assert.deepEqual(readdirSync(join(file, '..')), names);
    await assertAlive(child);
  });

  test('with hard links is refused, and with --force replaced alone', async t => {
    const { file, child } = await runningProgram(t);
    const other = join(file, '../other');
    linkSync(file, other);
    const before = readFileSync(file);
    const refused = elfnoteHere(['build-cache', file]);
    assert.equal(refused.status, 1);
    assert.match(
      refused.stderr,
      /: has 2 hard links and cannot be edited in place; --force replaces this one alone\n$/,
    );
    assert.ok(readFileSync(file).equals(before));
    assert.equal(elfnoteHere(['build-cache', '--force', file]).status, 0);
    assert.equal(elfnoteHere(['dump', file]).status, 0);
    assert.ok(readFileSync(other).equals(before));
    assert.deepEqual([statSync(file).nlink, statSync(other).nlink], [1, 1]);
    await assertAlive(child);
  });

  test('with user attributes is refused by their names', { skip: ATTRIBUTES }, async t => {
    const { file, child } = await runningProgram(t);
    // The kernel lets attributes of a running program change, only its bytes not.
    runOk('setfattr', ['-n', 'user.origin', '-v', 'upstream', file]);
    const before = readFileSync(file);
    const names = readdirSync(join(file, '..'));
    const result = elfnoteHere(['build-cache', file]);
    assert.equal(result.status, 1);
    assert.match(result.stderr, /: writing would lose user\.origin; --force writes all the same\n$/);
    assert.ok(readFileSync(file).equals(before));
    assert.deepEqual(readdirSync(join(file, '..')), names);
    await assertAlive(child);
  });

  test('is left alone, without a temporary file, when the copy cannot be written', {
    skip: needs('prlimit'),
  }, async t => {
    const { file, child } = await runningProgram(t);
    const before = readFileSync(file);
    const names = readdirSync(join(file, '..'));
    const result = limited(before.length, ['build-cache', file]);
    assert.equal(result.status, 1);
    assert.match(result.stderr, /^elfnote: [^\n]+: cannot write[^\n]*: the file would become too large\n$/);
    assert.ok(readFileSync(file).equals(before));
    assert.deepEqual(readdirSync(join(file, '..')), names);
    await assertAlive(child);
  });
});

describe('a file that its owner may not write to', { skip: needsNobody() }, () => {
  test('is replaced in a directory that he may write to, and keeps its mode', t => {
    const file = program(t, sharedDir(t));
    chmodSync(file, 0o555);
    for (const path of [file, join(file, '..')]) chownSync(path, 65534, 65534);
    const before = statSync(file);
    const result = elfnoteAsNobody(['build-cache', '--root', ROOT, file]);
    assert.deepEqual([result.status, result.stderr], [0, '']);
    const after = statSync(file);
    assert.notEqual(after.ino, before.ino);
    assert.deepEqual([after.mode, after.uid, after.gid], [before.mode, 65534, 65534]);
    assertWritten(file);
    assertAlone(file);
  });

  test('is refused with one line in a directory that he may not write to', t => {
    const file = program(t, sharedDir(t));
    chmodSync(file, 0o555);
    chownSync(file, 65534, 65534);
    const result = elfnoteAsNobody(['build-cache', '--root', ROOT, file]);
    assert.equal(result.status, 1);
    assert.match(result.stderr, /^elfnote: [^\n]+: cannot write a copy beside it: permission denied\n$/);
    assert.ok(readFileSync(file).equals(ORIGINAL));
    assertAlone(file);
  });

  test('is refused where replacing it would change its owner, and given up with --force', t => {
    const file = program(t, sharedDir(t));
    chmodSync(file, 0o555);
    chmodSync(join(file, '..'), 0o777);
    const result = elfnoteAsNobody(['build-cache', '--root', ROOT, file]);
    assert.equal(result.status, 1);
    assert.match(
      result.stderr,
      /^elfnote: [^\n]+: cannot be edited in place, and replacing it would change its owner or group\n$/,
    );
    assert.ok(readFileSync(file).equals(ORIGINAL));
    assert.equal(elfnoteAsNobody(['build-cache', '--force', '--root', ROOT, file]).status, 0);
    assert.equal(statSync(file).uid, 65534);
  });
});

/** Runs the CLI with a limit to the size of a file, which this process has meanwhile: writes beyond it fail with EFBIG. */
function limited(bytes: number, args: readonly string[]): RunResult {
  const limit = (size: number | 'unlimited') =>
    runOk('prlimit', [`--pid=${process.pid}`, `--fsize=${size}:`]);
  limit(bytes);
  try {
    return elfnoteHere(args);
  } finally {
    limit('unlimited');
  }
}

describe('a write that fails', { skip: needs('prlimit') }, () => {
  for (const [beyond, ...way] of [[0], [1], [100], [300], [0, '--fast'], [300, '--fast']] as const) {
    test(`${beyond} bytes behind the old end ${way.join()} leaves the file as it was`, t => {
      const file = program(t);
      const result = limited(ORIGINAL.length + beyond, ['build-cache', '--root', ROOT, ...way, file]);
      assert.equal(result.status, 1);
      assert.equal(result.stderr, `elfnote: ${file}: cannot write: the file would become too large\n`);
      assert.ok(readFileSync(file).equals(ORIGINAL));
      assertAlone(file);
      assert.equal(noted(file).status, 0, 'and the next run succeeds');
      assertWritten(file);
    });
  }

  test('leaves neither output nor temporary file', t => {
    const file = program(t);
    const output = join(file, '../output');
    const result = limited(ORIGINAL.length, ['build-cache', '--root', ROOT, '-o', output, file]);
    assert.equal(result.status, 1);
    assert.match(result.stderr, /^elfnote: [^\n]+: cannot write[^\n]*: the file would become too large\n$/);
    assert.ok(readFileSync(file).equals(ORIGINAL));
    assertAlone(file);
  });
});
