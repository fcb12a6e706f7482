import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferSource } from '../../../src/elf/bytes.js';
import { PT_NOTE } from '../../../src/elf/constants.js';
import type { CacheNoteLocation, ElfImage, ProgramHeader } from '../../../src/elf/image.js';
import { PHDR } from '../../../src/elf/structs.js';
import { changed, ElfView } from '../../../src/elf/view.js';
import { STEP } from '../../../src/layout/model/plan.js';
import { releaseNote } from '../../../src/layout/undo/release.js';
import { image, program, section } from '../../support/image.js';

const NAME = '.note.nixos.ldcache';

/** A note of 0x40 bytes at 0x800; 0x55 everywhere but in the program headers. */
const NOTE: CacheNoteLocation = {
  segment: 1,
  section: 1,
  offset: 0x800,
  address: 0x800,
  descOffset: 0x814,
  n_descsz: 0x29,
  end: 0x840,
};

function file(programHeaders: readonly ProgramHeader[], more: { size?: number; e_shoff?: number } = {}) {
  const { size = 0x1000, e_shoff = 0xa00 } = more;
  const sectionHeaders = [
    section({ sh_type: 0 }),
    section({ name: NAME, sh_name: 0x1234, sh_offset: 0x800, sh_size: 0x40 }),
  ];
  const elf = image({ programHeaders, sectionHeaders, size, header: { e_shoff } });
  const bytes = Buffer.alloc(size, 0x55);
  for (const [i, p] of programHeaders.entries())
    PHDR.put(elf.encoding, bytes, elf.header.e_phoff + i * PHDR.size(elf.encoding), { ...p });
  return { elf, source: new BufferSource(bytes) };
}

function release({ elf, source }: { elf: ElfImage; source: BufferSource }, note = NOTE) {
  const result = releaseNote(new ElfView(elf, source), note);
  const bytes = changed(source, [result]).read(0, result.size);
  const count = bytes.readUInt16LE(56);
  const headers = Array.from({ length: count }, (_, i) => {
    const at = 64 + i * 56;
    const word = (offset: number) => Number(bytes.readBigUInt64LE(at + offset));
    return { type: bytes.readUInt32LE(at), offset: word(8), filesz: word(32), memsz: word(40) };
  });
  return { ...result, bytes, headers };
}

const load = program({ p_filesz: 0x840 });
const own = program({ p_type: PT_NOTE, p_offset: 0x800, p_filesz: 0x40 });

describe('a released note', () => {
  const { headers, edits, bytes, size } = release(file([load, own]));

  it('loses its program header, and its segment ends where it stood', () => {
    assert.deepEqual(headers, [{ type: 1, offset: 0, filesz: 0x800, memsz: 0x800 }]);
  });

  it('leaves zeros: its bytes and its entry', () => {
    assert.ok(bytes.subarray(0x800, 0x840).equals(Buffer.alloc(0x40)));
    assert.equal(bytes[0x7ff], 0x55);
    assert.equal(bytes[0x840], 0x55);
    assert.ok(bytes.subarray(64 + 56, 64 + 112).equals(Buffer.alloc(56)));
    assert.equal(bytes[64 + 112], 0x55);
  });

  it('loses its pointer before its bytes', () => {
    assert.equal(edits[0]?.step, STEP.header);
    assert.ok(edits.slice(1).every(({ step }) => step === STEP.cleanup));
    assert.ok(edits.length > 1);
  });

  it('keeps the size of a file that it does not end', () => assert.equal(size, 0x1000));
});

it('its section header keeps the name for the next note, and nothing else', () => {
  const { bytes } = release(file([load, own]));
  assert.equal(bytes.readUInt32LE(0xa40), 0x1234);
  assert.ok(bytes.subarray(0xa44, 0xa80).equals(Buffer.alloc(60)));
});

