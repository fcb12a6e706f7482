import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closureOfFile } from '../../src/loader/file-closure.js';
import { FileLoaderProbe } from '../../src/loader/file-probe.js';
import { FileSystemProbe } from '../../src/resolve/fs-probe.js';
import { ReaderShop } from '../support/reader-shop.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

test('with trust in the store, what is outside of it is looked at all the same', {
  skip: needs('gcc'),
}, t => {
  const shop = new ReaderShop(tempDir(t));
  const library = shop.library('a', 'a');
  const program = shop.program('program', { needs: [library], runPath: [shop.at('a')] });
  const closure = closureOfFile(program, {
    root: undefined,
    storeRoots: ['/nowhere', `${shop.dir}/`],
    libraries: new FileSystemProbe(),
    objects: new FileLoaderProbe(),
    systemLibraries: true,
    trustStore: true,
    dlopen: undefined,
  });
  assert.ok(closure.note !== undefined);
  const { objects } = closure.content;
  const sizeOf = (ending: string) => objects.find(({ path }) => path.endsWith(ending))?.size;
  assert.equal(sizeOf('/liba.so.1'), 'trusted');
  assert.equal(typeof sizeOf('/libc.so.6'), 'number');
});
