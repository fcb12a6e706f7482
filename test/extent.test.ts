import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fastGlob from 'fast-glob';
import { PROJECT, run, runOk } from './support/cli.js';
import { IN_PARTS, ONLY_IN_ALL } from './support/extent.js';

describe('npm test', () => {
  const files = fastGlob.globSync('**/*.test.ts', { cwd: join(PROJECT, 'test') }).map(name => `test/${name}`);

  test('leaves out no file that is not there', () => {
    for (const file of [...ONLY_IN_ALL, ...IN_PARTS]) assert.ok(files.includes(file), file);
  });

  test('names each file of which it runs a part, so that nothing is lost in a run of the rest', () => {
    const isInParts = (file: string) =>
      /support\/extent\.js|\btestedMatrix\b/.test(readFileSync(join(PROJECT, file), 'utf8'));
    const found = files.filter(file => file !== 'test/extent.test.ts' && isInParts(file));
    assert.deepEqual(found.sort(), [...IN_PARTS].sort());
  });

  test('takes a share, and a run of the rest takes what it has left; one of all takes all', () => {
    const program = `
      import { share } from './test/support/extent.js';
      const rounds = [0, 1, 2].map(round => share([...'abcdefg'], 3, round).join(''));
      console.log([...rounds, share([...'abc'], 3, 0, 'riscv64').join('')].join());`;
    const taken = ['', 'rest', 'all'].map(ELFNOTE_TESTS =>
      runOk(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], {
        cwd: PROJECT,
        env: { ELFNOTE_TESTS },
      }).stdout.trim(),
    );
    assert.deepEqual(taken, ['adg,cf,be,abc', 'bcef,abdeg,acdfg,abc', 'abcdefg,abcdefg,abcdefg,abc']);
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
    const pattern = '--test-name-pattern=has no cause unless';
    const { status, stdout } = runTests('test/errors.test.ts', '--test-reporter=tap', pattern);
    assert.equal(status, 0);
    // Those that are left out are not there, or `# SKIP`.
    assert.match(stdout, /^ *ok \d+ - has no cause unless it was given one$/m);
    assert.doesNotMatch(stdout, /^ *ok \d+ - is an Error with code[^#]*$/m);
  });
});
