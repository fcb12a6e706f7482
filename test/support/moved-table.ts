import { Encoding } from '../../src/elf/bytes.js';
import { EHDR, PHDR } from '../../src/elf/structs.js';
import { Elf } from './elf-reader.js';

/**
 * The same program with its program header table in a segment of its own at the end of the file, as patchelf up to 0.9,
 * postject and llvm-bolt leave it. The old table's bytes stay.
 *
 * @param keepsDistance whether address and offset are as far apart as in the first segment, as old kernels want it.
 */
export function withMovedTable(bytes: Buffer, page: number, keepsDistance: boolean): Buffer {
  const elf = new Elf(bytes);
  const e = new Encoding(elf.is64, elf.little);
  const [first] = elf.loads;
  if (first === undefined) return bytes;
  const up = (value: number, to: number) => Math.ceil(value / to) * to;
  const top = up(Math.max(...elf.loads.map(p => p.vaddr + p.memsz)), page);
  const distance = first.vaddr - first.offset;
  const offset = keepsDistance ? Math.max(up(bytes.length, page), top - distance) : up(bytes.length, page);
  const address = keepsDistance ? offset + distance : top;
  const size = (elf.phdrs.length + 1) * elf.phentsize;
  const result = Buffer.concat([bytes, Buffer.alloc(offset + size - bytes.length)]);
  const lastLoad = elf.phdrs.findLastIndex(p => p.type === 1) + 1;
  for (const [i, at] of elf.phdrs.map((_, i) => [i, elf.phoff + i * elf.phentsize] as const)) {
    const to = offset + (i < lastLoad ? i : i + 1) * elf.phentsize;
    elf.slice(at, elf.phentsize).copy(result, to);
    if (elf.phdrs[i]?.type === 6)
      putHeader(e, result, to, { type: 6, offset, address, size, align: e.wordSize });
  }
  putHeader(e, result, offset + lastLoad * elf.phentsize, { type: 1, offset, address, size, align: page });
  EHDR.put(e, result, 0, { e_phoff: offset, e_phnum: elf.phdrs.length + 1 });
  return result;
}

function putHeader(
  e: Encoding,
  bytes: Buffer,
  at: number,
  p: { type: number; offset: number; address: number; size: number; align: number },
): void {
  PHDR.put(e, bytes, at, {
    p_type: p.type,
    p_flags: 4,
    p_offset: p.offset,
    p_vaddr: p.address,
    p_paddr: p.address,
    p_filesz: p.size,
    p_memsz: p.size,
    p_align: p.align,
  });
}
