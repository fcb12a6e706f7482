import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { elfnote, FIXTURES, PROJECT, run } from '../support/cli.js';
import { tempDir } from '../support/temp.js';

const README = readFileSync(join(PROJECT, 'README.md'), 'utf8');

/** The examples that work on a shipped file: each command with what README says that it prints. */
function examples(): { args: string[]; output: string }[] {
  const blocks = [...README.matchAll(/```console\n([\s\S]*?)```/g)].map(([, block = '']) => block);
  return blocks
    .filter(block => block.includes(' pie-bfd\n'))
    .flatMap(block => block.split(/^\$ elfnote /m).slice(1))
    .map(example => {
      const [command = '', ...output] = example.split('\n');
      return { args: command.split(' '), output: output.join('\n') };
    });
}

describe('README', () => {
  test('its examples print what it says', t => {
    const dir = tempDir(t);
    symlinkSync(FIXTURES, join(dir, 'fixtures'));
    copyFileSync(join(FIXTURES, 'kinds/pie-bfd'), join(dir, 'pie-bfd'));
    const found = examples();
    assert.ok(found.length >= 5, `${found.length} examples`);
    for (const { args, output } of found) {
      const { stdout, stderr } = elfnote(args, { cwd: dir });
      assert.deepEqual({ args, stdout, stderr }, { args, stdout: output, stderr: '' });
    }
  });

  function demo(...args: readonly string[]): string {
    const { status, stdout, stderr } = run(
      process.execPath,
      ['--import', 'tsx', 'scripts/demo.ts', ...args],
      {
        cwd: PROJECT,
      },
    );
    assert.equal(status, 0, stderr);
    return stdout;
  }

  test('it names the storm of the demo, on the processor that it names', () => {
    const [, processor = '', storm = ''] =
      README.match(/^\$ elfnote trace --depth 1 (--hwcaps \S+) .*\n(24 libraries, .*)$/m) ?? [];
    const stdout = demo(...processor.split(' '));
    assert.ok(storm !== '' && stdout.includes(`\n${storm}\n`), stdout);
  });

  test('the demo counts what the loader of this machine says itself, and ends it', () => {
    const stdout = demo();
    assert.match(stdout, /\n24 libraries, 0 failing opens and 0 failing stats; with notes everywhere none\n/);
    assert.match(stdout, /\nThe same as before: true\n/);
    const counts = [...stdout.matchAll(/^Counted by .*: (\d+) failing opens\.$/gm)].map(([, count]) => count);
    const traced = stdout.match(/^24 libraries, ([\d,]+) failing opens/m)?.[1];
    if (process.arch === 'x64') assert.equal(counts[0], traced);
    assert.ok(counts.length < 2 || counts[1] === '0', stdout);
  });
});
