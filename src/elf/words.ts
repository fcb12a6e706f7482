import type { Encoding } from './bytes.js';

const IS_LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/**
 * The 32-bit words of a table to read, by its encoding; offsets are into the table, and multiples of four. Cheaper than asking
 * `Encoding` field by field, for code that runs a few times as for code that runs often; such code also finds a field that is
 * not private (`#`) sooner.
 */
export class Words {
  readonly words: Uint32Array;
  readonly is64: boolean;
  /** Index of the lower half of a 64-bit value, and of the upper one. */
  readonly low: 0 | 1;
  readonly high: 0 | 1;

  /** @param bytes those behind the last whole word are none of it. */
  constructor({ is64, littleEndian }: Encoding, bytes: Buffer) {
    this.words = wordsOf(bytes, littleEndian);
    this.is64 = is64;
    this.low = littleEndian ? 0 : 1;
    this.high = littleEndian ? 1 : 0;
  }

  u32(at: number): number {
    return this.words[at >>> 2] ?? 0;
  }

  /** As `Encoding.word`: exact below 2^53, rounded above. */
  word(at: number): number {
    const { words } = this;
    const index = at >>> 2;
    if (!this.is64) return words[index] ?? 0;
    const low = words[index + this.low] ?? 0;
    const high = words[index + this.high] ?? 0;
    // V8 makes an object of what it has multiplied.
    return high === 0 ? low : high * 2 ** 32 + low;
  }
}

/** In the machine's byte order. A copy where that is another, or where the bytes are not at a multiple of four in memory. */
function wordsOf(bytes: Buffer, littleEndian: boolean): Uint32Array {
  const count = bytes.length >>> 2;
  const isSwapped = littleEndian !== IS_LITTLE_ENDIAN;
  if (!isSwapped && bytes.byteOffset % 4 === 0) return new Uint32Array(bytes.buffer, bytes.byteOffset, count);
  const words = new Uint32Array(count);
  const copy = Buffer.from(words.buffer);
  bytes.copy(copy);
  if (isSwapped) copy.swap32();
  return words;
}
