/**
 * Shows the storm of a small shipped store, and what is left of it once one program has been patched: `npm run demo`.
 * What is given behind `--` goes to the first trace, such as `--hwcaps x86-64-v3` for another processor than this one.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('..', import.meta.url));
/** What fixtures/storm has in its run paths. */
const PLACEHOLDER = '/elfnote-demo-store-that-is-replaced-by-the-path-of-a-copy';
const PROGRAM = join('program', 'bin', 'storm');

const copy = mkdtempSync(join(tmpdir(), 'elfnote-'));
try {
  demo(copy);
} finally {
  rmSync(copy, { recursive: true });
}

function demo(store: string): void {
  cpSync(join(repository, 'fixtures', 'storm'), store, { recursive: true });
  const files = readdirSync(store, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile());
  for (const { parentPath, name } of files) relocate(join(parentPath, name), store);
  const program = join(store, PROGRAM);
  const original = readFileSync(program);

  say('A store of 25 packages. What does the loader look for in vain when its program starts?\n');
  elfnote(store, 'trace', '--depth', '1', ...process.argv.slice(2), '--store-dir', store, PROGRAM);
  say(counted('Counted by running it on this machine', program, {}));

  say('\nOne note on the program alone, for all that it loads:\n');
  elfnote(store, 'build-cache', '--closure', '--store-dir', store, PROGRAM);

  say('\nAnd now, with the audit module that reads the note on a stock glibc?\n');
  elfnote(store, 'trace', '--depth', '1', '--with', 'audit', '--store-dir', store, PROGRAM);
  const { status, stdout } = spawnSync(process.execPath, [bin(), 'exec', '--print-env', program], {
    encoding: 'utf8',
  });
  const isThere = status === 0;
  const variables = Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map(line => line.split(/=(.*)/s).slice(0, 2)),
  );
  say(
    isThere
      ? counted('Counted by running it with elfnote exec', program, variables)
      : '(not run: the audit module is not built; npm run build:audit does it, and needs a C compiler)',
  );

  const now = readFileSync(program);
  const changed = original.reduce((count, byte, i) => count + (now[i] === byte ? 0 : 1), 0);
  say(
    `\nThe program has grown by ${statSync(program).size - original.length} bytes; ${changed} of its old ones differ.`,
  );
  say('It can be taken out again, to the last byte:\n');
  elfnote(store, 'remove-cache', PROGRAM);
  say(`\nThe same as before: ${readFileSync(program).equals(original)}`);
}

/** Replaces the directories in a run path by shorter ones; what is left of the string becomes NULs. */
function relocate(path: string, store: string): void {
  const bytes = readFileSync(path);
  const start = bytes.indexOf(PLACEHOLDER);
  if (start < 0) return;
  const end = bytes.indexOf(0, start);
  const text = bytes.toString('latin1', start, end).replaceAll(PLACEHOLDER, store);
  if (text.length > end - start) throw new Error(`the temporary directory has too long a name: ${store}`);
  bytes.fill(0, start, end);
  bytes.write(text, start, 'latin1');
  writeFileSync(path, bytes);
}

/** glibc says itself what it tries; of those, one a library is found. */
function counted(what: string, program: string, variables: Readonly<Record<string, string>>): string {
  if (process.arch !== 'x64' || process.platform !== 'linux')
    return '(not run: the program is for x86-64 Linux)';
  const env = { ...process.env, ...variables, LD_DEBUG: 'libs' };
  const { status, stderr, error } = spawnSync(program, { env, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (error !== undefined || status !== 0) return '(not run: this machine has no glibc for it)';
  const tried = [...stderr.matchAll(/trying file=(\S+)/g)].map(([, path = '']) => path);
  const missed = tried.filter(path => statSync(path, { throwIfNoEntry: false }) === undefined);
  return `${what}: ${missed.length} failing opens.`;
}

function say(text: string): void {
  console.log(text);
}

function bin(): string {
  return join(repository, 'bin', 'elfnote.js');
}

function elfnote(cwd: string, ...args: string[]): void {
  say(`$ elfnote ${args.map(arg => (arg === cwd ? 'STORE' : arg)).join(' ')}`);
  const result = spawnSync(process.execPath, [bin(), ...args], { cwd, encoding: 'utf8' });
  process.stdout.write((result.stdout + result.stderr).replaceAll(cwd, 'STORE'));
  if (result.status !== 0) throw new Error('elfnote failed');
}
