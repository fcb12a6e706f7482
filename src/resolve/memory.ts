import type { ByteString } from '../elf/bytes.js';
import type { ElfImage } from '../elf/image.js';
import type { CacheStep } from '../note/cache.js';
import type { SearchComponent } from './components.js';

/** What one run path directory had to say about one soname. */
export interface Attempt {
  readonly component: ByteString;
  readonly outcome: 'recorded' | 'hint' | 'passed-over' | 'fatal';
  /** The hint's reason, or why the candidate was not taken. Empty for `recorded`, but for `system`. */
  readonly why: string;
}

/** What one directory says of one soname; the step, and its element of a path-list, are missing where nothing is recorded. */
export interface Answer {
  readonly attempt: Attempt;
  readonly step?: CacheStep;
  readonly element?: ByteString;
}

/** A run path directory, and what it has said so far. */
export interface Known {
  readonly component: SearchComponent;
  readonly answers: Map<ByteString, Answer>;
  /** All names in it, where none of them is a subdirectory that a loader may search by itself. */
  readonly names?: ReadonlySet<ByteString> | undefined;
  /** What it says of every soname that is not among the names. */
  without?: Answer;
}

/** Directories and answers; each takes some 300 bytes with its path. Beyond it all are forgotten and made anew. */
const MOST_KEPT = 50_000;

/**
 * What follows from the answers of a probe that gives the same answers for as long as it lives. The files of a tree ask
 * the same directories for the same libraries.
 */
export class ResolveMemory {
  readonly #known = new Map<string, Map<ByteString, Known>>();
  #kept = 0;

  /** The directories by their components, for objects that ask with the same header and the same stores. */
  componentsFor(
    { encoding, header }: Pick<ElfImage, 'encoding' | 'header'>,
    storeRoots: readonly ByteString[] | undefined,
  ): Map<ByteString, Known> {
    if (this.#kept > MOST_KEPT) this.forget();
    const { is64, littleEndian } = encoding;
    const stores = storeRoots?.join('\0') ?? '';
    const key = `${header.e_machine} ${header.e_flags} ${is64} ${littleEndian} ${storeRoots !== undefined} ${stores}`;
    let known = this.#known.get(key);
    if (known === undefined) {
      known = new Map();
      this.#known.set(key, known);
    }
    return known;
  }

  /** Keeps something new under a name: a directory, or an answer. */
  keep<T>(map: Map<ByteString, T>, name: ByteString, kept: T): void {
    map.set(name, kept);
    this.#kept++;
  }

  forget(): void {
    this.#known.clear();
    this.#kept = 0;
  }
}
