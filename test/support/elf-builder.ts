import { alignUp, Encoding } from '../../src/elf/bytes.js';
import type { ProgramHeader, SectionHeader } from '../../src/elf/image.js';
import { DYN, EHDR, PHDR, SHDR } from '../../src/elf/structs.js';
import { type DynamicPair, encodeDynamic, pokerFor, StringTable, withNames, writeElf } from './elf-file.js';
import { program, section } from './image.js';

/**
 * Makes small ELF files in memory from what a reader should find in them. The layout is that of a linker, with room
 * left on purpose:
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
  readonly extra?: readonly Partial<ProgramHeader>[];
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

export interface BuiltElf {
  readonly bytes: Buffer;
  readonly encoding: Encoding;
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
  /** File offset of a field of the ELF header. */
  ehdr(field: Parameters<typeof EHDR.at>[1]): number;
  /** File offset of a field of program header `index`. */
  phdr(index: number, field: Parameters<typeof PHDR.at>[1]): number;
  /** File offset of a field of section header `index`. */
  shdr(index: number, field: Parameters<typeof SHDR.at>[1]): number;
  /** File offset of the `d_val` of the `n`-th dynamic entry of a tag. */
  dVal(d_tag: number, n?: number): number;
  /** Overwrites an address-sized field. */
  setWord(offset: number, value: number): void;
  setU32(offset: number, value: number): void;
  setU16(offset: number, value: number): void;
}

const listOf = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value;
const PAGE = 0x1000;

/** The dynamic entries of a file, but for the table of the strings that they name, and those strings. */
function describeDynamic(spec: ElfSpec): { entries: DynamicPair[]; strings: Buffer } {
  const dynstr = new StringTable();
  const named = (tag: number, values: readonly string[]) =>
    values.map((value): DynamicPair => [tag, dynstr.add(value)]);
  const entries = [
    ...named(1, spec.needed ?? []),
    ...named(14, listOf(spec.soname)),
    ...named(15, listOf(spec.rpath)),
    ...named(29, listOf(spec.runpath)),
    ...(spec.more ?? []).map(
      ([tag, value]): DynamicPair => [tag, typeof value === 'string' ? dynstr.add(value) : value],
    ),
  ];
  return { entries, strings: dynstr.bytes };
}

export function buildElf(spec: ElfSpec = {}): BuiltElf {
  const { is64 = true, littleEndian = true, base = 0x10000, notes = [], extra = [], nulls = 0 } = spec;
  const { sections = true, emptySections = 0, dynamic = true, extended = false } = spec;
  const encoding = new Encoding(is64, littleEndian);
  const w = encoding.wordSize;

  const phoff = EHDR.size(encoding);
  const phnum = 3 + (dynamic ? 1 : 0) + notes.length + extra.length + nulls;
  const tableSize = phnum * PHDR.size(encoding);
  let at = phoff + tableSize;
  const notesAt = notes.map(({ bytes, align = 4 }) => {
    const start = alignUp(at, align);
    at = start + bytes.length;
    return start;
  });
  const { entries, strings } = describeDynamic(spec);
  const dynstrAt = alignUp(at, w);
  const loadSize = dynstrAt + strings.length;
  const dynamicAt = alignUp(loadSize, PAGE);
  const all: readonly DynamicPair[] = [...entries, [5, base + dynstrAt], [10, strings.length], [0, 0]];
  const table = dynamic ? encodeDynamic(encoding, all) : Buffer.alloc(DYN.size(encoding));
  const contentEnd = dynamicAt + table.length;

  const R = 4;
  const RW = 6;
  const segment = (p_type: number, p_flags: number, p_offset: number, p_filesz: number, p_align: number) =>
    program({ p_type, p_flags, p_offset, p_vaddr: base + p_offset, p_filesz, p_align });
  const empty = { p_type: 0, p_flags: 0 };
  const programHeaders = [
    segment(6, R, phoff, tableSize, w),
    segment(1, R, 0, loadSize, PAGE),
    segment(1, RW, dynamicAt, table.length, PAGE),
    ...(dynamic ? [segment(2, RW, dynamicAt, table.length, w)] : []),
    ...notes.map((note, i) =>
      segment(note.segment === false ? 0 : 4, R, notesAt[i] ?? 0, note.bytes.length, note.align ?? 4),
    ),
    ...extra.map(more => program({ ...empty, p_vaddr: base, p_align: 1, ...more })),
    ...Array.from({ length: nulls }, () => program({ ...empty, p_align: 0 })),
  ];

  const loaded = (name: string, sh_offset: number, sh_size: number, more: Partial<SectionHeader>) =>
    section({ name, sh_addr: base + sh_offset, sh_offset, sh_size, ...more });
  const described = [
    ...notes.map((note, i) =>
      loaded(note.section ?? '.note.test', notesAt[i] ?? 0, note.bytes.length, {
        sh_addralign: note.align ?? 4,
      }),
    ),
    loaded('.dynstr', dynstrAt, strings.length, { sh_type: 3, sh_addralign: 1 }),
    ...(dynamic
      ? [
          loaded('.dynamic', dynamicAt, table.length, {
            sh_type: 6,
            sh_flags: 3,
            sh_link: notes.length + 1,
            sh_addralign: w,
          }),
        ]
      : []),
    ...Array.from({ length: emptySections }, () =>
      section({ sh_type: 1, sh_flags: 0, sh_addr: 0, sh_offset: contentEnd, sh_addralign: 1 }),
    ),
  ];
  const { sectionHeaders, names } = withNames(described, contentEnd);
  const shoff = sections ? alignUp(contentEnd + names.bytes.length, w) : 0;
  const { e_type = 3, e_machine = 62, e_flags = 0 } = spec;
  const bytes = writeElf({
    encoding,
    header: { e_type, e_machine, e_flags, e_shoff: shoff },
    programHeaders,
    contents: [
      ...notes.map((note, i) => ({ at: notesAt[i] ?? 0, bytes: note.bytes })),
      { at: dynstrAt, bytes: strings },
      { at: dynamicAt, bytes: table },
      ...(sections ? [names] : []),
    ],
    extended,
    ...(sections ? { sectionHeaders } : {}),
  });

  const put = pokerFor(bytes, is64, littleEndian);
  return {
    bytes,
    encoding,
    base,
    at: {
      phoff,
      shoff,
      shstrtab: sections ? contentEnd : 0,
      dynstr: dynstrAt,
      dynamic: dynamicAt,
      notes: notesAt,
    },
    phnum,
    shnum: sections ? sectionHeaders.length + 1 : 0,
    ehdr: field => EHDR.at(encoding, field),
    phdr: (index, field) => phoff + index * PHDR.size(encoding) + PHDR.at(encoding, field),
    shdr: (index, field) => shoff + index * SHDR.size(encoding) + SHDR.at(encoding, field),
    dVal(d_tag, n = 0) {
      const indexes = all.flatMap(([tag], i) => (tag === d_tag ? [i] : []));
      const index = indexes[n];
      if (index === undefined) throw new Error(`the file has no dynamic entry ${d_tag} number ${n}`);
      return dynamicAt + index * DYN.size(encoding) + DYN.at(encoding, 'd_val');
    },
    setWord: put.word,
    setU32: put.u32,
    setU16: put.u16,
  };
}
