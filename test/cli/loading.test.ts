import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BIN, FIXTURES, PROJECT, ROOT, run } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import { copies } from '../support/tree.js';

const DIST = join(PROJECT, 'dist/cli');
const PACKAGES = ['commander', 'fast-glob', 'pino', 'cli-progress', 'elfy'];

/** In the bundle every CommonJS module is called by its path. */
function packagesIn(file: string): string[] {
  const bundled = file.startsWith(DIST) ? readFileSync(file, 'utf8') : file;
  return PACKAGES.filter(name => bundled.includes(`node_modules/${name}/`));
}

describe('a command reads only the packages that it needs', { skip: needs('strace') }, () => {
  const COMMANDS: Readonly<Record<string, readonly [readonly string[], readonly string[]]>> = {
    '--version': [['--version'], ['commander']],
    '--help': [['build-cache', '--help'], ['commander']],
    dump: [
      ['dump', '--root', ROOT, join(FIXTURES, 'kinds/pie-bfd')],
      ['commander', 'elfy'],
    ],
    'build-cache of a file': [
      ['build-cache', '-n', '--root', ROOT, join(FIXTURES, 'kinds/pie-bfd')],
      ['commander', 'elfy', 'fast-glob'],
    ],
    'build-cache with a warning': [
      ['build-cache', '-n', '--root', ROOT, join(FIXTURES, 'kinds/rpath')],
      ['commander', 'elfy', 'fast-glob', 'pino'],
    ],
  };
  for (const [what, [args, expected]] of Object.entries(COMMANDS)) {
    test(what, t => {
      const cwd = tempDir(t);
      copies(join(cwd, 'tree'), 2);
      const trace = join(cwd, 'trace');
      const command = [process.execPath, BIN, ...args];
      // A file a thread: in a common one, calls that others interrupt are cut in two.
      run('strace', ['-ff', '-qq', '-e', 'trace=openat', '-o', trace, ...command], { cwd });
      const logs = readdirSync(cwd).filter(name => name.startsWith('trace.'));
      const calls = logs.map(name => readFileSync(join(cwd, name), 'utf8')).join('');
      const opened = [...calls.matchAll(/openat\([^"]*"([^"]+)"[^)]*\) = \d/g)].flatMap(([, path = '']) =>
        path.startsWith(PROJECT) && path.endsWith('.js') ? [path] : [],
      );
      assert.ok(opened.includes(join(DIST, 'main.js')));
      assert.deepEqual([...new Set(opened.flatMap(packagesIn))].sort(), [...expected].sort());
    });
  }
});

test('the bundle holds every package that it is asked for, and names no directory of this machine', () => {
  const files = readdirSync(DIST).map(name => join(DIST, name));
  const bundled = [...new Set(files.flatMap(packagesIn))].sort();
  assert.deepEqual(bundled, [...PACKAGES].sort());
  for (const file of files) assert.ok(!readFileSync(file, 'utf8').includes(PROJECT));
});

test('the command line checks its own arguments, and has no schema library in its bundle', () => {
  for (const file of readdirSync(DIST)) {
    assert.ok(!readFileSync(join(DIST, file), 'utf8').includes('unrecognized_keys'), file);
  }
});
