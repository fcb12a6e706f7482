import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferSource, Encoding } from '../../../src/elf/bytes.js';
import { referencesInto } from '../../../src/layout/rungs/references.js';
import { image, MIPS, program, S390, section, X86_64 } from '../../support/image.js';

const DT = { hash: 4, symtab: 6, rela: 7, relasz: 8, rel: 17, relsz: 18, pltrelsz: 2, pltrel: 20 } as const;
const MORE = { jmprel: 23, relrsz: 35, relr: 36, gnuHash: 0x6ffffef5, needed: 1, init: 12 } as const;

/** What is looked for stands at [0x500, 0x600); tables stand from 0x800 on; offsets are addresses minus BASE. */
const BASE = 0x10000;
const LOW = BASE + 0x500;
const HIGH = BASE + 0x600;
const TABLE = BASE + 0x800;

interface File {
  readonly is64?: boolean;
  readonly littleEndian?: boolean;
  readonly machine?: number;
  readonly dynamic: readonly (readonly [number, number])[];
  readonly symbolSection?: number;
  readonly fill: (bytes: Buffer, encoding: Encoding) => void;
}

function find(file: File) {
  const { is64 = true, littleEndian = true, machine = X86_64, dynamic, symbolSection } = file;
  const bytes = Buffer.alloc(0x2000);
  file.fill(bytes, new Encoding(is64, littleEndian));
  const sectionHeaders =
    symbolSection === undefined ? [] : [section({ sh_type: 11, sh_addr: TABLE, sh_size: symbolSection })];
  const programHeaders = [program({ p_offset: 0, p_vaddr: BASE, p_filesz: 0x2000, p_memsz: 0x3000 })];
  const header = { e_machine: machine };
  const elf = image({ is64, littleEndian, header, programHeaders, sectionHeaders, dynamic, size: 0x2000 });
  return referencesInto(elf, new BufferSource(bytes), LOW, HIGH);
}

const addresses = (file: File) => find(file)?.map(({ address }) => address);
const nothing = () => {};

describe('a dynamic entry', () => {
  it('that holds an address pins it, with its tag', () => {
    const dynamic = [[MORE.init, LOW + 8]] as const;
    assert.deepEqual(find({ dynamic, fill: nothing }), [
      { address: LOW + 8, what: 'dynamic entry 0xc', d_tag: MORE.init },
    ]);
  });

  it('that nobody knows is taken for an address', () => {
    assert.deepEqual(addresses({ dynamic: [[0x7000_1234, LOW]], fill: nothing }), [LOW]);
  });

  it('that is a number, a size or a string pins nothing, whatever its value', () => {
    for (const tag of [MORE.needed, DT.relasz, 10, 29, 0x6ffffffb, 0x6fffffff]) {
      assert.deepEqual(find({ dynamic: [[tag, LOW]], fill: nothing }), [], `tag 0x${tag.toString(16)}`);
    }
  });

  it('pins the first and the last byte and none beside them', () => {
    const dynamic = [LOW - 1, LOW, HIGH - 1, HIGH].map(value => [MORE.init, value] as const);
    assert.deepEqual(addresses({ dynamic, fill: nothing }), [LOW, HIGH - 1]);
  });
});

