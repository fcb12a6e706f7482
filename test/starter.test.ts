import assert from 'node:assert/strict';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { run } from './support/cli.js';
import { tempDir } from './support/temp.js';
import { needs } from './support/tools.js';

const sh = (script: string, ...args: readonly string[]) => run('sh', ['-c', script, 'sh', ...args]);

test('a program that is started says what it says, byte for byte, and how it ended', () => {
  const { status, output, stderr } = sh('printf "\\377\\0a"; echo why >&2; exit 3');
  assert.deepEqual([status, output, stderr], [3, Buffer.from([255, 0, 97]), 'why\n']);
  assert.deepEqual([sh('').stdout, sh('').stderr], ['', ''], 'nothing is left of the one before');
});

test('arguments are what they are, whatever a shell makes of them', () => {
  const words = ["it's", '$HOME', 'a  b', '', '*', 'two\nlines', '`id`', '\\n', '-n', 'ä'];
  assert.equal(sh('for word; do printf "%s|" "$word"; done', ...words).stdout, `${words.join('|')}|`);
});

test('a variable is there, or not, for one program alone', () => {
  const seen = (env: Record<string, string | undefined>) =>
    run('sh', ['-c', 'echo "${' + 'STARTER-none} ${' + 'LC_ALL-none}"'], { env }).stdout;
  assert.equal(seen({ STARTER: "it's $HOME" }), "it's $HOME C\n");
  assert.equal(seen({ LC_ALL: undefined, STARTER: '' }), ' none\n');
  assert.equal(seen({}), 'none C\n');
});

test('a working directory is that of one program alone', t => {
  const dir = tempDir(t);
  assert.equal(run('sh', ['-c', 'pwd -P'], { cwd: dir }).stdout, `${dir}\n`);
  assert.equal(sh('pwd -P').stdout, `${process.cwd()}\n`);
  process.chdir(dir);
  t.after(() => process.chdir(import.meta.dirname));
  assert.equal(sh('pwd -P').stdout, `${dir}\n`);
});

test('a program has no pipe of the shell open, and nothing to read', { skip: needs('mkfifo', 'ls') }, () => {
  const { stdout } = sh('ls -l /proc/$$/fd; cat');
  assert.match(stdout, / 0 -> \/dev\/null\n/);
  assert.match(stdout, / 1 -> .*elfnote-starter-\w+\/out\n/);
  assert.doesNotMatch(stdout, /elfnote-starter-\w+\/(?:to|from|command)/);
});

test('a program that was killed has no status', () => {
  assert.deepEqual([sh('kill -9 $$').status, sh('kill -TERM $$').status], [null, null]);
  assert.equal(sh('exit 127').status, 127);
});

test('what cannot be started is an error', t => {
  const file = join(tempDir(t), 'file');
  assert.throws(() => run('/absent/program'), /ENOENT/);
  // The other where PATH has a directory that this user may not look into.
  assert.throws(() => run('no-such-tool'), /ENOENT|EACCES/);
  writeFileSync(file, 'no program');
  assert.throws(() => run(file), /EACCES/);
  writeFileSync(file, '#!/absent/interpreter\n');
  chmodSync(file, 0o755);
  assert.throws(() => run(file), /ENOENT/);
  assert.equal(sh('exit 0').status, 0, 'the next one starts');
});

test('a program that takes too long is killed, and is an error', { skip: needs('sleep') }, () => {
  const since = Date.now();
  assert.throws(() => run('sleep', ['60'], { deadline: 200 }), /hangs|ETIMEDOUT/);
  assert.ok(Date.now() - since < 30_000);
  // Before the shell has heard of it.
  assert.throws(() => run('sleep', ['60'], { deadline: 1 }), /hangs|ETIMEDOUT/);
  assert.deepEqual(run('sh', ['-c', 'echo here; exit 4'], { deadline: 60_000 }).stdout, 'here\n');
  assert.equal(run('sh', ['-c', 'exit 4'], { deadline: 60_000 }).status, 4);
});

test('a program with a deadline hears a Ctrl-C as any other', { skip: needs('grep') }, () => {
  const ignored = (deadline?: number) =>
    run('grep', ['SigIgn', '/proc/self/status'], deadline === undefined ? {} : { deadline }).stdout;
  assert.match(ignored(), /^SigIgn:/);
  assert.equal(ignored(60_000), ignored());
});

for (const [how, ended, last] of [
  ['that ends', 7, 'process.exitCode = 7'],
  ['that is killed', null, "process.kill(process.pid, 'SIGKILL')"],
] as const) {
  const skip = needs('mkfifo', 'readlink', 'sleep');
  test(`the shell and its directory go with a process ${how}`, { skip }, () => {
    const project = join(import.meta.dirname, '..');
    const code = `import { run } from './test/support/cli.js';
      console.log(run('sh', ['-c', 'echo $PPID; readlink /proc/$PPID/fd/1']).stdout);
      ${last};`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', code];
    const { status, stdout } = run(process.execPath, args, { cwd: project });
    assert.equal(status, ended);
    const [pid = '', file = ''] = stdout.split('\n');
    assert.match(file, /elfnote-starter-\w+\/out$/);
    const places = [`/proc/${pid}/fd`, dirname(file)];
    // A process that is killed cannot wait for its shell.
    if (ended === null) {
      const wait = 'for place; do while [ -e "$place" ]; do sleep 0.1; done; done';
      run('sh', ['-c', wait, 'sh', ...places], { deadline: 30_000 });
    }
    for (const gone of places) assert.ok(!existsSync(gone), gone);
  });
}
