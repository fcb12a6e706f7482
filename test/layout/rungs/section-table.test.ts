import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferSource, PatchedSource } from '../../../src/elf/bytes.js';
import type { SectionHeader } from '../../../src/elf/image.js';
import { occupiedRanges } from '../../../src/layout/model/occupied.js';
import { STEP } from '../../../src/layout/model/plan.js';
import { type SectionTablePlan, sectionTableRoom } from '../../../src/layout/rungs/section-table.js';
import { image, program, section } from '../../support/image.js';

const NAME = '.note.nixos.ldcache';
const NOTE = { offset: 0x300, address: 0x10300, size: 0x40 };
const NONE = new Map<number, { address: number; offset: number }>();

/** Names at 0x100, the table at 0x200, 0x55 everywhere else. */
function file(options: {
  is64?: boolean;
  littleEndian?: boolean;
  names?: string;
  sections?: readonly Partial<SectionHeader>[];
  behind?: number;
  /** Zeros behind the table, and then one byte that a section holds. */
  zeros?: number;
}) {
  const names = Buffer.from(options.names ?? '\0.a\0.shstrtab\0');
  const size = (options.is64 ?? true) ? 64 : 40;
  const { zeros, sections = [] } = options;
  const tableEnd = 0x200 + (zeros === undefined ? 3 : 4) * size;
  const last = zeros === undefined ? [] : [section({ name: '.b', sh_offset: tableEnd + zeros, sh_size: 1 })];
  const headers = [
    section({ sh_type: 0 }),
    section({ name: '.a', sh_offset: 0x80, sh_size: 0x10 }),
    ...sections.map(section),
    ...last,
    section({ name: '.shstrtab', sh_type: 3, sh_flags: 0, sh_offset: 0x100, sh_size: names.length }),
  ];
  const behind = zeros === undefined ? (options.behind ?? 0) : zeros + 1;
  const total = 0x200 + headers.length * size + behind;
  const elf = image({
    is64: options.is64 ?? true,
    littleEndian: options.littleEndian ?? true,
    size: total,
    sectionHeaders: headers,
    header: { e_shoff: 0x200, e_shstrndx: headers.length - 1 },
  });
  const bytes = Buffer.alloc(total, 0x55);
  names.copy(bytes, 0x100);
  bytes.fill(0, tableEnd, tableEnd + (zeros ?? 0));
  return { elf, source: new BufferSource(bytes), count: headers.length, total, size, names };
}

type File = ReturnType<typeof file>;

function plan({ elf, source }: File, copies: readonly number[] = [], moved = NONE, copied = NONE) {
  const room = sectionTableRoom(elf, source, occupiedRanges(elf), copies);
  assert.ok(room);
  const result = room.plan(NOTE, moved, copied);
  assert.equal(result.fileEnd, room.fileEnd);
  return result;
}

function edited({ source }: File, { edits, fileEnd }: SectionTablePlan): Buffer {
  return new PatchedSource(source, edits, fileEnd).read(0, fileEnd);
}

for (const is64 of [true, false]) {
  for (const littleEndian of [true, false]) {
    describe(`a table that ends a ${is64 ? 64 : 32}-bit ${littleEndian ? 'little' : 'big'}-endian file`, () => {
      const f = file({ is64, littleEndian });
      const p = plan(f);
      const bytes = edited(f, p);
      const { encoding: e } = f.elf;
      const w = is64 ? 8 : 4;

      it('stays and gets one more entry, with the names behind it', () => {
        assert.equal(p.e_shoff, 0x200);
        assert.equal(p.e_shnum, f.count + 1);
        assert.equal(p.fileEnd, f.total + f.size + f.names.length + NAME.length + 1);
        assert.ok(bytes.subarray(0, 0x200).equals(f.source.read(0, 0x200)));
        const names = Buffer.concat([f.names, Buffer.from(`${NAME}\0`)]);
        assert.ok(bytes.subarray(f.total + f.size).equals(names));
      });

      it('has the note as SHT_NOTE, SHF_ALLOC, where it stands, aligned to 4', () => {
        const at = f.total;
        assert.deepEqual([e.u32(bytes, at), e.u32(bytes, at + 4)], [f.names.length, 7]);
        const words = [0, 1, 2, 3].map(i => e.word(bytes, at + 8 + i * w));
        assert.deepEqual(words, [2, NOTE.address, NOTE.offset, NOTE.size]);
        assert.equal(e.u32(bytes, at + 8 + 4 * w), 0);
        assert.equal(e.u32(bytes, at + 12 + 4 * w), 0);
        assert.equal(e.word(bytes, at + 16 + 4 * w), 4);
        assert.equal(e.word(bytes, at + 16 + 5 * w), 0);
      });

      it('points to the new names, and only once they are written', () => {
        const at = 0x200 + (f.count - 1) * f.size + 8 + 2 * w;
        assert.equal(e.word(bytes, at), f.total + f.size);
        assert.equal(e.word(bytes, at + w), f.names.length + NAME.length + 1);
        const pointer = p.edits.find(edit => edit.offset === at);
        assert.equal(pointer?.step, STEP.pointers);
        assert.ok(p.edits.every(edit => edit === pointer || edit.step === STEP.payload));
      });
    });
  }
}

