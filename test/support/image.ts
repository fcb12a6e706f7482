import { Encoding } from '../../src/elf/bytes.js';
import { PT_LOAD, PT_NOTE, SHT_NOTE } from '../../src/elf/constants.js';
import type { DynamicEntry, ElfHeader, ElfImage, ProgramHeader, SectionHeader } from '../../src/elf/image.js';

/** Images made by hand: a test names the numbers it is about, the rest is plain. */

export const X86_64 = 62;
export const AARCH64 = 183;
export const S390 = 22;
export const MIPS = 8;

export function program(fields: Partial<ProgramHeader>): ProgramHeader {
  const p_offset = fields.p_offset ?? 0;
  const p_vaddr = fields.p_vaddr ?? p_offset;
  const p_filesz = fields.p_filesz ?? 0;
  return {
    p_type: PT_LOAD,
    p_flags: 4,
    p_offset,
    p_vaddr,
    p_paddr: p_vaddr,
    p_filesz,
    p_memsz: p_filesz,
    p_align: fields.p_type === PT_NOTE ? 4 : 0x1000,
    ...fields,
  };
}

export function section(fields: Partial<SectionHeader>): SectionHeader {
  return {
    name: '',
    sh_name: 0,
    sh_type: SHT_NOTE,
    sh_flags: 2,
    sh_addr: fields.sh_offset ?? 0,
    sh_offset: 0,
    sh_size: 0,
    sh_link: 0,
    sh_info: 0,
    sh_addralign: 4,
    sh_entsize: 0,
    ...fields,
  };
}

export interface ImageParts {
  readonly is64?: boolean;
  readonly littleEndian?: boolean;
  readonly size?: number;
  readonly header?: Partial<ElfHeader>;
  readonly programHeaders?: readonly ProgramHeader[];
  readonly sectionHeaders?: readonly SectionHeader[];
  /** Tag and value of each dynamic entry; where they stand is of no account. */
  readonly dynamic?: readonly (readonly [number, number])[];
}

export function image(parts: ImageParts): ElfImage {
  const encoding = new Encoding(parts.is64 ?? true, parts.littleEndian ?? true);
  const programHeaders = parts.programHeaders ?? [];
  const sectionHeaders = parts.sectionHeaders ?? [];
  const e_ehsize = encoding.is64 ? 64 : 52;
  const entries = parts.dynamic?.map(([d_tag, d_val], i): DynamicEntry => ({ d_tag, d_val, offset: i * 16 }));
  return {
    path: '<image>',
    size: parts.size ?? 0x10000,
    encoding,
    header: {
      e_type: 3,
      e_machine: X86_64,
      e_flags: 0,
      e_phoff: e_ehsize,
      e_phentsize: encoding.is64 ? 56 : 32,
      e_phnum: programHeaders.length,
      e_shoff: 0,
      e_shentsize: encoding.is64 ? 64 : 40,
      e_shnum: sectionHeaders.length,
      e_shstrndx: 0,
      e_ehsize,
      osabi: 0,
      abiversion: 0,
      ...parts.header,
    },
    programHeaders,
    sectionHeaders,
    sectionError: undefined,
    dynamic: entries && { entries, needed: [], soname: undefined, runpath: undefined, rpath: undefined },
    debugOnly: false,
    cacheNotes: [],
  };
}
