import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BIN, elfnoteOk, run } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
import { INSTALLED } from '../support/reader.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

describe('an empty argument, which is a variable that is not set, is a mistake: status 2 and one line', () => {
  const PATH = "argument 'path' is empty";
  const empty: readonly (readonly [args: readonly string[], line: string])[] = [
    [['build-cache', 'f', ''], PATH],
    [['verify', ''], PATH],
    [['remove-cache', ''], PATH],
    [['dump', ''], "argument 'file' is empty"],
    [['trace', ''], "argument 'program' is empty"],
    [['exec', ''], "argument 'program' is empty"],
    [['exec', '--print-env', ''], "argument 'program' is empty"],
    [['build-cache', '--root', '', 'f'], "option '--root <dir>' argument is empty"],
    [['build-cache', '--root=', 'f'], "option '--root <dir>' argument is empty"],
    [['build-cache', '--store-dir', '', 'f'], "option '--store-dir <dir>' argument is empty"],
    [['verify', '--store-dir', '/a', '--store-dir', '', 'f'], "option '--store-dir <dir>' argument is empty"],
    [['build-cache', '-o', '', 'f'], "option '-o, --output <file>' argument is empty"],
    [['build-cache', '--output-dir', '', 'f'], "option '--output-dir <dir>' argument is empty"],
    [['build-cache', '--reader', '', 'f'], "option '--reader <module>' argument is empty"],
    [['trace', '--svg', '', 'f'], "option '--svg <file>' argument is empty"],
    [['reader', '--for', ''], "option '--for <program>' argument is empty"],
  ];
  for (const [args, line] of empty) {
    test(JSON.stringify(args), () => {
      const { status, stdout, stderr } = elfnoteHere(args);
      assert.deepEqual({ status, stdout, stderr }, { status: 2, stdout: '', stderr: `elfnote: ${line}\n` });
    });
  }

  test('but not where it is a list, or an argument of the program that is run', {
    skip: needs('printf', INSTALLED),
  }, () => {
    const { status, stderr } = elfnoteHere(['trace', '--library-path', '', '--preload', '', '/no/such']);
    assert.deepEqual([status, stderr], [2, 'elfnote: /no/such: cannot open: no such file or directory\n']);
    assert.equal(elfnoteOk(['exec', 'printf', '<%s>', '']).stdout, '<>');
  });
});

describe('an argument that is not UTF-8, of which Node would make another one', () => {
  const withForeign = (dir: string, script: string) =>
    run('sh', ['-c', `f="$0/$(printf 'f\\377')"; ${script}`, dir, process.execPath, BIN]);

  test('is a mistake: status 2, one line that shows its bytes, and nothing is done', t => {
    const dir = tempDir(t);
    mkdirSync(join(dir, 'f\ufffd'));
    for (const args of ['build-cache "$f"', 'exec touch "$f"', 'exec --print-env "$f"', 'trace "$f"']) {
      const { status, stdout, stderr } = withForeign(dir, `"$1" "$2" ${args}`);
      assert.deepEqual(
        { status, stdout, stderr },
        {
          status: 2,
          stdout: '',
          stderr: `elfnote: ${dir}/f\\xff: is an argument that is not UTF-8, which Node cannot pass on\n`,
        },
      );
    }
    assert.deepEqual(readdirSync(dir), ['f\ufffd']);
  });

  test('is none that has the replacement character itself', { skip: needs('touch', INSTALLED) }, t => {
    const file = join(tempDir(t), 'f\ufffd');
    elfnoteOk(['exec', 'touch', file]);
    assert.ok(existsSync(file));
  });
});
