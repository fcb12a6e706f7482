import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { byteStringOf } from '../elf/bytes.js';
import { badModulePath } from '../elf/dt-audit.js';
import { ElfnoteError } from '../errors.js';
import type { Program } from '../loader/program.js';

/** Node's names of the architectures that it runs on. */
const OWN_ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'x86_64',
  ia32: 'i386',
  arm64: 'aarch64',
  ppc64: 'powerpc64le',
};

/**
 * The path of the audit module for a program, or for this machine. The package has one for each architecture; a clone
 * of the sources has those that were built.
 *
 * @throws ElfnoteError `unsupported` where it is not written for the architecture, `unreadable` where it is not there.
 */
export function modulePath(program: Program | undefined): string {
  const own = OWN_ARCHITECTURES[process.arch] ?? process.arch;
  const architecture = program === undefined ? own : program.architecture;
  if (architecture === undefined) {
    throw new ElfnoteError(
      'unsupported',
      'the audit module is not written for the architecture of this program',
    );
  }
  // From src/cli as from the bundle in dist/cli.
  const path = join(import.meta.dirname, `../../audit/build/elfnote-audit-${architecture}.so`);
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
    const how = "'npm run build:audit' builds it, and needs a C compiler";
    throw new ElfnoteError('unreadable', `this audit module is not there: ${how}`, { path });
  }
  const bad = badModulePath(byteStringOf(Buffer.from(path)));
  if (bad !== undefined)
    throw new ElfnoteError('unreadable', `the path of this audit module ${bad}`, { path });
  return path;
}

/** As execvp(3) finds a program; undefined when it is nowhere. */
export function findProgram(name: string): string | undefined {
  if (name.includes('/')) return name;
  const places = (process.env.PATH ?? '/bin:/usr/bin').split(delimiter);
  return places.map(place => join(place === '' ? '.' : place, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
