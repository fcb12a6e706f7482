import { ElfnoteError } from '../../errors.js';
import { readProgram } from '../../loader/program.js';
import { findProgram, modulePath } from '../module-path.js';
import { printOut } from '../output.js';

/**
 * @param name a program; undefined for this machine's.
 * @throws ElfnoteError where there is no module for it, or it cannot be read.
 */
export function printReader(name: string | undefined): void {
  printOut(`${modulePath(name === undefined ? undefined : readProgram(pathOf(name)))}\n`);
}

function pathOf(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new ElfnoteError('unreadable', 'no such program', { path: name });
  return path;
}
