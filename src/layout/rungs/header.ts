import type { ByteSource } from '../../elf/bytes.js';
import { PN_XNUM, PT_LOAD, PT_PHDR } from '../../elf/constants.js';
import { type ElfImage, type ProgramHeader, programHeaderSize } from '../../elf/image.js';
import { EHDR, PHDR } from '../../elf/structs.js';
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
  const table = encodeProgramHeaders(image, source, next);
  const ehdr = Buffer.from(source.read(0, EHDR.size(encoding)));
  const e_phoff = next.table?.offset ?? header.e_phoff;
  const { e_shoff, e_shnum } = next;
  encoding.putWord(ehdr, EHDR.at(encoding, 'e_shoff'), e_shoff);
  encoding.putU16(ehdr, EHDR.at(encoding, 'e_phnum'), next.programHeaders.length);
  if (next.table !== undefined) encoding.putWord(ehdr, EHDR.at(encoding, 'e_phoff'), e_phoff);
  // With extended numbering the field is 0 and the number is in section 0.
  if (image.sectionHeaders.length > 0 && e_shnum !== header.e_shnum)
    encoding.putU16(ehdr, EHDR.at(encoding, 'e_shnum'), e_shnum);

  const end = e_phoff + table.length;
  const why = 'ELF header and program header table';
  if (e_phoff !== header.e_phoff) {
    const edits: Edit[] = [
      { offset: e_phoff, bytes: table, step: STEP.payload, why: 'program header table in its new place' },
      { offset: 0, bytes: ehdr, step: STEP.header, why: 'ELF header' },
    ];
    return { edits, atomic: true };
  }
  if (e_phoff >= ehdr.length && end <= FIRST_PAGE) {
    const between = source.read(ehdr.length, e_phoff - ehdr.length);
    const bytes = Buffer.concat([ehdr, between, table]);
    return { edits: [{ offset: 0, bytes, step: STEP.header, why }], atomic: true };
  }
  return {
    edits: [
      { offset: e_phoff, bytes: table, step: STEP.header, why: 'program header table' },
      { offset: 0, bytes: ehdr, step: STEP.header, why: 'ELF header' },
    ],
    atomic: false,
  };
}

/** Entries that stay what they are keep their bytes; `PT_PHDR` always tells the size of the table. */
function encodeProgramHeaders(
  image: ElfImage,
  source: ByteSource,
  { programHeaders, table: place }: NewHeaders,
): Buffer {
  const { encoding, header } = image;
  const size = programHeaderSize(encoding);
  const table = Buffer.alloc(programHeaders.length * size);
  const old = source.read(header.e_phoff, image.programHeaders.length * size);
  for (const [i, p] of programHeaders.entries()) {
    const isTable = p.p_type === PT_PHDR;
    const known = isTable ? -1 : indexNear(image.programHeaders, p, i);
    if (known >= 0) {
      old.copy(table, i * size, known * size, (known + 1) * size);
      continue;
    }
    const p_offset = isTable && place ? place.offset : p.p_offset;
    const p_vaddr = isTable && place ? place.address : p.p_vaddr;
    const p_paddr = p.p_paddr - p.p_vaddr + p_vaddr;
    const { p_filesz, p_memsz } = isTable ? { p_filesz: table.length, p_memsz: table.length } : p;
    PHDR.put(encoding, table, i * size, { ...p, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz });
  }
  return table;
}

/** Few entries come or go, so one that stays is where it was, or near it. */
function indexNear(programHeaders: readonly ProgramHeader[], p: ProgramHeader, index: number): number {
  return programHeaders[index] === p ? index : programHeaders.indexOf(p);
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
