import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BufferSource } from '../../../src/elf/bytes.js';
import { Ground } from '../../../src/layout/rungs/ground.js';
import { phdr } from '../../../src/layout/rungs/phdr.js';
import { image, program } from '../../support/image.js';

const PT_PHDR = 6;
const DT_FLAGS_1 = 0x6ffffffb;
const DF_1_NOW = 1;
const DF_1_PIE = 0x08000000;
const NEXT_FLAG = 0x10000000;

/** The entry that is free for use in a library-like file with such dynamic entries. */
function freed(dynamic: readonly (readonly [number, number])[]): number | undefined {
  const programHeaders = [program({ p_filesz: 0x1000 }), program({ p_type: PT_PHDR, p_offset: 64 })];
  const source = new BufferSource(Buffer.alloc(0x1000));
  return phdr(new Ground(image({ programHeaders, dynamic }), source, []))?.spare.phdr;
}

describe('the entry of a PT_PHDR', () => {
  test('is free in a library, whatever its other flags are', () => {
    assert.equal(freed([]), 1);
    assert.equal(freed([[1, DF_1_PIE]]), 1);
    assert.equal(freed([[DT_FLAGS_1, DF_1_NOW]]), 1);
    assert.equal(freed([[DT_FLAGS_1, NEXT_FLAG + DF_1_NOW]]), 1);
  });

  test('is not in a program that relocates itself and has no loader: it finds itself by it', () => {
    assert.equal(freed([[DT_FLAGS_1, DF_1_PIE]]), undefined);
    assert.equal(freed([[DT_FLAGS_1, NEXT_FLAG + DF_1_PIE + DF_1_NOW]]), undefined);
    // Of several entries the last one counts.
    assert.equal(
      freed([
        [DT_FLAGS_1, DF_1_NOW],
        [DT_FLAGS_1, DF_1_PIE],
        [1, 1],
      ]),
      undefined,
    );
  });
});
