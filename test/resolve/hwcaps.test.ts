import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { legacySubdirectoryHolding, namesWithoutLegacy } from '../../src/resolve/hwcaps.js';
import { ELF, MemoryProbe, type MemoryTree } from '../support/memory-probe.js';

const holding = (tree: MemoryTree) => legacySubdirectoryHolding('/x', 'liba.so', new MemoryProbe(tree));

describe('hwcaps: a subdirectory that a loader may search before the directory', () => {
  test('is told where it holds the soname', () => {
    for (const name of ['tls', 'haswell', 'x86_64', 'atomics', 'neon', 'power9', 'z196', 'i686'])
      assert.equal(holding({ files: { [`/x/${name}/liba.so`]: ELF } }), `/x/${name}`);
  });

  test('is none of glibc-hwcaps, nor any other name', () => {
    for (const name of ['glibc-hwcaps', 'plugins', 'TLS', 'haswell2', '', 'lib'])
      assert.equal(holding({ files: { [`/x/${name}/liba.so`]: ELF } }), undefined, name);
  });

  test('counts with a file that the loader would fail on', () => {
    assert.equal(holding({ files: { '/x/tls/liba.so': { kind: 'broken', why: 'too short' } } }), '/x/tls');
  });

  test('does not count with another soname', () => {
    assert.equal(holding({ files: { '/x/tls/libb.so': ELF } }), undefined);
  });

  test('may be within others, in any order, down to the fourth', () => {
    const at = (path: string) => holding({ files: { [`/x/${path}/liba.so`]: ELF } });
    assert.equal(at('tls/haswell'), '/x/tls/haswell');
    assert.equal(at('haswell/tls'), '/x/haswell/tls');
    assert.equal(at('tls/haswell/avx512_1/x86_64'), '/x/tls/haswell/avx512_1/x86_64');
    assert.equal(at('tls/tls/haswell/avx512_1/x86_64'), undefined);
    assert.equal(at('plugins/haswell'), undefined);
  });

  test('is passed over where nobody may search it, or it is a file', () => {
    const files = { '/x/tls/liba.so': ELF, '/x/haswell/liba.so': ELF };
    for (const state of ['unsearchable', 'not-a-directory', 'missing'] as const)
      assert.equal(holding({ files, states: { '/x/tls': state } }), '/x/haswell', state);
  });

  test('is not looked for in a directory that cannot be listed', () => {
    assert.equal(holding({ files: { '/x/tls/liba.so': ELF }, unlistable: ['/x'] }), undefined);
  });
});

describe('hwcaps: the names of a directory', () => {
  const names = (tree: MemoryTree) => namesWithoutLegacy('/x', new MemoryProbe(tree));

  test('are all of them where none is such a subdirectory', () => {
    assert.deepEqual(
      names({ files: { '/x/liba.so': ELF, '/x/glibc-hwcaps/x86-64-v3/liba.so': ELF } }),
      new Set(['liba.so', 'glibc-hwcaps']),
    );
    assert.deepEqual(names({ emptyDirectories: ['/x'] }), new Set());
  });

  test('say nothing where one is, or where they cannot be listed', () => {
    assert.equal(names({ emptyDirectories: ['/x/tls'] }), undefined);
    assert.equal(names({ files: { '/x/liba.so': ELF }, unlistable: ['/x'] }), undefined);
  });
});
