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
} from './image.js';
import { findCacheNotes } from './notes.js';
import { readSections, type Sections } from './sections.js';
import { EHDR, PHDR } from './structs.js';

/** Enough of a file to tell what it is: the ELF header of the larger class. */
export const IDENT_SIZE = 64;

/**
 * Whether the bytes start an ELF file. Only the magic counts: a damaged ELF file is an error, not another format.
 */
export function isElf(head: Buffer): boolean {
  return head.length >= ELF_MAGIC.length && ELF_MAGIC.every((byte, i) => head[i] === byte);
}

/**
 * Reads what an ELF file says. Program headers are the truth; section headers are read when they are sound
 * (`sectionError` says why not), since ld.so and the kernel never look at them.
 *
 * @param options `sections: false` leaves them out, as the loader does.
 * @throws ElfnoteError `not-elf`, `malformed` (with the file offset of the field at fault) or `unsupported`.
 */
export function readImage(source: ByteSource, options: { readonly sections?: boolean } = {}): ElfImage {
  const { header: found, encoding } = readElfHeader(source);
  const raw = options.sections === false ? { ...found, e_shoff: 0 } : found;
  const fail = (message: string, offset: number) =>
    new ElfnoteError('malformed', message, { path: source.path, offset });

  const sections = readSections(source, encoding, raw);
  const e_phnum = phnumOf(raw, sections);
  if (e_phnum > 0 && raw.e_phentsize !== programHeaderSize(encoding)) {
    throw fail(
      `e_phentsize is ${raw.e_phentsize}, not ${programHeaderSize(encoding)}`,
      EHDR.at(encoding, 'e_phentsize'),
    );
  }
  const header = { ...raw, e_phnum, e_shnum: sections.count, e_shstrndx: sections.names };
  const debugOnly = sections.headers.some(s => s.sh_type === SHT_NOBITS && s.name === '.dynamic');
  const programHeaders = readProgramHeaders(source, encoding, header);
  if (!debugOnly) for (const [i, p] of programHeaders.entries()) checkProgramHeader(source, header, p, i);

  const base = {
    path: source.path,
    size: source.size,
    encoding,
    header,
    programHeaders,
    sectionHeaders: sections.headers,
    sectionError: sections.error,
  };
  // `objcopy --only-keep-debug` and `eu-strip -f` leave the headers and no content behind them.
  if (debugOnly) return { ...base, dynamic: undefined, debugOnly, cacheNotes: [] };
  return {
    ...base,
    dynamic: readDynamicSegment(source, base),
    debugOnly,
    cacheNotes: findCacheNotes(source, base),
  };
}

/** The ELF header alone, for a candidate library: no table is followed. `e_phnum` and the like are raw. */
export function readElfHeader(source: ByteSource): { header: ElfHeader; encoding: Encoding } {
  const { path } = source;
  const ident = source.read(0, Math.min(EI_NIDENT, source.size));
  if (!isElf(ident)) throw new ElfnoteError('not-elf', 'is not an ELF file', { path });
  const fail = (message: string, offset: number) => new ElfnoteError('malformed', message, { path, offset });
  if (ident.length < EI_NIDENT) throw fail('the file ends inside e_ident', ident.length);
  const byte = (at: number) => ident.readUInt8(at);
  if (byte(EI_CLASS) !== 1 && byte(EI_CLASS) !== 2) throw fail(`EI_CLASS is ${byte(EI_CLASS)}`, EI_CLASS);
  if (byte(EI_DATA) !== 1 && byte(EI_DATA) !== 2) throw fail(`EI_DATA is ${byte(EI_DATA)}`, EI_DATA);
  if (byte(EI_VERSION) !== 1) throw fail(`EI_VERSION is ${byte(EI_VERSION)}`, EI_VERSION);
  const encoding = new Encoding(byte(EI_CLASS) === 2, byte(EI_DATA) === 1);
  const ehsize = EHDR.size(encoding);
  if (source.size < ehsize) throw fail('the file ends inside the ELF header', source.size);

  const bytes = source.read(0, ehsize);
  const elf = new elfy.Parser().parseHeader(bytes);
  const header: ElfHeader = {
    e_type: EHDR.get(encoding, bytes, 0, 'e_type'),
    e_machine: EHDR.get(encoding, bytes, 0, 'e_machine'),
    e_flags: elf.flags,
    e_phoff: elf.phoff,
    e_phentsize: elf.phentsize,
    e_phnum: elf.phnum,
    e_shoff: elf.shoff,
    e_shentsize: elf.shentsize,
    e_shnum: elf.shnum,
    e_shstrndx: elf.shstrndx,
    e_ehsize: elf.ehsize,
    osabi: byte(EI_OSABI),
    abiversion: byte(EI_ABIVERSION),
  };
  if (header.e_ehsize < ehsize) throw fail(`e_ehsize is ${header.e_ehsize}`, EHDR.at(encoding, 'e_ehsize'));
  return { header, encoding };
}

