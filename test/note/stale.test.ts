import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BufferSource } from '../../src/elf/bytes.js';
import { readImage } from '../../src/elf/read.js';
import type { CacheEntry } from '../../src/note/cache.js';
import { agreesWithRunPath } from '../../src/note/stale.js';
import { buildElf } from '../support/elf-builder.js';

const image = readImage(
  new BufferSource(
    buildElf({ needed: ['liba.so', 'libb.so'], runpath: '/one/lib/:$ORIGIN::/two/lib' }).bytes,
  ),
);

function agrees(...elements: string[]): boolean {
  const steps = elements.map((element): CacheEntry['steps'][number] =>
    element.startsWith('?')
      ? { kind: 'hint', dir: element.slice(1) }
      : { kind: 'path', path: element.slice(1) },
  );
  return agreesWithRunPath(image, [{ soname: 'liba.so', steps }]);
}

test('paths and hints in run path order agree with it', () => {
  assert.equal(agrees('=/one/lib/liba.so', '?$ORIGIN', '?', '=/two/lib/liba.so'), true);
});

test('a path in a directory that the run path does not name is stale', () => {
  assert.equal(agrees('=/three/lib/liba.so'), false);
});

test('a hint that the run path does not name is stale', () => {
  assert.equal(agrees('?$ORIGIN/../lib'), false);
});

test('elements out of run path order are stale', () => {
  assert.equal(agrees('=/two/lib/liba.so', '=/one/lib/liba.so'), false);
});

test('a soname that is not needed is stale', () => {
  const steps: CacheEntry['steps'] = [{ kind: 'path', path: '/one/lib/libc.so' }];
  assert.equal(agreesWithRunPath(image, [{ soname: 'libc.so', steps }]), false);
});
