import { readPathList } from '../batch/lists.js';
import type { PathList } from '../batch/walk.js';
import { ElfnoteError } from '../errors.js';
import { storeRoots } from '../lookup.js';

/**
 * The paths that `--files-from` names.
 * @throws ElfnoteError `usage` where no path is named in any way.
 */
export function listOf(
  paths: readonly string[],
  { filesFrom, null: nul }: { readonly filesFrom?: string; readonly null?: boolean },
): PathList | undefined {
  if (filesFrom !== undefined) return readPathList(filesFrom, nul === true);
  if (paths.length === 0) throw new ElfnoteError('usage', 'name a file or directory, or --files-from');
  if (nul) throw new ElfnoteError('usage', '--null needs --files-from');
  return undefined;
}

/**
 * What is recorded of the system, or trusted, is so for what is in stores.
 * @throws ElfnoteError `usage` where no store is known, and the option would say nothing.
 */
export function refuseWithoutStore(flags: {
  readonly storeDir?: readonly string[];
  readonly systemLibraries?: boolean;
  readonly trustStore?: boolean;
}): void {
  if (storeRoots({ storeDirs: flags.storeDir }) !== undefined) return;
  const given = [
    flags.systemLibraries === true ? '--system-libraries' : '',
    flags.trustStore === true ? '--trust-store' : '',
  ].find(name => name !== '');
  if (given !== undefined)
    throw new ElfnoteError(
      'usage',
      `${given} needs --store-dir: the directories whose contents never change`,
    );
}
