import { accessSync, constants, readdirSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { type ByteString, byteStringOf, bytesOf } from '../elf/bytes.js';
import { ElfnoteError, fromSystemError, systemCode } from '../errors.js';
import { readCandidate, unknowable, unopened } from './candidate-file.js';
import { ResolveMemory } from './memory.js';
import type { Candidate, DirectoryState, LibraryProbe } from './probe.js';

interface Directory {
  readonly state: DirectoryState;
  readonly names: ReadonlySet<ByteString> | undefined;
}

const MAX_LINKS = 40;

/** Names and paths; at some 100 bytes each. Beyond it everything is forgotten and looked up anew. */
const MOST_REMEMBERED = 250_000;

/**
 * Looks libraries up in the file system, or in the one that stands below `root`. Each directory is listed
 * once, each candidate opened once; everything else is answered from memory, up to a bound.
 */
export class FileSystemProbe implements LibraryProbe {
  readonly memory = new ResolveMemory();
  readonly #root: ByteString;
  readonly #directories = new Map<ByteString, Directory>();
  readonly #candidates = new Map<ByteString, Candidate>();
  readonly #realPaths = new Map<ByteString, ByteString | undefined>();
  readonly #links = new Map<ByteString, ByteString | undefined>();
  readonly #most: number;
  #remembered = 0;

  /**
   * @param root a directory in which absolute paths and links are looked up; the default is `/`.
   * @param most how many names and paths are kept in memory.
   * @throws ElfnoteError `usage` when the root is no directory.
   */
  constructor(root?: string, most = MOST_REMEMBERED) {
    this.#most = most;
    this.#root = root === undefined ? '' : byteStringOf(Buffer.from(realRoot(root))).replace(/\/+$/, '');
  }

  directory(dir: ByteString): DirectoryState {
    return this.#list(dir).state;
  }

  names(dir: ByteString): ReadonlySet<ByteString> | undefined {
    return this.#list(dir).names;
  }

  candidate(path: ByteString): Candidate {
    const slash = path.lastIndexOf('/');
    const { state, names } = this.#list(path.slice(0, slash) || '/');
    const isThere = state === 'searchable' || state === 'unsearchable';
    if (!isThere || names?.has(path.slice(slash + 1)) === false) return { kind: 'absent', why: 'not there' };
    let candidate = this.#candidates.get(path);
    if (candidate === undefined) {
      const real = this.#root === '' ? { at: path } : this.#follow(path);
      candidate = 'at' in real ? readCandidate(bytesOf(this.#root + real.at)) : unopened(path, real);
      this.#remember(this.#candidates, path, candidate);
    }
    return candidate;
  }

  realPath(path: ByteString): ByteString | undefined {
    if (this.#realPaths.has(path)) return this.#realPaths.get(path);
    const real = this.#root === '' ? realPathOnMachine(path) : this.#resolveInRoot(path);
    this.#remember(this.#realPaths, path, real);
    return real;
  }

  #list(dir: ByteString): Directory {
    let directory = this.#directories.get(dir);
    if (directory === undefined) {
      const real = this.#locate(dir);
      directory = real === undefined ? { state: 'missing', names: undefined } : listDirectory(real);
      this.#remember(this.#directories, dir, directory, directory.names?.size);
    }
    return directory;
  }

  #remember<T>(answers: Map<ByteString, T>, path: ByteString, answer: T, names = 0): void {
    this.#remembered += 1 + names;
    if (this.#remembered > this.#most) {
      for (const map of [this.#directories, this.#candidates, this.#realPaths, this.#links]) map.clear();
      this.memory.forget();
      this.#remembered = 1 + names;
    }
    answers.set(path, answer);
  }

  /** Where the machine finds a path of the looked-up file system. */
  #locate(path: ByteString): Buffer | undefined {
    if (this.#root === '') return bytesOf(path);
    const real = this.#resolveInRoot(path);
    return real === undefined ? undefined : bytesOf(this.#root + real);
  }

  #resolveInRoot(path: ByteString): ByteString | undefined {
    const real = this.#follow(path);
    return 'at' in real && exists(bytesOf(this.#root + real.at)) ? real.at || '/' : undefined;
  }

  /**
   * Follows every link below the root, an absolute one from the root on; `..` never leaves it. What it leads to need not
   * be there.
   */
  #follow(path: ByteString): { readonly at: ByteString } | { readonly code: string } {
    const left = path.split('/').reverse();
    let at = '';
    let links = 0;
    while (left.length > 0) {
      const part = left.pop();
      if (part === undefined || part === '' || part === '.') continue;
      if (part === '..') {
        if (at !== '' && !isDirectory(bytesOf(this.#root + at))) return { code: 'ENOENT' };
        at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
        continue;
      }
      const next = `${at}/${part}`;
      const target = this.#readLink(next);
      if (target === undefined) {
        at = next;
        continue;
      }
      if (++links > MAX_LINKS) return { code: 'ELOOP' };
      if (target.startsWith('/')) at = '';
      left.push(...target.split('/').reverse());
    }
    return { at };
  }

  #readLink(path: ByteString): ByteString | undefined {
    if (this.#links.has(path)) return this.#links.get(path);
    const real = this.#root + path;
    // A path that is no link, and one that is not there.
    const target = answered(real, [...NOT_THERE, 'EINVAL'], undefined, () =>
      byteStringOf(readlinkSync(bytesOf(real), 'buffer')),
    );
    this.#remember(this.#links, path, target);
    return target;
  }
}

function realRoot(path: string): string {
  try {
    if (statSync(path).isDirectory()) return realpathSync.native(path);
  } catch (error) {
    throw fromSystemError('usage', 'cannot be looked up in', path, error);
  }
  throw new ElfnoteError('usage', 'is not a directory', { path });
}

/**
 * What a path has to say for itself: it is not there, a loop of links, a name that no file can have, or forbidden. Any
 * other failure (EIO, EMFILE, ENOMEM ...) is of the machine and the moment, and says nothing about what ld.so will find.
 */
const NOT_THERE = ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'ENAMETOOLONG'];

/** @throws ElfnoteError `unreadable`, without the path of the file that is worked on. */
function answered<T, U>(path: ByteString, codes: readonly string[], otherwise: U, ask: () => T): T | U {
  try {
    return ask();
  } catch (error) {
    if (codes.includes(systemCode(error) ?? '')) return otherwise;
    throw unknowable(path, error);
  }
}

function realPathOnMachine(path: ByteString): ByteString | undefined {
  return answered(path, NOT_THERE, undefined, () =>
    byteStringOf(realpathSync.native(bytesOf(path), 'buffer')),
  );
}

function exists(path: Buffer): boolean {
  return answered(byteStringOf(path), NOT_THERE, false, () => statSync(path) !== undefined);
}

function isDirectory(path: Buffer): boolean {
  return answered(byteStringOf(path), NOT_THERE, false, () => statSync(path).isDirectory());
}

function listDirectory(path: Buffer): Directory {
  try {
    accessSync(path, constants.X_OK);
    return { state: 'searchable', names: new Set(readdirSync(path, 'latin1')) };
  } catch (error) {
    return directoryWithoutList(path, error);
  }
}

function directoryWithoutList(path: Buffer, error: unknown): Directory {
  const without = (state: DirectoryState): Directory => ({ state, names: undefined });
  switch (systemCode(error)) {
    case 'ENOENT':
    case 'ELOOP':
    case 'ENAMETOOLONG':
      return without('missing');
    case 'ENOTDIR':
      return without('not-a-directory');
    case 'EACCES':
      break;
    default:
      throw unknowable(byteStringOf(path), error);
  }
  // It may be closed to lists alone, or to everything.
  return answered(byteStringOf(path), NOT_THERE, without('unsearchable'), () => {
    if (!statSync(path).isDirectory()) return without('not-a-directory');
    accessSync(path, constants.X_OK);
    return without('searchable');
  });
}
