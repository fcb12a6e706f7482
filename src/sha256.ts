import { hash } from 'node:crypto';
import javascript from 'js-sha256/build/sha256.js';

/** In bytes, of all that is hashed: so much takes JavaScript less time than to load node:crypto. */
const LITTLE = 1 << 13;
/** In bytes: there is no less to do. */
const BLOCK = 64;

let left = LITTLE;

/**
 * SHA-256 (FIPS 180-4), of a string as UTF-8. To load node:crypto takes 3 ms, with Node 24 8, so the first few bytes are
 * hashed without it.
 *
 * @returns 64 hexadecimal digits, the letters small.
 */
export function sha256(text: Uint8Array | string): string {
  const size = text.length + BLOCK;
  if (size <= left) {
    left -= size;
    try {
      return javascript.sha256(Buffer.from(text));
    } catch {
      // It is in a file of its own, which nobody needs.
      left = 0;
    }
  }
  return hash('sha256', text, 'hex');
}
