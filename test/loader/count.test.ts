import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countByRequester, countLookups, libraryCount } from '../../src/loader/count.js';
import { load } from '../support/loader-world.js';

const closure = load(
  { needed: ['liba.so', 'libno.so'], runpath: '/none:/s' },
  {
    '/s/liba.so': { needed: ['libb.so'], runpath: '/gone:/s' },
    '/s/libb.so': {},
    '/lib/libno.so': { e_machine: 183 },
  },
);

test('failed are open(2), also of ld.so.cache, and stat(2) of directories; what is passed over is not', () => {
  assert.deepEqual(countLookups(closure.lookups), { opens: 5, stats: 3 });
  assert.deepEqual(countLookups([]), { opens: 0, stats: 0 });
});

test('each object has what its own requests cost', () => {
  const index = closure.objects.findIndex(({ name }) => name === 'liba.so');
  assert.deepEqual(
    [...countByRequester(closure)],
    [
      [0, { opens: 4, stats: 2 }],
      [index, { opens: 1, stats: 1 }],
    ],
  );
});

test('program, loader and vDSO are no libraries', () => {
  assert.equal(libraryCount(closure), 2);
  assert.equal(libraryCount(load({}, {})), 0);
});
