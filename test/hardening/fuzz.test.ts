import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { CORPUS, runFuzzer } from '../../scripts/hardening/fuzz.js';
import { fuzz } from '../../scripts/hardening/fuzz-target.js';
import { EXTENT } from '../support/extent.js';
import { generation } from '../support/generations.js';
import { readInProportion } from '../support/reads.js';
import { memoryDir } from '../support/temp.js';
import { isSkipped } from '../support/tools.js';

/** In seconds: however busy the machine is. */
const HANGS = 60;

describe('any bytes at all', () => {
  test('that a fuzzer has found to lead far are answered, and not read over and over', () => {
    const names = readdirSync(CORPUS);
    assert.ok(names.length >= 20);
    for (const name of names) {
      const bytes = readFileSync(join(CORPUS, name));
      readInProportion(bytes.length, () => fuzz(bytes));
    }
  });

  test('that a fuzzer finds now break nothing', t => {
    if (isSkipped(t, generation('trixie').skip)) return;
    const dir = memoryDir(t);
    const { said, broken } = runFuzzer(dir, join(dir, 'found'), EXTENT.fuzzSeconds, HANGS);
    assert.deepEqual(broken, [], said);
    assert.match(said, /cov: [1-9]\d{2,}/, 'it sees the code that runs');
    assert.ok(existsSync(join(dir, 'found')));
  });
});
