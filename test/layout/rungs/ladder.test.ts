import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { alignUp, BufferSource, type ByteSource, Encoding, PatchedSource } from '../../../src/elf/bytes.js';
import { PT_LOAD, PT_NOTE, PT_PHDR } from '../../../src/elf/constants.js';
import { readImage } from '../../../src/elf/read.js';
import { type NoteCommit, type PlanOptions, STEP } from '../../../src/layout/model/plan.js';
import { planFile } from '../../../src/layout/plan-file.js';
import { planNote, refuse } from '../../../src/layout/rungs/ladder.js';
import { arrange } from '../../../src/layout/rungs/place.js';
import { type CacheEntry, encodeNote } from '../../../src/note/cache.js';
import { verifyPlan } from '../../../src/write/verify-plan.js';
import { AARCH64, image, MIPS, program, S390, section } from '../../support/image.js';
import {
  buildLayout,
  type ItemSpec,
  type LayoutSpec,
  type Pin,
  R,
  RW,
  RX,
} from '../../support/layout-builder.js';
import { applied, viewOf } from '../../support/plans.js';

const entries = (length: number): CacheEntry[] => [
  { soname: 'libone.so', steps: [{ kind: 'path', path: `/${'p'.repeat(length)}` }] },
];
const payload = (length: number) => ({ bytes: encodeNote(entries(length), new Encoding(true, true)) });

const INTERP: ItemSpec = { kind: 'interp', size: 83 };
const TABLES: readonly ItemSpec[] = [{ kind: 'gnu-hash' }, { kind: 'dynsym' }, { kind: 'dynstr' }];

/** 64-bit, little-endian; text and data follow with gaps that each test names. */
function spec(items: readonly ItemSpec[], slack: number, more: Partial<LayoutSpec> = {}): LayoutSpec {
  return {
    is64: true,
    littleEndian: true,
    machine: AARCH64,
    align: 0x10000,
    rela: true,
    items: [...items, { kind: 'rodata', size: 64 }],
    segments: [
      { flags: RX, size: 64, gap: slack },
      { flags: RW, size: 320, dynamic: true, bss: 64 },
    ],
    ...more,
  };
}

function plan(layout: LayoutSpec, length = 20, options: PlanOptions = {}) {
  const source = new BufferSource(buildLayout(layout).bytes);
  return planNote(readImage(source), source, payload(length), options);
}

function written(layout: LayoutSpec, length = 20, options: PlanOptions = {}): NoteCommit {
  const result = plan(layout, length, options);
  if (result.kind === 'skip') assert.fail(`${result.reason}: ${result.detail}`);
  return result;
}

const rung = (layout: LayoutSpec, length?: number) => {
  const { note, table } = written(layout, length).rung;
  return `${note} ${table}`;
};

const ABI: ItemSpec = { kind: 'build-id' };
const PT_GNU_STACK = 0x6474e551;

