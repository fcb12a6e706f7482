import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { BIN, PROJECT, ROOT, run, runOk } from '../support/cli.js';
import { ORIGINAL, program } from '../support/commits.js';
import { tempDir } from '../support/temp.js';
import { needsRoot } from '../support/tools.js';
import { copies } from '../support/tree.js';

const { COMPILED }: { readonly COMPILED: string } = createRequire(import.meta.url)(BIN);

test('a clone that is not built, and a Node that is too old, are one line and status 2', t => {
  const place = tempDir(t);
  cpSync(join(PROJECT, 'bin'), join(place, 'bin'), { recursive: true });
  const unbuilt = run(process.execPath, [join(place, 'bin/elfnote.js'), '--help']);
  assert.deepEqual([unbuilt.status, unbuilt.stderr], [2, 'elfnote: is not built yet: npm ci builds it\n']);
  writeFileSync(join(place, 'dist'), '');
  const oddly = run(process.execPath, [join(place, 'bin/elfnote.js'), '--help']);
  assert.deepEqual([oddly.status, oddly.stderr], [2, unbuilt.stderr]);
  const older = join(place, 'older.cjs');
  for (const [version, status] of [
    ['18.20.4', 2],
    ['20.11.1', 2],
    ['20.12.0', 0],
    ['22.0.0', 0],
  ] as const) {
    const value = `{ ...process.versions, node: '${version}' }`;
    const versions = `{ version: { value: 'v${version}' }, versions: { value: ${value} } }`;
    writeFileSync(older, `Object.defineProperties(process, ${versions});`);
    const { status: is, stderr } = run(process.execPath, ['--require', older, BIN, '--version']);
    const line = `elfnote: needs Node 20.12 or later, and this is ${version}\n`;
    assert.deepEqual([is, stderr], [status, status === 0 ? '' : line]);
  }
});

/** Does of Node's own what can be seen: Node 20 has no such function. */
const KEEPS = `require('node:module').enableCompileCache = dir =>
  require('node:fs').mkdirSync(dir + '/now', { recursive: true });`;

describe('what Node compiles is kept beside the closure notes', () => {
  const PARTS = ['', 'compiled', 'compiled/older'];

  /** Whether it is kept below a home directory. */
  const start = (home: string): boolean => {
    const keeps = join(home, 'keeps.cjs');
    writeFileSync(keeps, KEEPS);
    const node = [process.execPath, '--enable-source-maps', '--require', keeps, BIN, '--version'];
    runOk('sh', ['-c', 'umask 002; exec "$0" "$@"', ...node], { env: { HOME: home } });
    return existsSync(join(home, '.cache/elfnote/compiled/now'));
  };

  test('where no group may write, whatever the umask', t => {
    const home = tempDir(t);
    assert.equal(start(home), true);
    for (const part of ['', 'compiled', 'compiled/now'])
      assert.equal(statSync(join(home, '.cache/elfnote', part)).mode & 0o777, 0o700);
  });

  for (const part of PARTS) {
    const whoMayWrite: readonly (readonly [
      who: string,
      skip: string | false,
      change: (dir: string) => void,
    ])[] = [
      ['a group', false, dir => chmodSync(dir, 0o770)],
      ['another user', needsRoot(), dir => chownSync(dir, 65534, 65534)],
    ];
    for (const [who, skip, change] of whoMayWrite) {
      test(`and not where ${who} may write to elfnote/${part}, which stays as it is`, { skip }, t => {
        const home = tempDir(t);
        for (const each of PARTS) mkdirSync(join(home, '.cache/elfnote', each), { recursive: true });
        for (const each of PARTS) chmodSync(join(home, '.cache/elfnote', each), 0o755);
        const dir = join(home, '.cache/elfnote', part);
        change(dir);
        const { uid, mode } = statSync(dir);
        assert.equal(start(home), false);
        assert.deepEqual([statSync(dir).uid, statSync(dir).mode], [uid, mode]);
      });
    }
  }

  test('also where it was before, and only its owner may write', t => {
    const home = tempDir(t);
    for (const each of PARTS) mkdirSync(join(home, '.cache/elfnote', each), { recursive: true });
    for (const each of PARTS) chmodSync(join(home, '.cache/elfnote', each), 0o755);
    assert.equal(start(home), true);
  });
});

/** A copy of what is installed, to be damaged. */
function installed(t: TestContext): string {
  const place = tempDir(t);
  for (const part of ['bin', 'dist/cli', 'package.json']) {
    cpSync(join(PROJECT, part), join(place, part), { recursive: true, preserveTimestamps: true });
  }
  return place;
}

