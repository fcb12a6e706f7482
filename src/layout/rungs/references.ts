import type { ByteSource } from '../../elf/bytes.js';
import {
  DT_GNU_HASH,
  DT_HASH,
  DT_JMPREL,
  DT_NOT_AN_ADDRESS,
  DT_PLTREL,
  DT_PLTRELSZ,
  DT_REL,
  DT_RELA,
  DT_RELASZ,
  DT_RELR,
  DT_RELRSZ,
  DT_RELSZ,
  DT_SYMTAB,
  EM_ALPHA,
  EM_MIPS,
  EM_S390,
  EM_SPARCV9,
  SHT_DYNSYM,
} from '../../elf/constants.js';
import { type ElfImage, offsetOfAddress } from '../../elf/image.js';
import { SYM } from '../../elf/structs.js';
import { isTlsRelocation } from '../../elf/tls-relocations.js';

/** An address that the dynamic section, a dynamic symbol or a dynamic relocation holds. */
export interface Reference {
  readonly address: number;
  readonly what: string;
  /** Of a dynamic entry, its tag. */
  readonly d_tag?: number;
}

/**
 * Every reference to an address in [low, high). What is found here pins what stands there: moving it would
 * leave the pointer behind. Returns undefined when a table cannot be followed, so nothing may move.
 */
export function referencesInto(
  image: ElfImage,
  source: ByteSource,
  low: number,
  high: number,
): Reference[] | undefined {
  const scan = new Scan(image, source, low, high);
  return scan.dynamicEntries() && scan.symbols() && scan.relocations() ? scan.found : undefined;
}

/** Their 64-bit `DT_HASH` tables have entries of 8 bytes. */
const WIDE_HASH_MACHINES: ReadonlySet<number> = new Set([EM_S390, EM_ALPHA]);

class Scan {
  readonly found: Reference[] = [];
  readonly #image: ElfImage;
  readonly #source: ByteSource;
  readonly #low: number;
  readonly #high: number;

  constructor(image: ElfImage, source: ByteSource, low: number, high: number) {
    this.#image = image;
    this.#source = source;
    this.#low = low;
    this.#high = high;
  }

  dynamicEntries(): boolean {
    for (const { d_tag, d_val } of this.#image.dynamic?.entries ?? []) {
      if (DT_NOT_AN_ADDRESS.has(d_tag) || !this.#within(d_val)) continue;
      this.found.push({ address: d_val, what: `dynamic entry 0x${d_tag.toString(16)}`, d_tag });
    }
    return true;
  }

  symbols(): boolean {
    const address = this.#value(DT_SYMTAB);
    if (address === undefined) return true;
    const count = this.#symbolCount(address);
    if (count === undefined) return false;
    const { encoding } = this.#image;
    const size = SYM.size(encoding);
    const table = this.#bytesAt(address, count * size);
    if (table === undefined) return false;
    const { st_value, st_shndx } = SYM.offsets(encoding);
    for (let i = 0, at = 0; i < count; i++, at += size) {
      const value = encoding.word(table, at + st_value);
      if (!this.#within(value) || encoding.u16(table, at + st_shndx) === 0) continue;
      this.found.push({ address: value, what: `dynamic symbol ${i}` });
    }
    return true;
  }

  /** A relocation without a symbol has an address for addend: in the table (`RELA`) or in place (`REL`, `RELR`). */
  relocations(): boolean {
    const pltIsRela = this.#value(DT_PLTREL) === DT_RELA;
    return (
      this.#rela(DT_RELA, DT_RELASZ) &&
      this.#rel(DT_REL, DT_RELSZ) &&
      (pltIsRela ? this.#rela(DT_JMPREL, DT_PLTRELSZ) : this.#rel(DT_JMPREL, DT_PLTRELSZ)) &&
      this.#relr()
    );
  }

  #rela(tag: number, sizeTag: number): boolean {
    const { encoding } = this.#image;
    const w = encoding.wordSize;
    const table = this.#table(tag, sizeTag);
    if (table === undefined) return false;
    for (let at = 0; at + 3 * w <= table.length; at += 3 * w) {
      this.#place(encoding.word(table, at));
      const addend = encoding.word(table, at + 2 * w);
      if (this.#within(addend) && this.#hasAddress(table, at + w)) this.#target(addend);
    }
    return true;
  }

  #rel(tag: number, sizeTag: number): boolean {
    const { encoding } = this.#image;
    const w = encoding.wordSize;
    const table = this.#table(tag, sizeTag);
    if (table === undefined) return false;
    for (let at = 0; at + 2 * w <= table.length; at += 2 * w) {
      const place = encoding.word(table, at);
      this.#place(place);
      if (this.#hasAddress(table, at + w)) this.#inPlace(place);
    }
    return true;
  }

  /** gABI `SHT_RELR`: an even word is an address, an odd one a bitmap of the words that follow it. */
  #relr(): boolean {
    const { encoding } = this.#image;
    const w = encoding.wordSize;
    const table = this.#table(DT_RELR, DT_RELRSZ);
    if (table === undefined) return false;
    let where = 0;
    for (let at = 0; at + w <= table.length; at += w) {
      const low = encoding.u32(table, encoding.littleEndian ? at : at + w - 4);
      if ((low & 1) === 0) {
        where = encoding.word(table, at);
        this.#inPlace(where);
        where += w;
        continue;
      }
      for (let bit = 1; bit < 8 * w; bit++) {
        if (bitOf(table, at, w, bit, encoding.littleEndian)) this.#inPlace(where + (bit - 1) * w);
      }
      where += (8 * w - 1) * w;
    }
    return true;
  }

  /** Whether the addend of the relocation with its `r_info` at `at` is an address. */
  #hasAddress(table: Buffer, at: number): boolean {
    const { e_machine } = this.#image.header;
    return this.#symbolOf(table, at) === 0 && !isTlsRelocation(e_machine, this.#typeOf(table, at));
  }

  #typeOf(table: Buffer, at: number): number {
    const { encoding, header } = this.#image;
    if (!encoding.is64) return table[encoding.littleEndian ? at : at + 3] ?? 0;
    // The first of three types in MIPS64; the upper three bytes of SPARC's hold data.
    if (header.e_machine === EM_MIPS) return table[at + 7] ?? 0;
    const type = encoding.u32(table, encoding.littleEndian ? at : at + 4);
    return header.e_machine === EM_SPARCV9 ? type & 0xff : type;
  }

