import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  classifyComponent,
  joinPath,
  type RuntimeReason,
  splitRunPath,
} from '../../src/resolve/components.js';
import { ELF, MemoryProbe } from '../support/memory-probe.js';

describe('splitting a run path', () => {
  const rows: [rule: string, runPath: string, components: string[]][] = [
    ['an empty run path has no component', '', []],
    ['components are separated by colons', '/a:/b', ['/a', '/b']],
    ['a semicolon, a comma or a space separates nothing', '/a;/b,/c /d', ['/a;/b,/c /d']],
    ['an empty component stays', '/a::/b', ['/a', '', '/b']],
    ['a leading empty component is the current directory', ':/a', ['', '/a']],
    ['a trailing empty component is the current directory', '/a:', ['/a', '']],
    ['a colon alone is the current directory twice', ':', ['', '']],
    ['a component is not normalized', '/a/../b//:./c', ['/a/../b//', './c']],
  ];
  for (const [rule, runPath, components] of rows) {
    test(rule, () => assert.deepEqual(splitRunPath(runPath), components));
  }
});

describe('what may be said of a component before the program runs', () => {
  const probe = new MemoryProbe({
    files: {
      '/lib/liba.so': ELF,
      '/lib/odd name\xff/libb.so': ELF,
      '/hw/glibc-hwcaps/x86-64-v3/liba.so': ELF,
      '/hwfile/glibc-hwcaps': ELF,
      '/legacy/haswell/liba.so': ELF,
    },
    emptyDirectories: ['/empty'],
    states: { '/file': 'not-a-directory', '/closed': 'unsearchable' },
  });

  const runtime: [rule: string, component: string, why: RuntimeReason][] = [
    ['an empty one is the current directory', '', 'empty'],
    ['a relative one belongs to the caller', 'lib', 'relative'],
    ['a dot is relative', '.', 'relative'],
    ['a leading ./ is relative', './lib', 'relative'],
    ['a leading ../ is relative', '../lib', 'relative'],
    ['$ORIGIN is left to the loader', '$ORIGIN/../lib', 'token'],
    [`\${ORIGIN} is left to the loader`, `\${ORIGIN}/lib`, 'token'],
    ['a token inside an absolute path is left to the loader', '/lib/$LIB', 'token'],
    ['any dollar sign is left to the loader', '/lib$', 'token'],
    ['an absent one may be filled later', '/run/opengl-driver/lib', 'missing'],
    ['one that is no directory may become one', '/file', 'not-a-directory'],
    ['one that may not be searched now may be later', '/closed', 'unsearchable'],
    ['one with glibc-hwcaps depends on the processor', '/hw', 'hwcaps'],
  ];
  for (const [rule, component, why] of runtime) {
    test(rule, () => {
      assert.deepEqual(classifyComponent(component, probe, undefined), { kind: 'runtime', component, why });
    });
  }

  const exact: [rule: string, component: string, dir: string][] = [
    ['a directory that is there is looked up now', '/lib', '/lib'],
    ['an empty directory is looked up now', '/empty', '/empty'],
    ['trailing slashes are dropped, as ld.so drops them', '/lib///', '/lib'],
    ['the root directory is a directory', '/', '/'],
    ['slashes alone are the root directory', '///', '/'],
    ['a name is bytes, and may hold a space', '/lib/odd name\xff', '/lib/odd name\xff'],
    ['a file called glibc-hwcaps is no subdirectory', '/hwfile', '/hwfile'],
    ['a legacy subdirectory alone says nothing yet', '/legacy', '/legacy'],
  ];
  for (const [rule, component, dir] of exact) {
    test(rule, () => {
      const withRoot = new MemoryProbe({
        files: { '/lib/liba.so': ELF, '/lib/odd name\xff/libb.so': ELF, '/legacy/haswell/liba.so': ELF },
        emptyDirectories: ['/empty', '/hwfile'],
        states: { '/hwfile/glibc-hwcaps': 'not-a-directory' },
      });
      assert.deepEqual(classifyComponent(component, withRoot, undefined), {
        kind: 'exact',
        component,
        dir,
        mutable: false,
      });
    });
  }

  test('the probe is asked of the directory without trailing slashes', () => {
    const own = new MemoryProbe({ emptyDirectories: ['/lib'] });
    classifyComponent('/lib//', own, undefined);
    assert.deepEqual(own.asked, ['directory /lib', 'names /lib']);
  });

  test('glibc-hwcaps is looked for where the names of a directory do not say that there is none', () => {
    const own = new MemoryProbe({ emptyDirectories: ['/lib', '/lib/glibc-hwcaps'], unlistable: ['/lib'] });
    assert.deepEqual(classifyComponent('/lib', own, undefined), {
      kind: 'runtime',
      component: '/lib',
      why: 'hwcaps',
    });
  });

  test('nothing is asked about what only the loader knows', () => {
    const own = new MemoryProbe({});
    for (const component of ['', 'rel', '$ORIGIN', '/x/$LIB']) {
      classifyComponent(component, own, ['/nix/store']);
    }
    assert.deepEqual(own.asked, []);
  });
});

