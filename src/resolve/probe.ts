import type { ByteString } from '../elf/bytes.js';
import type { ResolveMemory } from './memory.js';

/** What resolution asks of the file system. Paths are absolute byte strings, as the run path names them. */
export interface LibraryProbe {
  /** Whether files can be looked up in a directory now. */
  directory(dir: ByteString): DirectoryState;
  /** The names in a directory that is `searchable`. Undefined when it may be searched but not listed. */
  names(dir: ByteString): ReadonlySet<ByteString> | undefined;
  /** What stands at a path, as far as ld.so's `open_verify` cares. */
  candidate(path: ByteString): Candidate;
  /** The path with every symbolic link followed; undefined when it does not exist. */
  realPath(path: ByteString): ByteString | undefined;
  /** Of a probe that gives the same answers for as long as it lives: what follows from them is kept there. */
  readonly memory?: ResolveMemory | undefined;
}

export type DirectoryState = 'searchable' | 'missing' | 'not-a-directory' | 'unsearchable';

export type Candidate =
  /** Does not exist, a dangling link, no permission: `open` fails and ld.so goes on. */
  | { readonly kind: 'absent'; readonly why: string }
  /** `open` succeeds and `open_verify` ends the program. */
  | { readonly kind: 'broken'; readonly why: string }
  | {
      readonly kind: 'elf';
      readonly is64: boolean;
      readonly littleEndian: boolean;
      readonly e_type: number;
      readonly e_machine: number;
      readonly e_flags: number;
    };
