import type { ByteString } from '../elf/bytes.js';
import { expandTokens, type Tokens } from './tokens.js';

/** What the loader knows of a subdirectory; shared by all objects of a process. */
export type Existence = 'unknown' | 'present' | 'absent';

/** One directory of a search path, as the loader keeps it (`struct r_search_path_elem`). */
export interface SearchDirectory {
  /** With a slash at its end; empty for the current directory. */
  readonly prefix: ByteString;
  /** For each of the subdirectories that the loader tries. */
  readonly existence: Existence[];
}

/** Every directory that a process has searched (`_dl_all_dirs`, elf/dl-load.c). */
export class Directories {
  readonly subdirectories: readonly ByteString[];
  readonly #known = new Map<ByteString, SearchDirectory>();

  /** @param subdirectories as `subdirectoriesOf` gives them. */
  constructor(subdirectories: readonly ByteString[]) {
    this.subdirectories = subdirectories;
  }

  /**
   * The directories of a list, each once (`fillin_rpath`): tokens are expanded, trailing slashes dropped, an empty part
   * is the current directory, and a part whose token has no value is none.
   * @param separators `:` in a run path, `:` or `;` in `LD_LIBRARY_PATH`.
   */
  list(text: ByteString, separators: RegExp, tokens: Tokens): SearchDirectory[] {
    const found = new Set<SearchDirectory>();
    for (const part of text.split(separators)) {
      const expanded = expandTokens(part, tokens);
      if (expanded === undefined || (expanded === '' && part !== '')) continue;
      found.add(this.directory(expanded));
    }
    return [...found];
  }

  /** @param path without tokens. */
  directory(path: ByteString): SearchDirectory {
    const prefix = path === '' ? '' : `${path.replace(/(?<=.)\/+$/, '')}/`.replace(/^\/\/$/, '/');
    const known = this.#known.get(prefix);
    if (known !== undefined) return known;
    // A relative one moves with the current directory, so the loader never rules it out.
    const existence: Existence = prefix.startsWith('/') ? 'unknown' : 'present';
    const added = { prefix, existence: this.subdirectories.map(() => existence) };
    this.#known.set(prefix, added);
    return added;
  }
}
