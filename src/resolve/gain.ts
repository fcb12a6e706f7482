import type { ByteString } from '../elf/bytes.js';
import type { CacheStep } from '../note/cache.js';

/** Why a soname gets no entry although the run path has something to say of it. */
export type NoGain = 'hints-only' | 'current-directory';

/**
 * The elements of a path-list that help a loader, in order.
 *
 * - A hint behind the last path only costs: a loader walks the run path after a note without an answer, and would search
 *   the directory twice. A list of hints alone is nothing else.
 * - nixpkgs' loader drops an empty hint (`decompose_rpath("")` returns at once), and would open a later path although
 *   the current directory has the library. So the list ends before an empty or relative hint.
 */
export function gainingSteps(steps: readonly CacheStep[]): readonly CacheStep[] | NoGain {
  const cut = steps.findIndex(step => step.kind === 'hint' && isAtCurrentDirectory(step.dir));
  const before = cut < 0 ? steps : steps.slice(0, cut);
  const last = before.findLastIndex(step => step.kind === 'path');
  if (last >= 0) return before.slice(0, last + 1);
  return steps.some(step => step.kind === 'path') ? 'current-directory' : 'hints-only';
}

/** `$LIB` and `$PLATFORM` become names, `$ORIGIN` an absolute path. */
function isAtCurrentDirectory(dir: ByteString): boolean {
  return !dir.startsWith('/') && !/^\$(?:ORIGIN|\{ORIGIN\})/.test(dir);
}
