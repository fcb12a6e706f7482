import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferSource } from '../../../src/elf/bytes.js';
import { occupiedRanges } from '../../../src/layout/model/occupied.js';
import { addressGap, fileGap, findGaps, findSlack } from '../../../src/layout/model/slack.js';
import { type ImageParts, image, program, section } from '../../support/image.js';

const GIB = 2 ** 30;

function slackOf(parts: ImageParts, mayGrow = false) {
  const file = image(parts);
  return findSlack(file, occupiedRanges(file), mayGrow);
}

/** Read-only data up to 0x800, then something at 0x2000. */
const data = program({ p_flags: 4, p_filesz: 0x800 });
const next = program({ p_flags: 6, p_offset: 0x2000, p_vaddr: 0x3000, p_filesz: 0x100 });

describe('the gap behind a segment in the file', () => {
  it('ends where the next segment starts', () => {
    assert.deepEqual(slackOf({ programHeaders: [data, next] }), [
      { load: 0, offset: 0x800, address: 0x800, size: 0x1800 },
    ]);
  });

  it('ends where a section starts that no segment holds', () => {
    const sectionHeaders = [section({ sh_offset: 0x900, sh_size: 8, sh_flags: 0 })];
    assert.equal(slackOf({ programHeaders: [data, next], sectionHeaders })[0]?.size, 0x100);
  });

  it('ends where the section header table starts', () => {
    const sectionHeaders = [section({})];
    assert.equal(
      slackOf({ programHeaders: [data, next], sectionHeaders, header: { e_shoff: 0xa00 } })[0]?.size,
      0x200,
    );
  });

  it('ends where the program header table starts', () => {
    const parts = { programHeaders: [data, next], header: { e_phoff: 0xb00 } };
    assert.equal(slackOf(parts)[0]?.size, 0x300);
  });

  it('is none behind the last thing the headers describe, where appended data may start with zeros', () => {
    assert.deepEqual(slackOf({ programHeaders: [data], size: 0x10000 }), []);
  });

  it('is none at all where the segment ends the file, unless the file may grow', () => {
    assert.deepEqual(slackOf({ programHeaders: [data], size: 0x800 }), []);
    const [slack] = slackOf({ programHeaders: [data], size: 0x800 }, true);
    assert.equal(slack?.size, Number.POSITIVE_INFINITY);
  });

  it('is none where a section reaches over the end of the segment', () => {
    const sectionHeaders = [section({ sh_offset: 0x700, sh_size: 0x200 })];
    assert.deepEqual(slackOf({ programHeaders: [data, next], sectionHeaders }), []);
  });

  it('does not end at a section without bytes or with none in the file', () => {
    const sectionHeaders = [
      section({ sh_offset: 0x900, sh_size: 0 }),
      section({ sh_offset: 0x900, sh_size: 0x100, sh_type: 8 }),
    ];
    const [slack] = slackOf({ programHeaders: [data, next], sectionHeaders, header: { e_shoff: 0x1000 } });
    assert.equal(slack?.size, 0x800);
  });

  it('starts at the offset asked for, though a range ends or starts there', () => {
    const load = { start: 0, end: 0x800, kind: 'load', index: 0 } as const;
    assert.equal(fileGap(0x800, [load]), 0);
    assert.equal(fileGap(0x800, [load, { ...load, start: 0x900, end: 0x901 }]), 0x100);
    assert.equal(fileGap(0x800, [load, { ...load, start: 0x800, end: 0x801 }]), 0);
    assert.equal(fileGap(0x900, [load]), 0);
  });
});

