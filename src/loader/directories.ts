import type { ByteString } from '../elf/bytes.js';
import { expandTokens, type Tokens } from './tokens.js';

/** A directory in which the loader tries a name. What it has found absent once, it tries no more. */
export interface TriedDirectory {
  /** With a slash at its end; empty for the current directory. */
  readonly prefix: ByteString;
  /** False until the loader has seen that it is there. */
  known: boolean;
}

/** One directory of a search path, as the loader keeps it (`struct r_search_path_elem`); shared by all objects. */
export interface SearchDirectory {
  readonly prefix: ByteString;
  /** Its subdirectories for the processor, and itself at the end; without those that are absent. */
  tried: readonly TriedDirectory[];
}

/** Every directory that a process has searched (`_dl_all_dirs`, elf/dl-load.c). */
export class Directories {
  readonly #subdirectories: readonly ByteString[];
  readonly #known = new Map<ByteString, SearchDirectory>();

  /** @param subdirectories as `subdirectoriesOf` gives them. */
  constructor(subdirectories: readonly ByteString[]) {
    this.#subdirectories = subdirectories;
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
    const isKnown = !prefix.startsWith('/');
    const tried = this.#subdirectories.map(name => ({ prefix: `${prefix}${name}`, known: isKnown }));
    const added = { prefix, tried };
    this.#known.set(prefix, added);
    return added;
  }
}
