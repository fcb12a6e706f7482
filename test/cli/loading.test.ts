import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { BIN, FIXTURES, PROJECT, ROOT, run, runOk } from '../support/cli.js';
import { program } from '../support/commits.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import { copies } from '../support/tree.js';

const DIST = join(PROJECT, 'dist/cli');

/** In one file with elfnote's own code, compiled by the build. */
const ALWAYS = ['commander', 'elfy'];
const PACKAGES = ['commander', 'fast-glob', 'pino', 'cli-progress', 'elfy'];

function filesBelow(dir: string): string[] {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true });
  return entries.filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

/** In the bundle every CommonJS module is called by its path. */
function packagesIn(file: string): string[] {
  const bundled = file.startsWith(DIST) ? readFileSync(file, 'utf8') : file;
  return PACKAGES.filter(name => bundled.includes(`node_modules/${name}/`));
}

/** strace has the bytes of what is not ASCII in octal. */
function unescaped(path: string): string {
  const bytes = path.replace(/\\(\d+)/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
  return Buffer.from(bytes, 'latin1').toString();
}

describe('a command reads only the packages that it needs', { skip: needs('strace') }, () => {
  const pie = join(FIXTURES, 'kinds/pie-bfd');
  const rpath = join(FIXTURES, 'kinds/rpath');
  type Reads = readonly [args: readonly string[], bundle: string, packages: readonly string[]];
  const COMMANDS: Readonly<Record<string, Reads>> = {
    '--version': [['--version'], 'light.js', ALWAYS],
    '--help': [['build-cache', '--help'], 'main.js', ALWAYS],
    dump: [['dump', '--root', ROOT, pie], 'dump.js', ALWAYS],
    'build-cache of a file': [['build-cache', '-n', '--root', ROOT, pie], 'main.js', ALWAYS],
    'build-cache with a warning': [
      ['build-cache', '-n', '--root', ROOT, rpath],
      'main.js',
      [...ALWAYS, 'pino'],
    ],
  };
  for (const [what, [args, bundle, expected]] of Object.entries(COMMANDS)) {
    test(what, t => {
      const cwd = tempDir(t);
      copies(join(cwd, 'tree'), 2);
      const trace = join(cwd, 'trace');
      const command = [process.execPath, BIN, ...args];
      // A file a thread: in a common one, calls that others interrupt are cut in two.
      run('strace', ['-ff', '-qq', '-e', 'trace=openat', '-o', trace, ...command], { cwd });
      const logs = readdirSync(cwd).filter(name => name.startsWith('trace.'));
      const calls = logs.map(name => readFileSync(join(cwd, name), 'utf8')).join('');
      const opened = [...calls.matchAll(/openat\([^"]*"([^"]+)"[^)]*\) = \d/g)]
        .map(([, path = '']) => unescaped(path))
        .filter(path => path.startsWith(PROJECT) && path.endsWith('.js'));
      const bundles = opened.filter(path => /(?:main|light|dump)\.js$/.test(path) && path.startsWith(DIST));
      assert.deepEqual([...new Set(bundles.map(path => basename(path)))], [bundle]);
      assert.deepEqual([...new Set(opened.flatMap(packagesIn))].sort(), [...expected].sort());
    });
  }
});

describe('a command loads of Node what it needs', () => {
  const FILE = join(FIXTURES, 'kinds/pie-bfd');
  const NEITHER: readonly string[] = [];
  const COMMANDS: readonly (readonly [args: readonly string[], loaded: readonly string[]])[] = [
    [['--version'], NEITHER],
    [['build-cache', '--help'], NEITHER],
    [['dump', '--root', ROOT, FILE], NEITHER],
    [['build-cache', '--dry-run', '--root', ROOT, FILE], NEITHER],
    [['verify', '--root', ROOT, FILE], NEITHER],
    [['trace', '--hwcaps', 'x86-64-v3', '--root', ROOT, FILE], NEITHER],
  ];
  const LOADED = `
    process.on('exit', () => {
      const loaded = ['child_process', 'crypto', 'net'].filter(name =>
        process.moduleLoadList.includes('NativeModule ' + name));
      require('node:fs').writeFileSync(process.env.LOADED, JSON.stringify(loaded));
    });`;

  function loadedBy(t: TestContext, args: readonly string[]): unknown {
    const cwd = tempDir(t);
    const told = join(cwd, 'loaded.json');
    writeFileSync(join(cwd, 'loaded.cjs'), LOADED);
    const node = [process.execPath, '--require', join(cwd, 'loaded.cjs'), BIN, ...args];
    const { stderr } = run('env', [`LOADED=${told}`, ...node], { cwd });
    assert.equal(stderr, '');
    return JSON.parse(readFileSync(told, 'utf8'));
  }

  for (const [args, loaded] of COMMANDS) {
    test(args.filter(arg => !arg.startsWith('/')).join(' '), t => {
      assert.deepEqual(loadedBy(t, args), loaded);
    });
  }

  test('one file that has a note is checked, written and cleaned without node:crypto', t => {
    const file = program(t);
    assert.deepEqual(loadedBy(t, ['build-cache', '--root', ROOT, '-q', file]), ['child_process', 'net']);
    assert.deepEqual(loadedBy(t, ['dump', '--root', ROOT, file]), NEITHER);
    assert.deepEqual(loadedBy(t, ['verify', '--root', ROOT, file]), NEITHER);
    assert.deepEqual(loadedBy(t, ['remove-cache', '-q', file]), ['child_process', 'net']);
  });
});

describe('what has a bundle of its own says what the whole one says', () => {
  const FILE = join(FIXTURES, 'kinds/pie-bfd');
  const WHOLE = `require(${JSON.stringify(join(DIST, 'main.js'))}).main().then(() => process.exit());`;
  const LIGHT = [
    ['--version'],
    ['-V'],
    ['--help'],
    ['-h'],
    ['help'],
    ['help', 'build-cache'],
    ['help', 'nonesuch'],
    ['completion', 'bash'],
    ['completion', 'nonesuch'],
    ['reader'],
    ['reader', 'nonesuch'],
    ['reader', '--help'],
    ['dump', '--root', ROOT, FILE],
    ['dump', '--json', '--root', ROOT, FILE, FIXTURES],
  ];
  for (const args of LIGHT) {
    test(args.filter(arg => !arg.startsWith('/')).join(' '), t => {
      const starts = join(tempDir(t), 'whole.cjs');
      writeFileSync(starts, WHOLE);
      const light = run(process.execPath, [BIN, ...args]);
      const whole = run(process.execPath, [starts, ...args]);
      assert.deepEqual(light, whole);
      assert.notEqual(light.stdout + light.stderr, '');
    });
  }
});

test('the bundle holds every package that it is asked for, and names no directory of this machine', () => {
  const files = filesBelow(DIST);
  const bundled = [...new Set(files.flatMap(packagesIn))].sort();
  assert.deepEqual(bundled, [...PACKAGES].sort());
  for (const file of files) assert.ok(!readFileSync(file, 'latin1').includes(PROJECT), file);
});

test('the command line checks its own arguments, and has no schema library in its bundle', () => {
  for (const file of filesBelow(DIST)) {
    assert.ok(!readFileSync(file, 'latin1').includes('unrecognized_keys'), file);
  }
});

test('Node takes what the build has compiled for a command', () => {
  for (const command of ['build-cache', 'dump', 'remove-cache', 'other', '--version']) {
    const script = `
      import elfnote from ${JSON.stringify(BIN)};
      const { bundleFor, COMPILED, load } = elfnote;
      const { scripts } = load(bundleFor('${command}'), COMPILED + '/${command.startsWith('-') ? 'other' : command}');
      console.log([...scripts.values()].map(script => script.cachedDataRejected).join());`;
    assert.equal(
      runOk(process.execPath, ['--input-type=module', '--eval', script]).stdout,
      'false\n',
      command,
    );
  }
});
