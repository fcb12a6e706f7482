import { ElfnoteError } from '../errors.js';
import { type ByteSource, type ByteString, byteStringOf, checkRange, type Encoding } from './bytes.js';
import { PN_XNUM, SHN_XINDEX, SHT_NOBITS, SHT_NULL, SHT_PROGBITS } from './constants.js';
import { type ElfHeader, type SectionHeader, sectionHeaderSize } from './image.js';
import { EHDR, SHDR } from './structs.js';
import { Words } from './words.js';

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
  const { e_shoff, e_shnum, e_shstrndx } = header;
  if (e_shoff === 0)
    return { headers: [], count: e_shnum, names: e_shstrndx, first: undefined, error: undefined };
  let first: SectionHeader | undefined;
  try {
    // Only extended numbering asks the first one for what the ELF header has no room for.
    const isExtended = e_shnum === 0 || e_shstrndx === SHN_XINDEX || header.e_phnum === PN_XNUM;
    if (isExtended) first = readSectionTable(source, encoding, header, 1)[0];
    const count = e_shnum === 0 ? (first?.sh_size ?? 0) : e_shnum;
    const names = e_shstrndx === SHN_XINDEX ? (first?.sh_link ?? 0) : e_shstrndx;
    const table = readSectionTable(source, encoding, header, count);
    for (let i = 0; i < table.length; i++) checkSection(source, table[i], i);
    return { headers: nameSections(source, encoding, table, names), count, names, first, error: undefined };
  } catch (error) {
    if (!(error instanceof ElfnoteError) || error.code !== 'malformed') throw error;
    return { headers: [], count: e_shnum, names: e_shstrndx, first, error };
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
  checkRange(source, header.e_shoff, size, 'section header table (1 entries)');
  checkRange(source, header.e_shoff, count * size, `section header table (${count} entries)`);
  if (count > MOST_SECTIONS) {
    throw new ElfnoteError('malformed', `has ${count} section headers, more than ${MOST_SECTIONS}`, {
      path: source.path,
      offset: header.e_shoff,
    });
  }
  return decodeSections(encoding, source.read(header.e_shoff, count * size));
}

/** A section header whose name is still to be read. */
type Unnamed = Omit<SectionHeader, 'name'> & { name: ByteString };

/** elfy reads `sh_addralign` and `sh_entsize` of 64-bit files two bytes early, so sections are decoded here. */
function decodeSections(encoding: Encoding, bytes: Buffer): Unnamed[] {
  const size = sectionHeaderSize(encoding);
  const at = SHDR.offsets(encoding);
  const table = new Words(encoding, bytes);
  const result: Unnamed[] = [];
  for (let start = 0; start < bytes.length; start += size) {
    result.push({
      name: '',
      sh_name: table.u32(start + at.sh_name),
      sh_type: table.u32(start + at.sh_type),
      sh_flags: table.word(start + at.sh_flags),
      sh_addr: table.word(start + at.sh_addr),
      sh_offset: table.word(start + at.sh_offset),
      sh_size: table.word(start + at.sh_size),
      sh_link: table.u32(start + at.sh_link),
      sh_info: table.u32(start + at.sh_info),
      sh_addralign: table.word(start + at.sh_addralign),
      sh_entsize: table.word(start + at.sh_entsize),
    });
  }
  return result;
}

function checkSection(source: ByteSource, section: SectionHeader | undefined, index: number): void {
  if (section === undefined || section.sh_type === SHT_NULL || section.sh_type === SHT_NOBITS) return;
  const { sh_offset, sh_size } = section;
  if (sh_offset + sh_size > source.size) checkRange(source, sh_offset, sh_size, `section ${index}`);
  // Of bytes that elfnote writes binutils would read tables. What Guile compiles has a PROGBITS section there.
  if (sh_offset >= SMALLEST_HEADER || sh_size === 0 || section.sh_type === SHT_PROGBITS) return;
  throw new ElfnoteError('malformed', `section ${index} lies over the ELF header`, {
    path: source.path,
    offset: sh_offset,
  });
}

/** In bytes, of 32-bit files; no section of a 64-bit file starts within the rest either. */
const SMALLEST_HEADER = 52;

/** In bytes; a hostile file can let every section name the same long string. */
const LONGEST_NAME = 4096;

/** In bytes, of all names: they become one text, in which an end is soon found. */
const USUAL_NAMES = 1 << 14;

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
  const whole = bytes.length <= USUAL_NAMES ? byteStringOf(bytes) : undefined;
  for (let i = 0; i < table.length; i++) {
    const section = table[i];
    if (section === undefined) continue;
    const { sh_name } = section;
    const text = whole ?? bytes.toString('latin1', sh_name, sh_name + LONGEST_NAME);
    const start = whole === undefined ? 0 : sh_name;
    const end = text.indexOf('\0', start);
    if (end >= 0 && end - start < LONGEST_NAME) section.name = text.slice(start, end);
    else if (sh_name !== 0)
      throw new ElfnoteError('malformed', `the name of section ${i} lies outside the string table`, {
        path: source.path,
        offset: strings.sh_offset + sh_name,
      });
  }
  return table;
}