/** The program headers as they stand, unchecked. @throws ElfnoteError where the table leaves the file. */
export function readProgramHeaders(
  source: ByteSource,
  encoding: Encoding,
  header: ElfHeader,
): ProgramHeader[] {
  if (header.e_phnum === 0 || header.e_phoff === 0) return [];
  const size = header.e_phnum * header.e_phentsize;
  checkRange(source, header.e_phoff, size, `program header table (${header.e_phnum} entries)`);
  const table = source.read(header.e_phoff, size);
  const ehdr = source.read(0, EHDR.size(encoding));
  const parser = new elfy.Parser();
  const elfyHeader = parser.parseHeader(ehdr);
  // elfy slices the table out of one buffer, and takes a table at offset 0 for none: so, header and table.
  const decoded = parser.parsePrograms(Buffer.concat([ehdr, table]), {
    ...elfyHeader,
    phoff: ehdr.length,
    phnum: header.e_phnum,
  });
  return decoded.map((program, i) => {
    const at = i * header.e_phentsize;
    return {
      p_type: PHDR.get(encoding, table, at, 'p_type'),
      p_flags: PHDR.get(encoding, table, at, 'p_flags'),
      p_offset: program.offset,
      p_vaddr: program.vaddr,
      p_paddr: program.paddr,
      p_filesz: program.filesz,
      p_memsz: program.memsz,
      p_align: program.align,
    };
  });
}

const WORDS = ['p_offset', 'p_vaddr', 'p_paddr', 'p_filesz', 'p_memsz', 'p_align'] as const;

function checkProgramHeader(source: ByteSource, header: ElfHeader, p: ProgramHeader, index: number): void {
  const { path } = source;
  const offset = header.e_phoff + index * header.e_phentsize;
  if (!WORDS.every(field => Number.isSafeInteger(p[field])) || p.p_vaddr + p.p_memsz > 2 ** 53) {
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

function phnumOf(header: ElfHeader, sections: Sections): number {
  return header.e_phnum === PN_XNUM && sections.first !== undefined ? sections.first.sh_info : header.e_phnum;
}

type BaseImage = Omit<ElfImage, 'dynamic' | 'debugOnly' | 'cacheNotes'>;

function readDynamicSegment(source: ByteSource, image: BaseImage): ElfImage['dynamic'] {
  const index = image.programHeaders.findIndex(p => p.p_type === PT_DYNAMIC);
  const segment = image.programHeaders[index];
  if (segment === undefined) return undefined;
  const offset = image.header.e_phoff + index * image.header.e_phentsize;
  checkRange(source, segment.p_offset, segment.p_filesz, 'PT_DYNAMIC');
  const mapped = offsetOfAddress(image.programHeaders, segment.p_vaddr, segment.p_filesz);
  if (mapped !== segment.p_offset) {
    throw new ElfnoteError(
      'malformed',
      mapped === undefined
        ? 'PT_DYNAMIC lies outside every PT_LOAD'
        : 'PT_DYNAMIC has another offset than the PT_LOAD that holds its address',
      { path: source.path, offset },
    );
  }
  return readDynamic(source, image.encoding, image.programHeaders, segment);
}