describe('the rung', () => {
  it('is slack and free room where there is both', () => {
    assert.equal(rung(spec([INTERP, ABI, ...TABLES], 500, { tableGap: 56 })), 'slack free');
  });

  it('moves nothing of which nobody knows who points at it, wherever it stands among the sections', () => {
    // The index of the section is that of PT_INTERP among the program headers.
    const layout = spec([{ kind: 'rodata', size: 64 }, INTERP, ...TABLES], 500, { phdr: true });
    const result = plan(layout, 20, { avoid: ['phdr'] });
    assert.deepEqual(result, {
      kind: 'skip',
      reason: 'no-room',
      detail: 'the program header table has no room for another entry',
    });
  });

  it('is no copied note where the file cannot get a section header for it', () => {
    const { rung, moved } = written(spec([INTERP, ABI, ...TABLES], 500, { appended: 64 }));
    assert.deepEqual([rung.table, moved], ['move-notes', ['.interp', '.note.gnu.build-id']]);
  });

  it('is a copied note rather than anything that moves', () => {
    const result = written(spec([INTERP, ABI, ...TABLES], 500));
    assert.deepEqual(result.rung, { note: 'slack', table: 'reuse-note' });
    assert.deepEqual(result.moved, ['.note.gnu.build-id']);
  });

  it('is the PT_NOTE that PT_GNU_PROPERTY makes needless rather than the one of the build-id', () => {
    const layout = spec([INTERP, { kind: 'property' }, ABI, ...TABLES], 500);
    const result = written(layout);
    assert.deepEqual(result.rung, { note: 'slack', table: 'property' });
    assert.deepEqual(result.moved, []);
    const source = new BufferSource(buildLayout(layout).bytes);
    const before = readImage(source).programHeaders;
    const after = readImage(new PatchedSource(source, result.edits, result.size)).programHeaders;
    const changed = after.flatMap((p, i) => (JSON.stringify(p) === JSON.stringify(before[i]) ? [] : [i]));
    const twin = before.findIndex(p => p.p_type === PT_NOTE && p.p_align === 8);
    const first = before.findIndex(p => p.p_type === PT_LOAD);
    assert.deepEqual(new Set(changed), new Set([twin, first]), 'one PT_NOTE, and the segment that grows');
    assert.equal(after[twin]?.p_align, 4);
  });

  it('leaves a PT_NOTE alone that covers more or less than PT_GNU_PROPERTY', () => {
    const layout = spec([INTERP, { kind: 'property' }, ABI, ...TABLES], 500);
    for (const by of [-4, 8]) {
      const { bytes } = buildLayout(layout);
      const { programHeaders, header } = readImage(new BufferSource(bytes));
      const twin = programHeaders.findIndex(p => p.p_type === PT_NOTE && p.p_align === 8);
      const p_filesz = header.e_phoff + twin * 56 + 32;
      bytes.writeBigUInt64LE(bytes.readBigUInt64LE(p_filesz) + BigInt(by), p_filesz);
      const source = new BufferSource(bytes);
      const plan = planNote(readImage(source), source, payload(20), {});
      assert.notEqual(plan.kind === 'note' && plan.rung.table, 'property', `${by}`);
    }
  });

  it('is free room rather than a copy, which costs bytes', () => {
    assert.equal(rung(spec([ABI, ...TABLES], 500, { tableGap: 60 })), 'slack free');
  });

  it('is a PT_NULL where one ends the table', () => {
    const layout = spec(TABLES, 500, { nulls: 1, nullsLast: true });
    assert.equal(rung(layout), 'slack free');
    const { edits } = written(layout);
    const header = edits.find(({ step }) => step === STEP.header);
    const count = new BufferSource(buildLayout(layout).bytes).read(56, 2).readUInt16LE();
    assert.equal(header?.bytes.readUInt16LE(56), count, 'the table does not grow');
  });

  it('is moved tables rather than a copy of the build-id that the kernel would not see, beyond the first page', () => {
    const layout = (size: number) => spec([...TABLES, ABI, { kind: 'rodata', size }], 500);
    assert.equal(rung(layout(64)), 'slack reuse-note');
    assert.equal(rung(layout(4096)), 'slack move-tables');
  });

  it('is moved notes where nothing can be copied', () => {
    const [hash, ...others] = TABLES;
    const result = written(spec([INTERP, { kind: 'gnu-hash', ...hash, gap: 40 }, ...others], 500));
    assert.deepEqual(result.rung, { note: 'slack', table: 'move-notes' });
    assert.deepEqual(result.moved, ['.interp']);
  });

  it('is moved tables where there are no notes', () => {
    const result = written(spec(TABLES, 500));
    assert.deepEqual(result.rung, { note: 'slack', table: 'move-tables' });
    assert.deepEqual(result.moved, ['.gnu.hash', '.dynsym']);
  });

  it('is slack with moved tables rather than a tail, which costs a segment', () => {
    assert.equal(written(spec(TABLES, 2000, { tableGap: 0 })).addedLoads, 0);
  });

  it('is a tail where the slack is too short for the note', () => {
    const layout = spec([INTERP, ABI, ...TABLES], 200, { tableGap: 112 });
    assert.equal(rung(layout, 20), 'slack free');
    const result = written(layout, 300);
    assert.deepEqual(result.rung, { note: 'tail', table: 'free' });
    assert.equal(result.addedLoads, 1);
  });

  it('is a tail with a copied note where there is room for one entry', () => {
    assert.equal(rung(spec([ABI, ...TABLES], 0, { tableGap: 56 }), 300), 'tail reuse-note');
  });

  it('is a tail with moved notes where there is none', () => {
    const notes: ItemSpec[] = [INTERP, { kind: 'property' }, ABI, { kind: 'abi-tag' }];
    assert.equal(rung(spec([...notes, ...TABLES], 0), 300), 'tail move-notes');
  });
});

