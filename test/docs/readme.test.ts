import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { FIXTURES, PROJECT } from '../support/cli.js';
import { elfnoteHere } from '../support/cli-here.js';
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
      const { stdout, stderr } = elfnoteHere(args, { cwd: dir });
      assert.deepEqual({ args, stdout, stderr }, { args, stdout: output, stderr: '' });
    }
  });
});
