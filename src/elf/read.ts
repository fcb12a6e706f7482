import elfy from 'elfy';
import { ElfnoteError } from '../errors.js';
import { type ByteSource, checkRange, Encoding } from './bytes.js';
import {
  EI_ABIVERSION,
  EI_CLASS,
  EI_DATA,
  EI_NIDENT,
  EI_OSABI,
  EI_VERSION,
  ELF_MAGIC,
  PN_XNUM,
  PT_DYNAMIC,
  PT_INTERP,
  PT_LOAD,
  SHT_NOBITS,
} from './constants.js';
import { readDynamic } from './dynamic.js';
import {
  type ElfHeader,
  type ElfImage,
  offsetOfAddress,
  type ProgramHeader,
  programHeaderSize,
  type SectionHeader,
} from './image.js';
import { findCacheNotes } from './notes.js';
import { readSections, type Sections } from './sections.js';
import { EHDR, PHDR } from './structs.js';
import { Words } from './words.js';

/** Enough of a file to tell what it is: the ELF header of the larger class. */
export const IDENT_SIZE = 64;

/**
 * Whether the bytes start an ELF file. Only the magic counts: a damaged ELF file is an error, not another format.
 */
export function isElf(head: Buffer): boolean {
  return head.length >= 4 && head.readUInt32BE(0) === ELF_MAGIC;
}

/** The ELF header, and what the rest is read with. `e_phnum` and the like are raw. */
export interface Head {
  readonly header: ElfHeader;
  readonly encoding: Encoding;
}

export interface ReadOptions {
  /** False leaves the section headers out, as the loader does. */
  readonly sections?: boolean;
  /** Where `readElfHeader` has been asked already. */
  readonly head?: Head;
}

/**
 * Reads what an ELF file says. Program headers are the truth; section headers are read when they are sound
 * (`sectionError` says why not), since ld.so and the kernel never look at them.
 *
 * @throws ElfnoteError `not-elf`, `malformed` (with the file offset of the field at fault) or `unsupported`.
 */
export function readImage(source: ByteSource, options: ReadOptions = {}): ElfImage {
  const { header: found, encoding } = options.head ?? readElfHeader(source);
  const raw = options.sections === false ? { ...found, e_shoff: 0 } : found;
  const sections = readSections(source, encoding, raw);
  const e_phnum = phnumOf(raw, sections);
  if (e_phnum > 0 && raw.e_phentsize !== programHeaderSize(encoding)) {
    throw new ElfnoteError(
      'malformed',
      `e_phentsize is ${raw.e_phentsize}, not ${programHeaderSize(encoding)}`,
      { path: source.path, offset: EHDR.at(encoding, 'e_phentsize') },
    );
  }
  const header = { ...raw, e_phnum, e_shnum: sections.count, e_shstrndx: sections.names };
  const debugOnly = isDebugOnly(sections.headers);
  const programHeaders = readProgramHeaders(source, encoding, header);
  if (!debugOnly) checkProgramHeaders(source, header, programHeaders);

  const sectionHeaders = sections.headers;
  return {
    path: source.path,
    size: source.size,
    encoding,
    header,
    programHeaders,
    sectionHeaders,
    sectionError: sections.error,
    dynamic: debugOnly ? undefined : readDynamicSegment(source, encoding, header, programHeaders),
    debugOnly,
    cacheNotes: debugOnly ? [] : findCacheNotes(source, { encoding, programHeaders, sectionHeaders }),
  };
}

/** `objcopy --only-keep-debug` and `eu-strip -f` leave the headers and no content behind them. */
function isDebugOnly(sections: readonly SectionHeader[]): boolean {
  for (let i = 0; i < sections.length; i++) {
    const section = sections[i];
    if (section?.sh_type === SHT_NOBITS && section.name === '.dynamic') return true;
  }
  return false;
}

/** The ELF header alone, for a candidate library: no table is followed. */
export function readElfHeader(source: ByteSource): Head {
  const { path } = source;
  const fail = (message: string, offset: number) => new ElfnoteError('malformed', message, { path, offset });
  const bytes = source.read(0, Math.min(IDENT_SIZE, source.size));
  if (!isElf(bytes)) throw new ElfnoteError('not-elf', 'is not an ELF file', { path });
  if (bytes.length < EI_NIDENT) throw fail('the file ends inside e_ident', bytes.length);
  const class_ = bytes[EI_CLASS];
  const data = bytes[EI_DATA];
  if (class_ !== 1 && class_ !== 2) throw fail(`EI_CLASS is ${class_}`, EI_CLASS);
  if (data !== 1 && data !== 2) throw fail(`EI_DATA is ${data}`, EI_DATA);
  if (bytes[EI_VERSION] !== 1) throw fail(`EI_VERSION is ${bytes[EI_VERSION]}`, EI_VERSION);
  const encoding = new Encoding(class_ === 2, data === 1);
  const ehsize = EHDR.size(encoding);
  if (source.size < ehsize) throw fail('the file ends inside the ELF header', source.size);

  const elf = PARSER.parseHeader(bytes);
  const at = EHDR.offsets(encoding);
  const header: ElfHeader = {
    e_type: encoding.u16(bytes, at.e_type),
    e_machine: encoding.u16(bytes, at.e_machine),
    e_flags: elf.flags,
    e_phoff: asSmall(elf.phoff),
    e_phentsize: elf.phentsize,
    e_phnum: elf.phnum,
    e_shoff: asSmall(elf.shoff),
    e_shentsize: elf.shentsize,
    e_shnum: elf.shnum,
    e_shstrndx: elf.shstrndx,
    e_ehsize: elf.ehsize,
    osabi: bytes[EI_OSABI] ?? 0,
    abiversion: bytes[EI_ABIVERSION] ?? 0,
  };
  if (header.e_ehsize < ehsize) throw fail(`e_ehsize is ${header.e_ehsize}`, at.e_ehsize);
  return { header, encoding };
}

