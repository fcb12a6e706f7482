import type { ByteSource } from '../../elf/bytes.js';
import { PN_XNUM, PT_LOAD, PT_PHDR } from '../../elf/constants.js';
import { type ElfImage, type ProgramHeader, programHeaderSize } from '../../elf/image.js';
import { EHDR, PHDR } from '../../elf/structs.js';
import { Table } from '../../elf/table.js';
import { type Edit, STEP } from '../model/plan.js';

/** The one write that covers both must stay within the file's first page. */
const FIRST_PAGE = 4096;

export interface HeaderPlan {
  readonly edits: readonly Edit[];
  /** Whether one write covers the ELF header and the whole table. */
  readonly atomic: boolean;
}

export interface NewHeaders {
  /** Where the table stands from now on; where it stood when missing. */
  readonly table?: { readonly offset: number; readonly address: number } | undefined;
  readonly programHeaders: readonly ProgramHeader[];
  readonly e_shoff: number;
  readonly e_shnum: number;
}

/** The ELF header and the program header table. `PT_PHDR` is kept true for ld.so. */
export function headerPlan(image: ElfImage, source: ByteSource, next: NewHeaders): HeaderPlan {
  const { encoding, header } = image;
  const ehsize = EHDR.size(encoding);
  const e_phoff = next.table?.offset ?? header.e_phoff;
  const size = next.programHeaders.length * programHeaderSize(encoding);
  const isMoved = e_phoff !== header.e_phoff;
  if (!isMoved && e_phoff >= ehsize && e_phoff + size <= FIRST_PAGE) {
    const bytes = Buffer.alloc(e_phoff + size);
    bytes.set(source.read(0, e_phoff));
    putElfHeader(bytes, image, next);
    putProgramHeaders(bytes, e_phoff, image, source, next);
    const why = 'ELF header and program header table';
    return { edits: [{ offset: 0, bytes, step: STEP.header, why }], atomic: true };
  }
  const table = Buffer.alloc(size);
  putProgramHeaders(table, 0, image, source, next);
  const ehdr = Buffer.from(source.read(0, ehsize));
  putElfHeader(ehdr, image, next);
  const where = isMoved
    ? { step: STEP.payload, why: 'program header table in its new place' }
    : { step: STEP.header, why: 'program header table' };
  const edits: Edit[] = [
    { offset: e_phoff, bytes: table, ...where },
    { offset: 0, bytes: ehdr, step: STEP.header, why: 'ELF header' },
  ];
  return { edits, atomic: isMoved };
}

/** Puts what changes into the bytes of an ELF header. */
function putElfHeader(
  ehdr: Buffer,
  { encoding, header, sectionHeaders }: ElfImage,
  { table, programHeaders, e_shoff, e_shnum }: NewHeaders,
): void {
  const fields = new Table(encoding, ehdr);
  const at = EHDR.offsets(encoding);
  fields.putWord(at.e_shoff, e_shoff);
  fields.putU16(at.e_phnum, programHeaders.length);
  if (table !== undefined) fields.putWord(at.e_phoff, table.offset);
  // With extended numbering the field is 0 and the number is in section 0.
  if (sectionHeaders.length > 0 && e_shnum !== header.e_shnum) fields.putU16(at.e_shnum, e_shnum);
}

/** Entries that stay what they are keep their bytes; `PT_PHDR` always tells the size of the table. */
function putProgramHeaders(
  bytes: Buffer,
  at: number,
  { encoding, header, programHeaders: before }: ElfImage,
  source: ByteSource,
  { programHeaders, table: place }: NewHeaders,
): void {
  const size = programHeaderSize(encoding);
  const old = source.read(header.e_phoff, before.length * size);
  // Few entries come or go, so nearly all are where they were.
  old.copy(bytes, at);
  for (let i = 0; i < programHeaders.length; i++) {
    const p = programHeaders[i];
    if (p === undefined) continue;
    const start = at + i * size;
    if (p.p_type === PT_PHDR) {
      const whole = programHeaders.length * size;
      PHDR.put(encoding, bytes, start, { ...placedAt(p, place), p_filesz: whole, p_memsz: whole });
    } else if (p !== before[i]) {
      const known = before.indexOf(p);
      if (known >= 0) old.copy(bytes, start, known * size, (known + 1) * size);
      else PHDR.put(encoding, bytes, start, p);
    }
  }
}

function placedAt(p: ProgramHeader, place: NewHeaders['table']): ProgramHeader {
  if (place === undefined) return p;
  const p_paddr = p.p_paddr - p.p_vaddr + place.address;
  return { ...p, p_offset: place.offset, p_vaddr: place.address, p_paddr };
}

/** Whether the table can hold that many entries without extended numbering. */
export function fitsPhnum(count: number): boolean {
  return count < PN_XNUM;
}

/** Inserts a new, highest segment so that the `PT_LOAD` entries stay in ascending order. */
export function withLastLoad(programHeaders: readonly ProgramHeader[], load: ProgramHeader): ProgramHeader[] {
  const at = programHeaders.findLastIndex(p => p.p_type === PT_LOAD) + 1;
  return [...programHeaders.slice(0, at), load, ...programHeaders.slice(at)];
}
