import assert from 'node:assert/strict';
import { basename, dirname } from 'node:path';
import { test } from 'node:test';
import picomatch from 'picomatch';
import { TEMPORARY_FILES, temporaryBeside } from '../../src/files/temporary.js';

for (const name of ['hello', 'x'.repeat(255), '\u8a9e'.repeat(85)]) {
  test(`a file whose name has ${Buffer.byteLength(name)} bytes (${name[0]}) has a temporary one beside it`, () => {
    const path = temporaryBeside(`/store/lib/${name}`);
    assert.equal(dirname(path), '/store/lib');
    assert.ok(Buffer.byteLength(basename(path)) <= 255, basename(path));
    assert.ok(picomatch(TEMPORARY_FILES, { dot: true })(path.slice(1)));
  });
}