for (const is64 of [true, false]) {
  for (const littleEndian of [true, false]) {
    const w = is64 ? 8 : 4;
    const kind = { is64, littleEndian };
    const info = (e: Encoding, b: Buffer, at: number, symbol: number) => {
      if (is64) e.putU64(b, at, symbol * 2 ** 32 + 8);
      else e.putU32(b, at, symbol * 256 + 8);
    };

    describe(`in a ${is64 ? 64 : 32}-bit ${littleEndian ? 'little' : 'big'}-endian file`, () => {
      it('a dynamic symbol pins its value, unless it is undefined', () => {
        const size = is64 ? 24 : 16;
        const fill: File['fill'] = (b, e) => {
          for (const [i, [value, shndx]] of [
            [0, 0],
            [LOW + 4, 3],
            [LOW + 8, 0],
            [LOW + 12, 0xfff1],
            [HIGH, 3],
          ].entries()) {
            e.putWord(b, 0x800 + i * size + (is64 ? 8 : 4), value ?? 0);
            e.putU16(b, 0x800 + i * size + (is64 ? 6 : 14), shndx ?? 0);
          }
        };
        const file = { ...kind, dynamic: [[DT.symtab, TABLE]] as const, fill, symbolSection: 5 * size };
        assert.deepEqual(addresses(file), [LOW + 4, LOW + 12]);
        assert.deepEqual(addresses({ ...file, symbolSection: 3 * size }), [LOW + 4]);
      });

      it('a RELA relocation without a symbol pins its addend, one with a symbol does not', () => {
        const fill: File['fill'] = (b, e) => {
          for (const [i, symbol] of [0, 7, 0].entries()) {
            e.putWord(b, 0x800 + i * 3 * w, BASE + 0x1000);
            info(e, b, 0x800 + i * 3 * w + w, symbol);
            e.putWord(b, 0x800 + i * 3 * w + 2 * w, LOW + i);
          }
        };
        const sized = (count: number) =>
          [
            [DT.rela, TABLE],
            [DT.relasz, count * 3 * w],
          ] as const;
        assert.deepEqual(addresses({ ...kind, dynamic: sized(3), fill }), [LOW, LOW + 2]);
        assert.deepEqual(addresses({ ...kind, dynamic: sized(1), fill }), [LOW]);
      });

      it('a REL relocation pins what stands in its place', () => {
        const fill: File['fill'] = (b, e) => {
          for (const [i, symbol] of [0, 7].entries()) {
            e.putWord(b, 0x800 + i * 2 * w, BASE + 0x1000 + i * w);
            info(e, b, 0x800 + i * 2 * w + w, symbol);
            e.putWord(b, 0x1000 + i * w, LOW + 0x10 + i);
          }
        };
        const dynamic = [
          [DT.rel, TABLE],
          [DT.relsz, 4 * w],
        ] as const;
        assert.deepEqual(addresses({ ...kind, dynamic, fill }), [LOW + 0x10]);
      });

      it('a relocation in .bss has nothing in its place', () => {
        const fill: File['fill'] = (b, e) => e.putWord(b, 0x800, BASE + 0x2800);
        const dynamic = [
          [DT.rel, TABLE],
          [DT.relsz, 2 * w],
        ] as const;
        assert.deepEqual(addresses({ ...kind, dynamic, fill }), []);
      });

      it('a relocation of any kind pins the place that it writes to', () => {
        const fill: File['fill'] = (b, e) => {
          e.putWord(b, 0x800, LOW + 0x20);
          info(e, b, 0x800 + w, 5);
        };
        const rela = [
          [DT.rela, TABLE],
          [DT.relasz, 3 * w],
        ] as const;
        const rel = [
          [DT.rel, TABLE],
          [DT.relsz, 2 * w],
        ] as const;
        assert.deepEqual(addresses({ ...kind, dynamic: rela, fill }), [LOW + 0x20]);
        assert.deepEqual(addresses({ ...kind, dynamic: rel, fill }), [LOW + 0x20]);
      });

      it('a PLT relocation is RELA or REL as DT_PLTREL says', () => {
        const fill: File['fill'] = (b, e) => {
          e.putWord(b, 0x800, BASE + 0x1000);
          e.putWord(b, 0x800 + 2 * w, LOW + 1);
          e.putWord(b, 0x1000, LOW + 2);
        };
        const dynamic = (type: number, size: number) =>
          [
            [MORE.jmprel, TABLE],
            [DT.pltrelsz, size],
            [DT.pltrel, type],
          ] as const;
        assert.deepEqual(addresses({ ...kind, dynamic: dynamic(DT.rela, 3 * w), fill }), [LOW + 1]);
        assert.deepEqual(addresses({ ...kind, dynamic: dynamic(DT.rel, 2 * w), fill }), [LOW + 2]);
      });

      it('a RELR table pins through its addresses and every bit of its bitmaps', () => {
        const last = 8 * w - 1;
        const fill: File['fill'] = (b, e) => {
          e.putWord(b, 0x800, BASE + 0x1000);
          // Bits 1 and 3 of the first bitmap, the highest of the second.
          e.putWord(b, 0x800 + w, 0b1011);
          e.putU32(b, 0x800 + 2 * w + (littleEndian ? 0 : w - 4), 1);
          const top = 0x800 + 2 * w + (littleEndian ? w - 1 : 0);
          b[top] = (b[top] ?? 0) | 0x80;
          const word = (i: number) => 0x1000 + i * w;
          const values = [word(0), word(1), word(2), word(3), word(1 + last + last - 1)];
          for (const [i, at] of values.entries()) e.putWord(b, at, LOW + i);
        };
        const dynamic = [
          [MORE.relr, TABLE],
          [MORE.relrsz, 3 * w],
        ] as const;
        assert.deepEqual(addresses({ ...kind, dynamic, fill }), [LOW, LOW + 1, LOW + 3, LOW + 4]);
      });
    });
  }
}

