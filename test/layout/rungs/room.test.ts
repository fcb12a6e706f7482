import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferSource } from '../../../src/elf/bytes.js';
import { PT_DYNAMIC, PT_GNU_PROPERTY, PT_INTERP, PT_NOTE, PT_NULL } from '../../../src/elf/constants.js';
import type { ProgramHeader, SectionHeader } from '../../../src/elf/image.js';
import { occupiedRanges } from '../../../src/layout/model/occupied.js';
import { free } from '../../../src/layout/rungs/free.js';
import { Ground } from '../../../src/layout/rungs/ground.js';
import { groupOverlapping } from '../../../src/layout/rungs/movable.js';
import { moveNotes } from '../../../src/layout/rungs/move-notes.js';
import { moveTables } from '../../../src/layout/rungs/move-tables.js';
import { extendNote, reuseNote } from '../../../src/layout/rungs/reuse-note.js';
import { type ExtendedRoom, NO_SPARE, type Room } from '../../../src/layout/rungs/room.js';
import { type ImageParts, image, program, section } from '../../support/image.js';

/** Loaded at BASE from offset 0 on; each test says what stands behind the table. */
const BASE = 0x400000;
const ENTRY = 56;
const LOADED = 0x2000;

const SHT = {
  strtab: 3,
  dynsym: 11,
  gnuHash: 0x6ffffff6,
  versym: 0x6fffffff,
  progbits: 1,
  nobits: 8,
} as const;
const DT = { gnuHash: 0x6ffffef5, symtab: 6, strtab: 5, versym: 0x6ffffff0, init: 12, hash: 4 } as const;

interface Thing {
  /** Bytes behind the end of the table. */
  readonly at: number;
  readonly size: number;
  readonly section?: Partial<SectionHeader>;
  readonly segment?: Partial<ProgramHeader>;
}

interface Layout {
  readonly things?: readonly Thing[];
  readonly extra?: readonly ProgramHeader[];
  readonly dynamic?: ImageParts['dynamic'];
  readonly sections?: boolean;
  readonly bytes?: (bytes: Buffer, tableEnd: number) => void;
  readonly loaded?: number;
}

/** One note of the toolchain's own that fills `size` bytes. */
function putGnuNote(bytes: Buffer, at: number, size: number): void {
  bytes.writeUInt32LE(4, at);
  bytes.writeUInt32LE(size - 16, at + 4);
  bytes.writeUInt32LE(3, at + 8);
  bytes.write('GNU\0', at + 12, 'latin1');
}

/** The rungs on one file. */
interface Rungs {
  free(needed: number): Room | undefined;
  byMoving(kind: 'move-notes' | 'move-tables', needed: number): Room | undefined;
  reuseNote(needed: number): Room | undefined;
  extendNote(): ExtendedRoom | undefined;
}

/** The owner of the same note; all of these have three letters. */
const owned = (owner: string) => (bytes: Buffer, tableEnd: number) => {
  bytes.write(`${owner}\0`, tableEnd + buildId.at + 12, 'latin1');
};

function finder(layout: Layout): { room: Rungs; tableEnd: number } {
  const { things = [], extra = [], loaded = LOADED } = layout;
  const segments = things.filter(thing => thing.segment !== undefined).length;
  const tableEnd = 64 + (1 + segments + extra.length) * ENTRY;
  const place = (thing: Thing) => ({ offset: tableEnd + thing.at, address: BASE + tableEnd + thing.at });
  const programHeaders = [
    ...things.flatMap(thing => {
      const { offset, address } = place(thing);
      if (thing.segment === undefined) return [];
      return [program({ p_offset: offset, p_vaddr: address, p_filesz: thing.size, ...thing.segment })];
    }),
    program({ p_offset: 0, p_vaddr: BASE, p_filesz: loaded, p_memsz: loaded }),
    ...extra,
  ];
  const sectionHeaders =
    (layout.sections ?? true)
      ? [
          section({ sh_type: 0 }),
          ...things.flatMap(thing => {
            const { offset, address } = place(thing);
            if (thing.section === undefined) return [];
            return [section({ sh_offset: offset, sh_addr: address, sh_size: thing.size, ...thing.section })];
          }),
        ]
      : [];
  const bytes = Buffer.alloc(0x4000);
  for (const thing of things) {
    const isNote =
      thing.section === undefined ? thing.segment?.p_type === PT_NOTE : (thing.section.sh_type ?? 7) === 7;
    if (isNote && thing.size >= 16) putGnuNote(bytes, tableEnd + thing.at, thing.size);
  }
  layout.bytes?.(bytes, tableEnd);
  const dynamic = layout.dynamic;
  const elf = image({
    programHeaders,
    sectionHeaders,
    size: 0x4000,
    header: { e_shoff: 0x3000 },
    ...(dynamic === undefined ? {} : { dynamic }),
  });
  const ground = new Ground(elf, new BufferSource(bytes), occupiedRanges(elf));
  const room: Rungs = {
    free: needed => free(ground, needed),
    byMoving: (kind, needed) => (kind === 'move-notes' ? moveNotes : moveTables)(ground, needed),
    reuseNote: needed => reuseNote(ground, needed),
    extendNote: () => extendNote(ground),
  };
  return { room, tableEnd };
}

