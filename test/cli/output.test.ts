import assert from 'node:assert/strict';
import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { escapeControls, jsonText } from '../../src/elf/bytes.js';
import { BIN, jsonLines, ROOT, run } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import { copies } from '../support/tree.js';

/** ESC, DEL, C1's CSI, line ends, what turns text around, a byte order mark, a tag. */
const UNSAFE = '\u001b[31m\u007f\u009b\n\r\u2028\u202e\u2066\u200f\ufeff\u{e0041}';
const SHOWN = '\\x1b[31m\\x7f\\x9b\\x0a\\x0d\\u2028\\u202e\\u2066\\u200f\\ufeff\\u{e0041}';
const NOT_SHOWN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

test('what a terminal obeys is escaped, and everything else is left as it is', () => {
  assert.equal(escapeControls(`a ${UNSAFE} ä 漢 😀`), `a ${SHOWN} ä 漢 😀`);
  const json = jsonText({ [UNSAFE]: UNSAFE });
  assert.doesNotMatch(json, NOT_SHOWN);
  assert.deepEqual(JSON.parse(json), { [UNSAFE]: UNSAFE });
});

test('of all of Unicode nothing is shown that is a control or format character, or ends a line', () => {
  let escaped = 0;
  for (let code = 0; code <= 0x10ffff; code++) {
    // Halves of a pair are no characters; UTF-8 has none.
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const character = String.fromCodePoint(code);
    const isTag = code >= 0xe0000 && code <= 0xe0fff;
    const shown = escapeControls(character);
    assert.equal(shown !== character, NOT_SHOWN.test(character) || isTag, `U+${code.toString(16)}`);
    if (shown === character) continue;
    escaped++;
    assert.match(shown, /^\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|u\{[0-9a-f]{5,6}\})$/);
    const json = jsonText(character);
    assert.match(json, /^"[\x20-\x7e]+"$/);
    assert.equal(JSON.parse(json), character);
  }
  assert.ok(escaped > 4096);
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
      const dir = tempDir(t);
      const [file = '', second = ''] = copies(dir, 2);
      renameSync(file, join(dir, UNSAFE));
      symlinkSync(second, join(dir, `link${UNSAFE}`));
      writeFileSync(join(dir, `text${UNSAFE}`), 'text');
      const { stdout, stderr } = elfnoteHere(args, { cwd: dir });
      assert.ok(stdout.length + stderr.length > 0);
      for (const line of [...stdout.split('\n'), ...stderr.split('\n')]) assert.doesNotMatch(line, NOT_SHOWN);
      for (const line of stderr.trimEnd().split('\n').filter(Boolean))
        assert.match(line, /^(?:elfnote: |\{)/);
    });
  }
});

const FULL = 'elfnote: cannot write to standard output: no space left on device\n';

describe('a device that is full', { skip: needs('/dev/full') }, () => {
  const full = (command: string) => run('sh', ['-c', command, process.execPath, BIN]);
  for (const args of ['--help', 'build-cache --help', '--version', 'help', 'completion bash']) {
    test(`for ${args} is exit status 1 and one line`, () => {
      const { status, stderr } = full(`exec "$0" "$1" ${args} > /dev/full`.replace('"$1"', `"${BIN}"`));
      assert.deepEqual([status, stderr], [1, FULL]);
    });
  }

  test('is told of once, and the files are written all the same', t => {
    const dir = join(tempDir(t), 'tree');
    const [file = ''] = copies(dir, 2);
    const { status, stderr } = full(
      `exec "$0" "${BIN}" build-cache -v --json --root "${ROOT}" "${dir}" > /dev/full`,
    );
    assert.deepEqual([status, stderr], [1, FULL]);
    assert.equal(elfnoteHere(['dump', '--root', ROOT, file]).status, 0);
  });

  test('is not what a reader is that goes away early: of that nobody is told', () => {
    const { status, stdout, stderr } = full(`"$0" "${BIN}" build-cache --help | head -n 1; exit 0`);
    assert.deepEqual([status, stdout.split('\n').length, stderr], [0, 2, '']);
  });

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
    if (args.includes('--done')) elfnoteHere(['build-cache', '--root', ROOT, dir]);
    const flags = args.filter(arg => arg !== '--done');
    return elfnoteHere(['build-cache', '--root', ROOT, ...flags, dir]);
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
