/**
 * Makes small ELF files in memory, for any class, byte order and machine. It shares no code with `src/`, so that
 * it can judge it. The layout is that of a linker, with room left on purpose:
 *
 * ```
 * Ehdr | program headers | notes | dynamic strings | zeros    first PT_LOAD (R), up to `loadSize`
 * dynamic section                                             second PT_LOAD (RW), on the next page
 * section names | section headers                             unless `sections` is false
 * ```
 *
 * Addresses are `base` above offsets, so that mistaking one for the other shows. Program headers come in this
 * order: PT_PHDR, PT_LOAD, PT_LOAD, PT_DYNAMIC, one PT_NOTE for each of `notes`, `extra` ones, `nulls` PT_NULL.
 */
export interface ElfSpec {
  /** Default: true, 64-bit. */
  readonly is64?: boolean;
  /** Default: true. */
  readonly littleEndian?: boolean;
  /** Default: ET_DYN. */
  readonly e_type?: number;
  /** Default: EM_X86_64. */
  readonly e_machine?: number;
  readonly e_flags?: number;
  /** Strings are byte strings: one character a byte. */
  readonly needed?: readonly string[];
  /** Each becomes an entry of its own; ld.so takes the last. */
  readonly runpath?: string | readonly string[];
  readonly rpath?: string | readonly string[];
  readonly soname?: string;
  /** More dynamic entries by their tags: a string of the string table, or a number. */
  readonly more?: readonly (readonly [tag: number, value: string | number])[];
  /** Default: true. False makes a static file: no PT_DYNAMIC at all. */
  readonly dynamic?: boolean;
  readonly notes?: readonly NoteSpec[];
  readonly extra?: readonly Partial<ProgramHeaderSpec>[];
  readonly nulls?: number;
  /** Default: true. */
  readonly sections?: boolean;
  /** PROGBITS section headers without contents behind the others. */
  readonly emptySections?: number;
  /** Put the true counts into section 0 (PN_XNUM, e_shnum 0, SHN_XINDEX) even where they would fit. */
  readonly extended?: boolean;
  /** Default: 0x10000. */
  readonly base?: number;
}

export interface NoteSpec {
  /** Contents of the PT_NOTE: whole notes with their padding. */
  readonly bytes: Buffer;
  /** Default: 4. */
  readonly align?: number;
  /** Default: `.note.test`. */
  readonly section?: string;
  /** Default: true. False leaves the section header and makes the program header a PT_NULL. */
  readonly segment?: boolean;
}

export interface ProgramHeaderSpec {
  p_type: number;
  p_flags: number;
  p_offset: number;
  p_vaddr: number;
  p_filesz: number;
  p_memsz: number;
  p_align: number;
}

export interface BuiltElf {
  readonly bytes: Buffer;
  readonly is64: boolean;
  readonly littleEndian: boolean;
  readonly base: number;
  /** File offsets. `shoff` and `shstrtab` are 0 without sections. */
  readonly at: {
    readonly phoff: number;
    readonly shoff: number;
    readonly shstrtab: number;
    readonly dynstr: number;
    readonly dynamic: number;
    readonly notes: readonly number[];
  };
  readonly phnum: number;
  readonly shnum: number;
  /** File offset of a field of program header `index`. */
  phdr(index: number, field: keyof ProgramHeaderSpec): number;
  /** File offset of a field of section header `index`. */
  shdr(index: number, field: keyof typeof SHDR_FIELDS): number;
  /** File offset of the `d_val` of the `n`-th dynamic entry of a tag. */
  dVal(d_tag: number, n?: number): number;
  /** Overwrites an address-sized field. */
  setWord(offset: number, value: number): void;
  setU32(offset: number, value: number): void;
  setU16(offset: number, value: number): void;
}

/** Where the fields of the ELF header stand, 32-bit and 64-bit. */
export const EHDR = {
  e_type: [16, 16],
  e_machine: [18, 18],
  e_phoff: [28, 32],
  e_shoff: [32, 40],
  e_flags: [36, 48],
  e_ehsize: [40, 52],
  e_phentsize: [42, 54],
  e_phnum: [44, 56],
  e_shentsize: [46, 58],
  e_shnum: [48, 60],
  e_shstrndx: [50, 62],
} as const;

