import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from './cli.js';
import { keptDirectory, makeOnce } from './made.js';
import { toolPath } from './tools.js';

/**
 * Compiles or links below `dir`, once for all that differ in nothing but that directory: a compiler starts five
 * processes. In what is kept, other bytes of the same length stand for the directory's name, and the key has in it what
 * the compiler reads: its arguments and the contents of the files that they name.
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

/** Of files that an argument names, also behind commas and equals signs. */
function filesIn(arg: string): string[] {
  return arg.split(/[,=:]/).filter(path => {
    const stats = path.startsWith('/') ? statSync(path, { throwIfNoEntry: false }) : undefined;
    return stats?.isFile() === true;
  });
}

function withName(bytes: Buffer, from: string, to: string): Buffer {
  return Buffer.from(bytes.toString('latin1').replaceAll(latin1(from), latin1(to)), 'latin1');
}

const latin1 = (text: string): string => Buffer.from(text).toString('latin1');

function compilerKey(cc: string): string {
  const hash = createHash('sha256');
  for (const tool of [cc, 'ld', 'as']) {
    const path = realpathSync(toolPath(tool) ?? tool);
    const { size, mtimeMs } = statSync(path);
    hash.update(`${path} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex').slice(0, 8);
}
