import { Encoding } from '../../src/elf/bytes.js';
import { Elf } from './layout-oracle.js';

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
  e.putWord(result, 24 + e.wordSize, offset);
  e.putU16(result, 28 + 3 * e.wordSize + 4, elf.phdrs.length + 1);
  return result;
}

function putHeader(
  e: Encoding,
  bytes: Buffer,
  at: number,
  p: { type: number; offset: number; address: number; size: number; align: number },
): void {
  e.putU32(bytes, at, p.type);
  e.putU32(bytes, at + (e.is64 ? 4 : 24), 4);
  const words = [p.offset, p.address, p.address, p.size, p.size];
  for (const [i, word] of words.entries()) e.putWord(bytes, at + (e.is64 ? 8 : 4) + i * e.wordSize, word);
  e.putWord(bytes, at + (e.is64 ? 48 : 28), p.align);
}