it('does not follow references where nothing has to move', () => {
  const symbolsRead = (tableGap: number): number => {
    const source = new BufferSource(buildLayout(spec([INTERP, ...TABLES], 500, { tableGap })).bytes);
    const image = readImage(source);
    const dynsym = image.sectionHeaders.find(({ name }) => name === '.dynsym');
    assert.ok(dynsym);
    let reads = 0;
    const watched: ByteSource = {
      path: source.path,
      size: source.size,
      read(offset, length) {
        if (offset <= dynsym.sh_offset && dynsym.sh_offset < offset + length) reads++;
        return source.read(offset, length);
      },
    };
    planNote(image, watched, payload(20));
    return reads;
  };
  assert.ok(symbolsRead(0) > 0, 'the test watches nothing');
  assert.equal(symbolsRead(56), 0);
});

describe('the rung that costs least later', () => {
  /** As many program headers as it takes, by read-only segments that hold nothing of interest. */
  const withEntries = (count: number) => {
    const layout = (more: number) =>
      spec([ABI, ...TABLES], 500, {
        align: 0x1000,
        machine: 62,
        tableGap: 60,
        segments: [
          { flags: RX, size: 64, gap: 500 },
          ...Array.from({ length: more }, () => ({ flags: R, size: 64, gap: 0 })),
          { flags: RW, size: 320, dynamic: true, bss: 64 },
        ],
      });
    const entriesOf = (more: number) =>
      readImage(new BufferSource(buildLayout(layout(more)).bytes)).programHeaders.length;
    return layout(count - entriesOf(0));
  };

  it('is free room up to the thirteenth program header, which ld.so still finds in its first read', () => {
    assert.equal(rung(withEntries(12)), 'slack free');
  });

  it('is another PT_NOTE where the fourteenth would cost two reads at every load', () => {
    assert.equal(rung(withEntries(13)), 'slack reuse-note');
  });

  it('is free room again where the table has been longer before', () => {
    assert.equal(rung(withEntries(14)), 'slack free');
  });

  it('leaves the build-id in the first page, where the kernel looks for it, rather than in plain data beyond', () => {
    const layout = spec([ABI, ...TABLES], 0, {
      firstFlags: RX,
      segments: [
        { flags: R, size: 6000, gap: 500 },
        { flags: RW, size: 320, dynamic: true, bss: 64, gap: 500 },
      ],
    });
    const { edits, rung } = written(layout);
    assert.equal(rung.table, 'reuse-note');
    const copy = edits.find(({ why }) => why.startsWith('copy of'));
    assert.ok(copy !== undefined && copy.offset < 4096, `${copy?.offset}`);
  });
});

describe('a PT_PHDR', () => {
  it('gives its entry to the note in a library, which needs none', () => {
    const layout = spec(TABLES, 500, { phdr: true, type: 3 });
    const { rung, moved, edits, size } = written(layout);
    assert.deepEqual([rung, moved], [{ note: 'slack', table: 'phdr' }, []]);
    const source = new BufferSource(buildLayout(layout).bytes);
    const before = readImage(source).programHeaders;
    const after = readImage(new PatchedSource(source, edits, size)).programHeaders;
    assert.equal(after.length, before.length);
    assert.ok(before.some(p => p.p_type === PT_PHDR) && !after.some(p => p.p_type === PT_PHDR));
  });

  it('stays in a program, and in what is at a fixed address', () => {
    assert.notEqual(written(spec([INTERP, ...TABLES], 500, { phdr: true, type: 3 })).rung.table, 'phdr');
    assert.notEqual(written(spec(TABLES, 500, { phdr: true, type: 2 })).rung.table, 'phdr');
  });

  it('gives way to a tail, to which a PT_NOTE at the end of its segment does not reach', () => {
    const layout: LayoutSpec = {
      ...spec([], 0, { phdr: true, type: 3, align: 0x1000, pins: [{ target: 'dynsym', by: 'symbol' }] }),
      items: [{ kind: 'dynsym' }, { kind: 'dynstr' }, { kind: 'rodata', size: 60 }, { kind: 'build-id' }],
    };
    const view = viewOf(buildLayout(layout).bytes);
    const plan = planFile(view, { entries: entries(3000) });
    assert.ok(plan.kind === 'write');
    verifyPlan(view, plan);
    assert.deepEqual(
      [plan.rung, plan.moved],
      [{ note: 'tail', table: 'reuse-note' }, ['.note.gnu.build-id']],
    );
  });
});

