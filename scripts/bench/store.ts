import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, realpathSync, statSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isDynamic, readDynamic } from './objects.js';

/** What a package manager with one directory a package would make of programs of this machine. */
export interface Store {
  readonly directory: string;
  readonly objects: readonly string[];
  readonly packages: number;
  readonly bytes: number;
}

const PROGRAMS = ['ffmpeg', 'emacs-gtk', 'inkscape', 'gdb', 'convert', '/usr/lib/chromium/chromium'];

/**
 * Copies the programs that are installed and the libraries they load into one directory a Debian package, and gives
 * each object a run path with the directory of each library it needs, as Nix does, with patchelf.
 */
export function buildStore(directory: string): Store {
  const placed = new Map<string, string>();
  for (const [object, owner] of owners(closure(PROGRAMS.flatMap(installed).filter(isDynamic)))) {
    const lib = join(directory, owner, 'lib');
    mkdirSync(lib, { recursive: true });
    const copy = join(lib, basename(object));
    copyFileSync(object, copy);
    chmodSync(copy, 0o755);
    const { soname } = readDynamic(copy);
    if (soname !== undefined && soname !== basename(object)) symlinkSync(basename(object), join(lib, soname));
    placed.set(soname ?? basename(object), copy);
  }
  for (const object of placed.values()) setRunPath(object, placed);
  const objects = [...placed.values()];
  return {
    directory,
    objects,
    packages: new Set(objects.map(dirname)).size,
    bytes: objects.reduce((sum, path) => sum + statSync(path).size, 0),
  };
}

function setRunPath(object: string, placed: ReadonlyMap<string, string>): void {
  const directories = readDynamic(object).needed.flatMap(soname => {
    const library = placed.get(soname);
    return library === undefined ? [] : [dirname(library)];
  });
  if (directories.length > 0) tool('patchelf', '--set-rpath', [...new Set(directories)].join(':'), object);
}

function installed(program: string): string[] {
  if (program.startsWith('/')) return existsSync(program) ? [program] : [];
  const found = spawnSync('which', [program], { encoding: 'utf8' }).stdout.trim();
  return found === '' ? [] : [realpathSync(found)];
}

function closure(programs: readonly string[]): string[] {
  const objects = new Set(programs);
  for (const program of programs) {
    const { stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
    for (const [, library = ''] of stdout.matchAll(/=> (\/\S+)/g)) objects.add(realpathSync(library));
  }
  return [...objects].sort();
}

function owners(objects: readonly string[]): Map<string, string> {
  const said = spawnSync('dpkg', ['-S', ...objects, ...objects.map(path => path.replace(/^\/usr/, ''))], {
    encoding: 'utf8',
  }).stdout;
  const owner = new Map<string, string>();
  for (const [, name = '', path = ''] of said.matchAll(/^([^:,\s]+)[^\n]*: (\/\S+)$/gm)) {
    owner.set(path.replace(/^\/usr/, ''), name);
  }
  return new Map(objects.map(path => [path, owner.get(path.replace(/^\/usr/, '')) ?? 'others']));
}

/** @throws Error when the tool is missing or fails. */
export function tool(command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (error !== undefined || status !== 0) throw error ?? new Error(`${command}: ${stderr}`);
  return stdout;
}
