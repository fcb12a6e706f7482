import { closeSync, constants, openSync, readSync, type Stats, statSync } from 'node:fs';
import { type ByteString, bytesOf } from '../elf/bytes.js';
import { readElfHeader } from '../elf/read.js';
import { ElfnoteError, systemCode } from '../errors.js';
import { FileSource } from '../files/source.js';
import { failureToOpen } from '../resolve/candidate-file.js';
import { FileSystemProbe } from '../resolve/fs-probe.js';
import { readFacts } from './object.js';
import type { LoaderProbe, Opened } from './probe.js';

const ABSENT: Opened = { kind: 'failed', code: 'ENOENT' };

/** The file system as a loader sees it, or the one below `root`. What was opened once is answered from memory. */
export class FileLoaderProbe implements LoaderProbe {
  readonly #root: string | undefined;
  readonly #paths: FileSystemProbe;
  readonly #opened = new Map<ByteString, Opened>();

  /**
   * @param root a directory in which absolute paths and links are looked up; undefined for this machine's.
   * @throws ElfnoteError `usage` when the root is no directory.
   */
  constructor(root?: string) {
    this.#root = root;
    this.#paths = new FileSystemProbe(root);
  }

  /** One that remembers nothing yet. */
  anew(): FileLoaderProbe {
    return new FileLoaderProbe(this.#root);
  }

  open(path: ByteString): Opened {
    const known = this.#opened.get(path);
    if (known !== undefined) return known;
    const opened = this.#openAnew(path);
    // Most lookups fail, and each is made once: what is absent is quickly told again.
    if (opened !== ABSENT) this.#opened.set(path, opened);
    return opened;
  }

  isDirectory(path: ByteString): boolean {
    const place = this.#locate(path);
    const found = place === undefined ? undefined : tryStat(place);
    return found !== undefined && !('code' in found) && found.isDirectory();
  }

  access(path: ByteString): string | undefined {
    const place = this.#locate(path);
    const found = place === undefined ? { code: 'ENOENT' } : tryStat(place);
    return 'code' in found ? found.code : undefined;
  }

  readFile(path: ByteString): Buffer | { readonly code: string } {
    const place = this.#locate(path);
    return place === undefined ? { code: 'ENOENT' } : readWhole(place);
  }

  realPath(path: ByteString): ByteString | undefined {
    return this.#paths.realPath(path);
  }

  #locate(path: ByteString): Buffer | undefined {
    if (this.#root === undefined) return bytesOf(path);
    const real = this.#paths.realPath(path);
    return real === undefined ? undefined : Buffer.concat([Buffer.from(this.#root), bytesOf(real)]);
  }

  #openAnew(path: ByteString): Opened {
    const place = this.#locate(path);
    if (place === undefined) return ABSENT;
    const found = tryStat(place);
    if ('code' in found) return failed(found.code);
    if (found.isFile()) return openFile(place);
    const code = failureToOpen(place, found);
    if (code !== undefined) return failed(code);
    return found.isDirectory()
      ? broken('directory', 'is a directory')
      : broken('other', 'is not a regular file');
  }
}

function failed(code: string): Opened {
  return code === 'ENOENT' ? ABSENT : { kind: 'failed', code };
}

/** In bytes: no loader, and no ld.so.cache, is nearly as large. */
export const LARGEST = 1 << 26;
const PIECE = 1 << 16;

/** A file says what is read here, and may name a pipe that nobody writes to, or a device that never ends. */
function readWhole(place: Buffer): Buffer | { readonly code: string } {
  let fd: number | undefined;
  try {
    const stats = statSync(place);
    if (!stats.isFile()) return { code: stats.isDirectory() ? 'EISDIR' : 'EINVAL' };
    fd = openSync(place, constants.O_RDONLY | constants.O_NONBLOCK);
    return readToEnd(fd, stats.size);
  } catch (error) {
    return { code: systemCode(error) ?? 'EIO' };
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** @param expected of a file in /proc, zero. */
function readToEnd(fd: number, expected: number): Buffer | { readonly code: string } {
  if (expected > LARGEST) return { code: 'EFBIG' };
  const pieces: Buffer[] = [];
  for (let size = 0; size <= LARGEST; ) {
    const piece = Buffer.allocUnsafe(Math.max(expected - size, 0) + PIECE);
    const got = readSync(fd, piece);
    if (got === 0) return Buffer.concat(pieces);
    pieces.push(piece.subarray(0, got));
    size += got;
  }
  return { code: 'EFBIG' };
}

function tryStat(place: Buffer): Stats | { readonly code: string } {
  try {
    return statSync(place, { throwIfNoEntry: false }) ?? { code: 'ENOENT' };
  } catch (error) {
    return { code: systemCode(error) ?? 'EIO' };
  }
}

function openFile(place: Buffer): Opened {
  let source: FileSource;
  try {
    source = FileSource.openBytes(place);
  } catch (error) {
    if (!(error instanceof ElfnoteError)) throw error;
    const code = systemCode(error.cause);
    return code === undefined ? broken('other', error.message) : { kind: 'failed', code };
  }
  try {
    return readObject(source);
  } finally {
    source.close();
  }
}

function readObject(source: FileSource): Opened {
  const identity = `${source.stats.dev}:${source.stats.ino}`;
  try {
    const { header, encoding } = readElfHeader(source);
    const { e_type, e_machine, e_flags } = header;
    const { is64, littleEndian } = encoding;
    const candidate = { kind: 'elf', is64, littleEndian, e_type, e_machine, e_flags } as const;
    const read = tryFacts(source);
    return { kind: 'opened', identity, candidate, ...read };
  } catch (error) {
    if (!(error instanceof ElfnoteError)) throw error;
    return broken(identity, error.message);
  }
}

function tryFacts(source: FileSource): Pick<Extract<Opened, { kind: 'opened' }>, 'facts' | 'fault'> {
  try {
    return { facts: readFacts(source), fault: undefined };
  } catch (error) {
    if (!(error instanceof ElfnoteError)) throw error;
    return { facts: undefined, fault: error.message };
  }
}

function broken(identity: string, why: string): Opened {
  return {
    kind: 'opened',
    identity,
    candidate: { kind: 'broken', why },
    facts: undefined,
    fault: why,
  };
}