const interp: Thing = {
  at: 0,
  size: 28,
  section: { name: '.interp', sh_type: SHT.progbits, sh_addralign: 1 },
  segment: { p_type: PT_INTERP, p_align: 1 },
};
const buildId: Thing = {
  at: 28,
  size: 36,
  section: { name: '.note.gnu.build-id' },
  segment: { p_type: PT_NOTE },
};
const filler = (at: number, size = 0x400): Thing => ({
  at,
  size,
  section: { name: '.text', sh_type: SHT.progbits },
});

const nothing = program({ p_type: PT_NULL, p_flags: 0, p_align: 0 });

describe('free room', () => {
  it('is zero bytes behind the table that nothing claims, enough for each entry', () => {
    const room = { kind: 'free', spare: NO_SPARE, front: undefined, note: undefined, load: undefined };
    assert.deepEqual(finder({ things: [filler(ENTRY)] }).room.free(1), room);
    assert.equal(finder({ things: [filler(ENTRY - 1)] }).room.free(1), undefined);
    assert.equal(finder({ things: [filler(ENTRY)] }).room.free(2), undefined);
    assert.deepEqual(finder({ things: [filler(2 * ENTRY)] }).room.free(2), room);
  });

  it('has no other byte than zero', () => {
    const bytes = (at: number) => (b: Buffer, end: number) => b.fill(1, end + at, end + at + 1);
    assert.equal(finder({ things: [filler(ENTRY)], bytes: bytes(ENTRY - 1) }).room.free(1), undefined);
    assert.ok(finder({ things: [filler(ENTRY)], bytes: bytes(ENTRY) }).room.free(1));
  });

  it('is what patchelf has wiped, with the zeros that aligned it', () => {
    const wiped = (fill: string) =>
      finder({
        things: [filler(ENTRY)],
        bytes: (b, end) => b.fill(fill, end, end + ENTRY, 'latin1'),
      }).room.free(1);
    for (const fill of ['X', 'Z', 'XXXXX\0\0\0', '\0\0XX', 'XZ'])
      assert.ok(wiped(fill), JSON.stringify(fill));
    for (const fill of ['Y', 'X\0Y', 'XXXXXXX\u0001'])
      assert.equal(wiped(fill), undefined, JSON.stringify(fill));
  });

  it('lies in the segment that holds the table, because the table is read from memory', () => {
    const { tableEnd } = finder({ things: [] });
    assert.equal(finder({ loaded: tableEnd + ENTRY - 1 }).room.free(1), undefined);
    assert.ok(finder({ loaded: tableEnd + ENTRY }).room.free(1));
  });

  it('is not guessed in a file without sections, where nothing says who owns the zeros', () => {
    assert.equal(finder({ sections: false }).room.free(1), undefined);
  });

  it('is a PT_NULL at the end of the table, in a file without sections too', () => {
    const layout = { extra: [nothing], sections: false };
    assert.deepEqual(finder(layout).room.free(1), {
      kind: 'free',
      spare: { ...NO_SPARE, nulls: 1 },
      front: undefined,
      note: undefined,
      load: undefined,
    });
    assert.equal(finder(layout).room.free(2), undefined);
    assert.equal(finder({ extra: [nothing, nothing], sections: false }).room.free(2)?.spare.nulls, 2);
  });

  it('is partly PT_NULL, partly bytes behind the table', () => {
    const layout = { extra: [nothing], things: [filler(ENTRY)] };
    assert.equal(finder(layout).room.free(2)?.spare.nulls, 1);
    assert.equal(finder(layout).room.free(1)?.spare.nulls, 1);
  });

  it('is no PT_NULL with something in it, and none that stands before other entries', () => {
    const used = { ...nothing, p_offset: 8 };
    assert.equal(finder({ extra: [used], things: [filler(0)] }).room.free(1), undefined);
    const stack = program({ p_type: 0x6474e551 });
    assert.equal(finder({ extra: [nothing, stack], things: [filler(0)] }).room.free(1), undefined);
  });
});

