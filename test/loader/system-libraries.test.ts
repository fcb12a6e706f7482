import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SystemLibraries } from '../../src/loader/system-libraries.js';
import type { ElfSpec } from '../support/elf-builder.js';
import { buildLdCache, type CacheLine } from '../support/ld-cache-builder.js';
import { factsOf, LoaderWorld, type Thing } from '../support/loader-world.js';

const DT_FLAGS_1 = 0x6ffffffb;
const DF_1_NODEFLIB = 0x800;
const NAME = 'liba.so';

interface Setting {
  readonly cache?: readonly Partial<CacheLine>[];
  readonly spec?: ElfSpec;
}

/** What is found, and whether anything is. */
function answers(things: Readonly<Record<string, Thing>>, { cache, spec = {} }: Setting = {}) {
  const lines = cache?.map(line => ({ name: NAME, path: '/cached/liba.so', ...line }));
  const file = lines === undefined ? {} : { '/etc/ld.so.cache': { bytes: buildLdCache(lines) } };
  const libraries = new SystemLibraries(new LoaderWorld({ ...things, ...file }));
  const { image } = factsOf(spec);
  return [libraries.find(NAME, image), libraries.has(NAME, image)];
}

describe('a library that the loader finds without a run path', () => {
  test('is where ld.so.cache says, before a default directory', () => {
    const things = { '/cached/liba.so': {}, '/usr/lib64/liba.so': {} };
    assert.deepEqual(answers(things, { cache: [{}] }), ['/cached/liba.so', true]);
    assert.deepEqual(answers(things, { cache: [{ name: 'libb.so' }] }), ['/usr/lib64/liba.so', true]);
    assert.deepEqual(answers(things), ['/usr/lib64/liba.so', true]);
    assert.deepEqual(answers({}), [undefined, false]);
  });

  test('is one that the loader accepts', () => {
    const other = { e_machine: 183 };
    assert.deepEqual(answers({ '/lib64/liba.so': other, '/usr/lib64/liba.so': {} }), [
      '/usr/lib64/liba.so',
      true,
    ]);
    assert.deepEqual(answers({ '/cached/liba.so': other }, { cache: [{}] }), [undefined, false]);
    const gone = answers({ '/usr/lib/liba.so': {} }, { cache: [{}] });
    assert.deepEqual(gone, [undefined, true], 'the loader goes on where the cache is wrong');
  });

  test('is for the loader to tell where some processors have another', () => {
    const things = { '/cached/liba.so': {}, '/lib64/liba.so': {} };
    const depends = { cache: [{}, { level: 'x86-64-v2', path: '/v2/liba.so' }] };
    assert.deepEqual(answers(things, depends), [undefined, true]);
    for (const dir of ['/lib64', '/usr/lib'])
      assert.deepEqual(answers({ ...things, [`${dir}/glibc-hwcaps/x`]: {} }), [undefined, true], dir);
    const named = answers({ ...things, '/lib64/glibc-hwcaps/x': {} }, { cache: [{}] });
    assert.deepEqual(named, ['/cached/liba.so', true]);
  });

  test('is none of an object that was linked with -z nodefaultlib', () => {
    const spec = { more: [[DT_FLAGS_1, DF_1_NODEFLIB]] } as const;
    assert.equal(answers({ '/lib64/liba.so': {} }, { spec })[0], undefined);
  });

  test('is one of its own architecture, each with its own directories', () => {
    const libraries = new SystemLibraries(
      new LoaderWorld({ '/lib64/liba.so': {}, '/usr/lib/liba.so': { is64: false, e_machine: 3 } }),
    );
    assert.equal(libraries.find(NAME, factsOf({}).image), '/lib64/liba.so');
    assert.equal(libraries.find(NAME, factsOf({ is64: false, e_machine: 3 }).image), '/usr/lib/liba.so');
    assert.equal(libraries.find(NAME, factsOf({ e_machine: 183 }).image), undefined);
  });
});
