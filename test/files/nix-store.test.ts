import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { nixStoreOf } from '../../src/files/nix-store.js';
import { tempDir } from '../support/temp.js';

/** `places` are made below a new directory; the answer is given relative to it. */
function storeOf(t: { after(hook: () => void): void }, places: readonly string[], path: string): string {
  const dir = tempDir(t);
  for (const place of places) mkdirSync(join(dir, place), { recursive: true });
  mkdirSync(join(dir, 'elsewhere'));
  symlinkSync(join(dir, 'nix/store/pkg'), join(dir, 'elsewhere/result'));
  return nixStoreOf(join(dir, path))?.slice(dir.length + 1) ?? 'none';
}

describe('nixStoreOf', () => {
  const links = ['nix/store/.links', 'nix/store/pkg/lib'];
  const database = ['nix/var/nix/db', 'nix/store/pkg/lib'];
  const rules: [rule: string, places: string[], path: string, store: string][] = [
    ['`.links` tells a store', links, 'nix/store/pkg/lib', 'nix/store'],
    ['the database beside it tells a store', database, 'nix/store/pkg', 'nix/store'],
    ['a store is in itself', links, 'nix/store', 'nix/store'],
    ['what is not there yet may be in a store', links, 'nix/store/new/bin/file', 'nix/store'],
    ['a link into a store is in it', links, 'elsewhere/result', 'nix/store'],
    ['and so is what is below the link', links, 'elsewhere/result/lib', 'nix/store'],
    ['a directory beside the store is not in it', links, 'nix', 'none'],
    ['the database tells nothing of other directories', [...database, 'nix/other'], 'nix/other', 'none'],
    ['`store` alone is any directory', ['nix/store/pkg/lib'], 'nix/store/pkg', 'none'],
    ['`.links` alone is any directory', ['tree/.links', 'tree/lib'], 'tree/lib', 'none'],
  ];
  for (const [rule, places, path, store] of rules) {
    test(rule, t => assert.equal(storeOf(t, places, path), store));
  }

  test('a file named .links is none of a store', t => {
    const dir = tempDir(t);
    mkdirSync(join(dir, 'store'));
    writeFileSync(join(dir, 'store/.links'), '');
    assert.equal(nixStoreOf(join(dir, 'store')), undefined);
  });
});
