import { closeSync, constants, openSync, readSync, writeFileSync } from 'node:fs';
import { isElf } from '../elf/read.js';
import { ElfnoteError, fromSystemError } from '../errors.js';

/** Over an ELF file nothing is written: it is a program, as likely as not the one that was worked on. @throws ElfnoteError `unwritable` */
export function writeReport(path: string, text: string): void {
  try {
    if (hasElf(path))
      throw new ElfnoteError('unwritable', 'is an ELF file: no report is written over it', { path });
    writeFileSync(path, text);
  } catch (error) {
    throw fromSystemError('unwritable', 'cannot write the report', path, error);
  }
}

/** Of a pipe nothing is read, and where nothing can be read there is no program. */
function hasElf(path: string): boolean {
  const head = Buffer.alloc(4);
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return readSync(fd, head, 0, head.length, 0) === head.length && isElf(head);
  } catch {
    return false;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
