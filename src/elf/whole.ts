import type { ByteSource } from './bytes.js';
import { EI_CLASS, EI_NIDENT, PN_XNUM, PT_LOAD } from './constants.js';
import { type ProgramHeader, programHeaderSize } from './image.js';
import { readElfHeader, readProgramHeaders } from './read.js';

/** Why a file cannot be read although nothing need be wrong with what made it. */
export type NotWhole = 'truncated' | 'high-addresses';

/**
 * Whether a file ends before what its headers describe, or has addresses that a double does not hold exactly.
 * @throws ElfnoteError where even the header makes no sense.
 */
export function whyNotWhole(source: ByteSource): NotWhole | undefined {
  const ident = source.read(0, Math.min(EI_NIDENT, source.size));
  if (source.size < (ident[EI_CLASS] === 1 ? 52 : 64)) return 'truncated';
  const { header, encoding } = readElfHeader(source);
  // More entries than the field can hold are counted in the first section header.
  const e_phnum = header.e_phnum === PN_XNUM ? 0 : header.e_phnum;
  if (e_phnum > 0 && header.e_phentsize !== programHeaderSize(encoding)) return undefined;
  const isBehindEnd = (end: number) => end > source.size && Number.isSafeInteger(end);
  if (isBehindEnd(header.e_phoff + e_phnum * header.e_phentsize)) return 'truncated';
  const programHeaders = readProgramHeaders(source, encoding, { ...header, e_phnum });
  if (programHeaders.some(p => isHigh(p) && p.p_offset <= source.size)) return 'high-addresses';
  const ends = programHeaders.filter(p => p.p_type === PT_LOAD).map(p => p.p_offset + p.p_filesz);
  const sectionsEnd = header.e_shoff + header.e_shnum * header.e_shentsize;
  return [...ends, sectionsEnd].some(isBehindEnd) ? 'truncated' : undefined;
}

function isHigh({ p_vaddr, p_paddr }: ProgramHeader): boolean {
  return p_vaddr > Number.MAX_SAFE_INTEGER || p_paddr > Number.MAX_SAFE_INTEGER;
}
