import type { ByteString } from '../elf/bytes.js';
import type { ElfImage } from '../elf/image.js';
import { stripTrailingSlashes } from '../resolve/components.js';
import { runPathOf } from '../resolve/resolve.js';
import type { CacheEntry, CacheStep } from './cache.js';

/**
 * Whether a note can have been written for the run path and the `DT_NEEDED` that the file has now: each soname is
 * needed, and its elements name run path directories, in run path order. Asks nothing of the file system, so that a
 * note is told stale after `patchelf --set-rpath` also where the libraries are not at hand. A sole path in a usual
 * directory of the system is one that `--system-libraries` has recorded.
 *
 * @param more sonames that may be recorded besides: those of `.note.dlopen`.
 */
export function agreesWithRunPath(
  image: ElfImage,
  entries: readonly CacheEntry[],
  more: readonly ByteString[] = [],
): boolean {
  const { components } = runPathOf(image);
  const needed = new Set([...(image.dynamic?.needed ?? []), ...more]);
  const indexOf = (step: CacheStep) =>
    step.kind === 'hint'
      ? components.indexOf(step.dir)
      : components.findIndex(component => stripTrailingSlashes(component) === directoryOf(step.path));
  return entries.every(({ soname, steps }) => {
    const indexes = steps.map(indexOf);
    if (!needed.has(soname)) return false;
    return isSystemLibrary(steps) || indexes.every((at, i) => at >= 0 && at > (indexes[i - 1] ?? -1));
  });
}

const SYSTEM_DIRECTORY = /^(?:\/usr)?(?:\/local)?\/lib[0-9a-z]*(?:\/[^/]+)?$/;

function isSystemLibrary(steps: readonly CacheStep[]): boolean {
  const [only] = steps;
  return steps.length === 1 && only?.kind === 'path' && SYSTEM_DIRECTORY.test(directoryOf(only.path));
}

function directoryOf(path: ByteString): ByteString {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
