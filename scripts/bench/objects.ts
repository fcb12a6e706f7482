import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { BufferSource } from '../../src/elf/bytes.js';
import { sectionHeaderSize } from '../../src/elf/image.js';
import { isElf, readImage } from '../../src/elf/read.js';
import { FileSource } from '../../src/files/source.js';

export function readDynamic(path: string): { needed: readonly string[]; soname: string | undefined } {
  const source = FileSource.open(path);
  try {
    const { dynamic } = readImage(source);
    return { needed: dynamic?.needed ?? [], soname: dynamic?.soname };
  } finally {
    source.close();
  }
}

/** False for the scripts by which some distributions start their programs. */
export function isDynamic(path: string): boolean {
  return isElf(readFileSync(path).subarray(0, 4)) && readDynamic(path).needed.length > 0;
}

/**
 * Makes a file `times` as large without changing what it does: a hole behind the last section, one more section
 * that covers it, and the section header table behind that.
 */
export function pad(path: string, times: number): void {
  const bytes = readFileSync(path);
  const image = readImage(new BufferSource(bytes, path));
  const { encoding, header, sectionHeaders } = image;
  if (sectionHeaders.length === 0) return;
  const entry = sectionHeaderSize(encoding);
  const hole = Math.ceil(bytes.length / 16) * 16;
  const table = Math.ceil((bytes.length * times) / 16) * 16;
  const comment = sectionHeaders.find(({ name }) => name === '.comment') ?? sectionHeaders[1];
  const last = Buffer.alloc(entry);
  encoding.putU32(last, 0, comment?.sh_name ?? 0);
  encoding.putU32(last, 4, 1);
  encoding.putWord(last, 8 + 2 * encoding.wordSize, hole);
  encoding.putWord(last, 8 + 3 * encoding.wordSize, table - hole);
  encoding.putWord(last, 16 + 4 * encoding.wordSize, 1);
  const old = bytes.subarray(header.e_shoff, header.e_shoff + sectionHeaders.length * entry);
  encoding.putWord(bytes, encoding.is64 ? 40 : 32, table);
  encoding.putU16(bytes, encoding.is64 ? 60 : 48, sectionHeaders.length + 1);
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, bytes, 0, header.e_ehsize, 0);
    writeSync(fd, Buffer.concat([old, last]), 0, old.length + entry, table);
    ftruncateSync(fd, table + old.length + entry);
  } finally {
    closeSync(fd);
  }
}
