import { type AttributeCheck, directoryOf, readAttributes } from '../files/attributes.js';
import type { Found } from './walk.js';

/** Files that are worked on in one go, with what must not get lost of them. */
export interface Batch {
  readonly files: readonly Found[];
  readonly attributes: AttributeCheck;
}

/** Files whose attributes are asked for at once: one process of the tool that knows them serves so many. */
const GROUP = 500;

/** @param size the largest number of files in a batch. */
export function* batchesOf(
  found: readonly Found[],
  size: number,
  readsAttributes: boolean,
): Generator<Batch> {
  for (let from = 0; from < found.length; from += GROUP) {
    const group = found.slice(from, from + GROUP);
    const attributes = readsAttributes
      ? readAttributes(withDirectories(group.filter(isToBeRead).map(({ path }) => path)))
      : { found: new Map<string, string[]>(), knowsAll: true };
    for (let at = 0; at < group.length; at += size) {
      const files = group.slice(at, at + size);
      yield { files, attributes: only(attributes, files) };
    }
  }
}

function isToBeRead({ unreadable, outside, sameAs }: Found): boolean {
  return unreadable === undefined && outside === undefined && sameAs === undefined;
}

/** A directory may give new files an access list. */
function withDirectories(paths: readonly string[]): string[] {
  return [...new Set([...paths, ...paths.map(directoryOf)])];
}

function only({ found, knowsAll }: AttributeCheck, files: readonly Found[]): AttributeCheck {
  if (found === undefined) return { found, knowsAll };
  const wanted = withDirectories(files.map(({ path }) => path));
  const some = wanted.flatMap(path => {
    const names = found.get(path);
    return names === undefined ? [] : [[path, names] as const];
  });
  return { found: new Map(some), knowsAll };
}
