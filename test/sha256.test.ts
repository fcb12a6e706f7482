import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256 } from '../src/sha256.js';
import { runOk } from './support/cli.js';
import { needs } from './support/tools.js';

const ONE_BLOCK = [0, 1, 2, 3, 55, 56, 57, 63];
const MORE = [64, 65, 119, 120, 127, 128, 129, 1000, 5000, 9000, 100_000];

function sumOf(bytes: Buffer): string {
  return runOk('sha256sum', [], { input: bytes }).stdout.slice(0, 64);
}

test('a string is hashed as UTF-8', { skip: needs('sha256sum') }, () => {
  for (const text of ['', 'libgreet.so.1', 'é€😀']) assert.equal(sha256(text), sumOf(Buffer.from(text)));
});

test('a hash is what sha256sum says, of little in JavaScript and of more by Node', {
  skip: needs('sha256sum'),
}, () => {
  for (const length of [...ONE_BLOCK, ...MORE]) {
    const bytes = Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 167 + (i >> 8)) & 0xff));
    assert.equal(sha256(bytes.subarray()), sumOf(bytes), `${length} bytes`);
  }
});
