import assert from 'node:assert/strict';
import { BufferSource, PatchedSource } from '../../src/elf/bytes.js';
import { FileSource } from '../../src/files/source.js';

/**
 * Does something with a file of a few kilobytes, and counts what is asked of byte sources of every kind. However damaged
 * the file is, that is in proportion to its size: an entry of a table has some 16 bytes, and some stages read all of it.
 */
export function readInProportion(size: number, work: () => void): void {
  const kinds = [BufferSource, PatchedSource, FileSource].map(({ prototype }) => prototype);
  const originals = kinds.map(kind => ({ kind, read: kind.read }));
  let [count, bytes] = [0, 0];
  const check = () => {
    assert.ok(count <= size / 4 && bytes <= 64 * size, `${count} reads, of ${bytes} bytes`);
  };
  for (const { kind, read } of originals) {
    kind.read = function (offset, length) {
      count++;
      bytes += length;
      check();
      return read.call(this, offset, length);
    };
  }
  try {
    work();
    check();
  } finally {
    for (const { kind, read } of originals) kind.read = read;
  }
}
