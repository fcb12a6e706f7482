import type { ByteString } from '../elf/bytes.js';
import type { Candidate } from '../resolve/probe.js';
import type { ObjectFacts } from './object.js';

/** What the simulated loader asks of the file system. Paths are byte strings, absolute or in the current directory. */
export interface LoaderProbe {
  /** open(2), and what ld.so reads of the file then. */
  open(path: ByteString): Opened;
  /** stat(2): whether it is there and is a directory, links followed. */
  isDirectory(path: ByteString): boolean;
  /** Whether something is there, whatever it is: undefined, or why not (`ENOENT` ...). */
  access(path: ByteString): string | undefined;
  /** All bytes of a file, or why it cannot be opened. */
  readFile(path: ByteString): Buffer | { readonly code: string };
  /** The path with every symbolic link followed; undefined when it does not exist. */
  realPath(path: ByteString): ByteString | undefined;
}

export type Opened =
  | { readonly kind: 'failed'; readonly code: string }
  | {
      readonly kind: 'opened';
      /** Device and inode: two names of one file are one object. */
      readonly identity: string;
      readonly candidate: Exclude<Candidate, { kind: 'absent' }>;
      /** Undefined for what is no ELF file, or is damaged behind its header: `fault` says how. */
      readonly facts: ObjectFacts | undefined;
      readonly fault: string | undefined;
    };
