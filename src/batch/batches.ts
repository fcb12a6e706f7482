import { dirname } from 'node:path';
import { type AttributeCheck, readAttributes } from '../files/attributes.js';
import { realPathOf } from '../files/paths.js';
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
    const attributes = readsAttributes ? new LateAttributes(files) : NONE;
    yield { files, attributes };
  }
}

const NONE: AttributeCheck = { found: new Map<string, string[]>(), knowsAll: true };

/** The tool is a process, which files that are all up to date need not start. */
class LateAttributes implements AttributeCheck {
  readonly #files: readonly Found[];
  #read: AttributeCheck | undefined;

  constructor(files: readonly Found[]) {
    this.#files = files;
  }

  get found(): AttributeCheck['found'] {
    return this.#all().found;
  }

  get knowsAll(): boolean {
    return this.#all().knowsAll;
  }

  get asked(): number | undefined {
    return this.#all().asked;
  }

  #all(): AttributeCheck {
    this.#read ??= readAttributes(withDirectories(this.#files.filter(isToBeRead)));
    return this.#read;
  }
}

function isToBeRead({ unreadable, outside, sameAs }: Found): boolean {
  return unreadable === undefined && outside === undefined && sameAs === undefined;
}

/** A directory may give new files an access list. What was named, and not found by a walk, may be a symbolic link. */
function withDirectories(files: readonly Found[]): string[] {
  const paths = files.map(({ path }) => path);
  const named = files.filter(({ path, named = path }) => named === path);
  const real = named.map(({ path }) => realPathOf(path));
  return [...new Set([...paths, ...[...paths, ...real].map(path => dirname(path))])];
}
