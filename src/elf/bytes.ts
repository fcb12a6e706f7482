import { ElfnoteError } from '../errors.js';

/**
 * A string in which every character is one byte (0 to 255). Sonames and run paths are bytes, not text:
 * this keeps them exact, and comparing two of them compares their bytes.
 */
export type ByteString = string;

export function byteStringOf(bytes: Buffer): ByteString {
  return bytes.toString('latin1');
}

export function bytesOf(text: ByteString): Buffer {
  return Buffer.from(text, 'latin1');
}

/** A byte string as text for people: UTF-8 where it is UTF-8, control characters escaped. */
export function displayBytes(text: ByteString): string {
  return escapeControls(bytesOf(text).toString('utf8'));
}

/** What most texts are, and then V8 has no sets of Unicode to make, which is a part of a short run that can be measured. */
const PLAIN = /^[ -~]*$/;

/**
 * What a terminal or an editor obeys or hides rather than shows, as Unicode's categories have it: control characters with
 * DEL and C1 (U+009B is as good as ESC `[`), format characters (what turns a text around, byte order marks, joiners),
 * line and paragraph ends. And all of U+E0000 to U+E0FFF, the tags, which nobody sees.
 */
function replaceUnsafe(text: string, escaped: (c: string) => string): string {
  return PLAIN.test(text) ? text : text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u{e0000}-\u{e0fff}]/gu, escaped);
}

/** Keeps a name on one line, and terminals safe from it. */
export function escapeControls(text: string): string {
  return replaceUnsafe(text, c => {
    const code = (c.codePointAt(0) ?? 0).toString(16);
    if (code.length > 4) return `\\u{${code}}`;
    return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
  });
}

/** JSON on one line, with the same safety: what it leaves as it is inside strings becomes `\uNNNN`. */
export function jsonText(value: unknown): string {
  return replaceUnsafe(JSON.stringify(value), c => c.split('').map(utf16Escape).join(''));
}

/** JSON has no other escape, so that a character beyond U+FFFF is two. */
function utf16Escape(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Ranged reads over a file, a buffer, or a file with edits laid over it. */
export interface ByteSource {
  /** For messages. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /**
   * The bytes of [offset, offset + length). The result must not be written to.
   * @throws ElfnoteError `malformed` when the range leaves the file.
   */
  read(offset: number, length: number): Buffer;
}

/** @throws ElfnoteError `malformed` unless [offset, offset + length) lies inside `source`. */
export function checkRange(
  source: { path: string; size: number },
  offset: number,
  length: number,
  what = 'data',
): void {
  const isWithin = offset >= 0 && length >= 0 && offset + length <= source.size;
  // What a double does not hold exactly is beyond every file.
  if (isWithin && offset % 1 === 0 && length % 1 === 0) return;
  throw new ElfnoteError(
    'malformed',
    `${what} of ${length} bytes reaches beyond the end of the file (${source.size} bytes)`,
    { path: source.path, offset },
  );
}

export class BufferSource implements ByteSource {
  readonly path: string;
  readonly size: number;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, path = '<buffer>') {
    this.#bytes = bytes;
    this.path = path;
    this.size = bytes.length;
  }

  read(offset: number, length: number): Buffer {
    checkRange(this, offset, length);
    return this.#bytes.subarray(offset, offset + length);
  }
}

export interface Patch {
  /** File offset in bytes. */
  readonly offset: number;
  readonly bytes: Buffer;
}

/** What `base` will read like once the patches are applied in order and the file has `size` bytes. */
export class PatchedSource implements ByteSource {
  readonly path: string;
  readonly size: number;
  readonly #base: ByteSource;
  readonly #patches: readonly Patch[];

  constructor(base: ByteSource, patches: readonly Patch[], size: number) {
    this.path = base.path;
    this.size = size;
    this.#base = base;
    this.#patches = patches;
  }

  read(offset: number, length: number): Buffer {
    checkRange(this, offset, length);
    const end = offset + length;
    const last = this.#lastWithin(offset, end);
    if (last === undefined) {
      if (end <= this.#base.size) return this.#base.read(offset, length);
    } else if (last.offset <= offset && end <= last.offset + last.bytes.length) {
      // Nothing that was written before shows through the last patch.
      return last.bytes.subarray(offset - last.offset, end - last.offset);
    }
    return this.#overlaid(offset, length);
  }

  #lastWithin(start: number, end: number): Patch | undefined {
    const patches = this.#patches;
    for (let i = patches.length - 1; i >= 0; i--) {
      const patch = patches[i];
      if (patch && patch.offset < end && start < patch.offset + patch.bytes.length) return patch;
    }
    return undefined;
  }

