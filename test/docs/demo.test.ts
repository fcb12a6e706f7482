import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PROJECT, run } from '../support/cli.js';
import { keptPlace } from '../support/run-files.js';

describe('the demo', () => {
  function demo(...args: readonly string[]): string {
    const { status, stdout, stderr } = run(
      process.execPath,
      ['--import', 'tsx', 'scripts/demo.ts', ...args],
      // Its store takes the place of a path in the files, which is not much longer.
      { cwd: PROJECT, env: { TMPDIR: keptPlace() } },
    );
    assert.equal(status, 0, stderr);
    return stdout;
  }

  test('README names its storm, on the processor that it names', () => {
    const [, processor = '', storm = ''] =
      readFileSync(join(PROJECT, 'README.md'), 'utf8').match(
        /^\$ elfnote trace --depth 1 (--hwcaps \S+) .*\n(24 libraries, .*)$/m,
      ) ?? [];
    const stdout = demo(...processor.split(' '));
    assert.ok(storm !== '' && stdout.includes(`\n${storm}\n`), stdout);
  });

  test('counts what the loader of this machine says itself, and ends it', () => {
    const stdout = demo();
    assert.match(stdout, /\n24 libraries, 0 failing opens and 0 failing stats; with notes everywhere none\n/);
    assert.match(stdout, /\nThe same as before: true\n/);
    const counts = [...stdout.matchAll(/^Counted by .*: (\d+) failing opens\.$/gm)].map(([, count]) => count);
    const traced = stdout.match(/^24 libraries, ([\d,]+) failing opens/m)?.[1];
    if (process.arch === 'x64') assert.equal(counts[0], traced);
    assert.ok(counts.length < 2 || counts[1] === '0', stdout);
  });
});
