import { writeFileSync } from 'node:fs';
import { fromSystemError } from '../errors.js';

/** @throws ElfnoteError `unwritable` */
export function writeReport(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw fromSystemError('unwritable', 'cannot write the report', path, error);
  }
}