describe('what stands right behind the table', () => {
  it('moves as a block: .interp and notes with sections and program headers, and one entry is left over', () => {
    const { room, tableEnd } = finder({ things: [interp, buildId, filler(2 * ENTRY)] });
    assert.deepEqual(room.byMoving('move-notes', 1), {
      kind: 'move-notes',
      spare: NO_SPARE,
      note: undefined,
      load: undefined,
      front: {
        start: tableEnd,
        end: tableEnd + 64,
        size: 64,
        address: BASE + tableEnd,
        align: 8,
        sections: [1, 2],
        segments: [0, 1],
        tags: [],
        names: ['.interp', '.note.gnu.build-id'],
      },
    });
  });

  it('moves only as far as it takes', () => {
    const far = { ...buildId, at: 2 * ENTRY };
    const near = finder({ things: [interp, far, filler(0x200)] }).room;
    assert.deepEqual(near.byMoving('move-notes', 1)?.front?.names, ['.interp']);
    assert.deepEqual(near.byMoving('move-notes', 2)?.front?.names, ['.interp', '.note.gnu.build-id']);
  });

  it('leaves two entries over where .bss has the offset 0, as mold gives it', () => {
    const bss = { at: 0, size: 8, section: { sh_type: SHT.nobits, sh_offset: 0, sh_flags: 3 } };
    const names = (...more: readonly Thing[]) =>
      finder({ things: [interp, far, ...more, filler(0x200)] }).room.byMoving('move-notes', 1)?.front?.names;
    const far = { ...buildId, at: 2 * ENTRY };
    assert.deepEqual(names(), ['.interp']);
    assert.deepEqual(names(bss), ['.interp', '.note.gnu.build-id']);
    assert.deepEqual(names({ ...bss, section: { ...bss.section, sh_offset: 0x1000 } }), ['.interp']);
  });

  it('moves by a multiple of its largest alignment', () => {
    const wide = { ...buildId, section: { ...buildId.section, sh_addralign: 64 } };
    assert.equal(
      finder({ things: [interp, wide, filler(0x200)] }).room.byMoving('move-notes', 1)?.front?.align,
      64,
    );
  });

  it('does not move where code or data stands in the way', () => {
    assert.equal(finder({ things: [interp, filler(28)] }).room.byMoving('move-notes', 1), undefined);
    assert.equal(finder({ things: [filler(0)] }).room.byMoving('move-tables', 1), undefined);
  });

  it('does not move where bytes in between or behind are not zero', () => {
    const things = [interp, { ...buildId, at: 32 }, filler(0x200)];
    const at = (offset: number) => (b: Buffer, end: number) => b.fill(1, end + offset, end + offset + 1);
    assert.equal(finder({ things, bytes: at(30) }).room.byMoving('move-notes', 1), undefined);
    assert.equal(finder({ things, bytes: at(70) }).room.byMoving('move-notes', 1), undefined);
    assert.ok(finder({ things, bytes: at(2 * ENTRY) }).room.byMoving('move-notes', 1));
  });

  it('does not move where the section and the program header disagree on the address', () => {
    const other = { ...interp, segment: { ...interp.segment, p_vaddr: 0x1234 } };
    assert.equal(finder({ things: [other, filler(2 * ENTRY)] }).room.byMoving('move-notes', 1), undefined);
  });

  it('does not move in a file with SHT_SYMTAB_SHNDX, whose symbols are not followed', () => {
    const things = [interp, filler(0x200), { at: 0x600, size: 8, section: { sh_type: 18 } }];
    assert.equal(finder({ things }).room.byMoving('move-notes', 1), undefined);
  });

  it('does not move where an entry of unknown meaning leads into it, and where one leads beside it it does', () => {
    const things = [interp, buildId, filler(0x200)];
    const { tableEnd } = finder({ things });
    const pinned = (address: number) =>
      finder({ things, dynamic: [[0x6fff_1234, BASE + tableEnd + address]] }).room.byMoving('move-notes', 1);
    assert.equal(pinned(0), undefined);
    assert.equal(pinned(63), undefined);
    assert.ok(pinned(64));
  });

  it('moves without a section header where all of it is used up', () => {
    const long = { ...interp, size: 2 * ENTRY };
    const { room } = finder({ things: [long], sections: false });
    assert.deepEqual(room.byMoving('move-notes', 1)?.front?.names, ['PT_INTERP']);
    assert.equal(room.byMoving('move-notes', 2), undefined);
  });

  it('takes PT_GNU_PROPERTY along with the PT_NOTE that it shares bytes with', () => {
    const property: Thing = {
      at: 0,
      size: 48,
      section: { name: '.note.gnu.property', sh_addralign: 8 },
      segment: { p_type: PT_NOTE, p_align: 8 },
    };
    const twin: Thing = { at: 0, size: 48, segment: { p_type: PT_GNU_PROPERTY, p_align: 8 } };
    const { room } = finder({ things: [property, twin, filler(0x200)] });
    assert.deepEqual(room.byMoving('move-notes', 1)?.front?.segments, [0, 1]);
  });

  it('saves what PT_NULL entries make unnecessary', () => {
    const far = { ...buildId, at: 2 * ENTRY };
    const { room } = finder({ things: [interp, far, filler(0x200)], extra: [nothing] });
    const found = room.byMoving('move-notes', 2);
    assert.deepEqual([found?.spare.nulls, found?.front?.names], [1, ['.interp']]);
  });
});

