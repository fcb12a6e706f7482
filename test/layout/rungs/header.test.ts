import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferSource } from '../../../src/elf/bytes.js';
import { PT_LOAD, PT_NOTE, PT_PHDR } from '../../../src/elf/constants.js';
import { fitsPhnum, headerPlan, withLastLoad } from '../../../src/layout/rungs/header.js';
import { image, program, section } from '../../support/image.js';

const source = () => new BufferSource(Buffer.alloc(0x4000, 0x77));
const note = program({ p_type: PT_NOTE, p_offset: 0x300, p_filesz: 0x20 });
const load = program({ p_filesz: 0x1000 });

for (const is64 of [true, false]) {
  for (const littleEndian of [true, false]) {
    describe(`the header of a ${is64 ? 64 : 32}-bit ${littleEndian ? 'little' : 'big'}-endian file`, () => {
      const ehsize = is64 ? 64 : 52;
      const file = image({ is64, littleEndian, programHeaders: [load], sectionHeaders: [section({})] });
      const { encoding } = file;
      const [edit] = headerPlan(file, source(), {
        programHeaders: [load, note],
        e_shoff: 0x3210,
        e_shnum: 33,
      }).edits;
      const bytes = edit?.bytes ?? Buffer.alloc(0);

      it('changes e_shoff, e_phnum and e_shnum and no other byte of the ELF header', () => {
        const changed = new Set<number>();
        for (let i = 0; i < ehsize; i++) if (bytes[i] !== 0x77) changed.add(i);
        const fields = is64 ? [40, 8, 56, 2, 60, 2] : [32, 4, 44, 2, 48, 2];
        const allowed = new Set<number>();
        for (let f = 0; f < fields.length; f += 2) {
          for (let i = 0; i < (fields[f + 1] ?? 0); i++) allowed.add((fields[f] ?? 0) + i);
        }
        assert.deepEqual(changed, allowed);
        assert.equal(encoding.word(bytes, is64 ? 40 : 32), 0x3210);
        assert.equal(encoding.u16(bytes, is64 ? 56 : 44), 2);
        assert.equal(encoding.u16(bytes, is64 ? 60 : 48), 33);
      });

      it('has every field of a program header in its place', () => {
        const at = ehsize + (is64 ? 56 : 32);
        assert.equal(bytes.length, ehsize + 2 * (is64 ? 56 : 32));
        assert.equal(encoding.u32(bytes, at), PT_NOTE);
        assert.equal(encoding.u32(bytes, at + (is64 ? 4 : 24)), 4);
        const words = is64 ? [8, 16, 24, 32, 40, 48] : [4, 8, 12, 16, 20, 28];
        assert.deepEqual(
          words.map(offset => encoding.word(bytes, at + offset)),
          [0x300, 0x300, 0x300, 0x20, 0x20, 4],
        );
      });
    });
  }
}

describe('the one write', () => {
  const plan = (e_phoff: number, count = 2) =>
    headerPlan(image({ programHeaders: [load], header: { e_phoff } }), source(), {
      programHeaders: Array.from({ length: count }, () => load),
      e_shoff: 0,
      e_shnum: 0,
    });

  it('covers header and table and keeps the bytes between them', () => {
    const { edits, atomic } = plan(0x50);
    assert.ok(atomic);
    assert.equal(edits.length, 1);
    assert.equal(edits[0]?.offset, 0);
    assert.ok(edits[0]?.bytes.subarray(64, 0x50).equals(Buffer.alloc(16, 0x77)));
    assert.equal(edits[0]?.bytes.length, 0x50 + 2 * 56);
  });

  it('ends with the first page, exactly', () => {
    assert.ok(plan(4096 - 2 * 56).atomic);
    assert.ok(!plan(4096 - 2 * 56 + 8).atomic);
  });

  it('is impossible for a table that starts inside the ELF header', () => {
    assert.ok(!plan(63).atomic);
    assert.ok(plan(64).atomic);
  });

  it('is impossible for a table behind the first page; then the table comes before the header', () => {
    const { edits, atomic } = plan(0x2000);
    assert.ok(!atomic);
    assert.deepEqual(
      edits.map(edit => [edit.offset, edit.bytes.length]),
      [
        [0x2000, 112],
        [0, 64],
      ],
    );
  });
});

it('a file without section headers keeps its e_shnum', () => {
  const [edit] = headerPlan(image({ programHeaders: [load] }), source(), {
    programHeaders: [load],
    e_shoff: 0,
    e_shnum: 5,
  }).edits;
  assert.equal(edit?.bytes.readUInt16LE(60), 0x7777);
});

it('PT_PHDR gets the size of the new table', () => {
  const phdr = program({ p_type: PT_PHDR, p_offset: 64, p_vaddr: 0x400040, p_filesz: 112 });
  const [edit] = headerPlan(image({ programHeaders: [phdr, load] }), source(), {
    programHeaders: [phdr, load, note],
    e_shoff: 0,
    e_shnum: 0,
  }).edits;
  assert.deepEqual(
    [40, 48, 56, 64, 72].map(at => Number(edit?.bytes.readBigUInt64LE(64 + at - 32))),
    [64, 0x400040, 0x400040, 168, 168],
  );
});

it('a new segment comes behind the last PT_LOAD, before whatever follows it', () => {
  const last = program({ p_vaddr: 0x9000 });
  const types = withLastLoad([note, load, load, note], last).map(p => (p === last ? 'new' : p.p_type));
  assert.deepEqual(types, [PT_NOTE, PT_LOAD, PT_LOAD, 'new', PT_NOTE]);
});

it('extended numbering is not entered', () => {
  assert.ok(fitsPhnum(0xfffe));
  assert.ok(!fitsPhnum(0xffff));
});
