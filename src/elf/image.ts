import type { ElfnoteError } from '../errors.js';
import type { ByteString, Encoding } from './bytes.js';
import { PT_LOAD } from './constants.js';

/** Field names are those of the ELF specification; offsets are file offsets, addresses are link-time ones. */
export interface ElfHeader {
  readonly e_type: number;
  readonly e_machine: number;
  readonly e_flags: number;
  readonly e_phoff: number;
  readonly e_phentsize: number;
  /** With extended numbering (`PN_XNUM`) resolved. */
  readonly e_phnum: number;
  readonly e_shoff: number;
  readonly e_shentsize: number;
  /** With extended numbering resolved. */
  readonly e_shnum: number;
  /** With `SHN_XINDEX` resolved. */
  readonly e_shstrndx: number;
  readonly e_ehsize: number;
  readonly osabi: number;
  readonly abiversion: number;
}

export interface ProgramHeader {
  readonly p_type: number;
  readonly p_flags: number;
  readonly p_offset: number;
  readonly p_vaddr: number;
  readonly p_paddr: number;
  readonly p_filesz: number;
  readonly p_memsz: number;
  readonly p_align: number;
}

export interface SectionHeader {
  readonly name: ByteString;
  readonly sh_name: number;
  readonly sh_type: number;
  readonly sh_flags: number;
  readonly sh_addr: number;
  readonly sh_offset: number;
  readonly sh_size: number;
  readonly sh_link: number;
  readonly sh_info: number;
  readonly sh_addralign: number;
  readonly sh_entsize: number;
}

export interface DynamicEntry {
  readonly d_tag: number;
  readonly d_val: number;
  /** File offset of the entry. */
  readonly offset: number;
}

export interface DynamicTable {
  readonly entries: readonly DynamicEntry[];
  readonly needed: readonly ByteString[];
  readonly soname: ByteString | undefined;
  /** As ld.so sees it: of several entries the last one counts. */
  readonly runpath: ByteString | undefined;
  readonly rpath: ByteString | undefined;
}

/** Where a cache note stands. Nothing is said of its descriptor, which may be malformed. */
export interface CacheNoteLocation {
  /** Index of the `PT_NOTE` that covers it; undefined when only a section names it. */
  readonly segment: number | undefined;
  /** Index of the section header that covers it, if any. */
  readonly section: number | undefined;
  /** File offset of the `Elf_Nhdr`. */
  readonly offset: number;
  /** Address of the `Elf_Nhdr`. */
  readonly address: number;
  readonly descOffset: number;
  readonly n_descsz: number;
  /** End of the descriptor and its padding, or of the segment where that comes first. */
  readonly end: number;
}

/** What an ELF file says. `sectionHeaders` is empty when there are none or when `sectionError` is set. */
export interface ElfImage {
  readonly path: string;
  /** Of the file, in bytes. */
  readonly size: number;
  readonly encoding: Encoding;
  readonly header: ElfHeader;
  readonly programHeaders: readonly ProgramHeader[];
  readonly sectionHeaders: readonly SectionHeader[];
  /** Why the section headers cannot be used. The loader does not care; a writer must. */
  readonly sectionError: ElfnoteError | undefined;
  /** Undefined for a static program, an object file or a core. */
  readonly dynamic: DynamicTable | undefined;
  /** A `PT_DYNAMIC` without content, as in a separate debug file. */
  readonly debugOnly: boolean;
  /** Every cache note of the file, in the order of its program headers; more than one is a mistake. */
  readonly cacheNotes: readonly CacheNoteLocation[];
}

/** Bytes of one section header (gABI, `Elf32_Shdr` and `Elf64_Shdr`). */
export function sectionHeaderSize({ is64 }: Encoding): number {
  return is64 ? 64 : 40;
}

/** Bytes of one program header (gABI, `Elf32_Phdr` and `Elf64_Phdr`). */
export function programHeaderSize({ is64 }: Encoding): number {
  return is64 ? 56 : 32;
}

/**
 * The file offset of an address, through the `PT_LOAD` that holds `length` bytes of it in the file.
 * Undefined when no segment does.
 */
export function offsetOfAddress(
  programHeaders: readonly ProgramHeader[],
  address: number,
  length: number,
): number | undefined {
  const end = address + length;
  for (let i = 0; i < programHeaders.length; i++) {
    const p = programHeaders[i];
    if (p?.p_type !== PT_LOAD || address < p.p_vaddr) continue;
    const loadEnd = p.p_vaddr + p.p_filesz;
    if (end <= loadEnd && (length > 0 || address < loadEnd)) return address - p.p_vaddr + p.p_offset;
  }
  return undefined;
}

/** The address at which the `length` bytes at a file offset are loaded, or undefined. */
export function addressOfOffset(
  programHeaders: readonly ProgramHeader[],
  offset: number,
  length: number,
): number | undefined {
  const end = offset + length;
  for (let i = 0; i < programHeaders.length; i++) {
    const p = programHeaders[i];
    if (p?.p_type !== PT_LOAD || offset < p.p_offset || end > p.p_offset + p.p_filesz) continue;
    return offset - p.p_offset + p.p_vaddr;
  }
  return undefined;
}
