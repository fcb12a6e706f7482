import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Directories } from '../../src/loader/directories.js';
import { expandTokens, tokensOf } from '../../src/loader/tokens.js';

const TOKENS = { ORIGIN: '/o', LIB: 'lib64', PLATFORM: undefined };

test('a directory is one, however many slashes end it', () => {
  const directories = new Directories(['v2/', '']);
  const plain = directories.directory('/a');
  assert.equal(plain.prefix, '/a/');
  assert.deepEqual(plain.tried, [
    { prefix: '/a/v2/', known: false },
    { prefix: '/a/', known: false },
  ]);
  assert.equal(directories.directory('/a//'), plain);
  assert.deepEqual(
    ['/', '//', '///', '//a', 'r//', ''].map(path => directories.directory(path).prefix),
    ['/', '/', '/', '//a/', 'r/', ''],
  );
});

test('a relative one is never asked whether it is there', () => {
  const [tried] = new Directories(['']).directory('r').tried;
  assert.deepEqual(tried, { prefix: 'r/', known: true });
});

test('in a list each counts once, an empty part is the current one, and one without a value is none', () => {
  const of = (text: string, tokens: Parameters<typeof expandTokens>[1] = TOKENS) =>
    new Directories(['']).list(text, /:/, tokens).map(({ prefix }) => prefix);
  assert.deepEqual(of('/a:$ORIGIN::/a/:$PLATFORM:/b;/c'), ['/a/', '/o/', '', '/b;/c/']);
  assert.deepEqual(of('$LIB:/a', { ...TOKENS, LIB: '' }), ['/a/'], 'nor one that comes to nothing');
});

test('tokens end where no letter, digit or underscore follows, or stand in braces', () => {
  const expand = (text: string) => expandTokens(text, TOKENS);
  assert.equal(expand(`$ORIGIN/$LIB/\${LIB}x/$ORIGIN`), '/o/lib64/lib64x//o');
  for (const text of ['$LIBS', '$LIB_', '$LIB6', '$', '${LIB', '$lib', '$X'])
    assert.equal(expand(text), text);
  assert.equal(expand('$LIB-x.$LIB'), 'lib64-x.lib64');
  assert.equal(expand('/a/$PLATFORM/$LIB'), undefined);
});

test('the origin is the directory of the path, in the working directory for one that is relative', () => {
  const origin = (path: string) => tokensOf(path, '/work', 'lib', undefined).ORIGIN;
  assert.equal(origin('/a/b'), '/a');
  assert.equal(origin('a/b'), '/work/a');
  assert.equal(origin('b'), '/work');
  assert.equal(origin('/b'), '/');
});