describe('a table that does not end the file', () => {
  it('is copied to the end, aligned, and the old one stays as it is', () => {
    const f = file({ behind: 3 });
    const p = plan(f);
    const at = Math.ceil(f.total / 8) * 8;
    assert.equal(p.e_shoff, at);
    const bytes = edited(f, p);
    assert.ok(bytes.subarray(0, f.total).equals(f.source.read(0, f.total)));
    // The last header differs in the place and size of the names.
    const kept = (f.count - 1) * f.size + 24;
    assert.ok(bytes.subarray(at, at + kept).equals(f.source.read(0x200, kept)));
    assert.equal(f.elf.encoding.u64(bytes, at + kept), at + (f.count + 1) * f.size);
  });

  it('is aligned to 4 in a 32-bit file', () => {
    const f = file({ is64: false, behind: 5 });
    assert.equal(plan(f).e_shoff, Math.ceil(f.total / 4) * 4);
  });

  it('carries the new places of sections that move, not the old table', () => {
    const f = file({ behind: 8 });
    const p = plan(f, [], new Map([[1, { address: 0x777, offset: 0x666 }]]));
    const bytes = edited(f, p);
    assert.deepEqual(
      [16, 24].map(at => f.elf.encoding.u64(bytes, p.e_shoff + 64 + at)),
      [0x777, 0x666],
    );
    assert.ok(bytes.subarray(0, f.total).equals(f.source.read(0, f.total)));
  });
});

describe('a table with zeros behind it that nothing describes', () => {
  const namesSize = '\0.a\0.shstrtab\0'.length + NAME.length + 1;

  it('grows over them, and the names follow it: the file does not grow', () => {
    const f = file({ zeros: 64 + namesSize });
    const p = plan(f);
    assert.deepEqual([p.e_shoff, p.e_shnum, p.fileEnd], [0x200, 5, f.total]);
    assert.equal(f.elf.encoding.u64(edited(f, p), 0x200 + 3 * 64 + 24), 0x200 + 5 * 64);
  });

  it('leaves the names to the end of the file where they do not fit', () => {
    const f = file({ zeros: 64 + namesSize - 1 });
    const p = plan(f);
    assert.deepEqual([p.e_shoff, p.fileEnd], [0x200, f.total + namesSize]);
    assert.equal(f.elf.encoding.u64(edited(f, p), 0x200 + 3 * 64 + 24), f.total);
  });

  it('is copied where an entry does not fit', () => {
    assert.notEqual(plan(file({ zeros: 63 })).e_shoff, 0x200);
    assert.notEqual(plan(file({ zeros: 127 }), [1]).e_shoff, 0x200);
    assert.equal(plan(file({ zeros: 128 }), [1]).e_shoff, 0x200);
  });

  it('is copied where they are the slack of a segment that ends with it', () => {
    const f = file({ zeros: 0x400 });
    const ends = (p_filesz: number) => ({
      ...f,
      elf: { ...f.elf, programHeaders: [program({ p_offset: 0x100, p_filesz })] },
    });
    assert.notEqual(plan(ends(0x100 + f.count * f.size)).e_shoff, 0x200);
    assert.equal(plan(ends(0xf0 + f.count * f.size)).e_shoff, 0x200);
  });
});

it('sections that move get their address and offset last, and keep every other field', () => {
  const f = file({});
  const p = plan(f, [], new Map([[1, { address: 0x777, offset: 0x666 }]]));
  const edit = p.edits.find(({ offset }) => offset === 0x200 + 64 + 16);
  assert.equal(edit?.step, STEP.pointers);
  assert.deepEqual(edit?.bytes, Buffer.from('7707000000000000' + '6606000000000000', 'hex'));
});

