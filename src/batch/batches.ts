import { dirname } from 'node:path';
import { type AttributeCheck, readAttributes } from '../files/attributes.js';
import type { Found } from './walk.js';

/** Files that are worked on in one go, with what must not get lost of them. */
export interface Batch {
  readonly files: readonly Found[];
  readonly attributes: AttributeCheck;
}

/** Files whose attributes are asked for at once: one process of the tool that knows them serves so many. */
const GROUP = 500;

export function* batchesOf(found: readonly Found[], readsAttributes: boolean): Generator<Batch> {
  for (let from = 0; from < found.length; from += GROUP) {
    const files = found.slice(from, from + GROUP);
    const attributes = readsAttributes
      ? readAttributes(withDirectories(files.filter(isToBeRead).map(({ path }) => path)))
      : { found: new Map<string, string[]>(), knowsAll: true };
    yield { files, attributes };
  }
}

function isToBeRead({ unreadable, outside, sameAs }: Found): boolean {
  return unreadable === undefined && outside === undefined && sameAs === undefined;
}

/** A directory may give new files an access list. That of a symbolic link's file is asked for with the file. */
function withDirectories(paths: readonly string[]): string[] {
  return [...new Set([...paths, ...paths.map(path => dirname(path))])];
}