  #symbolOf(table: Buffer, at: number): number {
    const { encoding } = this.#image;
    if (!encoding.is64) return encoding.u32(table, at) >>> 8;
    // The upper half of r_info; MIPS64 stores the symbol first in either byte order.
    return encoding.littleEndian && this.#image.header.e_machine !== EM_MIPS
      ? encoding.u32(table, at + 4)
      : encoding.u32(table, at);
  }

  #inPlace(address: number): void {
    const { encoding, programHeaders } = this.#image;
    const offset = offsetOfAddress(programHeaders, address, encoding.wordSize);
    if (offset === undefined) return;
    this.#target(encoding.word(this.#source.read(offset, encoding.wordSize), 0));
  }

  #target(address: number): void {
    if (this.#within(address)) this.found.push({ address, what: 'the target of a dynamic relocation' });
  }

  #place(address: number): void {
    if (this.#within(address)) this.found.push({ address, what: 'the place of a dynamic relocation' });
  }

  #within(address: number): boolean {
    return address >= this.#low && address < this.#high;
  }

  #value(tag: number): number | undefined {
    return this.#image.dynamic?.entries.findLast(entry => entry.d_tag === tag)?.d_val;
  }

  #table(tag: number, sizeTag: number): Buffer | undefined {
    const address = this.#value(tag);
    const size = this.#value(sizeTag) ?? 0;
    return address === undefined || size === 0 ? Buffer.alloc(0) : this.#bytesAt(address, size);
  }

  #bytesAt(address: number, size: number): Buffer | undefined {
    if (size === 0) return Buffer.alloc(0);
    const offset = offsetOfAddress(this.#image.programHeaders, address, size);
    return offset === undefined ? undefined : this.#source.read(offset, size);
  }

  /** ld.so never needs the number of dynamic symbols, so it is told from the hash tables, or a sound section. */
  #symbolCount(symtab: number): number | undefined {
    const { encoding } = this.#image;
    const section = this.#image.sectionHeaders.find(s => s.sh_type === SHT_DYNSYM && s.sh_addr === symtab);
    if (section !== undefined) return Math.floor(section.sh_size / SYM.size(encoding));
    const hash = this.#value(DT_HASH);
    if (hash !== undefined) {
      const wide = encoding.is64 && WIDE_HASH_MACHINES.has(this.#image.header.e_machine);
      const head = this.#bytesAt(hash, wide ? 16 : 8);
      if (head === undefined) return undefined;
      return wide ? encoding.u64(head, 8) : encoding.u32(head, 4);
    }
    const gnuHash = this.#value(DT_GNU_HASH);
    return gnuHash === undefined ? undefined : this.#gnuHashCount(gnuHash);
  }

  #gnuHashCount(address: number): number | undefined {
    const { encoding } = this.#image;
    const head = this.#bytesAt(address, 16);
    if (head === undefined) return undefined;
    const nbuckets = encoding.u32(head, 0);
    const symoffset = encoding.u32(head, 4);
    const bucketsAt = address + 16 + encoding.u32(head, 8) * encoding.wordSize;
    const buckets = this.#bytesAt(bucketsAt, nbuckets * 4);
    if (buckets === undefined) return undefined;
    let last = 0;
    for (let at = 0; at < buckets.length; at += 4) last = Math.max(last, encoding.u32(buckets, at));
    if (last < symoffset) return symoffset;
    for (let i = last; ; i++) {
      const chain = this.#bytesAt(bucketsAt + nbuckets * 4 + (i - symoffset) * 4, 4);
      if (chain === undefined) return undefined;
      if ((encoding.u32(chain, 0) & 1) === 1) return i + 1;
    }
  }
}

function bitOf(table: Buffer, at: number, width: number, bit: number, littleEndian: boolean): boolean {
  const byte = littleEndian ? at + (bit >> 3) : at + width - 1 - (bit >> 3);
  return ((table[byte] ?? 0) & (1 << (bit & 7))) !== 0;
}
