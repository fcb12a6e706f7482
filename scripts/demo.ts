/** Runs the main job on a copy of the shipped store and shows what it did: `npm run demo`. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('..', import.meta.url));
/** By Node's name: the fixtures' name, and the loader that the program asks for. */
const ARCHITECTURES: Readonly<Record<string, readonly [string, string]>> = {
  x64: ['x86_64', '/lib64/ld-linux-x86-64.so.2'],
  ia32: ['i686', '/lib/ld-linux.so.2'],
  arm64: ['aarch64', '/lib/ld-linux-aarch64.so.1'],
  arm: ['armhf', '/lib/ld-linux-armhf.so.3'],
  riscv64: ['riscv64', '/lib/ld-linux-riscv64-lp64d.so.1'],
  s390x: ['s390x', '/lib/ld64.so.1'],
};
const [arch, loader] = ARCHITECTURES[process.arch] ?? ['x86_64', undefined];

const copy = mkdtempSync(join(tmpdir(), 'elfnote-demo-'));
try {
  demo(copy);
} finally {
  rmSync(copy, { recursive: true });
}

function demo(root: string): void {
  cpSync(join(repository, 'fixtures', 'root'), root, { recursive: true, verbatimSymlinks: true });
  const store = join(root, 'nix', 'store');
  const find = (name: string) => readdirSync(store).find(entry => entry.endsWith(`-${name}-${arch}`)) ?? '';
  const program = join('nix', 'store', find('hello'), 'bin', 'hello');
  const libraries = ['libgreet', 'libname'].map(name => join(store, find(name), 'lib'));
  const original = readFileSync(join(root, program));

  say('A copy of fixtures/root, a store of nine architectures, one directory a package.');
  say('\nBefore: no note, so the loader tries every run path directory for every library.');
  elfnote(root, 'dump', program);
  run(root, program, libraries);

  say('\nWriting the notes, looking /nix/store up inside the copy:');
  elfnote(root, 'build-cache', '--root', '.', '--store-dir', '/nix/store', '.');

  say('\nAfter: the note says where each library is.');
  elfnote(root, 'dump', '--root', '.', program);
  run(root, program, libraries);

  const now = readFileSync(join(root, program));
  const changed = original.reduce((count, byte, i) => count + (now[i] === byte ? 0 : 1), 0);
  say(`\nWhat changed in ${relative(root, join(root, program))}:`);
  say(`  size ${original.length} -> ${statSync(join(root, program)).size} bytes;`);
  say(
    `  ${changed} of the ${original.length} original bytes differ: header, program headers, and zeros that became the note.`,
  );
  say('\nA second run finds every note right:');
  elfnote(root, 'build-cache', '--root', '.', '--store-dir', '/nix/store', '.');
}

function say(text: string): void {
  console.log(text);
}

function elfnote(cwd: string, ...args: string[]): void {
  say(`$ elfnote ${args.join(' ')}`);
  const result = spawnSync(process.execPath, [join(repository, 'bin', 'elfnote.js'), ...args], {
    cwd,
    encoding: 'utf8',
  });
  process.stdout.write(result.stdout + result.stderr);
  if (result.status === 2) throw new Error('elfnote failed');
}

/** The copy is not at /nix, so this machine's loader is told where the libraries are; it ignores the note. */
function run(cwd: string, program: string, libraries: readonly string[]): void {
  const why = cannotRun();
  if (why !== undefined) {
    say(`(not run: ${why})`);
    return;
  }
  say(`$ LD_LIBRARY_PATH=... ${program}`);
  const env = { ...process.env, LD_LIBRARY_PATH: libraries.join(':') };
  const result = spawnSync(join(cwd, program), { cwd, encoding: 'utf8', env });
  say(result.error ? `(not run: ${result.error.message})` : (result.stdout + result.stderr).trimEnd());
}

function cannotRun(): string | undefined {
  if (process.platform !== 'linux') return `the program is for Linux, this is ${process.platform}`;
  if (loader === undefined) return `there is no program for ${process.arch}`;
  return existsSync(loader) ? undefined : `this machine has no ${loader}`;
}