const PHDR_FIELDS = {
  p_type: [0, 0],
  p_flags: [24, 4],
  p_offset: [4, 8],
  p_vaddr: [8, 16],
  p_filesz: [16, 32],
  p_memsz: [20, 40],
  p_align: [28, 48],
} as const;

const SHDR_FIELDS = {
  sh_name: [0, 0],
  sh_type: [4, 4],
  sh_flags: [8, 8],
  sh_addr: [12, 16],
  sh_offset: [16, 24],
  sh_size: [20, 32],
  sh_link: [24, 40],
  sh_info: [28, 44],
  sh_addralign: [32, 48],
  sh_entsize: [36, 56],
} as const;

export const ehdrAt = (is64: boolean, field: keyof typeof EHDR): number => EHDR[field][is64 ? 1 : 0];
export const phdrAt = (is64: boolean, field: keyof ProgramHeaderSpec): number =>
  PHDR_FIELDS[field][is64 ? 1 : 0];
export const shdrAt = (is64: boolean, field: keyof typeof SHDR_FIELDS): number =>
  SHDR_FIELDS[field][is64 ? 1 : 0];

/** Writes integers of one class and byte order into a buffer. */
export function writerFor(bytes: Buffer, is64: boolean, littleEndian: boolean) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    u16: (at: number, value: number) => view.setUint16(at, value, littleEndian),
    u32: (at: number, value: number) => view.setUint32(at, value, littleEndian),
    word: (at: number, value: number) =>
      is64 ? view.setBigUint64(at, BigInt(value), littleEndian) : view.setUint32(at, value, littleEndian),
  };
}

export function readerFor(bytes: Buffer, is64: boolean, littleEndian: boolean) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    u16: (at: number) => view.getUint16(at, littleEndian),
    u32: (at: number) => view.getUint32(at, littleEndian),
    word: (at: number) =>
      is64 ? Number(view.getBigUint64(at, littleEndian)) : view.getUint32(at, littleEndian),
  };
}

/** One note: `Elf_Nhdr`, owner with its NUL, descriptor, padded as a segment of that alignment demands. */
export function makeNote(
  owner: string,
  n_type: number,
  desc: Buffer,
  { littleEndian = true, align = 4 } = {},
): Buffer {
  const up = (value: number) => Math.ceil(value / align) * align;
  const descAt = up(12 + owner.length + 1);
  const note = Buffer.alloc(descAt + up(desc.length));
  const put = writerFor(note, false, littleEndian);
  put.u32(0, owner.length + 1);
  put.u32(4, desc.length);
  put.u32(8, n_type);
  note.write(owner, 12, 'latin1');
  desc.copy(note, descAt);
  return note;
}