it('more section headers than a file can number are refused by name', () => {
  const sectionHeaders = Array.from({ length: 0xff00 }, () => section({ sh_type: 0 }));
  const programHeaders = [program({ p_filesz: 0x1000 })];
  const file = image({ programHeaders, sectionHeaders, size: 0x1000 });
  const refused = refuse(file);
  assert.equal(refused?.reason, 'unsupported-layout');
  assert.match(refused?.detail ?? '', /too many section headers/);
});

describe('the slack', () => {
  it('is filled to the last byte, and not beyond', () => {
    const seen = new Set<boolean>();
    for (let gap = 40; gap < 120; gap++) {
      const layout = spec([INTERP, ...TABLES], gap, { tableGap: 112 });
      const { programHeaders, encoding } = readImage(new BufferSource(buildLayout(layout).bytes));
      const [first, next] = programHeaders.filter(p => p.p_type === 1);
      assert.ok(first && next);
      const end = first.p_offset + first.p_filesz;
      const fits = alignUp(end, 4) + encodeNote(entries(20), encoding).length <= next.p_offset;
      assert.equal(rung(layout), fits ? 'slack free' : 'tail free', `${next.p_offset - end} bytes`);
      seen.add(fits);
    }
    assert.equal(seen.size, 2);
  });

  it('with any other byte than zero is no slack', () => {
    const dirty = spec([INTERP, ...TABLES], 0, {
      tableGap: 120,
      segments: [
        { flags: RX, size: 64, gap: 80, fill: 1 },
        { flags: RW, size: 320, dynamic: true, gap: 0 },
      ],
    });
    assert.equal(rung(dirty, 60), 'tail free');
    assert.equal(
      rung({ ...dirty, segments: dirty.segments.map(segment => ({ ...segment, fill: 0 })) }, 40),
      'slack free',
    );
  });

  it('of plain data is taken before that of code', () => {
    const both = spec(TABLES, 0, {
      tableGap: 56,
      firstFlags: RX,
      segments: [
        { flags: R, size: 64, gap: 500 },
        { flags: RW, size: 320, dynamic: true, gap: 500 },
      ],
    });
    const source = new BufferSource(buildLayout(both).bytes);
    const loads = readImage(source).programHeaders.filter(p => p.p_type === 1);
    const note = written(both).edits.find(({ why }) => why === 'the notes');
    assert.ok(note && loads[1] && note.offset >= loads[1].p_offset + loads[1].p_filesz);
  });
});

describe('what a pointer leads into', () => {
  const pins: Pin['by'][] = ['symbol', 'relocation', 'relr', 'unknown-entry'];
  const machines = [
    { machine: AARCH64, is64: true, littleEndian: true, rela: true },
    { machine: S390, is64: true, littleEndian: false, rela: true },
    { machine: MIPS, is64: true, littleEndian: true, rela: false },
    { machine: 3, is64: false, littleEndian: true, rela: false },
    { machine: 20, is64: false, littleEndian: false, rela: true },
  ];
  for (const by of pins) {
    for (const machine of machines) {
      const name = `${machine.is64 ? 64 : 32}-bit ${machine.littleEndian ? 'little' : 'big'}-endian`;
      it(`does not move for a ${by}, ${name}, machine ${machine.machine}`, () => {
        const items: ItemSpec[] = [INTERP, { kind: 'hash' }, ...TABLES, { kind: 'relocations' }];
        for (const sections of ['end', 'none'] as const) {
          const free = spec(items, 500, { ...machine, sections });
          if (sections === 'end') assert.deepEqual(written(free).moved.slice(0, 1), ['.interp']);
          const pinned = plan({ ...free, pins: [{ target: 'interp', by }] });
          assert.ok(pinned.kind === 'skip' && pinned.reason === 'no-room');
        }
      });
    }
  }
});

