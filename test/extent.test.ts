import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { transformSync } from 'esbuild';
import fastGlob from 'fast-glob';
import { PROJECT, runOk } from './support/cli.js';
import { IN_PARTS, MORE_IN_EVERY, ONLY_IN_ALL, type share } from './support/extent.js';

/** A run's extent is that of its environment, which is asked for once: this is the same module in another one. */
function shareOf(ELFNOTE_TESTS: string): typeof share {
  const source = readFileSync(join(PROJECT, 'test/support/extent.ts'), 'utf8');
  const { code } = transformSync(source, { loader: 'ts', format: 'iife', globalName: 'extent' });
  const own: typeof share = runInNewContext(`${code}; extent.share`, { process: { env: { ELFNOTE_TESTS } } });
  return own;
}

describe('npm test', () => {
  const files = fastGlob.globSync('**/*.test.ts', { cwd: join(PROJECT, 'test') }).map(name => `test/${name}`);

  test('leaves out no file that is not there', () => {
    for (const file of [...ONLY_IN_ALL, ...IN_PARTS, ...MORE_IN_EVERY]) assert.ok(files.includes(file), file);
  });

  test('names each file of which it runs a part, so that nothing is lost in a run of the rest', () => {
    const isInParts = (file: string) =>
      /support\/extent\.js|\btestedMatrix\b/.test(readFileSync(join(PROJECT, file), 'utf8'));
    const others = ['test/extent.test.ts', ...ONLY_IN_ALL, ...MORE_IN_EVERY];
    const found = files.filter(file => !others.includes(file) && isInParts(file));
    assert.deepEqual(found.sort(), [...IN_PARTS].sort());
  });

  test('takes a share; a run of all takes more, one of the rest what the first has left of that, and one of every all', () => {
    const part = { quick: 4, all: 2 };
    const taken = ['', 'rest', 'all', 'every'].map(extent => {
      const share = shareOf(extent);
      const rounds = [0, 1, 2].map(round => share([...'abcdefg'], part, round).join(''));
      return [...rounds, share([...'abc'], part, 0, false).join('')].join();
    });
    const every = 'abcdefg,abcdefg,abcdefg,abc';
    assert.deepEqual(taken, ['ae,d,cg,', 'cg,bf,ae,ac', 'aceg,bdf,aceg,ac', every]);
  });

  /** In a process of its own: a run's extent is that of its process. */
  const unmet = (ELFNOTE_TESTS: string) => {
    const args = ['--import', 'tsx', 'test/support/coverage.ts'];
    const said: unknown = JSON.parse(
      runOk(process.execPath, args, { cwd: PROJECT, env: { ELFNOTE_TESTS } }).stdout,
    );
    return said;
  };

  test('all: each tool meets each linker, form, variant and machine, and each other tool', () => {
    assert.deepEqual(unmet('all'), []);
  });

  test('takes no extent that is none', () => {
    assert.throws(() => shareOf('evry'), /^Error: ELFNOTE_TESTS=evry is none of quick, all, rest, every$/);
  });
});