describe('r_info of 64-bit MIPS', () => {
  for (const littleEndian of [true, false]) {
    it(`has the symbol in its first half, ${littleEndian ? 'little' : 'big'}-endian`, () => {
      const fill: File['fill'] = (b, e) => {
        for (const [i, symbol] of [0, 9].entries()) {
          e.putWord(b, 0x800 + i * 16, BASE + 0x1000 + i * 8);
          e.putU32(b, 0x808 + i * 16, symbol);
          b.set([0, 0, 18, 3], 0x80c + i * 16);
          e.putWord(b, 0x1000 + i * 8, LOW + i);
        }
      };
      const dynamic = [
        [DT.rel, TABLE],
        [DT.relsz, 32],
      ] as const;
      assert.deepEqual(addresses({ littleEndian, machine: MIPS, dynamic, fill }), [LOW]);
    });
  }
});

describe('the number of dynamic symbols', () => {
  const HASH = BASE + 0xc00;
  /** Symbols 1 to 9 at LOW + their number. */
  const symbols = (b: Buffer, e: Encoding) => {
    for (let i = 1; i < 10; i++) {
      e.putWord(b, 0x800 + i * 24 + 8, LOW + i);
      e.putU16(b, 0x800 + i * 24 + 6, 1);
    }
  };
  const found = (file: Omit<File, 'dynamic'>, tag: number) =>
    addresses({
      ...file,
      dynamic: [
        [DT.symtab, TABLE],
        [tag, HASH],
      ],
    })?.length;

  it('is nchain of DT_HASH', () => {
    const fill: File['fill'] = (b, e) => {
      symbols(b, e);
      e.putU32(b, 0xc00, 77);
      e.putU32(b, 0xc04, 5);
    };
    assert.equal(found({ fill }, DT.hash), 4);
  });

  it('is nchain in 8 bytes on 64-bit s390', () => {
    const fill: File['fill'] = (b, e) => {
      symbols(b, e);
      e.putU64(b, 0xc00, 77);
      e.putU64(b, 0xc08, 6);
    };
    assert.equal(found({ fill, machine: S390, littleEndian: false }, DT.hash), 5);
  });

  /** One bloom word, two buckets, the first symbol in them is 3; the chain of 5 ends with symbol 7. */
  const gnuHash = (b: Buffer, e: Encoding, buckets: readonly number[]) => {
    symbols(b, e);
    for (const [i, value] of [2, 3, 1, 6].entries()) e.putU32(b, 0xc00 + i * 4, value);
    for (const [i, value] of buckets.entries()) e.putU32(b, 0xc18 + i * 4, value);
    for (const [i, value] of [0x10, 0x11, 0x20, 0x22, 0x23].entries()) e.putU32(b, 0xc20 + i * 4, value);
  };

  it('is told from the end of the last chain of DT_GNU_HASH', () => {
    assert.equal(found({ fill: (b, e) => gnuHash(b, e, [3, 5]) }, MORE.gnuHash), 7);
    assert.equal(found({ fill: (b, e) => gnuHash(b, e, [5, 3]) }, MORE.gnuHash), 7);
    assert.equal(found({ fill: (b, e) => gnuHash(b, e, [3, 0]) }, MORE.gnuHash), 4);
  });

  it('is symoffset where no symbol is in the hash table', () => {
    assert.equal(found({ fill: (b, e) => gnuHash(b, e, [0, 0]) }, MORE.gnuHash), 2);
  });

  it('is that of the section, where one describes the table', () => {
    const file = { fill: (b: Buffer, e: Encoding) => gnuHash(b, e, [3, 5]), symbolSection: 3 * 24 };
    assert.equal(found(file, MORE.gnuHash), 2);
  });
});

