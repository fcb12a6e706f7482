import assert from 'node:assert/strict';

interface Header {
  readonly e_type: number;
  readonly e_machine: number;
  readonly e_phoff: number;
  readonly e_shoff: number;
  readonly e_flags: number;
  readonly e_ehsize: number;
  readonly e_phentsize: number;
  readonly e_phnum: number;
  readonly e_shentsize: number;
  readonly e_shnum: number;
  readonly e_shstrndx: number;
  readonly osabi: number;
  readonly abiversion: number;
}

interface Phdr {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly vaddr: number;
  readonly paddr: number;
  readonly filesz: number;
  readonly memsz: number;
  readonly align: number;
}

interface Shdr {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly addr: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly align: number;
  readonly entsize: number;
}

export const LOAD = 1;
const DYNAMIC = 2;
export const INTERP = 3;
export const NOTE = 4;
const CACHE_TYPE = 0x63a86cb6;

/** A well-formed file. Its offsets are numbers of elf.h, counted here again, so that it can judge those in src/elf/. */
export class Elf {
  readonly bytes: Buffer;
  readonly is64: boolean;
  readonly little: boolean;
  readonly word: number;
  readonly header: Header;
  readonly phdrs: readonly Phdr[];
  readonly shdrs: readonly Shdr[];

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    assert.equal(bytes.toString('latin1', 0, 4), '\x7fELF');
    this.is64 = bytes[4] === 2;
    this.little = bytes[5] === 1;
    this.word = this.is64 ? 8 : 4;
    this.header = this.#header();
    const { e_phnum, e_shnum, e_shstrndx } = this.header;
    this.phdrs = Array.from({ length: e_phnum }, (_, i) => this.#phdr(this.phoff + i * this.phentsize));
    const raw = Array.from({ length: e_shnum }, (_, i) => this.#shdr(this.shoff + i * this.shentsize));
    const strings = raw[e_shstrndx];
    this.shdrs = raw.map(({ nameAt, ...section }) => ({
      ...section,
      name: strings === undefined ? '' : this.string(strings.offset + nameAt),
    }));
  }

  get machine(): number {
    return this.header.e_machine;
  }

  get phoff(): number {
    return this.header.e_phoff;
  }

  get shoff(): number {
    return this.header.e_shoff;
  }

  get phentsize(): number {
    return this.is64 ? 56 : 32;
  }

  get shentsize(): number {
    return this.is64 ? 64 : 40;
  }

  get tableEnd(): number {
    return this.phoff + this.phdrs.length * this.phentsize;
  }

  get loads(): Phdr[] {
    return this.phdrs.filter(p => p.type === LOAD);
  }

  u16(at: number): number {
    return this.little ? this.bytes.readUInt16LE(at) : this.bytes.readUInt16BE(at);
  }

  u32(at: number): number {
    return this.little ? this.bytes.readUInt32LE(at) : this.bytes.readUInt32BE(at);
  }

  uword(at: number): number {
    if (!this.is64) return this.u32(at);
    return Number(this.little ? this.bytes.readBigUInt64LE(at) : this.bytes.readBigUInt64BE(at));
  }

  string(at: number): string {
    return this.bytes.toString('latin1', at, this.bytes.indexOf(0, at));
  }

  slice(offset: number, size: number): Buffer {
    assert.ok(
      offset >= 0 && offset + size <= this.bytes.length,
      `bytes ${offset}+${size} lie outside the file`,
    );
    return this.bytes.subarray(offset, offset + size);
  }

  /** The offset at which `size` bytes of an address are loaded. */
  offsetOf(address: number, size: number): number | undefined {
    const load = this.loads.find(p => p.vaddr <= address && address + size <= p.vaddr + p.filesz);
    return load === undefined ? undefined : address - load.vaddr + load.offset;
  }

  /** As the loader maps it: whole pages of 4 KiB, where no `.bss` is zeroed. */
  offsetOfMapped(address: number, size: number): number | undefined {
    const load = this.loads.find(p => {
      const end = p.vaddr + p.filesz;
      const mapped = p.filesz === p.memsz ? Math.ceil(end / 4096) * 4096 : end;
      return p.vaddr <= address && address + size <= mapped;
    });
    return load === undefined ? undefined : address - load.vaddr + load.offset;
  }

  dynamic(): { tag: number; value: number; at: number }[] {
    const segment = this.phdrs.find(p => p.type === DYNAMIC);
    assert.ok(segment);
    const entries: { tag: number; value: number; at: number }[] = [];
    for (let at = segment.offset; at < segment.offset + segment.filesz; at += 2 * this.word) {
      const tag = this.uword(at);
      if (tag === 0) break;
      entries.push({ tag, value: this.uword(at + this.word), at });
    }
    return entries;
  }

  /**
   * Name, type and content of each note that a `PT_NOTE` covers, or a program header of another type, walked as
   * ld.so does.
   */
  notes(
    p_type = NOTE,
  ): { key: string; cache: boolean; at: number; descAt: number; descsz: number; phdr: Phdr }[] {
    const found = [];
    for (const phdr of this.phdrs) {
      if (phdr.type !== p_type) continue;
      const pad = phdr.align === 8 ? 8 : 4;
      const end = phdr.offset + phdr.filesz;
      for (let at = phdr.offset; at + 12 <= end; ) {
        const namesz = this.u32(at);
        const descsz = this.u32(at + 4);
        const type = this.u32(at + 8);
        const descAt = at + Math.ceil((12 + namesz) / pad) * pad;
        assert.ok(descAt + descsz <= end, `a note at ${at} leaves its segment`);
        const name = this.bytes.toString('latin1', at + 12, at + 12 + namesz);
        const desc = this.bytes.toString('hex', descAt, descAt + descsz);
        const cache = type === CACHE_TYPE && name === 'NixOS\0';
        found.push({ key: `${type} ${name} ${desc}`, cache, at, descAt, descsz, phdr });
        at = descAt + Math.ceil(descsz / pad) * pad;
      }
    }
    return found;
  }

  #header(): Header {
    const flags = 24 + 3 * this.word;
    return {
      e_type: this.u16(16),
      e_machine: this.u16(18),
      e_phoff: this.uword(24 + this.word),
      e_shoff: this.uword(24 + 2 * this.word),
      e_flags: this.u32(flags),
      e_ehsize: this.u16(flags + 4),
      e_phentsize: this.u16(flags + 6),
      e_phnum: this.u16(flags + 8),
      e_shentsize: this.u16(flags + 10),
      e_shnum: this.u16(flags + 12),
      e_shstrndx: this.u16(flags + 14),
      osabi: this.bytes[7] ?? 0,
      abiversion: this.bytes[8] ?? 0,
    };
  }

  #phdr(at: number): Phdr {
    const from = at + (this.is64 ? 8 : 4);
    const word = (i: number) => this.uword(from + i * this.word);
    return {
      type: this.u32(at),
      flags: this.u32(at + (this.is64 ? 4 : 24)),
      offset: word(0),
      vaddr: word(1),
      paddr: word(2),
      filesz: word(3),
      memsz: word(4),
      align: this.uword(at + (this.is64 ? 48 : 28)),
    };
  }

  #shdr(at: number): Omit<Shdr, 'name'> & { nameAt: number } {
    const word = (i: number) => this.uword(at + 8 + i * this.word);
    const halves = at + 8 + 4 * this.word;
    return {
      nameAt: this.u32(at),
      type: this.u32(at + 4),
      flags: word(0),
      addr: word(1),
      offset: word(2),
      size: word(3),
      link: this.u32(halves),
      info: this.u32(halves + 4),
      align: this.uword(halves + 8),
      entsize: this.uword(halves + 8 + this.word),
    };
  }
}
