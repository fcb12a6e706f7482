import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Results, withTables } from '../../scripts/approaches/report.js';
import { PROJECT } from '../support/cli.js';

const docs = (name: string) => readFileSync(join(PROJECT, 'docs', name), 'utf8');

test('docs/approaches.md says what the last run of npm run approaches has measured', () => {
  const results: Results = JSON.parse(docs('approaches.json'));
  assert.ok(results.programs.length >= 5, `${results.programs.length} programs`);
  assert.equal(withTables(docs('approaches.md'), results), docs('approaches.md'));
});
