import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { isObject, type JsonObject, objectIn, PROJECT, runOk } from '../support/cli.js';
import { NEEDS_NIX, NixStore } from '../support/nix.js';
import { suiteScope } from '../support/temp.js';
import { needs } from '../support/tools.js';

function json(file: string): JsonObject {
  const parsed: unknown = JSON.parse(readFileSync(join(PROJECT, file), 'utf8'));
  if (!isObject(parsed)) throw new Error(`${file} is no object`);
  return parsed;
}

const filesIn = (dir: string, end: string) =>
  readdirSync(join(PROJECT, dir))
    .filter(name => name.endsWith(end))
    .map(name => join(PROJECT, dir, name));

describe('the Nix package', { skip: NEEDS_NIX }, () => {
  const scope = suiteScope();
  let store: NixStore;
  let args: JsonObject;
  before(() => {
    store = new NixStore(scope);
    const evaluated = store.evaluate('elfnote.args // { src = map toString elfnote.args.src.fileset; }');
    if (!isObject(evaluated)) throw new Error('buildNpmPackage got no attributes');
    args = evaluated;
  });

  test('every Nix file parses', () => {
    const files = [...filesIn('nix', '.nix'), ...filesIn('test/nix', '.nix')];
    assert.ok(files.length >= 5);
    for (const file of files) assert.equal(store.run('nix-instantiate', '--parse', file).status, 0, file);
  });

  test('name, version and licence are those of package.json', () => {
    const { name, version, license } = json('package.json');
    assert.deepEqual(
      { name: args.pname, version: args.version, license: objectIn(args, 'meta').license },
      { name, version, license },
    );
  });

  test('the source has every file that the build and the published package name', () => {
    const { src } = args;
    const { files } = json('package.json');
    assert.ok(Array.isArray(src) && Array.isArray(files));
    const published = files.map(file => String(file).split('/')[0] ?? '').filter(name => name !== 'dist');
    const read = [
      'src',
      'scripts',
      'package.json',
      'package-lock.json',
      'tsconfig.json',
      'tsconfig.build.json',
    ];
    for (const name of [...published, ...read]) assert.ok(src.includes(join(PROJECT, name)), name);
  });

  test('every package of package-lock.json gets the address of its tarball, and keeps its hash', () => {
    const locked = objectIn(json('package-lock.json'), 'packages');
    const fetched = objectIn(objectIn(objectIn(args, 'npmDeps'), 'packageLock'), 'packages');
    assert.deepEqual(Object.keys(fetched).sort(), Object.keys(locked).sort());
    for (const place of Object.keys(locked)) {
      const { resolved, integrity } = objectIn(fetched, place);
      assert.equal(integrity, objectIn(locked, place).integrity, place);
      assert.equal(typeof resolved, place === '' ? 'undefined' : 'string', place);
    }
    const resolved = (place: string) =>
      String(objectIn(fetched, place).resolved).replace(/^https?:\/\/[^/]+\//, '');
    const version = (place: string) => String(objectIn(locked, place).version);
    assert.equal(
      resolved('node_modules/commander'),
      `commander/-/commander-${version('node_modules/commander')}.tgz`,
    );
    assert.equal(
      resolved('node_modules/@types/node'),
      `@types/node/-/node-${version('node_modules/@types/node')}.tgz`,
    );
  });

  test('the overlay gives the hook, which starts this elfnote', () => {
    const { path } = store.build('elfnoteHook');
    const hook = readFileSync(join(path, 'nix-support/setup-hook'), 'utf8');
    assert.doesNotMatch(hook, /@\w+@/);
    const [command = ''] = /\S+\/bin\/elfnote(?= build-cache)/.exec(hook) ?? [];
    assert.match(runOk(command, ['--version']).stdout, /^\d+\.\d+\.\d+\n$/);
  });
});

test('bash and shellcheck have nothing against the scripts', { skip: needs('bash', 'shellcheck') }, () => {
  const folders = ['nix', 'test/nix', 'test/support'];
  const scripts = [...folders.flatMap(folder => filesIn(folder, '.sh')), join(PROJECT, '.ci/run')];
  assert.ok(scripts.length >= 5);
  for (const script of scripts) runOk('bash', ['-n', script]);
  runOk('shellcheck', scripts);
});
