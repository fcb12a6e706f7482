import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { withFaults } from '../../scripts/hardening/shim.js';
import { ElfnoteError } from '../../src/errors.js';
import { ClosureCache, closureCacheDir } from '../../src/files/closure-cache.js';
import { tempDir } from '../support/temp.js';
import { needsRoot } from '../support/tools.js';

/** As large as its descriptor size says. */
const NOTE = Buffer.alloc(24);
NOTE.writeUInt32LE(4, 4);

for (const call of ['writeSync', 'closeSync', 'renameSync']) {
  test(`a note that is not kept, since ${call} fails, leaves no file in the cache`, t => {
    const dir = tempDir(t);
    const program = join(dir, 'program');
    writeFileSync(program, 'x');
    const cache = new ClosureCache(join(dir, 'cache'));
    const keep = () => cache.fileFor(program, false, '', () => NOTE);
    let isDone = false;
    const rule = ({ name }: { readonly name: string }) => {
      if (name !== call || isDone) return undefined;
      isDone = true;
      return { kind: 'fail', code: 'EIO' } as const;
    };
    const { error } = withFaults(dir, rule, keep);
    assert.match(String(error), /input\/output error/);
    assert.deepEqual(readdirSync(join(dir, 'cache')), []);
    assert.deepEqual(readFileSync(keep() ?? ''), NOTE, 'the next one is kept');
  });
}

const whoMayWrite: readonly (readonly [who: string, skip: string | false, change: (dir: string) => void])[] =
  [
    ["another user's", needsRoot(), dir => chownSync(dir, 65534, 65534)],
    ['anybody may write', false, dir => chmodSync(dir, 0o777)],
    ['a group may write', false, dir => chmodSync(dir, 0o770)],
  ];
for (const [who, skip, change] of whoMayWrite) {
  test(`no note is taken from a cache, nor put there, of which is to be said: ${who}`, { skip }, t => {
    const dir = tempDir(t);
    const program = join(dir, 'program');
    writeFileSync(program, 'x');
    const cache = join(dir, 'cache');
    mkdirSync(cache);
    const keep = () => new ClosureCache(cache).fileFor(program, false, '', () => NOTE);
    assert.ok(keep() !== undefined);
    change(cache);
    assert.throws(
      keep,
      (error: unknown) =>
        error instanceof ElfnoteError && error.line.startsWith(`${cache}: `) && error.line.includes(who),
    );
    assert.equal(readdirSync(cache).length, 1);
  });
}

/** `closureCacheDir` for the user with this home directory. */
function cacheDirBelow(home: string, environment: NodeJS.ProcessEnv = {}): string {
  const before = process.env.HOME;
  try {
    process.env.HOME = home;
    return closureCacheDir(environment);
  } finally {
    process.env.HOME = before;
  }
}

test('a cache is never below a directory that is not absolute', () => {
  for (const XDG_CACHE_HOME of [undefined, '', 'relative'])
    assert.throws(() => cacheDirBelow('', { XDG_CACHE_HOME }), /the user has no home directory for a cache/);
  assert.equal(cacheDirBelow('', { XDG_CACHE_HOME: '/x' }), '/x/elfnote');
});

test('a cache is below a home directory that is there', t => {
  const home = tempDir(t);
  assert.equal(cacheDirBelow(home), join(home, '.cache/elfnote'));
  assert.throws(() => cacheDirBelow(join(home, 'absent')), /the user has no home directory for a cache/);
});

test("no cache is made in another user's home directory", { skip: needsRoot() }, t => {
  const home = tempDir(t);
  chownSync(home, 65534, 65534);
  assert.throws(() => cacheDirBelow(home), {
    code: 'refused',
    message: "the home directory is another user's",
  });
  assert.equal(cacheDirBelow(home, { XDG_CACHE_HOME: home }), join(home, 'elfnote'));
});