describe('nothing may move', () => {
  const refused = (dynamic: File['dynamic'], fill: File['fill'] = nothing) =>
    assert.equal(find({ dynamic, fill }), undefined);

  it('where nothing tells how many symbols there are', () => refused([[DT.symtab, TABLE]]));

  it('where a table lies outside every segment', () => {
    refused([
      [DT.rela, BASE + 0x1ff0],
      [DT.relasz, 24],
    ]);
    refused([
      [DT.symtab, TABLE],
      [DT.hash, BASE + 0x9000],
    ]);
    refused([
      [DT.symtab, TABLE],
      [MORE.gnuHash, BASE + 0x9000],
    ]);
    refused([
      [MORE.relr, 8],
      [MORE.relrsz, 8],
    ]);
  });

  it('where the buckets of DT_GNU_HASH leave the segment', () => {
    refused(
      [
        [DT.symtab, TABLE],
        [MORE.gnuHash, BASE + 0xc00],
      ],
      (b, e) => {
        for (const [i, value] of [0x1000, 1, 1, 6].entries()) e.putU32(b, 0xc00 + i * 4, value);
      },
    );
  });

  it('where a chain of DT_GNU_HASH has no end', () => {
    refused(
      [
        [DT.symtab, TABLE],
        [MORE.gnuHash, BASE + 0xc00],
      ],
      (b, e) => {
        for (const [i, value] of [1, 1, 1, 6, 0, 0, 1].entries()) e.putU32(b, 0xc00 + i * 4, value);
      },
    );
  });
});

it('a file that is linked to nothing has no references', () => {
  const elf = image({ programHeaders: [program({ p_filesz: 0x100 })] });
  assert.deepEqual(referencesInto(elf, new BufferSource(Buffer.alloc(0x100)), 0, 0x100), []);
});

describe('the addend of a relocation of thread-local storage is no address', () => {
  interface Case {
    readonly name: string;
    readonly machine: number;
    readonly type: number;
    readonly is64?: boolean;
    readonly littleEndian?: boolean;
  }
  const cases: readonly Case[] = [
    { name: 'R_X86_64_TPOFF64', machine: X86_64, type: 18 },
    { name: 'R_X86_64_TLSDESC', machine: X86_64, type: 36 },
    { name: 'R_AARCH64_TLSDESC', machine: 183, type: 1031 },
    { name: 'R_AARCH64_TLS_TPREL', machine: 183, type: 1030 },
    { name: 'R_PPC64_DTPREL64', machine: 21, type: 78 },
    { name: 'R_PPC64_DTPREL64 of the older ABI', machine: 21, type: 78, littleEndian: false },
    { name: 'R_390_TLS_TPOFF', machine: S390, type: 56, littleEndian: false },
    { name: 'R_RISCV_TLS_TPREL64', machine: 243, type: 11 },
    { name: 'R_LARCH_TLS_DESC64', machine: 258, type: 14 },
    { name: 'R_SPARC_TLS_TPOFF64', machine: 43, type: 79, littleEndian: false },
    { name: 'R_ALPHA_TPREL64', machine: 0x9026, type: 38 },
    { name: 'R_386_TLS_TPOFF', machine: 3, type: 14, is64: false },
    { name: 'R_ARM_TLS_DESC', machine: 40, type: 13, is64: false },
    { name: 'R_PPC_TPREL32', machine: 20, type: 73, is64: false, littleEndian: false },
    { name: 'R_MIPS_TLS_TPREL32', machine: MIPS, type: 47, is64: false, littleEndian: false },
    { name: 'R_MIPS_TLS_TPREL64', machine: MIPS, type: 48, littleEndian: false },
    { name: 'R_MIPS_TLS_TPREL64 in little-endian', machine: MIPS, type: 48 },
  ];
  for (const { name, machine, type, is64 = true, littleEndian = true } of cases) {
    const w = is64 ? 8 : 4;
    const found = (used: number) => {
      const fill: File['fill'] = (b, e) => {
        e.putWord(b, 0x800, BASE + 0x1000);
        if (machine === MIPS && is64) b[0x800 + w + 7] = used;
        else if (is64) e.putU64(b, 0x800 + w, used);
        else e.putU32(b, 0x800 + w, used);
        e.putWord(b, 0x800 + 2 * w, LOW + 8);
      };
      const dynamic = [
        [DT.rela, TABLE],
        [DT.relasz, 3 * w],
      ] as const;
      return addresses({ is64, littleEndian, machine, dynamic, fill });
    };
    it(name, () => {
      assert.deepEqual(found(type), []);
      // Another type, with the same addend, is one.
      assert.deepEqual(found(3), [LOW + 8]);
    });
  }
});
