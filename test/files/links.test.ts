import assert from 'node:assert/strict';
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ElfnoteError } from '../../src/errors.js';
import { ForeignLinks, tryStat } from '../../src/files/links.js';
import { tempDir } from '../support/temp.js';

/** A file with the names `a`, `b` and `c`, in a package of a store. */
function threeNames(t: { after(hook: () => void): void }, store = 'store') {
  const top = tempDir(t);
  const dir = join(top, store, 'pkg');
  for (const made of [dir, join(top, store, '.links')]) mkdirSync(made, { recursive: true });
  const [a, b, c] = [join(dir, 'a'), join(dir, 'b'), join(dir, 'c')];
  writeFileSync(a, 'old');
  linkSync(a, b);
  linkSync(a, c);
  return { dir, a, b, c };
}

describe('ForeignLinks', () => {
  test('a file whose names are not all in the run has a foreign link, under each of its names', t => {
    const { a, b } = threeNames(t);
    const links = new ForeignLinks([a, b]);
    assert.deepEqual([links.has(a), links.has(b)], [true, true]);
  });

  test('a file whose names are all in the run has none, and one that has no other name neither', t => {
    const { dir, a, b, c } = threeNames(t);
    const alone = join(dir, 'alone');
    writeFileSync(alone, '');
    const links = new ForeignLinks([a, b, c, alone, join(dir, 'not there'), dir]);
    assert.deepEqual(
      [a, b, c, alone].map(path => links.has(path)),
      [false, false, false, false],
    );
  });

  test('no file of another directory has any', t => {
    const { a, b } = threeNames(t, 'elsewhere');
    const links = new ForeignLinks([a, b]);
    assert.deepEqual([links.has(a), links.isToBeReplaced(a)], [false, undefined]);
  });

  test('what is to be replaced: yes, no, or as the file itself tells', t => {
    const { a, b, c } = threeNames(t);
    assert.deepEqual(
      [[a], [a, b, c], [b]].map(paths => new ForeignLinks(paths).isToBeReplaced(a)),
      [true, false, undefined],
    );
  });

  test('a symbolic link is no second name', t => {
    const { dir, a, b } = threeNames(t);
    const link = join(dir, 'link');
    symlinkSync(a, link);
    const links = new ForeignLinks([a, b, link]);
    assert.deepEqual([links.has(a), links.has(link)], [true, true]);
  });

  test('the other names follow a file that was replaced; the foreign one keeps the old content', t => {
    const { dir, a, b, c } = threeNames(t);
    const links = new ForeignLinks([a, b]);
    writeFileSync(join(dir, 'new'), 'new');
    renameSync(join(dir, 'new'), a);
    links.follow(a);
    assert.deepEqual(
      [a, b, c].map(path => readFileSync(path, 'utf8')),
      ['new', 'new', 'old'],
    );
    assert.equal(statSync(a).ino, statSync(b).ino);
    assert.deepEqual(readdirSync(dir).sort(), ['a', 'b', 'c'], 'no temporary file stays');
  });

  test('a name that cannot follow is named', t => {
    const { dir, a, b } = threeNames(t);
    const links = new ForeignLinks([a, b]);
    renameSync(a, join(dir, 'away'));
    assert.throws(
      () => links.follow(a),
      (error: unknown) => error instanceof ElfnoteError && error.code === 'unwritable' && error.path === b,
    );
  });
});

test('what cannot be looked at has no status, whatever the reason', t => {
  const { dir, a } = threeNames(t);
  symlinkSync('loop', join(dir, 'loop'));
  assert.deepEqual(
    [a, join(dir, 'loop'), join(a, 'below'), join(dir, 'not there')].map(path => tryStat(path)?.nlink),
    [3n, undefined, undefined, undefined],
  );
});
