import { ElfnoteError } from '../errors.js';
import { type ByteSource, type ByteString, byteStringOf, checkRange, type Encoding } from './bytes.js';
import { SHN_XINDEX, SHT_NOBITS, SHT_NULL } from './constants.js';
import { type ElfHeader, type SectionHeader, sectionHeaderSize } from './image.js';
import { EHDR, SHDR } from './structs.js';

/** The section headers, or why they cannot be used; counts with extended numbering resolved. */
export interface Sections {
  readonly headers: readonly SectionHeader[];
  readonly count: number;
  readonly names: number;
  readonly first: SectionHeader | undefined;
  readonly error: ElfnoteError | undefined;
}

/**
 * Reads the section header table, which ld.so and the kernel never look at.
 * @returns `error` where it is not sound; it is thrown only where the file itself cannot be read.
 */
export function readSections(source: ByteSource, encoding: Encoding, header: ElfHeader): Sections {
  if (header.e_shoff === 0) {
    return {
      headers: [],
      count: header.e_shnum,
      names: header.e_shstrndx,
      first: undefined,
      error: undefined,
    };
  }
  let first: SectionHeader | undefined;
  try {
    first = readSectionTable(source, encoding, header, 1)[0];
    const count = header.e_shnum === 0 ? (first?.sh_size ?? 0) : header.e_shnum;
    const names = header.e_shstrndx === SHN_XINDEX ? (first?.sh_link ?? 0) : header.e_shstrndx;
    const table = readSectionTable(source, encoding, header, count);
    for (const [i, section] of table.entries()) checkSection(source, section, i);
    return { headers: nameSections(source, encoding, table, names), count, names, first, error: undefined };
  } catch (error) {
    if (!(error instanceof ElfnoteError) || error.code !== 'malformed') throw error;
    return { headers: [], count: header.e_shnum, names: header.e_shstrndx, first, error };
  }
}

/** Far more than any linked file has; each takes memory. */
const MOST_SECTIONS = 200_000;

function readSectionTable(
  source: ByteSource,
  encoding: Encoding,
  header: ElfHeader,
  count: number,
): Unnamed[] {
  const size = sectionHeaderSize(encoding);
  if (header.e_shentsize !== size) {
    throw new ElfnoteError('malformed', `e_shentsize is ${header.e_shentsize}, not ${size}`, {
      path: source.path,
      offset: EHDR.at(encoding, 'e_shentsize'),
    });
  }
  checkRange(source, header.e_shoff, count * size, `section header table (${count} entries)`);
  if (count > MOST_SECTIONS) {
    throw new ElfnoteError('malformed', `has ${count} section headers, more than ${MOST_SECTIONS}`, {
      path: source.path,
      offset: header.e_shoff,
    });
  }
  const table = source.read(header.e_shoff, count * size);
  const result: Unnamed[] = [];
  for (let at = 0; at < table.length; at += size) result.push(decodeSection(encoding, table, at));
  return result;
}

/** A section header whose name is still to be read. */
type Unnamed = Omit<SectionHeader, 'name'> & { name: ByteString };

/** elfy reads `sh_addralign` and `sh_entsize` of 64-bit files two bytes early, so sections are decoded here. */
function decodeSection(encoding: Encoding, table: Buffer, at: number): Unnamed {
  const field = (name: Parameters<typeof SHDR.at>[1]) => SHDR.get(encoding, table, at, name);
  return {
    name: '',
    sh_name: field('sh_name'),
    sh_type: field('sh_type'),
    sh_flags: field('sh_flags'),
    sh_addr: field('sh_addr'),
    sh_offset: field('sh_offset'),
    sh_size: field('sh_size'),
    sh_link: field('sh_link'),
    sh_info: field('sh_info'),
    sh_addralign: field('sh_addralign'),
    sh_entsize: field('sh_entsize'),
  };
}

function checkSection(source: ByteSource, section: SectionHeader, index: number): void {
  if (section.sh_type === SHT_NULL || section.sh_type === SHT_NOBITS) return;
  checkRange(source, section.sh_offset, section.sh_size, `section ${index}`);
}

/** In bytes; a hostile file can let every section name the same long string. */
const LONGEST_NAME = 4096;

function nameSections(
  source: ByteSource,
  encoding: Encoding,
  table: readonly Unnamed[],
  names: number,
): readonly SectionHeader[] {
  if (names === 0 || table.length === 0) return table;
  const strings = table[names];
  if (strings === undefined || strings.sh_type === SHT_NOBITS || strings.sh_type === SHT_NULL) {
    throw new ElfnoteError('malformed', `e_shstrndx is ${names}, which is no string table`, {
      path: source.path,
      offset: EHDR.at(encoding, 'e_shstrndx'),
    });
  }
  const bytes = source.read(strings.sh_offset, strings.sh_size);
  for (const [i, section] of table.entries()) {
    const end = bytes.subarray(0, section.sh_name + LONGEST_NAME).indexOf(0, section.sh_name);
    if (section.sh_name >= bytes.length || end < 0) {
      if (section.sh_name === 0) continue;
      throw new ElfnoteError('malformed', `the name of section ${i} lies outside the string table`, {
        path: source.path,
        offset: strings.sh_offset + section.sh_name,
      });
    }
    section.name = byteStringOf(bytes.subarray(section.sh_name, end));
  }
  return table;
}
