import { Encoding } from '../../src/elf/bytes.js';
import type { ElfHeader, ProgramHeader, SectionHeader } from '../../src/elf/image.js';
import { DYN, EHDR, NHDR, PHDR, SHDR } from '../../src/elf/structs.js';
import { section } from './image.js';

/**
 * Puts ELF files together, for any class, byte order and machine: `elf-builder.ts` says what a reader finds in them,
 * `layout-builder.ts` where everything is. Fields are where src/elf/structs.ts has them, which structs.test.ts compares
 * with elf.h.
 */
export interface FileParts {
  readonly encoding: Encoding;
  /** Default: a library for x86-64, whose program header table is behind the ELF header. */
  readonly header?: Partial<ElfHeader>;
  readonly programHeaders: readonly ProgramHeader[];
  /** Behind the null section; the last one holds the names. */
  readonly sectionHeaders?: readonly SectionHeader[];
  /** Later ones lie over earlier ones, and the headers over all. */
  readonly contents: readonly Content[];
  /** Put the true counts into section 0 (PN_XNUM, e_shnum 0, SHN_XINDEX) even where they would fit. */
  readonly extended?: boolean;
}

/** Bytes and their file offset. */
export interface Content {
  readonly at: number;
  readonly bytes: Buffer;
}

const PN_XNUM = 0xffff;
const SHN_LORESERVE = 0xff00;
const SHN_XINDEX = 0xffff;

export function writeElf(parts: FileParts): Buffer {
  const { encoding: e, header, programHeaders, sectionHeaders = [], extended = false } = parts;
  const e_ehsize = EHDR.size(e);
  const { e_phoff = e_ehsize, e_shoff = 0 } = header ?? {};
  const shnum = sectionHeaders.length === 0 ? 0 : sectionHeaders.length + 1;
  const manyHeaders = extended || programHeaders.length >= PN_XNUM;
  const manySections = extended || shnum >= SHN_LORESERVE;
  const ends = parts.contents.map(({ at, bytes }) => at + bytes.length);
  const tables = [e_phoff + programHeaders.length * PHDR.size(e), e_shoff + shnum * SHDR.size(e)];
  const file = Buffer.alloc(Math.max(...ends, ...tables));
  for (const { at, bytes } of parts.contents) bytes.copy(file, at);

  file.set([0x7f, 0x45, 0x4c, 0x46, e.is64 ? 2 : 1, e.littleEndian ? 1 : 2, 1]);
  EHDR.put(e, file, 0, {
    e_type: 3,
    e_machine: 62,
    e_version: 1,
    e_ehsize,
    e_phentsize: PHDR.size(e),
    e_shentsize: SHDR.size(e),
    ...header,
    e_phoff,
    e_shoff,
    e_phnum: manyHeaders ? PN_XNUM : programHeaders.length,
    e_shnum: manySections ? 0 : shnum,
    e_shstrndx: manySections ? SHN_XINDEX : Math.max(0, shnum - 1),
  });
  for (const [i, p] of programHeaders.entries()) PHDR.put(e, file, e_phoff + i * PHDR.size(e), p);
  for (const [i, s] of sectionHeaders.entries()) SHDR.put(e, file, e_shoff + (i + 1) * SHDR.size(e), s);
  if (shnum > 0 && manyHeaders) SHDR.put(e, file, e_shoff, { sh_info: programHeaders.length });
  if (shnum > 0 && manySections) SHDR.put(e, file, e_shoff, { sh_size: shnum, sh_link: shnum - 1 });
  return file;
}

/** Strings with a NUL behind each, the first one empty (gABI, "String Table"); one character is one byte. */
export class StringTable {
  #text = '\0';

  /** Its place in the table. */
  add(string: string): number {
    const at = this.#text.length;
    this.#text += `${string}\0`;
    return at;
  }

  get bytes(): Buffer {
    return Buffer.from(this.#text, 'latin1');
  }
}

/** Sections with their names, which are at `at` in a section of their own behind the others. */
export function withNames(
  sections: readonly SectionHeader[],
  at: number,
): { readonly sectionHeaders: readonly SectionHeader[]; readonly names: Content } {
  const table = new StringTable();
  const named = sections.map(one => ({ ...one, sh_name: one.name === '' ? 0 : table.add(one.name) }));
  const sh_name = table.add('.shstrtab');
  const { bytes } = table;
  const place = { sh_addr: 0, sh_offset: at, sh_size: bytes.length, sh_addralign: 1 };
  const own = section({ name: '.shstrtab', sh_name, sh_type: 3, sh_flags: 0, ...place });
  return { sectionHeaders: [...named, own], names: { at, bytes } };
}

export type DynamicPair = readonly [d_tag: number, d_val: number];

export function encodeDynamic(e: Encoding, entries: readonly DynamicPair[]): Buffer {
  const bytes = Buffer.alloc(entries.length * DYN.size(e));
  for (const [i, [d_tag, d_val]] of entries.entries()) DYN.put(e, bytes, i * DYN.size(e), { d_tag, d_val });
  return bytes;
}

/** One note: `Elf_Nhdr`, owner with its NUL, descriptor, padded as a segment of that alignment demands. */
export function makeNote(
  owner: string,
  n_type: number,
  desc: Buffer,
  { littleEndian = true, align = 4 } = {},
): Buffer {
  const e = new Encoding(true, littleEndian);
  const up = (value: number) => Math.ceil(value / align) * align;
  const nhdr = NHDR.size(e);
  const descAt = up(nhdr + owner.length + 1);
  const note = Buffer.alloc(descAt + up(desc.length));
  NHDR.put(e, note, 0, { n_namesz: owner.length + 1, n_descsz: desc.length, n_type });
  note.write(owner, nhdr, 'latin1');
  desc.copy(note, descAt);
  return note;
}

/** Overwrites fields with any value, also one that src/elf/bytes.ts would not write. */
export function pokerFor(bytes: Buffer, is64: boolean, littleEndian: boolean) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    u16: (at: number, value: number) => view.setUint16(at, value, littleEndian),
    u32: (at: number, value: number) => view.setUint32(at, value, littleEndian),
    /** Of the size of an address. */
    word: (at: number, value: number) =>
      is64 ? view.setBigUint64(at, BigInt(value), littleEndian) : view.setUint32(at, value, littleEndian),
  };
}

/** The four encodings, for tests that hold for each of them. */
export const ENCODINGS = [
  { is64: true, littleEndian: true, name: 'ELF64 little-endian' },
  { is64: true, littleEndian: false, name: 'ELF64 big-endian' },
  { is64: false, littleEndian: true, name: 'ELF32 little-endian' },
  { is64: false, littleEndian: false, name: 'ELF32 big-endian' },
] as const;
