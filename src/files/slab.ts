/** In bytes: memory is asked for in pieces of so many, which costs less than one for each block. */
const SLAB = 1 << 17;

let slab = Buffer.alloc(0);
let used = 0;

/** Bytes that nobody else has, and that may say anything. */
export function room(size: number): Buffer {
  if (size > SLAB / 4) return Buffer.allocUnsafeSlow(size);
  if (used + size > slab.length) {
    slab = Buffer.allocUnsafeSlow(SLAB);
    used = 0;
  }
  used += size;
  return slab.subarray(used - size, used);
}
