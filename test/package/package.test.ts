import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { builtinModules } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { before, describe, test } from 'node:test';
import { isObject, type JsonObject, objectIn, PROJECT, run, runOk } from '../support/cli.js';
import { RUN } from '../support/extent.js';
import { buildReader } from '../support/reader.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs, toolPath } from '../support/tools.js';

const CROSS = [
  'aarch64-linux-gnu-gcc',
  'arm-linux-gnueabihf-gcc',
  'i686-linux-gnu-gcc',
  'powerpc64le-linux-gnu-gcc',
  'riscv64-linux-gnu-gcc',
  's390x-linux-gnu-gcc',
  'x86_64-linux-gnu-gcc',
];

/** In test:every all of them compile; here one of each byte order. */
const COMPILING = ['s390x-linux-gnu-gcc', 'x86_64-linux-gnu-gcc'];

/** Stands for a compiler: what it would compile has been compiled elsewhere, by the one that it stands for. */
function standIn(dir: string, compiler: string): void {
  const elsewhere = buildReader(dir, [compiler]);
  const script = `#!/bin/sh\ncase $1 in @cflags) exec cp '${elsewhere}' "$3" ;; *) exec '${toolPath(compiler)}' "$@" ;; esac\n`;
  writeFileSync(join(dir, compiler), script, { mode: 0o755 });
}

/** What a clone has, with the packages that are installed here. */
function copyProject(dir: string): string {
  mkdirSync(dir);
  const files = runOk('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: PROJECT,
  });
  for (const name of files.stdout.split('\0').filter(file => file !== '')) {
    if (name.startsWith('fixtures/')) continue;
    const target = join(dir, name);
    mkdirSync(dirname(target), { recursive: true });
    cpSync(join(PROJECT, name), target, { force: true });
  }
  symlinkSync(join(PROJECT, 'node_modules'), join(dir, 'node_modules'));
  return dir;
}

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort();
}

