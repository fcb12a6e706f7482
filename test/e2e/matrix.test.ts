import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { elfnoteHere } from '../support/cli-here.js';
import { isForeign, testedMatrix, UPX_CELL } from '../support/matrix.js';
import { MATRIX_SKIP, testGroup } from '../support/matrix-round.js';
import { tempDir } from '../support/temp.js';
import { Workshop } from '../support/workshop.js';

for (const group of testedMatrix().filter(group => !isForeign(group))) testGroup(group);

test('a program packed by upx is left alone by name, and still runs', {
  skip: MATRIX_SKIP || UPX_CELL.skip,
}, t => {
  const shop = new Workshop(tempDir(t));
  const { file, said } = shop.make(UPX_CELL);
  const bytes = readFileSync(file);
  const { status, stdout } = elfnoteHere(['build-cache', file]);
  assert.equal(status, 0);
  assert.match(stdout, /: skipped: /);
  assert.ok(readFileSync(file).equals(bytes));
  assert.equal(shop.start(UPX_CELL, file).stdout, said);
});
