import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PROJECT, run } from './support/cli.js';
import { EVERYTHING, ONLY_IN_ALL, share } from './support/extent.js';

describe('npm test', () => {
  test('leaves out no file that is not there', () => {
    for (const file of ONLY_IN_ALL) assert.ok(existsSync(join(PROJECT, file)), file);
  });

  test('takes other items in each round, and in all rounds each of them', {
    skip: EVERYTHING && 'takes all',
  }, () => {
    const items = [...'abcdefg'];
    const rounds = [0, 1, 2].map(round => share(items, 3, round));
    assert.ok(rounds.every(taken => taken.length < items.length && taken.length > 0));
    assert.deepEqual(rounds.flat().sort(), items);
  });

  /** `npm test -- ARGS`. */
  const runTests = (...args: readonly string[]) =>
    run(process.execPath, ['--import', 'tsx', 'scripts/test.ts', ...args], {
      cwd: PROJECT,
      env: { NODE_TEST_CONTEXT: undefined },
    });

  test('fails where a file that is named is not there', () => {
    const { status, stdout, stderr } = runTests('test/support/never.test.ts', 'test/errors.test.ts');
    assert.equal(status, 1);
    assert.ok(`${stdout}${stderr}`.includes('never.test.ts'));
  });

  test('hands a name to the runner, with the file that is named', () => {
    const { stdout } = runTests('test/errors.test.ts', '--test-name-pattern=no such name');
    assert.match(stdout, /^# pass 0$/m);
    assert.match(stdout, /^# fail 0$/m);
  });
});
