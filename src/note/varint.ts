/** LEB128: seven bits a byte, the lowest first; exact below 2^53. */
export function putVarint(bytes: number[], value: number): void {
  let left = value;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  bytes.push(left);
}

/** Small numbers of either sign take few bytes: 0, -1, 1, -2 are written as 0, 1, 2, 3. */
export function putZigzag(bytes: number[], value: number): void {
  putVarint(bytes, value < 0 ? -2 * value - 1 : 2 * value);
}

/** Reads varints one after another; `failed` once one has no end, or is 2^53 or more. */
export class Varints {
  failed = false;
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** 0 when it failed. */
  next(): number {
    const first = this.#bytes[this.#at];
    if (first !== undefined && first < 128 && !this.failed) {
      this.#at++;
      return first;
    }
    let value = 0;
    for (let factor = 1; !this.failed; factor *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || factor > 2 ** 49) this.failed = true;
      else {
        value += (byte % 128) * factor;
        if (byte < 128) break;
      }
    }
    if (!Number.isSafeInteger(value)) this.failed = true;
    return this.failed ? 0 : value;
  }

  nextZigzag(): number {
    const value = this.next();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  }

  /** That many bytes as they are, or undefined where there are fewer. */
  take(length: number): Buffer | undefined {
    if (this.#at + length > this.#bytes.length) return undefined;
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
