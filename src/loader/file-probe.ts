import { readFileSync, statSync } from 'node:fs';
import { type ByteString, bytesOf } from '../elf/bytes.js';
import { readElfHeader } from '../elf/read.js';
import { ElfnoteError, systemCode } from '../errors.js';
import { FileSource } from '../files/source.js';
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
    return place !== undefined && tryStat(place) === 'directory';
  }

  access(path: ByteString): string | undefined {
    const place = this.#locate(path);
    const found = place === undefined ? { code: 'ENOENT' } : tryStat(place);
    return typeof found === 'object' ? found.code : undefined;
  }

  readFile(path: ByteString): Buffer | { readonly code: string } {
    const place = this.#locate(path);
    if (place === undefined) return { code: 'ENOENT' };
    try {
      return readFileSync(place);
    } catch (error) {
      return { code: systemCode(error) ?? 'EIO' };
    }
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
    if (typeof found === 'object')
      return found.code === 'ENOENT' ? ABSENT : { kind: 'failed', code: found.code };
    if (found === 'directory') return broken('directory', 'is a directory');
    return openFile(place);
  }
}

function tryStat(place: Buffer): 'directory' | 'other' | { code: string } {
  try {
    const stats = statSync(place, { throwIfNoEntry: false });
    if (stats === undefined) return { code: 'ENOENT' };
    return stats.isDirectory() ? 'directory' : 'other';
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
