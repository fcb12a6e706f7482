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
    const evaluated = store.evaluate(
      'removeAttrs elfnote.args [ "npmDeps" ] // { src = map toString elfnote.args.src.fileset; }',
    );
    if (!isObject(evaluated)) throw new Error('buildNpmPackage got no attributes');
    args = evaluated;
  });

  test('every Nix file parses', () => {
    const files = [join(PROJECT, 'flake.nix'), ...filesIn('nix', '.nix'), ...filesIn('test/nix', '.nix')];
    assert.ok(files.length >= 7);
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
    // But for what is built, and what is kept out (`!`).
    const published = files
      .map(file => String(file).split('/')[0] ?? '')
      .filter(name => !/^(!.*|dist)$/.test(name));
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

  test('every package of package-lock.json is fetched by name and version, and has its hash', () => {
    const locked = objectIn(json('package-lock.json'), 'packages');
    const fetched = store.evaluate(
      'builtins.mapAttrs (_: one: { inherit (one) name outputHash npmArgs; }) elfnote.args.npmDeps.packageSourceOverrides',
    );
    assert.ok(isObject(fetched));
    assert.deepEqual(
      Object.keys(fetched),
      Object.keys(locked)
        .filter(place => place !== '')
        .sort(),
    );
    for (const place of Object.keys(fetched)) {
      assert.equal(objectIn(fetched, place).outputHash, objectIn(locked, place).integrity, place);
    }
    const version = (place: string) => String(objectIn(locked, place).version);
    assert.deepEqual(objectIn(fetched, 'node_modules/@types/node'), {
      name: `node-${version('node_modules/@types/node')}.tgz`,
      npmArgs: [`@types/node@${version('node_modules/@types/node')}`],
      outputHash: objectIn(locked, 'node_modules/@types/node').integrity,
    });
  });

  test('nothing is built to know what to build', () => {
    const evaluated = store.run(
      'nix-instantiate',
      ...['--option', 'allow-import-from-derivation', 'false', '--eval', '--strict', '--read-write-mode'],
      ...[
        '-E',
        store.inPackages('elfnote.args.npmDeps.packageSourceOverrides."node_modules/commander".drvPath'),
      ],
    );
    assert.match(evaluated.stdout, /commander-[\d.]+\.tgz\.drv"\n$/, evaluated.stderr);
  });

  test('the flake has the package, the hook, the overlay and the module', () => {
    const names = store.evaluate(
      `{
        outputs = builtins.attrNames flake;
        packages = builtins.attrNames flake.packages.x86_64-linux;
        main = flake.packages.x86_64-linux.default.meta.mainProgram;
        options = builtins.attrNames (flake.nixosModules.default {
          config = { }; pkgs = { elfnote = "elfnote"; stdenv.hostPlatform.parsed.cpu.name = "x86_64"; };
          lib = import ${JSON.stringify(`${PROJECT}/test/nix/lib.nix`)};
        }).options.programs.elfnote;
      }`,
    );
    assert.deepEqual(names, {
      outputs: ['nixosModules', 'overlays', 'packages'],
      packages: ['default', 'elfnote', 'elfnoteHook'],
      main: 'elfnote',
      options: ['auditModule', 'enable', 'package'],
    });
  });

  test('the NixOS module lets sessions and services load the audit module, or does nothing', () => {
    const on = '{ enable = true; package = "/elfnote"; auditModule = { enable = true; staticTls = 4096; }; }';
    const variables = {
      LD_AUDIT: '/elfnote/lib/node_modules/elfnote/audit/build/elfnote-audit-arm.so',
      GLIBC_TUNABLES: 'glibc.rtld.optional_static_tls=4096',
    };
    assert.deepEqual(store.evaluate(`nixos ${on}`), {
      environment: { sessionVariables: variables, systemPackages: ['/elfnote'] },
      systemd: { globalEnvironment: variables },
    });
    const { LD_AUDIT } = variables;
    const set = (text: string) => store.evaluate(`(nixos (${text})).systemd.globalEnvironment`);
    assert.deepEqual(set(`${on} // { auditModule = { enable = true; staticTls = null; }; }`), { LD_AUDIT });
    assert.deepEqual(set(`${on} // { auditModule.enable = false; }`), {});
    assert.deepEqual(store.evaluate(`nixos (${on} // { enable = false; })`), {});
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
