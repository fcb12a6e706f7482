/** Names and values from the generic ABI (gABI), the GNU extensions and the processor supplements. */

/** The first four bytes, as a big-endian word. */
export const ELF_MAGIC = 0x7f454c46;

export const EI_CLASS = 4;
export const EI_DATA = 5;
export const EI_VERSION = 6;
export const EI_OSABI = 7;
export const EI_ABIVERSION = 8;
export const EI_NIDENT = 16;

export const ET_REL = 1;
export const ET_EXEC = 2;
export const ET_DYN = 3;
export const ET_CORE = 4;

export const EM_SPARC = 2;
export const EM_386 = 3;
export const EM_68K = 4;
export const EM_MIPS = 8;
export const EM_MIPS_RS3_LE = 10;
export const EM_SPARC32PLUS = 18;
export const EM_PARISC = 15;
export const EM_PPC = 20;
export const EM_PPC64 = 21;
export const EM_S390 = 22;
export const EM_ARM = 40;
export const EM_SH = 42;
export const EM_X86_64 = 62;
export const EM_AARCH64 = 183;
export const EM_SPARCV9 = 43;
export const EM_ALPHA = 0x9026;
export const EM_RISCV = 243;
export const EM_LOONGARCH = 258;

export const PT_NULL = 0;
export const PT_LOAD = 1;
export const PT_DYNAMIC = 2;
export const PT_INTERP = 3;
export const PT_NOTE = 4;
export const PT_PHDR = 6;
export const PT_GNU_PROPERTY = 0x6474e553;

export const PF_W = 2;
export const PF_R = 4;

/** `e_phnum` at or above this stands in `sh_info` of section 0. */
export const PN_XNUM = 0xffff;

export const SHT_NULL = 0;
export const SHT_PROGBITS = 1;
export const SHT_SYMTAB = 2;
export const SHT_STRTAB = 3;
export const SHT_HASH = 5;
export const SHT_DYNAMIC = 6;
export const SHT_NOTE = 7;
export const SHT_NOBITS = 8;
export const SHT_DYNSYM = 11;
export const SHT_SYMTAB_SHNDX = 18;
/** From here on types belong to systems, processors and programs. */
export const SHT_LOOS = 0x60000000;
export const SHT_GNU_HASH = 0x6ffffff6;
export const SHT_GNU_VERDEF = 0x6ffffffd;
export const SHT_GNU_VERNEED = 0x6ffffffe;
export const SHT_GNU_VERSYM = 0x6fffffff;

export const SHF_ALLOC = 2;

export const SHN_LORESERVE = 0xff00;
export const SHN_XINDEX = 0xffff;

export const DT_NULL = 0;
export const DT_NEEDED = 1;
export const DT_PLTRELSZ = 2;
export const DT_HASH = 4;
export const DT_STRTAB = 5;
export const DT_SYMTAB = 6;
export const DT_RELA = 7;
export const DT_RELASZ = 8;
export const DT_RELAENT = 9;
export const DT_STRSZ = 10;
export const DT_SYMENT = 11;
export const DT_SONAME = 14;
export const DT_RPATH = 15;
export const DT_SYMBOLIC = 16;
export const DT_REL = 17;
export const DT_RELSZ = 18;
export const DT_RELENT = 19;
export const DT_PLTREL = 20;
export const DT_DEBUG = 21;
export const DT_TEXTREL = 22;
export const DT_JMPREL = 23;
export const DT_BIND_NOW = 24;
export const DT_INIT_ARRAYSZ = 27;
export const DT_FINI_ARRAYSZ = 28;
export const DT_RUNPATH = 29;
export const DT_FLAGS = 30;
export const DT_PREINIT_ARRAYSZ = 33;
export const DT_RELRSZ = 35;
export const DT_RELR = 36;
export const DT_RELRENT = 37;
export const DT_GNU_PRELINKED = 0x6ffffdf5;
export const DT_GNU_CONFLICTSZ = 0x6ffffdf6;
export const DT_GNU_LIBLISTSZ = 0x6ffffdf7;
export const DT_CHECKSUM = 0x6ffffdf8;
export const DT_PLTPADSZ = 0x6ffffdf9;
export const DT_MOVEENT = 0x6ffffdfa;
export const DT_MOVESZ = 0x6ffffdfb;
export const DT_FEATURE_1 = 0x6ffffdfc;
export const DT_POSFLAG_1 = 0x6ffffdfd;
export const DT_SYMINSZ = 0x6ffffdfe;
export const DT_SYMINENT = 0x6ffffdff;
export const DT_GNU_HASH = 0x6ffffef5;
export const DT_AUXILIARY = 0x7ffffffd;
export const DT_FILTER = 0x7fffffff;
export const DT_DEPAUDIT = 0x6ffffefb;
export const DT_AUDIT = 0x6ffffefc;
export const DT_VERSYM = 0x6ffffff0;
export const DT_RELACOUNT = 0x6ffffff9;
export const DT_RELCOUNT = 0x6ffffffa;
export const DT_FLAGS_1 = 0x6ffffffb;
/** In `DT_FLAGS_1`. */
export const DF_1_PIE = 0x08000000;
export const DT_VERDEF = 0x6ffffffc;
export const DT_VERDEFNUM = 0x6ffffffd;
export const DT_VERNEED = 0x6ffffffe;
export const DT_VERNEEDNUM = 0x6fffffff;

/** Dynamic tags whose value is a number, a size or a string offset, never an address. */
export const DT_NOT_AN_ADDRESS: ReadonlySet<number> = new Set([
  DT_NEEDED,
  DT_PLTRELSZ,
  DT_RELASZ,
  DT_RELAENT,
  DT_STRSZ,
  DT_SYMENT,
  DT_SONAME,
  DT_RPATH,
  DT_SYMBOLIC,
  DT_RELSZ,
  DT_RELENT,
  DT_PLTREL,
  DT_DEBUG,
  DT_TEXTREL,
  DT_BIND_NOW,
  DT_INIT_ARRAYSZ,
  DT_FINI_ARRAYSZ,
  DT_RUNPATH,
  DT_FLAGS,
  DT_PREINIT_ARRAYSZ,
  DT_RELRSZ,
  DT_RELRENT,
  DT_GNU_PRELINKED,
  DT_GNU_CONFLICTSZ,
  DT_GNU_LIBLISTSZ,
  DT_CHECKSUM,
  DT_PLTPADSZ,
  DT_MOVEENT,
  DT_MOVESZ,
  DT_FEATURE_1,
  DT_POSFLAG_1,
  DT_SYMINSZ,
  DT_SYMINENT,
  // String offsets, although they stand among the tags of addresses.
  DT_DEPAUDIT,
  DT_AUDIT,
  DT_AUXILIARY,
  DT_FILTER,
  DT_RELACOUNT,
  DT_RELCOUNT,
  DT_FLAGS_1,
  DT_VERDEFNUM,
  DT_VERNEEDNUM,
]);

/** The owner, type and section of the cache note (format in src/note/cache.ts). */
export const CACHE_NOTE_OWNER = 'NixOS';
export const CACHE_NOTE_TYPE = 0x63a86cb6;
export const CACHE_NOTE_SECTION = '.note.nixos.ldcache';