/**
 * The same number, which V8 keeps as a small integer again where it is one. elfy multiplies and adds, and V8 makes an object
 * of what it has multiplied, of every sum with that, and of every offset that such a sum leads to.
 */
function asSmall(product: number): number {
  return Math.floor(product);
}

/** It keeps nothing of a file but its class and byte order, which every header says anew. */
const PARSER = new elfy.Parser();

/** The program headers as they stand, unchecked. @throws ElfnoteError where the table leaves the file. */
export function readProgramHeaders(
  source: ByteSource,
  encoding: Encoding,
  header: ElfHeader,
): ProgramHeader[] {
  const { e_phoff, e_phnum, e_phentsize } = header;
  if (e_phnum === 0 || e_phoff === 0) return [];
  const size = e_phnum * e_phentsize;
  checkRange(source, e_phoff, size, `program header table (${e_phnum} entries)`);
  const table = new Words(encoding, source.read(e_phoff, size));
  const at = PHDR.offsets(encoding);
  const result: ProgramHeader[] = [];
  // elfy would also make a view of each segment and an object of its flags.
  for (let start = 0; start < size; start += e_phentsize) {
    result.push({
      p_type: table.u32(start + at.p_type),
      p_flags: table.u32(start + at.p_flags),
      p_offset: table.word(start + at.p_offset),
      p_vaddr: table.word(start + at.p_vaddr),
      p_paddr: table.word(start + at.p_paddr),
      p_filesz: table.word(start + at.p_filesz),
      p_memsz: table.word(start + at.p_memsz),
      p_align: table.word(start + at.p_align),
    });
  }
  return result;
}

function checkProgramHeaders(
  source: ByteSource,
  header: ElfHeader,
  programHeaders: readonly ProgramHeader[],
): void {
  for (let i = 0; i < programHeaders.length; i++) {
    const p = programHeaders[i];
    if (p !== undefined) checkProgramHeader(source, header, p, i);
  }
}

function checkProgramHeader(source: ByteSource, header: ElfHeader, p: ProgramHeader, index: number): void {
  const { path } = source;
  const offset = header.e_phoff + index * header.e_phentsize;
  if (!isExact(p)) {
    throw new ElfnoteError('unsupported', `program header ${index} has a value above 2^53`, { path, offset });
  }
  if (p.p_type === PT_INTERP) checkRange(source, p.p_offset, p.p_filesz, 'PT_INTERP');
  if (p.p_type !== PT_LOAD) return;
  checkRange(source, p.p_offset, p.p_filesz, `PT_LOAD (program header ${index})`);
  if (p.p_memsz < p.p_filesz) {
    throw new ElfnoteError('malformed', `PT_LOAD (program header ${index}) has p_memsz < p_filesz`, {
      path,
      offset,
    });
  }
}

const LARGEST = Number.MAX_SAFE_INTEGER;

/** Whether all words are what the file says: a double rounds above 2^53. */
function isExact({ p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align }: ProgramHeader): boolean {
  return (
    p_offset <= LARGEST &&
    p_vaddr <= LARGEST &&
    p_paddr <= LARGEST &&
    p_filesz <= LARGEST &&
    p_memsz <= LARGEST &&
    p_align <= LARGEST &&
    p_vaddr + p_memsz <= 2 ** 53
  );
}

function phnumOf(header: ElfHeader, sections: Sections): number {
  return header.e_phnum === PN_XNUM && sections.first !== undefined ? sections.first.sh_info : header.e_phnum;
}

function readDynamicSegment(
  source: ByteSource,
  encoding: Encoding,
  header: ElfHeader,
  programHeaders: readonly ProgramHeader[],
): ElfImage['dynamic'] {
  const index = programHeaders.findIndex(p => p.p_type === PT_DYNAMIC);
  const segment = programHeaders[index];
  if (segment === undefined) return undefined;
  const offset = header.e_phoff + index * header.e_phentsize;
  checkRange(source, segment.p_offset, segment.p_filesz, 'PT_DYNAMIC');
  const mapped = offsetOfAddress(programHeaders, segment.p_vaddr, segment.p_filesz);
  if (mapped !== segment.p_offset) {
    throw new ElfnoteError(
      'malformed',
      mapped === undefined
        ? 'PT_DYNAMIC lies outside every PT_LOAD'
        : 'PT_DYNAMIC has another offset than the PT_LOAD that holds its address',
      { path: source.path, offset },
    );
  }
  return readDynamic(source, encoding, programHeaders, segment);
}
