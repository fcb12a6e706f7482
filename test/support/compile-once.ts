import { createHash } from 'node:crypto';
import {
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { runOk } from './cli.js';
import { keptDirectory, makeOnce } from './made.js';
import { toolPath } from './tools.js';

/**
 * Compiles or links below `dir`, once for all that differ in nothing but that directory: a compiler starts five
 * processes. In what is kept, other bytes of the same length stand for the directory's name, and the key has in it what
 * the compiler reads: its arguments, the contents of the files that they name, and what it takes of the C library.
 * @param args without `-o`, and without directories in which the compiler would look for files.
 */
export function compileOnce(cc: string, args: readonly string[], file: string, dir: string): void {
  const placeholder = '@'.repeat(Buffer.byteLength(dir));
  const key = createHash('sha256').update(placeholder);
  for (const arg of args) {
    // What an object file or an assembler's source is called is in nothing that is made of it.
    key.update(`\0${/\.[os]$/.test(arg) ? '' : arg.replaceAll(dir, placeholder)}`);
    for (const path of filesIn(arg)) key.update('\0').update(withName(readFileSync(path), dir, placeholder));
  }
  const kept = makeOnce(join(keptDirectory('compiled', compilerKey(cc)), key.digest('hex')), made => {
    runOk(cc, [...args, '-o', file]);
    writeFileSync(made, withName(readFileSync(file), dir, placeholder));
  });
  // A linker too makes a new file; the old one may be read-only, or running.
  rmSync(file, { force: true });
  writeFileSync(file, withName(readFileSync(kept), placeholder, dir), { mode: 0o755 });
}

/** An object file of a source in C, compiled once for all who do not write to it. */
export function objectOnce(cc: string, args: readonly string[], source: string): string {
  const key = createHash('sha256')
    .update([...args, source].join('\0'))
    .digest('hex');
  return makeOnce(join(keptDirectory('compiled', compilerKey(cc)), `${key}.o`), made => {
    runOk(cc, [...args, '-c', '-x', 'c', '-', '-o', made], { input: source });
  });
}

/** Of files that an argument names, also behind commas and equals signs. */
function filesIn(arg: string): string[] {
  return arg.split(/[,=:]/).filter(path => {
    const stats = path.startsWith('/') ? statSync(path, { throwIfNoEntry: false }) : undefined;
    return stats?.isFile() === true;
  });
}

/** The same bytes with another name of the same length. */
export function withName(bytes: Buffer, from: string, to: string): Buffer {
  return Buffer.from(bytes.toString('latin1').replaceAll(latin1(from), latin1(to)), 'latin1');
}

const latin1 = (text: string): string => Buffer.from(text).toString('latin1');

function compilerKey(cc: string): string {
  ofLibraries ??= stampOfLibraries('/usr');
  const hash = createHash('sha256').update(ofLibraries);
  for (const tool of [cc, 'ld', 'as']) hash.update(stampOf(realpathSync(toolPath(tool) ?? tool)));
  return hash.digest('hex').slice(0, 8);
}

let ofLibraries: string | undefined;

/** What a linker takes of a C library without being told, where its `crt1.o` is. */
const TAKEN = ['crt1.o', 'Scrt1.o', 'crti.o', 'crtn.o', 'libc.so', 'libc.so.6', 'libc_nonshared.a', 'libc.a'];

/**
 * Changes with every C library below a directory, this machine's or another's: looking at all of them is sooner done than
 * asking a compiler for its own.
 */
export function stampOfLibraries(usr: string): string {
  const names = namesIn(usr).filter(name => name.startsWith('lib') || name.includes('-linux-'));
  const machines = namesIn(join(usr, 'lib')).filter(name => name.includes('-linux-'));
  const places = [...names, ...names.map(name => `${name}/lib`), ...machines.map(name => `lib/${name}`)];
  return places
    .map(place => join(usr, place))
    .filter(place => existsSync(join(place, 'crt1.o')))
    .flatMap(place => TAKEN.map(name => stampOf(join(place, name))))
    .join('');
}

function namesIn(dir: string): string[] {
  return existsSync(dir) ? readdirSync(dir) : [];
}

/** Empty for what is not there. */
function stampOf(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? '' : `${path} ${stats.size} ${stats.mtimeMs}\n`;
}