it('the section of another that covers the note stays', () => {
  const { elf, source } = file([load, own]);
  const sectionHeaders = elf.sectionHeaders.with(1, section({ sh_offset: 0x700, sh_size: 0x140 }));
  const { bytes } = release({ elf: { ...elf, sectionHeaders }, source });
  assert.ok(bytes.subarray(0xa40, 0xa80).equals(Buffer.alloc(64, 0x55)));
});

it('a PT_NOTE that covers other notes in front of it is shortened', () => {
  const shared = program({ p_type: PT_NOTE, p_offset: 0x7c0, p_filesz: 0x80 });
  const { headers } = release(file([load, shared]));
  assert.deepEqual(headers[1], { type: PT_NOTE, offset: 0x7c0, filesz: 0x40, memsz: 0x40 });
});

it('a PT_NOTE that covers other notes behind it stays', () => {
  const shared = program({ p_type: PT_NOTE, p_offset: 0x800, p_filesz: 0x60 });
  const { headers, bytes } = release(file([program({ p_filesz: 0x860 }), shared]));
  assert.deepEqual(headers[1], { type: PT_NOTE, offset: 0x800, filesz: 0x60, memsz: 0x60 });
  assert.equal(headers[0]?.filesz, 0x860);
  assert.equal(bytes[0x840], 0x55);
});

it('a segment that goes on behind the note, or has .bss, keeps its size', () => {
  for (const other of [program({ p_filesz: 0x900 }), program({ p_filesz: 0x840, p_memsz: 0x900 })]) {
    const { headers } = release(file([other, own]));
    assert.deepEqual(headers, [{ type: 1, offset: 0, filesz: other.p_filesz, memsz: other.p_memsz }]);
  }
});

it('what is not loaded and ends with the note keeps its size', () => {
  const other = program({ p_type: PT_NOTE, p_offset: 0x700, p_filesz: 0x140 });
  const { headers } = release(file([load, own, other]));
  assert.deepEqual(headers.at(-1), { type: PT_NOTE, offset: 0x700, filesz: 0x140, memsz: 0x140 });
});

it('a segment without bytes that stands where the note ends keeps its size', () => {
  const empty = program({ p_offset: 0x840, p_vaddr: 0x2000 });
  const { headers } = release(file([load, empty, own]), { ...NOTE, segment: 2 });
  assert.deepEqual(headers[1], { type: 1, offset: 0x840, filesz: 0, memsz: 0 });
});

describe('a note in a segment of its own at the end of the file', () => {
  const first = program({ p_filesz: 0x400 });
  const tail = program({ p_offset: 0x800, p_vaddr: 0x1800, p_filesz: 0x40 });
  const note = { ...NOTE, segment: 2 };

  it('goes with the segment, and the file ends before it', () => {
    const { headers, size } = release(file([first, tail, own], { size: 0x840, e_shoff: 0x500 }), note);
    assert.deepEqual(
      headers.map(({ type }) => type),
      [1],
    );
    assert.equal(size, 0x580);
  });

  it('leaves what moved there', () => {
    const shared = program({ p_offset: 0x780, p_vaddr: 0x1780, p_filesz: 0xc0 });
    const { headers, size } = release(file([first, shared, own], { size: 0x840, e_shoff: 0x500 }), note);
    assert.deepEqual(headers[1], { type: 1, offset: 0x780, filesz: 0x80, memsz: 0x80 });
    assert.equal(size, 0x800);
  });
});

it('a note that only a section names loses the section and its bytes', () => {
  const { headers, bytes } = release(file([program({ p_filesz: 0x900 })]), {
    ...NOTE,
    segment: undefined,
  });
  assert.equal(headers.length, 1);
  assert.ok(bytes.subarray(0x800, 0x840).equals(Buffer.alloc(0x40)));
  assert.ok(bytes.subarray(0xa44, 0xa80).equals(Buffer.alloc(60)));
});

it('is not written in place: nothing would tell the next run what is left to do', () => {
  const { elf, source } = file([load, own]);
  assert.equal(releaseNote(new ElfView(elf, source), NOTE).inPlaceIsSafe, false);
});
