import type { Candidate, DirectoryState, LibraryProbe } from '../../src/resolve/probe.js';

/** A file system made of a table, for resolving without one. Keeps what was asked. */
export interface MemoryTree {
  /** Path to file; every directory above it exists and can be listed. */
  readonly files?: Readonly<Record<string, Candidate>>;
  readonly emptyDirectories?: readonly string[];
  /** What is said of directories that are not plainly there. */
  readonly states?: Readonly<Record<string, DirectoryState>>;
  /** Directories that may be searched and not listed. */
  readonly unlistable?: readonly string[];
  /** Directory to what it really is. Default: itself. */
  readonly realPaths?: Readonly<Record<string, string | undefined>>;
}

export const ELF: Candidate & { kind: 'elf' } = {
  kind: 'elf',
  is64: true,
  littleEndian: true,
  e_type: 3,
  e_machine: 62,
  e_flags: 0,
};

export class MemoryProbe implements LibraryProbe {
  readonly asked: string[] = [];
  readonly #tree: MemoryTree;
  readonly #names = new Map<string, Set<string>>();

  constructor(tree: MemoryTree) {
    this.#tree = tree;
    for (const path of Object.keys(tree.files ?? {})) this.#add(path);
    for (const path of tree.emptyDirectories ?? []) this.#add(`${path}/.`);
  }

  #add(path: string): void {
    const slash = path.lastIndexOf('/');
    const dir = slash === 0 ? '/' : path.slice(0, slash);
    const names = this.#names.get(dir) ?? new Set<string>();
    const name = path.slice(slash + 1);
    if (name !== '.') names.add(name);
    this.#names.set(dir, names);
    if (dir !== '/') this.#add(dir);
  }

  directory(dir: string): DirectoryState {
    this.asked.push(`directory ${dir}`);
    return this.#tree.states?.[dir] ?? (this.#names.has(dir) ? 'searchable' : 'missing');
  }

  names(dir: string): ReadonlySet<string> | undefined {
    this.asked.push(`names ${dir}`);
    return this.#tree.unlistable?.includes(dir) ? undefined : this.#names.get(dir);
  }

  candidate(path: string): Candidate {
    this.asked.push(`candidate ${path}`);
    return this.#tree.files?.[path] ?? { kind: 'absent', why: 'not there' };
  }

  realPath(path: string): string | undefined {
    this.asked.push(`realPath ${path}`);
    const { realPaths = {} } = this.#tree;
    return path in realPaths ? realPaths[path] : path;
  }
}
