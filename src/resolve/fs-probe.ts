import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { BufferSource, type ByteString, byteStringOf, bytesOf } from '../elf/bytes.js';
import { EI_NIDENT } from '../elf/constants.js';
import { IDENT_SIZE, isElf, readElfHeader } from '../elf/read.js';
import { ElfnoteError, fromSystemError, systemCode } from '../errors.js';
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
    const names = this.names(path.slice(0, slash) || '/');
    if (names !== undefined && !names.has(path.slice(slash + 1))) return { kind: 'absent', why: 'not there' };
    let candidate = this.#candidates.get(path);
    if (candidate === undefined) {
      const real = this.#locate(path);
      candidate = real === undefined ? { kind: 'absent', why: 'dangling link' } : readCandidate(real);
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

  /** Follows every link below the root, an absolute one from the root on; `..` never leaves it. */
  #resolveInRoot(path: ByteString): ByteString | undefined {
    const left = path.split('/').reverse();
    let at = '';
    let links = 0;
    while (left.length > 0) {
      const part = left.pop();
      if (part === undefined || part === '' || part === '.') continue;
      if (part === '..') {
        if (at !== '' && !isDirectory(bytesOf(this.#root + at))) return undefined;
        at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
        continue;
      }
      const next = `${at}/${part}`;
      const target = this.#readLink(next);
      if (target === undefined) {
        at = next;
        continue;
      }
      if (++links > MAX_LINKS) return undefined;
      if (target.startsWith('/')) at = '';
      left.push(...target.split('/').reverse());
    }
    return exists(bytesOf(`${this.#root}${at}`)) ? at || '/' : undefined;
  }

  #readLink(path: ByteString): ByteString | undefined {
    if (this.#links.has(path)) return this.#links.get(path);
    let target: ByteString | undefined;
    try {
      target = byteStringOf(readlinkSync(bytesOf(this.#root + path), 'buffer'));
    } catch {
      target = undefined;
    }
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

function realPathOnMachine(path: ByteString): ByteString | undefined {
  try {
    return byteStringOf(realpathSync.native(bytesOf(path), 'buffer'));
  } catch {
    return undefined;
  }
}

function exists(path: Buffer): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}

function isDirectory(path: Buffer): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function listDirectory(path: Buffer): Directory {
  try {
    accessSync(path, constants.X_OK);
    const names = readdirSync(path, { encoding: 'buffer' });
    return { state: 'searchable', names: new Set(names.map(byteStringOf)) };
  } catch (error) {
    return directoryWithoutList(path, systemCode(error));
  }
}

function directoryWithoutList(path: Buffer, code: string | undefined): Directory {
  if (code === 'ENOENT' || code === 'ELOOP') return { state: 'missing', names: undefined };
  if (code === 'ENOTDIR') return { state: 'not-a-directory', names: undefined };
  try {
    if (!statSync(path).isDirectory()) return { state: 'not-a-directory', names: undefined };
    accessSync(path, constants.X_OK);
    return { state: 'searchable', names: undefined };
  } catch {
    return { state: 'unsearchable', names: undefined };
  }
}

/** What `open_verify` finds in the file's first bytes. */
function readCandidate(path: Buffer): Candidate {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    return { kind: 'absent', why: systemCode(error) === 'EACCES' ? 'no permission' : 'cannot be opened' };
  }
  try {
    const head = Buffer.alloc(IDENT_SIZE);
    const got = readSync(fd, head, 0, head.length, 0);
    return parseCandidate(head.subarray(0, got));
  } catch (error) {
    return { kind: 'broken', why: systemCode(error) === 'EISDIR' ? 'is a directory' : 'cannot be read' };
  } finally {
    closeSync(fd);
  }
}

function parseCandidate(head: Buffer): Candidate {
  if (head.length < EI_NIDENT) return { kind: 'broken', why: 'too short' };
  if (!isElf(head)) return { kind: 'broken', why: 'not an ELF file' };
  try {
    const { header, encoding } = readElfHeader(new BufferSource(head));
    return {
      kind: 'elf',
      is64: encoding.is64,
      littleEndian: encoding.littleEndian,
      e_type: header.e_type,
      e_machine: header.e_machine,
      e_flags: header.e_flags,
    };
  } catch (error) {
    return { kind: 'broken', why: error instanceof ElfnoteError ? error.message : 'invalid ELF header' };
  }
}