it('a table that something besides its dynamic entry leads into does not move either', () => {
  const free = spec([{ kind: 'dynsym' }, { kind: 'dynstr' }, { kind: 'relocations' }], 500);
  assert.deepEqual([rung(free), written(free).moved], ['slack move-tables', ['.dynsym', '.dynstr']]);
  for (const by of ['symbol', 'relocation', 'relr', 'unknown-entry'] as const) {
    const pinned = plan({ ...free, pins: [{ target: 'dynsym', by }] });
    assert.ok(pinned.kind === 'skip' && pinned.reason === 'no-room', by);
  }
});

describe('a file is skipped by name', () => {
  it('when the table has no room', () => {
    const { kind, ...why } = plan(spec([{ kind: 'rodata', size: 300 }, ...TABLES], 500));
    assert.equal(kind, 'skip');
    assert.deepEqual(why, {
      reason: 'no-room',
      detail: 'the program header table has no room for another entry',
    });
  });

  it('when data is appended and nothing fits without appending', () => {
    const { kind, ...why } = plan(spec([INTERP, ...TABLES], 0, { tableGap: 200, appended: 10 }), 300);
    assert.equal(kind, 'skip');
    assert.deepEqual(why, {
      reason: 'no-room',
      detail: 'data is appended to the file and no read-only segment has slack',
    });
  });

  it('when its segments overlap, descend or are not congruent', () => {
    const refused = (programHeaders: readonly ReturnType<typeof program>[]) => {
      const source = new BufferSource(Buffer.alloc(0x10000));
      const result = planNote(image({ programHeaders }), source, payload(5));
      return result.kind === 'skip' ? result.reason : result.kind;
    };
    const first = program({ p_filesz: 0x1000, p_memsz: 0x2000 });
    const at = (p_vaddr: number, p_offset = 0x4000) => program({ p_offset, p_vaddr, p_filesz: 0x10 });
    assert.equal(refused([first, at(0x1000)]), 'unsupported-layout');
    assert.equal(refused([at(0x5000, 0x5000), at(0x4000)]), 'unsupported-layout');
    assert.equal(refused([first, at(0x5010)]), 'unsupported-layout');
    assert.equal(refused([first, at(0x5000)]), 'no-room', 'nothing is wrong with this one but its room');
    const empty = (p_vaddr: number, p_offset: number) => program({ p_offset, p_vaddr });
    assert.equal(refused([first, empty(0x5000, 0x4010)]), 'no-room', 'the kernel maps nothing for it');
    assert.equal(refused([first, empty(0x5010, 0x4000)]), 'unsupported-layout', 'the kernel maps its page');
    const second = program({ p_vaddr: 0x5000, p_filesz: 0x1000 });
    assert.equal(refused([empty(0x1000, 0x1000), second]), 'no-room');
    assert.equal(refused([empty(0x1000, 0x1010), second]), 'unsupported-layout', 'the first one counts');
  });

  it('when its program header table is not loaded', () => {
    const programHeaders = [program({ p_offset: 0x1000, p_vaddr: 0x1000, p_filesz: 0x100 })];
    const result = planNote(image({ programHeaders }), new BufferSource(Buffer.alloc(0x10000)), payload(5));
    assert.ok(result.kind === 'skip' && result.reason === 'unsupported-layout', result.kind);
  });

  it('when its program headers would need extended numbering', () => {
    const size = 0x800000;
    const source = new BufferSource(Buffer.alloc(size));
    const stacks = Array.from({ length: 0xfffd }, () => program({ p_type: 0x6474e551 }));
    const programHeaders = [program({ p_filesz: size }), ...stacks.slice(1)];
    const result = planNote(image({ programHeaders, size }), source, payload(5));
    assert.deepEqual(result, {
      kind: 'skip',
      reason: 'unsupported-layout',
      detail: 'too many program headers',
    });
  });
});

