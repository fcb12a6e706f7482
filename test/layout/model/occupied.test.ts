import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferSource } from '../../../src/elf/bytes.js';
import { appendedData, isWiped, occupiedRanges, rangesOn } from '../../../src/layout/model/occupied.js';
import { image, program, section } from '../../support/image.js';

const TABLE = 0x400;
const HEADER = 64;
const NAMES = 0x200;

/** Names at 0x200, a table of two headers at 0x400, and what a test puts behind it. */
function hasData(behind: Buffer, segmentBehind = false, e_shstrndx = 1): boolean {
  const end = TABLE + 2 * HEADER;
  const bytes = Buffer.concat([Buffer.alloc(end), behind]);
  const names = section({ name: '.shstrtab', sh_type: 3, sh_offset: NAMES, sh_size: 0x20 });
  const file = image({
    size: bytes.length,
    sectionHeaders: [section({ sh_type: 0 }), names],
    header: { e_shoff: TABLE, e_shstrndx },
    programHeaders: segmentBehind ? [program({ p_offset: bytes.length - 16, p_filesz: 16 })] : [],
  });
  return appendedData(file, occupiedRanges(file), new BufferSource(bytes));
}

/** A section header as a linker writes it. */
function header(
  fields: { name?: number; type?: number; offset?: number; size?: number; align?: number } = {},
): Buffer {
  const entry = Buffer.alloc(HEADER);
  entry.writeUInt32LE(fields.name ?? 5, 0);
  entry.writeUInt32LE(fields.type ?? 7, 4);
  entry.writeBigUInt64LE(BigInt(fields.offset ?? 0x100), 24);
  entry.writeBigUInt64LE(BigInt(fields.size ?? 0x20), 32);
  entry.writeBigUInt64LE(BigInt(fields.align ?? 4), 48);
  return entry;
}

describe('appended data', () => {
  it('is not the zeros at the end that are less than one alignment', () => {
    for (let zeros = 0; zeros < 16; zeros++) assert.equal(hasData(Buffer.alloc(zeros)), false, `${zeros}`);
    assert.equal(hasData(Buffer.alloc(16)), true);
  });

  it('is any other byte there', () => {
    for (const at of [0, 1, 7]) assert.equal(hasData(Buffer.alloc(8).fill(1, at, at + 1)), true, `${at}`);
  });

  it('is not what a shortened section header table leaves behind it', () => {
    assert.equal(hasData(header()), false);
    assert.equal(hasData(Buffer.concat([header(), header({ type: 0x6ffffff6 }), Buffer.alloc(1)])), false);
    assert.equal(hasData(Buffer.concat([header(), Buffer.alloc(40), Buffer.alloc(16)]), true), false);
  });

  it('is what only looks a little like a section header', () => {
    for (const fields of [
      { name: 0 },
      { name: 1 << 20 },
      { type: 0 },
      { type: 100 },
      { align: 3 },
      { offset: 1 << 20 },
    ])
      assert.equal(hasData(header(fields)), true, JSON.stringify(fields));
    assert.equal(hasData(header().subarray(0, 60)), true, 'a part of one');
  });

  it('is not a section header of the last known type, the first of a system, or with a name of before', () => {
    for (const fields of [{ type: 18 }, { type: 0x60000000 }, { name: 4096 + 0x1f }, { align: 2 ** 16 }])
      assert.equal(hasData(header(fields)), false, JSON.stringify(fields));
    assert.equal(hasData(header({ align: 2 ** 17 })), true);
    assert.equal(hasData(header({ name: 4096 + 0x20 })), true);
    assert.equal(hasData(header({ name: 4095 }), false, 9), false, 'where no section has the names');
    assert.equal(hasData(header({ name: 4096 }), false, 9), true);
  });

  it('is what stands behind the table and before a segment that a tool has added, unless that is zero', () => {
    assert.equal(hasData(Buffer.alloc(100), true), false);
    assert.equal(hasData(Buffer.concat([Buffer.from('data'), Buffer.alloc(100)]), true), true);
  });
});

it('a range is on bytes of which it has one', () => {
  const sectionHeaders = [0x100, 0x120, 0x140].map(sh_offset => section({ sh_offset, sh_size: 0x20 }));
  const file = image({ size: 0x1000, sectionHeaders: [section({ sh_type: 0 }), ...sectionHeaders] });
  const on = (from: number, to: number) =>
    rangesOn(file, from, to).flatMap(({ kind, start }) => (kind === 'section' ? [start] : []));
  assert.deepEqual(on(0x120, 0x140), [0x120]);
  assert.deepEqual(on(0x11f, 0x141), [0x100, 0x120, 0x140]);
  assert.deepEqual(on(0x130, 0x131), [0x120]);
  assert.deepEqual(on(0x160, 0x200), []);
  const kinds = occupiedRanges({ ...file, header: { ...file.header, e_shoff: 0x200 } }).map(
    ({ kind }) => kind,
  );
  assert.deepEqual(kinds.slice(-2), ['section', 'section-headers']);
  const before = occupiedRanges({ ...file, header: { ...file.header, e_shoff: 0x80 } }).slice(-4);
  assert.deepEqual(
    before.map(({ kind }) => kind),
    ['section-headers', 'section', 'section', 'section'],
  );
});

it('what patchelf has wiped is X or Z, with the zeros that aligned what stood there', () => {
  const wiped = (text: string) => isWiped(new BufferSource(Buffer.from(text, 'latin1')), 0, text.length);
  for (const text of ['XXXX', 'ZZZZ', 'XXX\0\0\0\0\0XXXX', '\0Z'])
    assert.ok(wiped(text), JSON.stringify(text));
  for (const text of ['\0\0', 'XXYX', 'X\u0001', '']) assert.ok(!wiped(text), JSON.stringify(text));
});