describe('a directory outside the store is mutable', () => {
  const isMutable = (
    component: string,
    roots: readonly string[] | undefined,
    realPaths: Record<string, string | undefined> = {},
  ): boolean => {
    const probe = new MemoryProbe({ emptyDirectories: [component.replace(/\/+$/, '') || '/'], realPaths });
    const result = classifyComponent(component, probe, roots);
    assert.ok(result.kind === 'exact');
    return result.mutable;
  };
  const STORE = ['/nix/store'];

  test('nothing is mutable where no store roots are known', () => {
    assert.equal(isMutable('/usr/lib', undefined), false);
  });

  test('everything is mutable where the list of store roots is empty', () => {
    assert.equal(isMutable('/nix/store/a/lib', []), true);
  });

  const rows: [rule: string, component: string, mutable: boolean][] = [
    ['a directory in the store is not', '/nix/store/a-1/lib', false],
    ['a trailing slash does not matter', '/nix/store/a-1/lib/', false],
    ['a directory elsewhere is', '/usr/lib', true],
    ['a directory whose name only starts like the store is', '/nix/store2/lib', true],
    ['the store itself is: packages are added to it', '/nix/store', true],
    ['a directory above the store is', '/nix', true],
    ['a name that leads out of the store with .. is', '/nix/store/../../usr/lib', true],
    ['a name that leads back into the store is not', '/nix/store/a/../b/lib', false],
  ];
  for (const [rule, component, mutable] of rows) {
    test(`${rule}`, () => assert.equal(isMutable(component, STORE), mutable));
  }

  test('doubled slashes do not matter', () => {
    assert.equal(isMutable('/nix//store/a/lib', STORE, { '/nix//store/a/lib': '/nix/store/a/lib' }), false);
  });

  test('a link in the store that leads out of it is mutable', () => {
    assert.equal(isMutable('/nix/store/a/lib', STORE, { '/nix/store/a/lib': '/var/lib' }), true);
  });

  test('a link elsewhere that leads into the store is mutable: it may be turned', () => {
    assert.equal(isMutable('/run/current/lib', STORE, { '/run/current/lib': '/nix/store/a/lib' }), true);
  });

  test('a link in the store that leads elsewhere in the store is not mutable', () => {
    assert.equal(isMutable('/nix/store/a/lib', STORE, { '/nix/store/a/lib': '/nix/store/b/lib' }), false);
  });

  test('a store that is itself a link is compared by where it leads', () => {
    const realPaths = { '/nix/store': '/big/store', '/nix/store/a/lib': '/big/store/a/lib' };
    assert.equal(isMutable('/nix/store/a/lib', STORE, realPaths), false);
    assert.equal(isMutable('/nix/store/a/lib', STORE, { ...realPaths, '/nix/store/a/lib': '/big/x' }), true);
  });

  test('a directory whose real path is unknown is mutable', () => {
    assert.equal(isMutable('/nix/store/a/lib', STORE, { '/nix/store/a/lib': undefined }), true);
  });

  test('any of several store roots counts, with or without a trailing slash', () => {
    const roots = ['/nix/store', '/gnu/store/'];
    assert.equal(isMutable('/gnu/store/a/lib', roots), false);
    assert.equal(isMutable('/nix/store/a/lib', roots), false);
    assert.equal(isMutable('/opt/store/a/lib', roots), true);
  });
});

describe('joining paths', () => {
  test('the root directory adds no second slash', () => {
    assert.equal(joinPath('/', 'liba.so'), '/liba.so');
    assert.equal(joinPath('/lib', 'liba.so'), '/lib/liba.so');
  });
});