describe('a file is refused by name', () => {
  it('when no address is left for a new segment', () => {
    const small = { is64: false, machine: 3, align: 0x1000, rela: false, tableGap: 128 };
    const tailAt = (base: number) => {
      const result = plan(spec([INTERP, ...TABLES], 0, { ...small, base }), 20, { placement: 'tail' });
      return result.kind === 'skip' ? result.reason : result.rung.note;
    };
    assert.equal(tailAt(0x10000), 'tail');
    assert.equal(tailAt(2 ** 32 - 0x3000), 'no-room');
  });

  const layout = spec([INTERP, ABI, ...TABLES], 500, { tableGap: 56 });

  it('when a dynamic entry leads into the slack that the notes would fill', () => {
    const { bytes } = buildLayout(layout);
    const { image } = viewOf(bytes);
    const load = image.programHeaders.find(p => p.p_type === 1);
    const entry = image.dynamic?.entries.find(({ d_tag }) => d_tag === 12);
    assert.ok(load !== undefined && entry !== undefined);
    const refused = (address: number) => {
      bytes.writeBigUInt64LE(BigInt(address), entry.offset + 8);
      const result = planFile(viewOf(bytes), { entries: entries(20) });
      assert.ok(result.kind !== 'skip' || result.reason === 'unsupported-layout');
      return result.kind === 'skip' ? result.detail : result.kind;
    };
    const end = load.p_vaddr + load.p_memsz;
    const why = 'dynamic entry 0xc leads behind PT_LOAD 1, where the notes would be';
    assert.equal(refused(end), why);
    assert.equal(refused(end + 20), why);
    assert.equal(refused(end - 1), 'write');
    assert.equal(refused(end + 400), 'write', 'the notes end before');
  });

  it('when a program header reaches beyond the end of the file', () => {
    const { bytes } = buildLayout(layout);
    const { header, programHeaders } = viewOf(bytes).image;
    const note = programHeaders.findIndex(p => p.p_type === 4);
    bytes.writeBigUInt64LE(BigInt(bytes.length - 8), header.e_phoff + note * 56 + 8);
    const result = planFile(viewOf(bytes), { entries: entries(20) });
    assert.ok(result.kind === 'skip');
    assert.equal(result.detail, `program header ${note} reaches beyond the end of the file`);
  });

  it('not when an empty one stands there', () => {
    const { bytes } = buildLayout(layout);
    const { header, programHeaders } = viewOf(bytes).image;
    const empty = programHeaders.findIndex(p => p.p_type === PT_GNU_STACK);
    assert.equal(programHeaders[empty]?.p_filesz, 0);
    bytes.writeBigUInt64LE(BigInt(bytes.length + 8), header.e_phoff + empty * 56 + 8);
    assert.equal(planFile(viewOf(bytes), { entries: entries(20) }).kind, 'write');
  });
});

describe('appended data', () => {
  const layout = spec([INTERP, ABI, ...TABLES], 500, { tableGap: 56, appended: 99, symtab: true });

  it('keeps the size of the file and gets no section', () => {
    const result = written(layout);
    const { length } = buildLayout(layout).bytes;
    assert.equal(result.size, length);
    assert.ok(!result.hasSection);
    assert.ok(result.edits.every(({ offset, bytes }) => offset + bytes.length <= length - 99));
  });

  it('lets sections move all the same, in the table where it is', () => {
    const moving = { ...layout, tableGap: 0, items: [INTERP, { kind: 'property' as const }, ...TABLES] };
    const result = written(moving);
    assert.equal(result.rung.table, 'move-notes');
    assert.equal(result.size, buildLayout(moving).bytes.length);
    assert.ok(result.edits.some(({ why }) => why === 'section header of .interp: its new place'));
  });
});

