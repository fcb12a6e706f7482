import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { PROJECT, run } from './support/cli.js';
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
  // Of one that has ended by itself, however late, it would be said how.
  assert.throws(() => run('sleep', ['60'], { deadline: 200 }), /hangs|ETIMEDOUT/);
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

test('the shell and its directory go with the process', { skip: needs('mkfifo', 'readlink') }, () => {
  const code = `import { run } from './test/support/cli.js';
    console.log(run('sh', ['-c', 'echo $PPID; readlink /proc/$PPID/fd/1']).stdout);
    process.exitCode = 7;`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', code];
  const { status, stdout } = run(process.execPath, args, { cwd: PROJECT });
  assert.equal(status, 7);
  const [pid = '', file = ''] = stdout.split('\n');
  assert.match(file, /elfnote-starter-\w+\/out$/);
  for (const gone of [`/proc/${pid}/fd`, dirname(file)]) assert.ok(!existsSync(gone), gone);
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
  test(`nothing is left of a process that ${signal} has ended while its program ran`, {
    skip: needs('mkfifo', 'mv', 'readlink', 'sleep'),
  }, async t => {
    const said = join(tempDir(t), 'said');
    const script = 'echo "$PPID $$ $(readlink /proc/$PPID/fd/1)" >"$0.new"; mv "$0.new" "$0"; exec sleep 600';
    const code = `import { run } from './test/support/cli.js';
      run('sh', ['-c', ${JSON.stringify(script)}, ${JSON.stringify(said)}]);`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', code];
    const child = spawn(process.execPath, args, { cwd: PROJECT, stdio: 'ignore' });
    await until(() => existsSync(said), `${said} is not there`);
    const [shell = '', program = '', out = ''] = readFileSync(said, 'utf8').trim().split(' ');
    for (const pid of [shell, program]) assert.ok(runs(pid), pid);
    assert.match(out, /elfnote-starter-\w+\/out$/);
    child.kill(signal);
    await once(child, 'exit');
    await until(() => !runs(shell) && !runs(program), `${shell} or ${program} runs`);
    await until(() => !existsSync(dirname(out)), `${out} is there`);
  });
}

/** Not one that has ended and of which nobody has asked the status. */
function runs(pid: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) !== '';
  } catch {
    return false;
  }
}

const LONGEST_WAIT = 60_000;

async function until(isSo: () => boolean, otherwise: string): Promise<void> {
  for (const since = Date.now(); !isSo(); await setTimeout(10)) {
    if (Date.now() - since > LONGEST_WAIT) assert.fail(`${otherwise} after ${LONGEST_WAIT} ms`);
  }
}
