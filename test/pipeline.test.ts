import assert from 'node:assert/strict';
import { appendFileSync, copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { ElfnoteError } from '../src/errors.js';
import { type BuildOptions, buildCache } from '../src/pipeline.js';
import { FileSystemProbe } from '../src/resolve/fs-probe.js';
import { ROOT } from './support/cli.js';
import { tempDir } from './support/temp.js';
import { IN_PLACE, OPTIONS } from './support/tree.js';

function program(t: TestContext): string {
  const file = join(tempDir(t), 'program');
  copyFileSync(IN_PLACE.fixture, file);
  return file;
}

/** Asked for the first time when the file has been read in part. */
class ProbeThatActs extends FileSystemProbe {
  #act: (() => void) | undefined;

  constructor(act: () => void) {
    super(ROOT);
    this.#act = act;
  }

  override directory(dir: string) {
    this.#act?.();
    this.#act = undefined;
    return super.directory(dir);
  }
}

describe('a file that others change while it is read', () => {
  function failsWithChanged(file: string, options: BuildOptions, act: () => void): void {
    assert.throws(
      () => buildCache(file, { ...options, probe: new ProbeThatActs(act) }),
      (error: unknown) =>
        error instanceof ElfnoteError &&
        error.line === `${file}: the file changed while it was read` &&
        error.code === 'changed',
    );
  }

  test('is not called up to date', t => {
    const file = program(t);
    buildCache(file, OPTIONS);
    failsWithChanged(file, {}, () => appendFileSync(file, 'more'));
  });

  test('is not said to have unresolved sonames', t => {
    const file = program(t);
    failsWithChanged(file, { strict: true }, () => appendFileSync(file, 'more'));
  });
});