class StringTable {
  #bytes = '\0';
  add(text: string): number {
    const at = this.#bytes.length;
    this.#bytes += `${text}\0`;
    return at;
  }
  get bytes(): Buffer {
    return Buffer.from(this.#bytes, 'latin1');
  }
}

const listOf = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value;
const up = (value: number, to: number): number => Math.ceil(value / to) * to;
const PAGE = 0x1000;

export function buildElf(spec: ElfSpec = {}): BuiltElf {
  const { is64 = true, littleEndian = true, base = 0x10000, notes = [], extra = [], nulls = 0 } = spec;
  const { sections = true, emptySections = 0, dynamic = true } = spec;
  const w = is64 ? 8 : 4;
  const ehsize = is64 ? 64 : 52;
  const phentsize = is64 ? 56 : 32;
  const shentsize = is64 ? 64 : 40;

  const dynstr = new StringTable();
  const tags: [number, number][] = [];
  for (const name of spec.needed ?? []) tags.push([1, dynstr.add(name)]);
  if (spec.soname !== undefined) tags.push([14, dynstr.add(spec.soname)]);
  for (const path of listOf(spec.rpath)) tags.push([15, dynstr.add(path)]);
  for (const path of listOf(spec.runpath)) tags.push([29, dynstr.add(path)]);
  for (const [tag, value] of spec.more ?? [])
    tags.push([tag, typeof value === 'string' ? dynstr.add(value) : value]);
  const strings = dynstr.bytes;

  const phnum = 3 + (dynamic ? 1 : 0) + notes.length + extra.length + nulls;
  const phoff = ehsize;
  let at = phoff + phnum * phentsize;
  const notesAt = notes.map(({ bytes, align = 4 }) => {
    const start = up(at, align);
    at = start + bytes.length;
    return start;
  });
  const dynstrAt = up(at, w);
  const loadSize = dynstrAt + strings.length;
  const dynamicAt = up(loadSize, PAGE);
  tags.push([5, base + dynstrAt], [10, strings.length], [0, 0]);
  const dynamicSize = dynamic ? tags.length * 2 * w : 2 * w;
  const contentEnd = dynamicAt + dynamicSize;

  const names = new StringTable();
  const R = 4;
  const headers: ProgramHeaderSpec[] = [
    segment(6, R, phoff, phnum * phentsize, w),
    segment(1, R, 0, loadSize, PAGE),
    segment(1, R | 2, dynamicAt, dynamicSize, PAGE),
    ...(dynamic ? [segment(2, R | 2, dynamicAt, dynamicSize, w)] : []),
    ...notes.map((note, i) => {
      const type = note.segment === false ? 0 : 4;
      return segment(type, R, notesAt[i] ?? 0, note.bytes.length, note.align ?? 4);
    }),
    ...extra.map(more => ({ ...segment(0, 0, 0, 0, 1), ...more })),
    ...Array.from({ length: nulls }, () => ({ ...segment(0, 0, 0, 0, 0), p_vaddr: 0 })),
  ];
  function segment(p_type: number, p_flags: number, p_offset: number, size: number, p_align: number) {
    return { p_type, p_flags, p_offset, p_vaddr: base + p_offset, p_filesz: size, p_memsz: size, p_align };
  }

  type Section = readonly [
    name: string,
    type: number,
    flags: number,
    offset: number,
    size: number,
    link: number,
    align: number,
  ];
  const described: Section[] = [
    ...notes.map((note, i): Section => {
      return [note.section ?? '.note.test', 7, 2, notesAt[i] ?? 0, note.bytes.length, 0, note.align ?? 4];
    }),
    ['.dynstr', 3, 2, dynstrAt, strings.length, 0, 1],
    ...(dynamic ? [['.dynamic', 6, 3, dynamicAt, dynamicSize, notes.length + 1, w] satisfies Section] : []),
    ...Array.from({ length: emptySections }, (): Section => ['', 1, 0, contentEnd, 0, 0, 1]),
  ];
  const nameOffsets = described.map(([name]) => (name === '' ? 0 : names.add(name)));
  const shstrtabName = names.add('.shstrtab');
  const nameBytes = names.bytes;
  const shstrtabAt = contentEnd;
  const shoff = sections ? up(shstrtabAt + nameBytes.length, w) : 0;
  const shnum = sections ? described.length + 2 : 0;
  const shstrndx = sections ? shnum - 1 : 0;
  const size = sections ? shoff + shnum * shentsize : contentEnd;

  const bytes = Buffer.alloc(size);
  const put = writerFor(bytes, is64, littleEndian);
  const f = is64 ? 1 : 0;
  const manyPhdrs = spec.extended === true || phnum >= 0xffff;
  const manySections = spec.extended === true || shnum >= 0xff00;

  bytes.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, littleEndian ? 1 : 2, 1], 0);
  put.u16(EHDR.e_type[f], spec.e_type ?? 3);
  put.u16(EHDR.e_machine[f], spec.e_machine ?? 62);
  put.u32(20, 1);
  put.word(EHDR.e_phoff[f], phoff);
  put.word(EHDR.e_shoff[f], shoff);
  put.u32(EHDR.e_flags[f], spec.e_flags ?? 0);
  put.u16(EHDR.e_ehsize[f], ehsize);
  put.u16(EHDR.e_phentsize[f], phentsize);
  put.u16(EHDR.e_phnum[f], manyPhdrs ? 0xffff : phnum);
  put.u16(EHDR.e_shentsize[f], shentsize);
  put.u16(EHDR.e_shnum[f], manySections ? 0 : shnum);
  put.u16(EHDR.e_shstrndx[f], manySections ? 0xffff : shstrndx);

  const phdr = (index: number, field: keyof ProgramHeaderSpec) =>
    phoff + index * phentsize + PHDR_FIELDS[field][f];
  for (const [i, p] of headers.entries()) {
    put.u32(phdr(i, 'p_type'), p.p_type);
    put.u32(phdr(i, 'p_flags'), p.p_flags);
    put.word(phdr(i, 'p_offset'), p.p_offset);
    put.word(phdr(i, 'p_vaddr'), p.p_vaddr);
    put.word(phdr(i, 'p_vaddr') + w, p.p_vaddr);
    put.word(phdr(i, 'p_filesz'), p.p_filesz);
    put.word(phdr(i, 'p_memsz'), p.p_memsz);
    put.word(phdr(i, 'p_align'), p.p_align);
  }
  for (const [i, note] of notes.entries()) note.bytes.copy(bytes, notesAt[i]);
  strings.copy(bytes, dynstrAt);
  if (dynamic) {
    for (const [i, [tag, value]] of tags.entries()) {
      put.word(dynamicAt + i * 2 * w, tag);
      put.word(dynamicAt + i * 2 * w + w, value);
    }
  }

  const shdr = (index: number, field: keyof typeof SHDR_FIELDS) =>
    shoff + index * shentsize + SHDR_FIELDS[field][f];
  if (sections) {
    nameBytes.copy(bytes, shstrtabAt);
    const rows = [...described, ['.shstrtab', 3, 0, shstrtabAt, nameBytes.length, 0, 1] satisfies Section];
    for (const [i, [, type, flags, offset, length, link, align]] of rows.entries()) {
      put.u32(shdr(i + 1, 'sh_name'), nameOffsets[i] ?? shstrtabName);
      put.u32(shdr(i + 1, 'sh_type'), type);
      put.word(shdr(i + 1, 'sh_flags'), flags);
      put.word(shdr(i + 1, 'sh_addr'), (flags & 2) === 0 ? 0 : base + offset);
      put.word(shdr(i + 1, 'sh_offset'), offset);
      put.word(shdr(i + 1, 'sh_size'), length);
      put.u32(shdr(i + 1, 'sh_link'), link);
      put.word(shdr(i + 1, 'sh_addralign'), align);
    }
    if (manyPhdrs) put.u32(shdr(0, 'sh_info'), phnum);
    if (manySections) {
      put.word(shdr(0, 'sh_size'), shnum);
      put.u32(shdr(0, 'sh_link'), shstrndx);
    }
  }

  return {
    bytes,
    is64,
    littleEndian,
    base,
    at: {
      phoff,
      shoff,
      shstrtab: sections ? shstrtabAt : 0,
      dynstr: dynstrAt,
      dynamic: dynamicAt,
      notes: notesAt,
    },
    phnum,
    shnum,
    phdr,
    shdr,
    dVal(d_tag, n = 0) {
      const indexes = tags.flatMap(([tag], i) => (tag === d_tag ? [i] : []));
      const index = indexes[n];
      if (index === undefined) throw new Error(`the file has no dynamic entry ${d_tag} number ${n}`);
      return dynamicAt + index * 2 * w + w;
    },
    setWord: put.word,
    setU32: put.u32,
    setU16: put.u16,
  };
}

/** The four encodings, for tests that hold for each of them. */
export const ENCODINGS = [
  { is64: true, littleEndian: true, name: 'ELF64 little-endian' },
  { is64: true, littleEndian: false, name: 'ELF64 big-endian' },
  { is64: false, littleEndian: true, name: 'ELF32 little-endian' },
  { is64: false, littleEndian: false, name: 'ELF32 big-endian' },
] as const;
