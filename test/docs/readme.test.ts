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

  test('the demo shows the storm that README names, and ends it', () => {
    const { status, stdout, stderr } = run(process.execPath, ['--import', 'tsx', 'scripts/demo.ts'], {
      cwd: PROJECT,
    });
    assert.equal(status, 0, stderr);
    const storm = README.match(/^24 libraries, .*$/m)?.[0] ?? 'README shows no storm';
    assert.ok(stdout.includes(`\n${storm}\n`), stdout);
    assert.match(stdout, /\n24 libraries, 0 failing opens and 0 failing stats; with notes everywhere none\n/);
    assert.match(stdout, /\nThe same as before: true\n/);
    const counts = [...stdout.matchAll(/^Counted by .*: (\d+) failing opens\.$/gm)].map(([, count]) => count);
    if (process.arch === 'x64') assert.equal(counts[0], storm.match(/([\d,]+) failing opens/)?.[1]);
    assert.ok(counts.length < 2 || counts[1] === '0', stdout);
  });
});
