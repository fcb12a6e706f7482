import { basename, dirname, join } from 'node:path';

/** In bytes: a name may have 255, and what is put around it takes up to 20. */
const LONGEST_STEM = 200;

/** What is written beside a file before it is renamed over it, by this process. */
export function temporaryBeside(path: string): string {
  const stem = Buffer.from(basename(path)).subarray(0, LONGEST_STEM).toString();
  return join(dirname(path), `.${stem}.elfnote-${process.pid}`);
}

/** A glob of the names that `temporaryBeside` gives, of any process. */
export const TEMPORARY_FILES = '**/.*.elfnote-+([0-9])';