describe('a segment that may grow', () => {
  it('is readable and not writable', () => {
    for (const p_flags of [2, 6, 7, 1, 0]) {
      assert.deepEqual(slackOf({ programHeaders: [program({ ...data, p_flags }), next] }), [], `${p_flags}`);
    }
  });

  it('has no .bss behind its bytes', () => {
    assert.deepEqual(slackOf({ programHeaders: [program({ ...data, p_memsz: 0x801 }), next] }), []);
  });

  it('has bytes in the file', () => {
    assert.deepEqual(slackOf({ programHeaders: [program({ ...data, p_filesz: 0, p_memsz: 0 }), next] }), []);
  });

  it('is plain data rather than code, and the first of several', () => {
    const programHeaders = [
      program({ p_flags: 5, p_offset: 0, p_vaddr: 0, p_filesz: 0x10 }),
      program({ p_flags: 4, p_offset: 0x1000, p_vaddr: 0x1000, p_filesz: 0x10 }),
      program({ p_flags: 4, p_offset: 0x2000, p_vaddr: 0x2000, p_filesz: 0x10 }),
    ];
    assert.deepEqual(
      slackOf({ programHeaders, header: { e_phoff: 0x5000 } }).map(slack => slack.load),
      [1, 2],
      'code that starts the file ends at the ELF header here',
    );
    const apart = programHeaders.map(p => ({
      ...p,
      p_offset: p.p_offset + 0x100,
      p_vaddr: p.p_vaddr + 0x100,
    }));
    assert.deepEqual(
      slackOf({ programHeaders: apart, header: { e_phoff: 0x5000 } }).map(slack => slack.load),
      [1, 2, 0],
    );
  });
});

describe('the room that the addresses leave', () => {
  const gap = (load: { vaddr: number; memsz: number; align: number }, at: number, align = load.align) =>
    addressGap(
      ...((): [ReturnType<typeof program>, ReturnType<typeof program>[]] => {
        const first = program({ p_vaddr: load.vaddr, p_memsz: load.memsz, p_align: load.align });
        return [first, [first, program({ p_vaddr: at, p_memsz: 0x10, p_align: align })]];
      })(),
    );

  it('ends at the page of the next segment, of 4 KiB', () => {
    assert.equal(gap({ vaddr: 0, memsz: 0x800, align: 0x1000 }, 0x3010), 0x3000 - 0x800);
  });

  it('ends at the page of 64 KiB where segments are 64 KiB apart', () => {
    assert.equal(gap({ vaddr: 0, memsz: 0x800, align: 0x10000 }, 0x2fff0), 0x20000 - 0x800);
  });

  it('ends at the page of 2 MiB where segments are 2 MiB apart', () => {
    assert.equal(gap({ vaddr: 0, memsz: 0x800, align: 0x200000 }, 0x201000), 0x200000 - 0x800);
  });

  it('follows the largest page at which the segments are apart where they share a larger one', () => {
    assert.equal(gap({ vaddr: 0, memsz: 0x800, align: 0x10000 }, 0x5000), 0x4000 - 0x800);
    assert.equal(gap({ vaddr: 0, memsz: 0x800, align: 0x200000 }, 0x30010), 0x20000 - 0x800);
  });

  it('follows the largest alignment of all segments, as ld.so does', () => {
    assert.equal(gap({ vaddr: 0, memsz: 0x800, align: 0x1000 }, 0x2fff0, 0x10000), 0x20000 - 0x800);
  });

  it('is none where the next segment starts in the last page', () => {
    assert.equal(gap({ vaddr: 0, memsz: 0x800, align: 0x1000 }, 0xa00), 0);
  });

  it('is none where a segment ends with its last page and the next one follows', () => {
    assert.equal(gap({ vaddr: 0, memsz: 0x1000, align: 0x1000 }, 0x1000), 0);
  });

  it('never ends above the last segment', () => {
    const only = program({ p_vaddr: 0x1000, p_memsz: 0x10 });
    const below = program({ p_vaddr: 0, p_memsz: 4 });
    assert.equal(addressGap(only, [below, only]), Number.POSITIVE_INFINITY);
  });

  it('counts .bss of gigabytes in the segments between', () => {
    const programHeaders = [
      data,
      program({ p_flags: 6, p_offset: 0x1000, p_vaddr: 0x1000, p_filesz: 4, p_memsz: 5 * GIB }),
      program({ p_flags: 4, p_offset: 0x2000, p_vaddr: 6 * GIB, p_filesz: 4 }),
    ];
    const [first, second] = slackOf({ programHeaders, header: { e_phoff: 0x10000 } });
    assert.deepEqual(first, { load: 0, offset: 0x800, address: 0x800, size: 0x800 });
    assert.deepEqual(second, { load: 2, offset: 0x2004, address: 6 * GIB + 4, size: 0x10000 - 0x2004 });
  });
});

