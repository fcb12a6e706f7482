/** The part of elfy 1.0.0 that elfnote and its tests use; numbers are decoded, names are looked up and may be missing. */
declare module 'elfy' {
  interface ElfyHeader {
    class: string;
    endian: string;
    type: string | undefined;
    machine: string | undefined;
    flags: number;
    phoff: number;
    shoff: number;
    ehsize: number;
    phentsize: number;
    phnum: number;
    shentsize: number;
    shnum: number;
    shstrndx: number;
  }
  interface ElfyProgram {
    type: string | undefined;
    offset: number;
    vaddr: number;
    paddr: number;
    filesz: number;
    memsz: number;
    align: number;
  }
  class Parser {
    /** `lsb` or `msb`; `parseHeader` sets it by what it reads. */
    setEndian(endian: string): void;
    parseHeader(bytes: Buffer): ElfyHeader;
    parsePrograms(
      bytes: Buffer,
      header: Pick<ElfyHeader, 'class' | 'phoff' | 'phnum' | 'phentsize'>,
    ): ElfyProgram[];
  }
  const constants: {
    machine: Readonly<Record<number, string>>;
    type: Readonly<Record<number, string>>;
    entryType: Readonly<Record<number, string>>;
  };
  const elfy: { Parser: typeof Parser; constants: typeof constants };
  export = elfy;
}
