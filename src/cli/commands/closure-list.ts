import { pathList } from '../../batch/lists.js';
import type { PathList } from '../../batch/walk.js';
import { type ByteString, bytesOf, displayBytes } from '../../elf/bytes.js';
import { ElfnoteError } from '../../errors.js';
import { closureFiles } from '../../loader/closure-files.js';
import { FileLoaderProbe } from '../../loader/file-probe.js';
import { traceFile } from '../../loader/trace.js';
import { storeRoots } from '../../lookup.js';
import { printError } from '../output.js';
import type { RunFlags } from './file-command.js';

/**
 * The programs and every library that the loader would load for them, inside the store directories.
 * @throws ElfnoteError `usage` where none are known, `refused` for a program outside, or what `traceFile` throws.
 */
export function closureList(
  programs: readonly string[],
  flags: RunFlags & { readonly root?: string },
): PathList {
  const { root, storeDir, filesFrom, verbose } = flags;
  if (filesFrom !== undefined) throw usage('--closure-files and --files-from exclude each other');
  if (programs.length === 0) throw usage('--closure-files needs a program');
  const directories = storeRoots({ storeDirs: storeDir });
  if (directories === undefined) throw usage('--closure-files needs --store-dir: it writes nowhere else');
  const probe = new FileLoaderProbe(root);
  const files = new Set<ByteString>();
  for (const program of programs) {
    const { inside, outside } = closureFiles(traceFile(program, { root, probe }), probe, directories, root);
    for (const file of inside) files.add(file);
    if (verbose)
      for (const file of outside) printError(`${displayBytes(file)}: left alone: outside the store`);
  }
  return pathList(Array.from(files, bytesOf));
}

function usage(message: string): ElfnoteError {
  return new ElfnoteError('usage', message);
}