it('the header of a section that is copied moves before that of the note, and SHT_NULL stays in its place', () => {
  const f = file({});
  const p = plan(f, [1], NONE, new Map([[1, { address: 0x777, offset: 0x666 }]]));
  assert.equal(p.e_shnum, f.count + 2);
  const bytes = edited(f, p);
  const original = Buffer.alloc(64, 0x55);
  original.writeBigUInt64LE(0x777n, 16);
  original.writeBigUInt64LE(0x666n, 24);
  assert.ok(bytes.subarray(f.total, f.total + 64).equals(original));
  assert.equal(bytes.readUInt32LE(f.total + 64 + 4), 7);
  const left = Buffer.alloc(64, 0x55);
  // The name without its dot, so that no two sections share one.
  left.writeUInt32LE((f.elf.sectionHeaders[1]?.sh_name ?? 0) + 1, 0);
  left.writeUInt32LE(0, 4);
  assert.deepEqual(bytes.subarray(0x200 + 64, 0x200 + 128), left);
});

describe('what an earlier note left', () => {
  it('its SHT_NULL header and its name are used again, so the file does not grow', () => {
    const names = `\0.a\0.shstrtab\0${NAME}\0`;
    const f = file({ names, sections: [{ name: NAME, sh_type: 0 }], behind: 40 });
    const p = plan(f);
    assert.deepEqual([p.e_shoff, p.e_shnum, p.fileEnd], [0x200, f.count, f.total]);
    assert.deepEqual(
      p.edits.map(({ offset }) => offset),
      [0x200 + 2 * 64],
    );
    assert.equal(p.edits[0]?.bytes.readUInt32LE(0), names.indexOf(NAME));
  });

  it('its name alone saves new names', () => {
    const f = file({ names: `\0${NAME}\0.a\0.shstrtab\0` });
    const p = plan(f);
    assert.equal(p.fileEnd, f.total + 64);
    assert.equal(edited(f, p).readUInt32LE(f.total), 1);
  });

  it('a name that only ends like it is another name', () => {
    const f = file({ names: `\0.old${NAME}\0.a\0.shstrtab\0` });
    assert.equal(edited(f, plan(f)).readUInt32LE(f.total), f.names.length);
  });

  it('the first header is nobody’s, though it is SHT_NULL', () => {
    const { elf, source } = file({});
    const sectionHeaders = elf.sectionHeaders.with(0, section({ sh_type: 0, name: NAME }));
    assert.equal(
      sectionTableRoom({ ...elf, sectionHeaders }, source, [], [])?.plan(NOTE, NONE, NONE).e_shnum,
      4,
    );
  });
});

describe('there is no room', () => {
  it('in a file without section headers or without section names', () => {
    const source = new BufferSource(Buffer.alloc(0));
    assert.equal(sectionTableRoom(image({}), source, [], []), undefined);
    const { elf, source: bytes } = file({});
    assert.equal(
      sectionTableRoom({ ...elf, header: { ...elf.header, e_shstrndx: 0 } }, bytes, [], []),
      undefined,
    );
  });

  it('where the entries would need extended numbering', () => {
    const of = (count: number) => {
      const sectionHeaders = Array.from({ length: count }, () => section({}));
      const header = { e_shstrndx: 1, e_shoff: 0x100 };
      return image({ sectionHeaders, header, size: 0x100 + count * 64 });
    };
    const source = new BufferSource(Buffer.alloc(16));
    assert.ok(sectionTableRoom(of(0xfefe), source, [], []));
    assert.equal(sectionTableRoom(of(0xfefe), source, [], [1]), undefined);
    assert.equal(sectionTableRoom(of(0xfeff), source, [], []), undefined);
  });
});

it('a second section of a name leaves a shorter one behind, since patchelf keeps sections by name', () => {
  const names = '\0.a\0a\0.shstrtab\0';
  const f = file({ names, sections: [{ name: 'a', sh_type: 0, sh_name: 2 }] });
  const p = plan(f, [1], NONE, new Map([[1, { address: 0x777, offset: 0x666 }]]));
  const left = p.edits.find(({ offset, bytes }) => offset === 0x200 + 64 && bytes.length === 8);
  // `.a` without its dot is taken, so that nothing of the name is left.
  assert.equal(left?.bytes.readUInt32LE(0), (f.elf.sectionHeaders[1]?.sh_name ?? 0) + 2);
});