it('a 32-bit segment does not grow over the end of the address space', () => {
  const top = program({ p_offset: 0, p_vaddr: 2 ** 32 - 0x1000, p_filesz: 0xf00 });
  const [slack] = slackOf({ is64: false, programHeaders: [top], header: { e_phoff: 0x10000 } });
  assert.ok(slack !== undefined && slack.address + slack.size <= 2 ** 32, `${slack?.size} bytes of slack`);
});

describe('a gap inside a read-only segment', () => {
  const gapsOf = (
    fill: string,
    sh_addralign: number,
    more: { flags?: number; from?: number; bare?: boolean } = {},
  ) => {
    const bytes = Buffer.alloc(0x2000, 1);
    bytes.fill(fill, 0x210, 0x1000, 'latin1');
    const file = image({
      programHeaders: [
        program({ p_flags: more.flags ?? 4, p_offset: 0, p_vaddr: 0x10000, p_filesz: 0x1800 }),
      ],
      sectionHeaders: more.bare
        ? []
        : [
            section({ sh_offset: 0x200, sh_size: 0xe, sh_type: 1 }),
            section({ sh_offset: 0x1000, sh_size: 0x100, sh_type: 1, sh_addralign }),
          ],
      header: { e_shoff: 0x1900 },
      size: 0x2000,
    });
    return findGaps(file, new BufferSource(bytes), occupiedRanges(file), more.from ?? 0x100);
  };
  const gap = { load: 0, inside: true, offset: 0x210, address: 0x10210, size: 0xdf0 };

  it('is zeros that align the section behind them, as lld leaves them in front of .rodata', () => {
    assert.deepEqual(gapsOf('\0', 4096), [gap]);
  });

  it('is of the segment that it is in, and does not start it', () => {
    const second = program({ p_flags: 4, p_offset: 0x1000, p_filesz: 0x800 });
    const sections = [0x100, 0x1000, 0x1010].map(sh_offset =>
      section({ sh_offset, sh_size: 4, sh_addralign: 16 }),
    );
    const behind = section({ sh_offset: 0x110, sh_size: 4, sh_addralign: 16 });
    const [one, ...others] = sections;
    assert.ok(one !== undefined);
    const file = image({
      size: 0x2000,
      programHeaders: [program({ p_flags: 4, p_filesz: 0x800 }), second],
      sectionHeaders: [section({ sh_type: 0 }), one, behind, ...others],
      header: { e_shoff: 0x1900 },
    });
    const found = findGaps(file, new BufferSource(Buffer.alloc(0x2000)), occupiedRanges(file), 0x100);
    assert.deepEqual(
      found.map(({ load, offset, size }) => [load, offset, size]),
      [
        [0, 0x104, 12],
        [1, 0x1004, 12],
      ],
    );
  });

  it("is no zeros that the alignment does not account for, which may be somebody's", () => {
    assert.deepEqual(gapsOf('\0', 0x800), []);
  });

  it('is what patchelf has wiped, whatever stands behind it', () => {
    assert.deepEqual(gapsOf('XXX\0', 1), [gap]);
    assert.deepEqual(gapsOf('Q', 4096), []);
  });

  it('starts behind the room that later tools make for program headers', () => {
    assert.equal(gapsOf('\0', 4096, { from: 0x800 })[0]?.offset, 0x800);
  });

  it('is none in a segment that can be written, nor without section headers', () => {
    assert.deepEqual(gapsOf('\0', 4096, { flags: 6 }), []);
    assert.deepEqual(gapsOf('\0', 4096, { bare: true }), []);
  });
});