describe('a table that ld.so finds by its dynamic entry', () => {
  const gnuHash: Thing = { at: 0, size: 40, section: { name: '.gnu.hash', sh_type: SHT.gnuHash } };
  const strings: Thing = { at: 40, size: 100, section: { name: '.dynstr', sh_type: SHT.strtab } };
  const things = [gnuHash, strings, filler(0x200)];
  const { tableEnd } = finder({ things });
  const at = BASE + tableEnd;
  const entries = [
    [DT.gnuHash, at],
    [DT.strtab, at + 40],
  ] as const;
  const moving = (dynamic: ImageParts['dynamic'], kind: 'move-notes' | 'move-tables' = 'move-tables') =>
    finder({ things, dynamic }).room.byMoving(kind, 1)?.front;

  it('moves with its entry', () => {
    const block = moving(entries);
    assert.deepEqual(block?.tags, [DT.gnuHash, DT.strtab]);
    assert.deepEqual(block?.names, ['.gnu.hash', '.dynstr']);
  });

  it('does not move when only notes may', () => assert.equal(moving(entries, 'move-notes'), undefined));

  it('does not move when two entries of its kind exist', () => {
    assert.equal(moving([...entries, [DT.gnuHash, at]]), undefined);
  });

  it('does not move when its entry leads elsewhere, or is missing', () => {
    assert.equal(moving([[DT.gnuHash, at + 4], entries[1]]), undefined);
    assert.equal(moving([entries[1]]), undefined);
  });

  it('does not move when another entry leads into it', () => {
    assert.equal(moving([...entries, [DT.init, at + 8]]), undefined);
    assert.equal(moving([...entries, [DT.versym, at]]), undefined);
  });

  it('does not move when it is not loaded as a section, or shares bytes with a segment', () => {
    const unloaded = { ...gnuHash, section: { ...gnuHash.section, sh_flags: 0 } };
    const inSegment = { ...gnuHash, segment: { p_type: PT_DYNAMIC } };
    for (const thing of [unloaded, inSegment]) {
      const changed = [thing, strings, filler(0x200)];
      const end = finder({ things: changed }).tableEnd;
      const dynamic = [
        [DT.gnuHash, BASE + end],
        [DT.strtab, BASE + end + 40],
      ] as const;
      assert.equal(finder({ things: changed, dynamic }).room.byMoving('move-tables', 1), undefined);
    }
  });
});

