import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { CORPUS, runFuzzer } from '../../scripts/hardening/fuzz.js';
import { fuzz } from '../../scripts/hardening/fuzz-target.js';
import { EXTENT } from '../support/extent.js';
import { generation } from '../support/generations.js';
import { memoryDir } from '../support/temp.js';

describe('any bytes at all', () => {
  test('that a fuzzer has found to lead far are answered, and soon', () => {
    const names = readdirSync(CORPUS);
    assert.ok(names.length >= 20);
    for (const name of names) {
      const started = performance.now();
      fuzz(readFileSync(join(CORPUS, name)));
      assert.ok(performance.now() - started < 2000, name);
    }
  });

  test('that a fuzzer finds now break nothing', { skip: generation('trixie').skip }, t => {
    const dir = memoryDir(t);
    const { said, broken } = runFuzzer(dir, join(dir, 'found'), EXTENT.fuzzSeconds);
    assert.deepEqual(broken, [], said);
    assert.match(said, /cov: [1-9]\d{2,}/, 'it sees the code that runs');
    assert.ok(existsSync(join(dir, 'found')));
  });
});