describe('the edits', () => {
  const layouts = [
    spec([INTERP, { kind: 'property' }, ...TABLES], 500, { symtab: true, phdr: true }),
    spec(TABLES, 500, { symtab: true }),
    spec([INTERP, ABI, ...TABLES], 0, { tableGap: 120, sections: 'middle' }),
    spec([ABI, ...TABLES], 900, { sections: 'none' }),
  ];

  it('come in the order of their steps, and the header and its table are the last, in one write', () => {
    for (const layout of layouts) {
      const { edits, inPlaceIsSafe, rung } = written(layout);
      const steps = edits.map(({ step }) => step);
      assert.deepEqual(
        steps,
        steps.toSorted((a, b) => a - b),
      );
      assert.equal(edits.at(-1)?.offset, 0);
      assert.equal(inPlaceIsSafe, rung.table !== 'move-tables');
    }
  });

  it('are the same for the same input, whatever the order of the entries', () => {
    const two: CacheEntry[] = [...entries(5), { soname: 'a.so', steps: [{ kind: 'hint', dir: 'lib' }] }];
    for (const layout of layouts) {
      const view = viewOf(buildLayout(layout).bytes);
      const one = planFile(view, { entries: two });
      const other = planFile(view, { entries: two.toReversed() });
      assert.ok(one.kind === 'write' && other.kind === 'write');
      assert.deepEqual(other.commits, one.commits);
    }
  });

  it('start with the notes, by which a stopped run is found', () => {
    for (const layout of layouts) assert.equal(written(layout).edits[0]?.why, 'the notes');
  });

  it('do not overlap within what is not the header', () => {
    for (const layout of layouts) {
      const ranges = written(layout)
        .edits.filter(({ step }) => step === STEP.payload)
        .map(({ offset, bytes }) => [offset, offset + bytes.length] as const)
        .toSorted(([a], [b]) => a - b);
      assert.ok(ranges.length > 0);
      for (const [i, [start]] of ranges.entries()) assert.ok(i === 0 || start >= (ranges[i - 1]?.[1] ?? 0));
    }
  });
});

describe('a symbol of a section that moves', () => {
  const { bytes } = buildLayout(spec(TABLES, 500, { symtab: true }));
  const { sectionHeaders } = viewOf(bytes).image;
  const [hash, dynsym, symtab] = ['.gnu.hash', '.dynsym', '.symtab'].map(name => {
    const index = sectionHeaders.findIndex(one => one.name === name);
    return { index, ...(sectionHeaders[index] ?? assert.fail(name)) };
  });
  assert.ok(hash !== undefined && dynsym !== undefined && symtab !== undefined);
  const places = Array.from({ length: symtab.sh_size / 24 }, (_, i) => symtab.sh_offset + i * 24);
  const value = 8 + (places.find(at => bytes.readUInt16LE(at + 6) === hash.index) ?? assert.fail());

  const distance = (from: number): number => {
    const file = Buffer.from(bytes);
    file.writeBigUInt64LE(BigInt(from), value);
    const source = new BufferSource(file);
    const plan = planNote(readImage(source), source, payload(20), {});
    assert.ok(plan.kind === 'note');
    assert.deepEqual(plan.moved, ['.gnu.hash', '.dynsym']);
    return Number(applied(file, { commits: [plan] }).readBigUInt64LE(value)) - from;
  };
  const start = hash.sh_addr;
  const end = dynsym.sh_addr + dynsym.sh_size;

  it('follows from its start and from its end', () => {
    assert.ok(distance(start) > 0);
    assert.equal(distance(end), distance(start));
  });

  it('stays where it is of another place, where patchelf has left it behind', () => {
    assert.deepEqual([distance(start - 1), distance(end + 1)], [0, 0]);
  });
});

describe('where to stand on demand', () => {
  const layout = spec([INTERP, ABI, ...TABLES], 500, { tableGap: 112 });

  it('the tail is taken though there is slack', () => {
    assert.equal(written(layout, 20, { placement: 'tail' }).rung.note, 'tail');
  });

  it('the tail is not taken when only slack will do', () => {
    assert.equal(written(layout, 600).rung.note, 'tail');
    const result = plan(layout, 600, { placement: 'slack' });
    assert.ok(result.kind === 'skip' && result.reason === 'no-room');
  });
});

describe('a block and the note behind it', () => {
  it('the block keeps its address modulo its alignment, the note is aligned to 4', () => {
    assert.deepEqual(arrange(0x1001, { size: 0x1e, address: 0x318, align: 16 }, 0x20), {
      block: 0x1008,
      note: 0x1028,
      end: 0x1048,
    });
  });

  it('stand right at the start where that fits', () => {
    assert.deepEqual(arrange(0x1008, { size: 0x20, address: 0x318, align: 16 }, 0x20), {
      block: 0x1008,
      note: 0x1028,
      end: 0x1048,
    });
  });

  it('the note alone is aligned to 4', () => {
    assert.deepEqual(arrange(0x1001, undefined, 0x20), { block: undefined, note: 0x1004, end: 0x1024 });
  });
});