describe('the package as it is published', { skip: needs('npm', 'git', 'tar', ...CROSS) }, () => {
  const scope = suiteScope();
  let dir: string;
  let installed: string;
  let manifest: JsonObject;
  before(() => {
    dir = tempDir(scope);
    const clone = copyProject(join(dir, 'clone'));
    // Nothing of these may get into what is published.
    const bin = join(dir, 'bin');
    mkdirSync(bin);
    for (const cc of CROSS) if (RUN !== 'every' && !COMPILING.includes(cc)) standIn(bin, cc);
    const env = {
      CC: 'no-such-cc',
      CFLAGS: '-Wl,--build-id=0x1111',
      PATH: `${bin}${delimiter}${process.env.PATH}`,
      npm_config_offline: 'true',
    };
    runOk('npm', ['pack', '--silent', '--pack-destination', dir], { cwd: clone, env });
    const [tarball] = readdirSync(dir).filter(name => name.endsWith('.tgz'));
    assert.ok(tarball !== undefined);
    // As `npm install --global --ignore-scripts` does, but without the package's dependencies.
    installed = join(dir, 'lib/node_modules/elfnote');
    mkdirSync(installed, { recursive: true });
    runOk('tar', ['-xzf', join(dir, tarball), '-C', installed, '--strip-components=1']);
    const parsed: unknown = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    assert.ok(isObject(parsed));
    manifest = parsed;
  });

  const elfnote = (args: readonly string[], env: Record<string, string> = {}) =>
    run(process.execPath, [join(installed, 'bin/elfnote.js'), ...args], { env });

  test('has the audit module for seven architectures, with their hashes', () => {
    const build = join(installed, 'audit/build');
    assert.equal(readdirSync(build).filter(name => name.endsWith('.so')).length, 7);
    const { stdout } = runOk('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: build });
    assert.equal(stdout.match(/: OK$/gm)?.length, 7);
  });

  test('has modules that are the same when they are built elsewhere', t => {
    const build = join(installed, 'audit/build');
    const published = readdirSync(build).map(name => readFileSync(join(build, name)));
    for (const cc of RUN === 'every' ? CROSS : COMPILING) {
      const elsewhere = readFileSync(buildReader(tempDir(t), [cc]));
      assert.ok(
        published.some(bytes => bytes.equals(elsewhere)),
        cc,
      );
    }
  });

  test('runs programs with the reader on a machine without compiler, packages or scripts', () => {
    for (const [name] of Object.entries(objectIn(manifest, 'scripts'))) {
      assert.doesNotMatch(name, /install$/);
    }
    const env = { PATH: '/nowhere' };
    const module = join(installed, 'audit/build/elfnote-audit-x86_64.so');
    const { stdout, stderr } = elfnote(['exec', '/bin/sh', '-c', 'echo "$LD_AUDIT"'], env);
    assert.deepEqual([stdout, stderr], [`${module}\n`, '']);
    assert.equal(elfnote(['reader'], env).stdout, `${module}\n`);
  });

  test('holds the libraries that it needs, and asks for none', () => {
    assert.equal(manifest.dependencies, undefined);
    const licences = readFileSync(join(installed, 'dist/THIRD-PARTY-LICENSES.txt'), 'utf8');
    const bundled = [...licences.matchAll(/^(\S+) [\d.]+ \(.*\)\n-+\n/gm)].map(([, name = '']) => name);
    assert.ok(bundled.includes('commander') && bundled.includes('elfy'));
    const scripts = filesBelow(join(installed, 'dist')).filter(name => name.endsWith('.js'));
    const asked = scripts.flatMap(name => {
      const text = readFileSync(join(installed, 'dist', name), 'utf8');
      const statements = text.matchAll(
        /(?:\bfrom|\bimport\(|require\(|^import|;import)\s*["']([@\w][\w@/:.-]*)["']/g,
      );
      return [...statements].map(([, specifier = '']) => specifier);
    });
    const others = asked.filter(name => !name.startsWith('node:') && !builtinModules.includes(name));
    assert.deepEqual(others, []);
    assert.ok(asked.includes('node:fs'));
  });

  test('names no address: there is no public one, and one that does not answer is worse than none', () => {
    for (const name of ['repository', 'bugs', 'homepage']) assert.equal(manifest[name], undefined, name);
    assert.deepEqual(manifest.os, ['!win32']);
  });

  test('documents that lead to others bring them along', () => {
    const missing: string[] = [];
    const documents = filesBelow(installed).filter(name => /^(?:docs\/)?[^/]+\.md$/.test(name));
    for (const name of documents) {
      for (const [, link] of readFileSync(join(installed, name), 'utf8').matchAll(/\]\(([^):#]+)[^):]*\)/g)) {
        if (!existsSync(join(installed, dirname(name), link ?? ''))) missing.push(`${name}: ${link}`);
      }
    }
    assert.ok(documents.length > 10, String(documents));
    assert.deepEqual(missing, []);
  });

  test('has its parts and nothing else', () => {
    const files = filesBelow(installed);
    const parts = [...new Set(files.map(name => name.split('/')[0]))];
    assert.deepEqual(parts.sort(), [
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'audit',
      'bin',
      'dist',
      'docs',
      'man',
      'package.json',
    ]);
    // npm links manual pages of a list alone.
    assert.deepEqual(manifest.man, ['man/elfnote.1']);
    for (const name of [
      'man/elfnote.1',
      'dist/index.d.ts',
      'dist/index.js.map',
      'dist/cli/main.js.map',
      'audit/build.js',
    ]) {
      assert.ok(files.includes(name), name);
    }
    // Of the Node that has packed it alone.
    assert.ok(!files.some(name => name.startsWith('dist/cli/compiled/')));
    for (const name of files) {
      assert.ok(!readFileSync(join(installed, name)).includes(dir), `${name} names where it was built`);
    }
  });

  test('lets others read its package.json, and has maps that lead to its sources', () => {
    const script = [
      "import manifest from 'elfnote/package.json' with { type: 'json' };",
      "import { buildCache } from 'elfnote';",
      'console.log(manifest.name, typeof buildCache);',
    ].join('\n');
    const { stdout } = runOk(process.execPath, ['--no-warnings', '--input-type=module', '--eval', script], {
      cwd: installed,
    });
    assert.equal(stdout, 'elfnote function\n');
    const maps = readdirSync(join(installed, 'dist')).filter(name => name.endsWith('.js.map'));
    const sources = maps.flatMap(name => {
      const map: unknown = JSON.parse(readFileSync(join(installed, 'dist', name), 'utf8'));
      assert.ok(isObject(map) && Array.isArray(map.sources));
      return map.sources.map(String);
    });
    assert.ok(sources.some(name => name.endsWith('src/pipeline.ts')));
  });
});
