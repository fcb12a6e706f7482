import { readPathList } from '../batch/lists.js';
import type { PathList } from '../batch/walk.js';
import { ElfnoteError } from '../errors.js';

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
