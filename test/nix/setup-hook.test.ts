import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PROJECT, type RunResult, run } from '../support/cli.js';
import { quoted } from '../support/starter.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

const HOOK = join(PROJECT, 'nix/setup-hook.sh');

/**
 * Sources the hook as stdenv does, under `set -eu`, runs the hooks of the fixup phase, and shows the arguments elfnote
 * would have got, each in angle brackets.
 */
function fixup(dir: string, setup: string, hook = HOOK): RunResult {
  const script = `
    set -euo pipefail
    getAllOutputNames() { echo "$outputs"; }
    elfnote() { printf '<%s>' "$@"; return "\${status-0}"; }
    outputs=out out=$PWD/out
    ${setup}
    source <(sed 's/@elfnote@/elfnote/' ${quoted(hook)})
    for hook in "\${preFixupHooks[@]}"; do "$hook"; done
    for hook in \${postFixupHooks[@]+"\${postFixupHooks[@]}"}; do "$hook"; done`;
  return run('bash', ['-c', script], { cwd: dir });
}

const called = (dir: string, ...args: readonly string[]) =>
  `writing ELF cache notes\n${['build-cache', '--hook', ...args, '--', dir].map(arg => `<${arg}>`).join('')}`;

describe('the setup hook, under set -eu', { skip: needs('bash') }, () => {
  const outputOf = (t: { after(hook: () => void): void }) => {
    const dir = tempDir(t);
    mkdirSync(join(dir, 'out'));
    return { dir, out: join(dir, 'out') };
  };

  test('calls elfnote once with the outputs', t => {
    const { dir, out } = outputOf(t);
    assert.deepEqual(fixup(dir, '').stdout, called(out));
  });

  test('sourced twice it still runs once', t => {
    const { dir, out } = outputOf(t);
    const twice = `source <(sed 's/@elfnote@/elfnote/' ${quoted(HOOK)})`;
    assert.deepEqual(fixup(dir, twice).stdout, called(out));
  });

  test('an output that is not there, has no variable, or is a link is passed over', t => {
    const { dir, out } = outputOf(t);
    symlinkSync('/', join(dir, 'link'));
    const setup = 'outputs="gone none link out" gone=$PWD/gone link=$PWD/link';
    assert.deepEqual(fixup(dir, setup).stdout, called(out));
  });

  test('without any output elfnote is not called', t => {
    const { status, stdout } = fixup(tempDir(t), '');
    assert.deepEqual({ status, stdout }, { status: 0, stdout: '' });
  });

  const flags: [rule: string, setup: string, args: string[]][] = [
    ['a text is split at blanks and ends of lines', "elfnoteFlags=$' --a  b\\n--c\\n'", ['--a', 'b', '--c']],
    ['an array keeps its blanks', "elfnoteFlags=('--a' 'b c' '')", ['--a', 'b c', '']],
    ['a text is no pattern', 'touch "$PWD/file"; elfnoteFlags="*"', ['*']],
    ['an empty array is none', 'elfnoteFlags=()', []],
    ['an empty text is none', 'elfnoteFlags=', []],
    ['an exported text is one too', 'export elfnoteFlags=--a', ['--a']],
  ];
  for (const [rule, setup, args] of flags) {
    test(`elfnoteFlags: ${rule}`, t => {
      const { dir, out } = outputOf(t);
      assert.deepEqual(fixup(dir, setup).stdout, called(out, ...args));
    });
  }

  const optOuts: [setup: string, runs: boolean][] = [
    ['dontBuildElfCache=1', false],
    ['dontBuildElfCache=', true],
    ['dontPatchELF=1', false],
    ['dontPatchELF=', true],
    ['dontPatchELF=1; autoPatchelf() { :; }', true],
    ['dontPatchELF=1; dontAutoPatchelf=1; autoPatchelf() { :; }', false],
    ['dontBuildElfCache=1; autoPatchelf() { :; }', false],
  ];
  for (const [setup, runs] of optOuts) {
    test(`${setup}: ${runs ? 'runs' : 'does not run'}`, t => {
      const { dir, out } = outputOf(t);
      const { status, stdout } = fixup(dir, setup);
      const [variable] = setup.split('=');
      const expected = runs ? called(out) : `no ELF cache notes: ${variable} is set\n`;
      assert.deepEqual({ status, stdout }, { status: 0, stdout: expected });
    });
  }

  test('a failing elfnote fails the phase', t => {
    const { dir } = outputOf(t);
    assert.equal(fixup(dir, 'status=2').status, 2);
  });
});