test('what another Node has compiled, or nothing whole, is passed over', t => {
  const place = installed(t);
  const elfnote = () => runOk(process.execPath, [join(place, 'bin/elfnote.js'), '--version']).stdout;
  const whole = elfnote();
  const bundle = join(place, 'dist/cli/light.js');
  const text = readFileSync(bundle, 'utf8');
  writeFileSync(bundle, text.replace('package.json', 'package.JSON'));
  // Edited, and as long as before: what is compiled is of the old text.
  assert.notEqual(run(process.execPath, [join(place, 'bin/elfnote.js'), '--version']).stdout, whole);
  writeFileSync(bundle, text);
  utimesSync(bundle, 0, 0);
  const compiled = join(place, relative(PROJECT, COMPILED), 'other/light.js');
  truncateSync(compiled, 1000);
  assert.equal(elfnote(), whole);
  writeFileSync(compiled, '');
  assert.equal(elfnote(), whole);
  rmSync(compiled);
  assert.equal(elfnote(), whole);
  rmSync(dirname(dirname(dirname(compiled))), { recursive: true });
  assert.equal(elfnote(), whole);
});

test('a part that somebody has edited since it was compiled runs as it is now, and one that is gone is named', t => {
  const place = installed(t);
  copies(join(place, 'tree'), 2);
  const walk = () =>
    run(process.execPath, [join(place, 'bin/elfnote.js'), 'build-cache', '-n', join(place, 'tree')]);
  assert.equal(walk().status, 0);
  const part = join(place, 'dist/cli/fast-glob.js');
  const text = readFileSync(part, 'utf8');
  const edited = 'throw Error("edited");';
  const start = text.indexOf('"use strict";') + '"use strict";'.length;
  writeFileSync(part, text.slice(0, start) + edited + text.slice(start + edited.length));
  assert.match(walk().stderr, /^elfnote: internal error, please report it: Error: edited\n/);
  rmSync(part);
  const { status, stderr } = walk();
  assert.equal(status, 2);
  assert.match(
    stderr,
    /^elfnote: \S+\/dist\/cli\/fast-glob\.js: the system refused \w+: no such file or directory\n$/,
  );
});

test('without the part that hashes little, or with a broken one, files are written and cleaned all the same', t => {
  const place = installed(t);
  const file = program(t);
  const elfnote = (...args: readonly string[]) =>
    runOk(process.execPath, [join(place, 'bin/elfnote.js'), ...args, file]);
  for (const breakPart of [rmSync, (part: string) => writeFileSync(part, '')]) {
    breakPart(join(place, 'dist/cli/sha256.js'));
    elfnote('build-cache', '--root', ROOT);
    assert.match(elfnote('dump', '--root', ROOT).stdout, /cache note of 204 bytes/);
    assert.equal(elfnote('remove-cache').stderr, '');
    assert.ok(readFileSync(file).equals(ORIGINAL));
  }
});

const isEager = process.versions.v8.startsWith('11.');

test('what is loaded late finds V8 with the flags that it was compiled for', {
  skip: isEager ? false : 'this V8 waits by itself',
}, () => {
  const script = `
    const { cachedDataVersionTag } = require('node:v8');
    const { optimizeLate, whileEarly } = require(${JSON.stringify(BIN)});
    const early = cachedDataVersionTag();
    optimizeLate(true);
    const late = cachedDataVersionTag();
    const loading = whileEarly(cachedDataVersionTag);
    console.log(JSON.stringify([late !== early, loading === early, cachedDataVersionTag() === late]));`;
  assert.equal(runOk(process.execPath, ['--eval', script]).stdout, '[true,true,true]\n');
});

test('V8 waits while files are worked on, but not while something is loaded', {
  skip: isEager ? false : 'this V8 waits by itself',
}, t => {
  const cwd = tempDir(t);
  copies(join(cwd, 'tree'), 2);
  writeFileSync(
    join(cwd, 'tags.cjs'),
    `const { prototype } = require('node:module');
    const { cachedDataVersionTag: tag } = require('node:v8');
    const { require: load } = prototype;
    const early = tag();
    const late = [];
    prototype.require = function (name) {
      if (tag() !== early) late.push(name);
      return load.call(this, name);
    };
    process.on('exit', () => console.log(JSON.stringify([late, tag() !== early])));`,
  );
  const said = (...args: readonly string[]) => {
    const { stdout } = run(process.execPath, ['--require', join(cwd, 'tags.cjs'), BIN, ...args], { cwd });
    return stdout.trimEnd().split('\n').at(-1);
  };
  assert.equal(said('build-cache', '--root', ROOT, '--fast', '-q', 'tree'), '[[],true]');
  assert.equal(said('--version'), '[[],false]');
});
