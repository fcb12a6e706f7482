import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BREAKS, proofOf } from '../../scripts/hardening/prove.js';
import { PROJECT } from '../support/cli.js';
import { RUN } from '../support/extent.js';
import { memoryDir } from '../support/temp.js';

describe('what the nets of the hardening are proved by', () => {
  test('is there to be taken away, once', () => {
    for (const { file, text, what } of BREAKS) {
      assert.equal(readFileSync(join(PROJECT, file), 'utf8').split(text).length, 2, `${what}: ${file}`);
    }
  });

  if (RUN !== 'every') return;
  test('is missed: a file that takes too much memory is named', t => {
    const one = BREAKS.find(({ what }) => what === 'the bound on memory');
    assert.ok(one !== undefined);
    assert.match(proofOf(one, join(memoryDir(t), 'broken')) ?? 'nothing', /it took \d+ MiB/);
  });
});
