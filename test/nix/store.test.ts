import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { runOk } from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { entriesOf } from '../support/dump.js';
import { NEEDS_NIX, NixStore } from '../support/nix.js';
import { nixosNotes } from '../support/readelf.js';
import { makeWritable } from '../support/run-files.js';
import { tempDir } from '../support/temp.js';

const PLAIN = '{ nativeBuildInputs = [ ]; }';
/** Nothing of these is built with elfnote. */
const LIBRARY = `(package "plain" "link plain $out" ${PLAIN})`;
const PROGRAM = `package "program" "program $out/bin/program \${${LIBRARY}}" ${PLAIN}`;
const TWIN = `"link same $out \${${LIBRARY}}" ${PLAIN}`;

/** A store path that its owner has made writable, as root need not. */
function writable(path: string): string {
  makeWritable(path);
  return path;
}

/** Whether each path still has the contents that Nix has recorded. */
function verify(store: NixStore): { status: number | null; modified: string[] } {
  const { status, stderr } = store.run('nix-store', '--verify', '--check-contents');
  const modified = stderr.split('\n').filter(line => line.includes('was modified'));
  return { status, modified: modified.map(line => /-([a-z]+)' was modified/.exec(line)?.[1] ?? line).sort() };
}

const inode = (file: string) => statSync(file).ino;
const outsideBuild = { env: { NIX_BUILD_TOP: undefined } };

describe('a registered Nix store', { skip: NEEDS_NIX }, () => {
  test('outside a build a store path is processed after one warning, and what it foretells comes true', t => {
    const store = new NixStore(t);
    const { path } = store.build(PROGRAM);
    const { status, stderr } = elfnoteHere(
      ['build-cache', '--store-dir', store.dir, writable(path)],
      outsideBuild,
    );
    assert.deepEqual(
      { status, lines: stderr.trimEnd().split('\n').length },
      { status: 0, lines: 1 },
      'one warning',
    );
    assert.match(stderr, /^elfnote: warning: \S+\/store: is a Nix store, .*--check-contents.*--output-dir/);
    assert.equal(nixosNotes(join(path, 'bin/program')).length, 1);
    assert.equal(runOk(join(path, 'bin/program')).stdout, '1\n');
    assert.deepEqual(verify(store), { status: 1, modified: ['program'] });
  });

  test('in a build there is no warning, and in a dry run nothing to warn of', t => {
    const store = new NixStore(t);
    const { path } = store.build(PROGRAM);
    const processed = (env: Readonly<Record<string, string | undefined>>) =>
      elfnoteHereOk(['build-cache', '--store-dir', store.dir, writable(path)], { env });
    const inBuild = processed({ NIX_BUILD_TOP: '/build', IN_NIX_SHELL: undefined });
    const inShell = processed({ NIX_BUILD_TOP: '/tmp', IN_NIX_SHELL: 'impure' });
    const dry = elfnoteHereOk(['build-cache', '--dry-run', '--store-dir', store.dir, path], outsideBuild);
    assert.deepEqual([inBuild.stderr, dry.stderr], ['', '']);
    assert.match(inShell.stderr, /is a Nix store/, 'nix-shell is no build');
  });

  test('a build that hard-links its inputs into its output does not change them', t => {
    const store = new NixStore(t);
    const one = store.build(`package "input" "link plain $out \${${LIBRARY}}" ${PLAIN}`).path;
    const input = join(one, 'lib/libplain.so');
    const before = readFileSync(input);
    const { path } = store.build(
      `package "linked" ''
        mkdir -p $out/lib $out/again
        ln ${input} $out/lib/libplain.so
        ln ${input} $out/again/libplain.so
      '' { }`,
    );
    const output = join(path, 'lib/libplain.so');
    assert.equal(nixosNotes(output).length, 1);
    assert.equal(inode(output), inode(join(path, 'again/libplain.so')), 'its own names stay linked');
    assert.deepEqual(readFileSync(input), before);
    assert.deepEqual(verify(store), { status: 0, modified: [] });
  });

  test('work on a path of an optimised store does not change its twins', t => {
    const store = new NixStore(t);
    const [first = '', second = ''] = ['first', 'second'].map(
      name => store.build(`package "${name}" ${TWIN}`).path,
    );
    store.run('nix-store', '--optimise');
    const [file, twin] = [join(first, 'lib/libsame.so'), join(second, 'lib/libsame.so')];
    assert.equal(inode(file), inode(twin), 'optimised');
    elfnoteHereOk(['build-cache', '--store-dir', store.dir, writable(first)], outsideBuild);
    assert.equal(nixosNotes(file).length, 1);
    assert.equal(nixosNotes(twin).length, 0);
    assert.deepEqual(verify(store), { status: 1, modified: ['first'] });
  });

  test('work on a whole optimised store leaves `.links` alone, which names contents by their hash', t => {
    const store = new NixStore(t);
    const files = ['first', 'second'].map(name =>
      join(store.build(`package "${name}" ${TWIN}`).path, 'lib/libsame.so'),
    );
    store.run('nix-store', '--optimise');
    const links = () => {
      const dir = join(store.dir, '.links');
      return readdirSync(dir).map(name => ({ name, content: readFileSync(join(dir, name)) }));
    };
    const before = links();
    assert.ok(before.length > 0);
    elfnoteHereOk(['build-cache', '--store-dir', store.dir, writable(store.dir)], outsideBuild);
    assert.deepEqual(
      files.map(file => nixosNotes(file).length),
      [1, 1],
    );
    assert.deepEqual(links(), before);
  });

  test('--output-dir writes processed copies that run, and the store stays as it is', t => {
    const store = new NixStore(t);
    const { path } = store.build(PROGRAM);
    const copies = join(tempDir(t), 'copies');
    const { stderr } = elfnoteHereOk(
      ['build-cache', '--store-dir', store.dir, '--output-dir', copies, path],
      outsideBuild,
    );
    const [name = ''] = readdirSync(copies);
    const copy = join(copies, name, 'bin/program');
    assert.deepEqual({ name, stderr }, { name: path.slice(store.dir.length + 1), stderr: '' });
    assert.equal(entriesOf(copy).length, 2);
    assert.equal(runOk(copy).stdout, '1\n');
    assert.deepEqual(verify(store), { status: 0, modified: [] });
  });

  test('the store is found through a link, and from a file in it', t => {
    const store = new NixStore(t);
    const { path } = store.build(PROGRAM);
    const dir = tempDir(t);
    runOk('ln', ['-s', writable(path), join(dir, 'result')]);
    for (const target of [join(dir, 'result'), join(path, 'bin/program')]) {
      const { stderr } = elfnoteHereOk(['build-cache', target], outsideBuild);
      assert.match(stderr, /is a Nix store/);
    }
  });
});
