import assert from 'node:assert/strict';
import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { escapeControls, jsonText } from '../../src/elf/bytes.js';
import { BIN, elfnote, jsonLines, ROOT, run } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import { copies } from '../support/tree.js';

/** ESC, DEL, C1's CSI, line ends, and what turns text around. */
const UNSAFE = '\u001b[31m\u007f\u009b\n\r\u2028\u202e\u2066\u200f';
const SHOWN = '\\x1b[31m\\x7f\\x9b\\x0a\\x0d\\u2028\\u202e\\u2066\\u200f';
const NOT_SHOWN = /[\p{Cc}\u2028\u202e\u2066\u200f]/u;

test('what a terminal obeys is escaped, and everything else is left as it is', () => {
  assert.equal(escapeControls(`a ${UNSAFE} ä 漢 😀`), `a ${SHOWN} ä 漢 😀`);
  const json = jsonText({ [UNSAFE]: UNSAFE });
  assert.doesNotMatch(json, NOT_SHOWN);
  assert.deepEqual(JSON.parse(json), { [UNSAFE]: UNSAFE });
});

describe('no control character of a name reaches standard output or standard error', () => {
  const COMMANDS: Readonly<Record<string, readonly string[]>> = {
    'build-cache of a walk': ['build-cache', '--root', ROOT, '-v', '.'],
    'build-cache of names': ['build-cache', '--root', ROOT, `./${UNSAFE}`, `./no${UNSAFE}`],
    'build-cache -n -v': ['build-cache', '--root', ROOT, '-n', '-v', `./${UNSAFE}`],
    'build-cache --json': ['build-cache', '--root', ROOT, '--json', `./${UNSAFE}`, `./no${UNSAFE}`],
    'build-cache --hook': ['build-cache', '--root', ROOT, '--hook', '-v', `./${UNSAFE}`, `./no${UNSAFE}`],
    'build-cache with a log in JSON': ['build-cache', '--log-format', 'json', `./text${UNSAFE}`],
    'build-cache with a bad root': ['build-cache', '--root', `./no${UNSAFE}`, `./${UNSAFE}`],
    'remove-cache': ['remove-cache', '-v', '.'],
    dump: ['dump', '--root', ROOT, `./${UNSAFE}`, `./no${UNSAFE}`, `./text${UNSAFE}`],
    'dump --json': ['dump', '--json', '--root', ROOT, `./${UNSAFE}`, `./no${UNSAFE}`],
    verify: ['verify', '--root', ROOT, '-v', '.', `./no${UNSAFE}`],
    'verify --json': ['verify', '--json', '--root', ROOT, '.', `./no${UNSAFE}`],
    trace: ['trace', '--root', ROOT, `./${UNSAFE}`],
    'trace --json': ['trace', '--json', '--root', ROOT, `./${UNSAFE}`],
    exec: ['exec', `./no${UNSAFE}`],
    'an option that is not known': ['build-cache', `--no${UNSAFE}`],
    'a value that is none': ['build-cache', '--placement', UNSAFE],
    'a command that is not known': [`no${UNSAFE}`],
  };
  for (const [what, args] of Object.entries(COMMANDS)) {
    test(what, t => {
      const cwd = tempDir(t);
      const [file = '', second = ''] = copies(cwd, 2);
      renameSync(file, join(cwd, UNSAFE));
      symlinkSync(second, join(cwd, `link${UNSAFE}`));
      writeFileSync(join(cwd, `text${UNSAFE}`), 'text');
      const { stdout, stderr } = elfnote(args, { cwd });
      assert.ok(stdout.length + stderr.length > 0);
      for (const line of [...stdout.split('\n'), ...stderr.split('\n')]) assert.doesNotMatch(line, NOT_SHOWN);
      for (const line of stderr.trimEnd().split('\n').filter(Boolean))
        assert.match(line, /^(?:elfnote: |\{)/);
    });
  }
});

describe('a device that is full', { skip: needs('/dev/full') }, () => {
  const full = (command: string) => run('sh', ['-c', command, process.execPath, BIN]);
  for (const args of ['--help', 'build-cache --help', '--version', 'help', 'completion bash']) {
    test(`for ${args} is exit status 1 and no stack`, () => {
      const { status, stderr } = full(`exec "$0" "$1" ${args} > /dev/full`.replace('"$1"', `"${BIN}"`));
      assert.deepEqual([status, stderr], [1, '']);
    });
  }

  test('as standard error loses the message, and keeps the exit status', () => {
    const { status, stdout } = full(`exec "$0" "${BIN}" build-cache /no/such/file 2> /dev/full`);
    assert.deepEqual([status, stdout], [2, '']);
    assert.equal(full(`exec "$0" "${BIN}" --no-such-option 2> /dev/full`).status, 2);
  });
});

describe('--dry-run --check', () => {
  const check = (t: { after(hook: () => void): void }, ...args: readonly string[]) => {
    const dir = join(tempDir(t), 'tree');
    copies(dir, 2);
    if (args.includes('--done')) elfnote(['build-cache', '--root', ROOT, dir]);
    const flags = args.filter(arg => arg !== '--done');
    return elfnote(['build-cache', '--root', ROOT, ...flags, dir]);
  };

  test('exits 1 where something would be written, and names it', t => {
    const { status, stdout } = check(t, '--dry-run', '--check');
    assert.equal(status, 1);
    assert.match(stdout, /^(?:[^\n]*: note would be written: [^\n]*\n){2}2 files, 2 ELF; 2 to write\n/);
  });

  test('exits 0 where nothing would be', t => {
    const { status, stdout } = check(t, '--done', '--dry-run', '--check');
    assert.equal(status, 0);
    assert.match(stdout, /^2 files, 2 ELF; 2 up to date\n {2}libraries [^\n]*\n$/);
  });

  test('is a dry run also where nobody says so', t => {
    const { status, stdout } = check(t, '--check', '--json');
    assert.equal(status, 1);
    assert.deepEqual(
      jsonLines(stdout).flatMap(({ action }) => action ?? []),
      ['planned', 'planned'],
    );
  });
});
