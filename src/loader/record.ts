import type { ByteString } from '../elf/bytes.js';
import type { ObjectFacts, Request } from './object.js';

/** Which rule of the loader named a place. */
export type How = 'path' | 'note' | 'rpath' | 'library-path' | 'runpath' | 'ld.so.cache' | 'default';

/** Where the loader looked, and by whose word. */
export interface Place {
  readonly how: How;
  /** The directory, with a slash at its end; empty for the current one. Undefined for a path. */
  readonly directory?: ByteString;
  /** Index of the object whose run path or note it is. */
  readonly owner?: number;
}

/** A place where a name was looked for in vain. */
export interface TriedPlace extends Place {
  /** Neither it nor a subdirectory is there. */
  readonly isAbsent: boolean;
}

/** One system call of the loader that names a path. */
export interface Step {
  /** `cache` opens ld.so.cache itself. */
  readonly call: 'open' | 'stat' | 'cache';
  readonly path: ByteString;
  /** `passed-over`: opened, and of another class or machine; `fatal`: opened, and the program ends. */
  readonly result: 'found' | 'failed' | 'passed-over' | 'fatal';
  /** The error's name (`ENOENT`), or what is wrong with the file. Empty for `found`. */
  readonly why: string;
  readonly place: Place;
}

/** What became of one thing that an object asked for. */
export interface Lookup {
  /** Index of the object that asked. */
  readonly requester: number;
  readonly tag: Request['tag'] | 'preload' | 'dlopen';
  /** As it stands in the file. */
  readonly name: ByteString;
  /**
   * `loaded`: opened now; `known`: an object of that name is there already, nothing is asked of the system;
   * `same-file`: opened, and another name of an object that is there.
   */
  readonly outcome: 'loaded' | 'known' | 'same-file' | 'missing' | 'fatal';
  /** Index of the object that it is; undefined where there is none. */
  readonly result: number | undefined;
  /** The place where it was found. */
  readonly place: Place | undefined;
  readonly steps: readonly Step[];
  /** Of a missing one: every place of the search, in order. */
  readonly places?: readonly TriedPlace[];
  /** What an audit module did with the note, where there is one. */
  readonly answer?: string;
}

/** An object of the process, in the order in which the loader got to it. */
export interface TracedObject {
  readonly index: number;
  readonly kind: 'program' | 'library' | 'loader' | 'vdso';
  /** The name by which it was asked for first. */
  readonly name: ByteString;
  /** The path by which it was opened (`l_name`); the program's is its real path. */
  readonly path: ByteString;
  readonly place: Place | undefined;
  /** Index of the object that asked for it first (`l_loader`). */
  readonly requester: number | undefined;
  /** Undefined of the loader and the vDSO, which nothing is asked of. */
  readonly facts: ObjectFacts | undefined;
}