it('a note moves where its owner is one whose readers look for it, and no other', () => {
  const things = [interp, buildId, filler(2 * ENTRY)];
  const moves = (owner: string) => finder({ things, bytes: owned(owner) }).room.byMoving('move-notes', 1);
  for (const owner of ['GNU', 'FDO', 'PaX']) assert.ok(moves(owner), owner);
  for (const owner of ['Xen', 'LVM', 'gnu']) assert.equal(moves(owner), undefined, owner);
});

describe('a PT_NOTE that is used again', () => {
  it('is 4-aligned; its notes are copied and stay', () => {
    const { room, tableEnd } = finder({ things: [filler(0, 0x40), { ...buildId, at: 0x40 }] });
    const found = room.reuseNote(0);
    assert.equal(found?.kind, 'reuse-note');
    assert.deepEqual([found?.note, found?.spare.nulls], [0, 0]);
    assert.deepEqual([found?.front?.start, found?.front?.size], [tableEnd + 0x40, 36]);
    assert.deepEqual([found?.front?.sections, found?.front?.segments], [[2], [0]]);
  });

  it('is not one that is aligned to 8, has no bytes, or more bytes in memory', () => {
    for (const segment of [{ p_align: 8 }, { p_filesz: 0, p_memsz: 0 }, { p_memsz: 40 }, { p_vaddr: 4 }]) {
      const thing = { ...buildId, segment: { ...buildId.segment, ...segment } };
      assert.equal(finder({ things: [thing] }).room.reuseNote(0), undefined, JSON.stringify(segment));
    }
  });

  it('holds nothing but notes', () => {
    const thing = { ...buildId, section: { sh_type: SHT.progbits } };
    assert.equal(finder({ things: [thing] }).room.reuseNote(0), undefined);
  });

  it('is the smallest, and none of more than a page', () => {
    const large: Thing = { at: 0x100, size: 0x80, section: {}, segment: { p_type: PT_NOTE } };
    assert.equal(finder({ things: [large, buildId] }).room.reuseNote(0)?.note, 1);
    const huge: Thing = { at: 0x100, size: 4100, section: {}, segment: { p_type: PT_NOTE } };
    assert.equal(finder({ things: [huge] }).room.reuseNote(0), undefined);
  });

  it('saves one entry; the others need free room', () => {
    assert.equal(finder({ things: [buildId, filler(64)] }).room.reuseNote(1), undefined);
    const roomy = [{ ...buildId, at: ENTRY }];
    assert.equal(finder({ things: roomy }).room.reuseNote(1)?.note, 0);
    assert.equal(finder({ things: [buildId], extra: [nothing] }).room.reuseNote(1)?.spare.nulls, 1);
  });

  it('needs no copy where it ends its segment', () => {
    const { tableEnd } = finder({ things: [buildId] });
    const { room } = finder({ things: [buildId], loaded: tableEnd + 64 });
    assert.deepEqual(room.extendNote(), {
      kind: 'extend-note',
      spare: NO_SPARE,
      front: undefined,
      note: 0,
      load: 1,
    });
    assert.equal(finder({ things: [buildId], loaded: tableEnd + 72 }).room.extendNote(), undefined);
  });
});

it('ranges that share a byte are one group, neighbours are two', () => {
  const range = (start: number, end: number) => ({ start, end, kind: 'section', index: 0 }) as const;
  const groups = groupOverlapping([range(0, 10), range(5, 7), range(9, 12), range(12, 14)]);
  assert.deepEqual(
    groups.map(({ start, end, members }) => [start, end, members.length]),
    [
      [0, 12, 3],
      [12, 14, 1],
    ],
  );
});
