import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import fastGlob from 'fast-glob';
import { PROJECT, run, runOk } from '../support/cli.js';
import { environment } from '../support/starter.js';
import { sharedDir, tempDir } from '../support/temp.js';
import { inMemory, needsOtherUser, needsRoot } from '../support/tools.js';

/** `npm test -- ARGS`. */
const runTests = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  run(process.execPath, ['--import', 'tsx', 'scripts/test.ts', ...args], {
    cwd: PROJECT,
    env: { NODE_TEST_CONTEXT: undefined, ...env },
    deadline: 120_000,
  });

const FILE = 'test/errors.test.ts';
const refusals: [what: string, args: string[], said: string][] = [
  ['a file that is not there', [FILE, 'test/never.test.ts'], 'no such test: test/never.test.ts\n'],
  ['a word that is none', [FILE, 'hwcaps'], 'no such test: hwcaps\n'],
  ['a pattern of no file', ['test/never*.test.ts'], 'no such test: test/never*.test.ts\n'],
  ['a directory without tests', ['test/support'], 'no such test: test/support\n'],
  ['a file without tests', ['test/support/extent.ts'], 'no test: test/support/extent.ts\n'],
  ['--watch', ['--watch', FILE], 'no --watch: '],
  ['a name that no test has', [FILE, '--test-name-pattern', 'no such name'], 'no test has run: '],
  ['--test-only where no test is alone', [FILE, '--test-only'], 'no test has run: '],
];
for (const [what, args, said] of refusals) {
  test(`npm test refuses ${what}`, () => {
    const { status, stderr } = runTests(args);
    assert.equal(status, 1);
    assert.ok(stderr.startsWith(`npm test: ${said}`), stderr);
  });
}

test('npm test refuses a temporary directory with a blank', t => {
  const { status, stderr } = runTests([FILE], { TMPDIR: join(tempDir(t), 'a b') });
  assert.equal(status, 1);
  assert.match(stderr, /^npm test: TMPDIR has to be /);
});

const needsNobodyHere = needsOtherUser('setpriv', process.execPath, join(PROJECT, 'scripts/test.ts'));
test('npm test runs where the project belongs to someone else, and follows no link of a leftover', {
  skip: needsNobodyHere,
}, t => {
  const dir = sharedDir(t);
  chmodSync(dir, 0o777);
  const elsewhere = join(dir, 'elsewhere');
  const link = join(dir, `elfnote-tests-${spawnSync('true').pid}-link`);
  mkdirSync(elsewhere);
  symlinkSync(elsewhere, link);
  for (const path of [elsewhere, link]) lchownSync(path, 65534, 65534);
  chmodSync(elsewhere, 0o500);
  lutimesSync(link, 0, 0);
  const ids = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
  const command = [process.execPath, '--import', 'tsx', 'scripts/test.ts', FILE];
  const env = { NODE_TEST_CONTEXT: undefined, TMPDIR: dir };
  const { stdout } = runOk('setpriv', [...ids, ...command], { cwd: PROJECT, env });
  assert.match(stdout, /has no cause unless it was given one/);
  assert.deepEqual(runsIn(dir), []);
  assert.equal(statSync(elsewhere).mode & 0o777, 0o500);
});

test('npm test hands a name to the runner, with the files that are named', () => {
  const pattern = ['--test-name-pattern', 'has no cause unless'];
  const { status, stdout } = runTests(['test/err*.test.ts', '--test-reporter=tap', ...pattern]);
  assert.equal(status, 0);
  // Those that are left out are not there, or `# SKIP`.
  assert.match(stdout, /^ *ok \d+ - has no cause unless it was given one$/m);
  assert.doesNotMatch(stdout, /^ *ok \d+ - is an Error with code[^#]*$/m);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`npm test leaves no temporary directory when it ends by ${signal}`, async t => {
    const dir = tempDir(t);
    const long = 'test/write/commit.test.ts';
    const child = spawn(process.execPath, ['--import', 'tsx', 'scripts/test.ts', long], {
      cwd: PROJECT,
      env: environment({ NODE_TEST_CONTEXT: undefined, TMPDIR: dir }),
      stdio: 'ignore',
    });
    const ended = once(child, 'exit');
    // Of another container, where a process may have the same number.
    const ofTwin = `elfnote-tests-${child.pid}-twin`;
    mkdirSync(join(dir, ofTwin));
    const ofTests = 'elfnote-tests-*/elfnote-test-*';
    while (child.exitCode === null && fastGlob.globSync(ofTests, { cwd: dir, onlyFiles: false }).length === 0)
      await setTimeout(10);
    child.kill(signal);
    assert.deepEqual(await ended, [1, null]);
    assert.deepEqual(runsIn(dir), [ofTwin]);
  });
}

test('npm test passes over a leftover that cannot be removed, as where something is mounted', {
  skip: needsRoot('mount'),
}, t => {
  const dir = tempDir(t);
  const ofKilled = `elfnote-tests-${spawnSync('true').pid}-mounted`;
  const mountPoint = join(dir, ofKilled, 'disk');
  mkdirSync(mountPoint, { recursive: true });
  utimesSync(join(dir, ofKilled), 0, 0);
  const mounted = run('mount', ['-t', 'tmpfs', 'elfnote-test', mountPoint]);
  if (mounted.status !== 0) return t.skip(`no tmpfs can be mounted here: ${mounted.stderr.trim()}`);
  try {
    assert.equal(runTests([FILE], { TMPDIR: dir }).status, 0);
    assert.deepEqual(runsIn(dir), [ofKilled]);
  } finally {
    runOk('umount', [mountPoint]);
  }
});

test('npm test removes after an hour what is left of runs that were killed, and nothing of one that goes on', t => {
  const dir = tempDir(t);
  const { pid } = spawnSync('true');
  const ofKilled = `elfnote-tests-${pid}-killed`;
  const ofRunning = `elfnote-tests-${process.pid}-running`;
  // Perhaps one that goes on in another container.
  const ofOthers = `elfnote-tests-${pid}-recent`;
  const ofAnotherUser = `elfnote-tests-${pid}-foreign`;
  const longAgo = (path: string) => utimesSync(path, 0, 0);
  for (const place of [dir, inMemory()]) {
    mkdirSync(join(place, ofKilled, 'its'), { recursive: true });
    longAgo(join(place, ofKilled));
  }
  const kept = [ofRunning, ofOthers, ...(process.getuid?.() === 0 ? [ofAnotherUser] : [])];
  for (const name of kept) mkdirSync(join(dir, name));
  if (kept.includes(ofAnotherUser)) chownSync(join(dir, ofAnotherUser), 65534, 65534);
  for (const name of kept) if (name !== ofOthers) longAgo(join(dir, name));
  assert.equal(runTests([FILE], { TMPDIR: dir }).status, 0);
  assert.deepEqual(runsIn(dir).sort(), kept.toSorted());
  assert.ok(!existsSync(join(inMemory(), ofKilled)));
});

function runsIn(dir: string): string[] {
  return readdirSync(dir).filter(name => name.startsWith('elfnote-tests-'));
}
