import { type ByteString, byteStringOf, type Encoding } from '../elf/bytes.js';
import type { Architecture } from './architectures.js';
import type { Processor } from './hwcaps.js';

/** Decides among the entries of one name; see `LdCache.find`. */
interface Entry {
  readonly path: ByteString;
  readonly flags: number;
  /** Index of a `glibc-hwcaps` subdirectory, for an entry that stands in one. */
  readonly level: string | undefined;
  /** Of the older kind: any bit set here asks for a capability or a platform. */
  readonly hwcap: boolean;
}

const OLD_MAGIC = 'ld.so-1.7.0';
const NEW_MAGIC = 'glibc-ld.so.cache1.1';

/** Bytes: `struct cache_file`, its entries, `struct cache_file_new`, its entries (sysdeps/generic/dl-cache.h). */
const OLD_HEADER = 16;
const OLD_ENTRY = 12;
const NEW_HEADER = 48;
const NEW_ENTRY = 24;

const EXTENSION_MAGIC = 0xeaa42174;
const HWCAPS_EXTENSION = 1;

/**
 * ld.so.cache in the format of glibc 2.2 and later, in the old one of libc5, or in the old one with the new behind it.
 * Read as hostile input: an entry that leaves the file is passed over, as the loader does.
 */
export class LdCache {
  readonly #entries = new Map<ByteString, Entry[]>();
  readonly #flags: readonly number[];
  readonly #processor: Processor;

  private constructor(flags: readonly number[], processor: Processor) {
    this.#flags = flags;
    this.#processor = processor;
  }

  /** Undefined for what is no such file, or is of the other byte order: the loader then does without. */
  static read(
    bytes: Buffer,
    encoding: Encoding,
    architecture: Architecture,
    processor: Processor,
  ): LdCache | undefined {
    const cache = new LdCache(architecture.cacheFlags, processor);
    const at = startOfNew(bytes, encoding);
    if (at !== undefined) return cache.#readNew(bytes, at, encoding) ? cache : undefined;
    return cache.#readOld(bytes, encoding) ? cache : undefined;
  }

  /** The path that ld.so takes for a name (`search_cache`, elf/dl-cache.c). */
  find(name: ByteString): ByteString | undefined {
    let best: { readonly path: ByteString; readonly priority: number } | undefined;
    for (const { path, flags, level, hwcap } of this.#entries.get(name) ?? []) {
      if (!this.#flags.includes(flags)) continue;
      if (level === undefined) {
        if (best !== undefined && best.priority >= 0) return best.path;
        if (hwcap) continue;
        if (flags === this.#flags[0]) return path;
        best = { path, priority: -1 };
        continue;
      }
      const priority = this.#processor.levels.indexOf(level);
      if (priority >= 0 && (best === undefined || priority < best.priority)) best = { path, priority };
    }
    return best?.path;
  }

  /** As `find` for any processor; `depends` where there is an entry for some processors alone. */
  findPlain(name: ByteString): ByteString | 'depends' | undefined {
    const entries = this.#entries.get(name) ?? [];
    const own = entries.filter(({ flags }) => this.#flags.includes(flags));
    return own.some(({ level, hwcap }) => level !== undefined || hwcap) ? 'depends' : this.find(name);
  }

  #add(name: ByteString | undefined, entry: Omit<Entry, 'path'>, path: ByteString | undefined): void {
    if (name === undefined || path === undefined) return;
    const known = this.#entries.get(name);
    if (known === undefined) this.#entries.set(name, [{ path, ...entry }]);
    else known.push({ path, ...entry });
  }

  #readOld(bytes: Buffer, encoding: Encoding): boolean {
    if (bytes.length < OLD_HEADER || !startsWith(bytes, 0, OLD_MAGIC)) return false;
    const count = encoding.u32(bytes, OLD_HEADER - 4);
    const strings = OLD_HEADER + count * OLD_ENTRY;
    if (strings > bytes.length) return false;
    for (let at = OLD_HEADER; at < strings; at += OLD_ENTRY) {
      const [flags, key, value] = [0, 4, 8].map(field => encoding.u32(bytes, at + field));
      const entry = { flags: flags ?? 0, level: undefined, hwcap: false };
      this.#add(text(bytes, strings + (key ?? 0)), entry, text(bytes, strings + (value ?? 0)));
    }
    return true;
  }

  #readNew(bytes: Buffer, start: number, encoding: Encoding): boolean {
    const file = bytes.subarray(start);
    const order = file.readUInt8(28) & 3;
    if (order !== 0 && order !== (encoding.littleEndian ? 2 : 3)) return false;
    const count = encoding.u32(file, 20);
    const end = NEW_HEADER + count * NEW_ENTRY;
    if (end > file.length) return false;
    const levels = levelNames(file, encoding);
    for (let at = NEW_HEADER; at < end; at += NEW_ENTRY) {
      const high = encoding.u32(file, at + (encoding.littleEndian ? 20 : 16));
      const low = encoding.u32(file, at + (encoding.littleEndian ? 16 : 20));
      // Bit 62 marks an entry in a subdirectory of glibc-hwcaps; the ten bits above 32 are levels of the ISA.
      const isLevel = high >>> 10 === 1 << 20;
      const level = isLevel ? (levels[low] ?? '') : undefined;
      const flags = encoding.u32(file, at);
      const entry = { flags, level, hwcap: !isLevel && (high !== 0 || low !== 0) };
      // String offsets count from the start of the new part.
      this.#add(text(file, encoding.u32(file, at + 4)), entry, text(file, encoding.u32(file, at + 8)));
    }
    return true;
  }
}

/** Where the new format starts: at once, or aligned to 8 behind the entries of the old one. */
function startOfNew(bytes: Buffer, encoding: Encoding): number | undefined {
  let at = 0;
  if (bytes.length >= OLD_HEADER && startsWith(bytes, 0, OLD_MAGIC)) {
    at = Math.ceil((OLD_HEADER + encoding.u32(bytes, OLD_HEADER - 4) * OLD_ENTRY) / 8) * 8;
  }
  return at + NEW_HEADER <= bytes.length && startsWith(bytes, at, NEW_MAGIC) ? at : undefined;
}

/** The names behind the indexes of `glibc-hwcaps` entries, from the file's extension directory. */
function levelNames(file: Buffer, encoding: Encoding): (ByteString | undefined)[] {
  const at = encoding.u32(file, 32);
  if (at % 4 !== 0 || at + 8 > file.length || encoding.u32(file, at) !== EXTENSION_MAGIC) return [];
  const count = encoding.u32(file, at + 4);
  for (let i = 0; i < count; i++) {
    const section = at + 8 + i * 16;
    if (section + 16 > file.length) return [];
    if (encoding.u32(file, section) !== HWCAPS_EXTENSION) continue;
    const offset = encoding.u32(file, section + 8);
    const size = encoding.u32(file, section + 12);
    if (offset + size > file.length) return [];
    return Array.from({ length: size / 4 }, (_, n) => text(file, encoding.u32(file, offset + 4 * n)));
  }
  return [];
}

function startsWith(bytes: Buffer, at: number, magic: string): boolean {
  return bytes.subarray(at, at + magic.length).toString('latin1') === magic;
}

function text(bytes: Buffer, at: number): ByteString | undefined {
  if (at >= bytes.length) return undefined;
  const end = bytes.indexOf(0, at);
  return end < 0 ? undefined : byteStringOf(bytes.subarray(at, end));
}