  #overlaid(offset: number, length: number): Buffer {
    const result = Buffer.allocUnsafe(length);
    const fromBase = Math.min(length, Math.max(0, this.#base.size - offset));
    if (fromBase > 0) result.set(this.#base.read(offset, fromBase));
    if (fromBase < length) result.fill(0, fromBase);
    for (const patch of this.#patches) {
      const from = Math.max(offset, patch.offset);
      const to = Math.min(offset + length, patch.offset + patch.bytes.length);
      if (from < to) patch.bytes.copy(result, from - offset, from - patch.offset, to - patch.offset);
    }
    return result;
  }
}

/** Whether the `length` bytes at `offset` are all zero; reads them in pieces. */
export function isZero(source: ByteSource, offset: number, length: number): boolean {
  return zeroRun(source, offset, length) === length;
}

const ZEROS = Buffer.alloc(4096);

/** How many zero bytes follow `offset`, at most `limit`; reads no further than the first other byte's piece. */
export function zeroRun(source: ByteSource, offset: number, limit: number): number {
  let done = 0;
  while (done < limit) {
    const bytes = source.read(offset + done, pieceAt(offset + done, offset + limit));
    if (bytes[0] !== 0 || bytes.compare(ZEROS, 0, bytes.length) !== 0)
      for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return done + i;
    done += bytes.length;
  }
  return limit;
}

/** In bytes: a file is read in blocks of so many, and what is within one of them is not copied. */
export const PIECE = 4096;

/** Bytes from `at` to the end of its block, or to `end`. */
export function pieceAt(at: number, end: number): number {
  return Math.min(PIECE - (at % PIECE), end - at);
}

/** Integers of one ELF class and byte order; offsets are into the given buffer. */
export class Encoding {
  readonly is64: boolean;
  readonly littleEndian: boolean;
  /** Bytes of an address, an offset and an `Elf_Dyn` half: 4 or 8. */
  readonly wordSize: 4 | 8;

  constructor(is64: boolean, littleEndian: boolean) {
    this.is64 = is64;
    this.littleEndian = littleEndian;
    this.wordSize = is64 ? 8 : 4;
  }

  u16(bytes: Buffer, at: number): number {
    return this.littleEndian ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
  }

  u32(bytes: Buffer, at: number): number {
    return this.littleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  }

  /** Exact below 2^53; a larger value is rounded, and every use as an offset or address rejects it. */
  u64(bytes: Buffer, at: number): number {
    const first = this.u32(bytes, at);
    const second = this.u32(bytes, at + 4);
    return this.littleEndian ? joined(second, first) : joined(first, second);
  }

  word(bytes: Buffer, at: number): number {
    return this.is64 ? this.u64(bytes, at) : this.u32(bytes, at);
  }

  /** The put functions throw ElfnoteError `unsupported` for a value that does not fit. */
  putU16(bytes: Buffer, at: number, value: number): void {
    checkFits(value, 2 ** 16);
    if (this.littleEndian) bytes.writeUInt16LE(value, at);
    else bytes.writeUInt16BE(value, at);
  }

  putU32(bytes: Buffer, at: number, value: number): void {
    checkFits(value, 2 ** 32);
    if (this.littleEndian) bytes.writeUInt32LE(value, at);
    else bytes.writeUInt32BE(value, at);
  }

  putU64(bytes: Buffer, at: number, value: number): void {
    checkFits(value, 2 ** 53);
    const high = Math.floor(value / 2 ** 32);
    const low = value % 2 ** 32;
    this.putU32(bytes, at, this.littleEndian ? low : high);
    this.putU32(bytes, at + 4, this.littleEndian ? high : low);
  }

  putWord(bytes: Buffer, at: number, value: number): void {
    if (this.is64) this.putU64(bytes, at, value);
    else this.putU32(bytes, at, value);
  }

  wordBytes(value: number): Buffer {
    const bytes = Buffer.alloc(this.wordSize);
    this.putWord(bytes, 0, value);
    return bytes;
  }
}

/** @throws ElfnoteError `unsupported` for a value that does not fit. */
export function checkFits(value: number, limit: number): void {
  if (Number.isInteger(value) && value >= 0 && value < limit) return;
  throw new ElfnoteError('unsupported', `${value} does not fit its field`);
}

/** A 64-bit value. Most are short, and V8 makes an object of what it has multiplied. */
function joined(high: number, low: number): number {
  return high === 0 ? low : high * 2 ** 32 + low;
}

/** `value` rounded up to a multiple of `alignment`; 0 and 1 mean none (gABI `p_align`, `sh_addralign`). */
export function alignUp(value: number, alignment: number): number {
  if (alignment <= 1) return value;
  const rest = value % alignment;
  return rest <= 0 ? value - rest : value - rest + alignment;
}

/** The largest of the values, and `least`; unlike `Math.max(...)` it takes any number of them. */
export function largest(values: Iterable<number>, least = 0): number {
  let result = least;
  for (const value of values) if (value > result) result = value;
  return result;
}

/** The first value at or after `from` that is congruent to `like` modulo `alignment`. */
export function congruentUp(from: number, like: number, alignment: number): number {
  if (alignment <= 1) return from;
  const gap = (like - from) % alignment;
  return from + (gap < 0 ? gap + alignment : gap);
}
