import type { ByteString } from '../elf/bytes.js';
import {
  EM_386,
  EM_AARCH64,
  EM_ARM,
  EM_LOONGARCH,
  EM_PPC64,
  EM_RISCV,
  EM_S390,
  EM_X86_64,
} from '../elf/constants.js';
import type { ElfImage } from '../elf/image.js';

/** What ld.so has compiled in for an architecture; from glibc 2.36's sysdeps (dl-procinfo, dl-hwcaps-subdirs, dl-cache). */
export interface Architecture {
  readonly name: string;
  readonly is64: boolean;
  readonly littleEndian: boolean;
  readonly e_machine: number;
  /** Subdirectories of `glibc-hwcaps`, best first, and what /proc/cpuinfo says of a processor that has one. */
  readonly levels: readonly { readonly name: string; readonly needs: readonly string[] }[];
  /** Subdirectories that glibc up to 2.36 searches for a capability, in the order of their bits. */
  readonly capabilities: readonly string[];
  /** Those of them that every processor has. */
  readonly always: readonly string[];
  /** Subdirectories that glibc up to 2.36 searches for a kind of processor, also `$PLATFORM`; the first is the default. */
  readonly platforms: readonly string[];
  /** The flags of ld.so.cache entries for it; the first is `_DL_CACHE_DEFAULT_ID`. */
  readonly cacheFlags: readonly number[];
  /** Where its loader is; for libraries, which do not say. */
  readonly interpreters: readonly ByteString[];
}

const V2 = ['cx16', 'lahf_lm', 'popcnt', 'pni', 'ssse3', 'sse4_1', 'sse4_2'];
const V3 = ['avx', 'avx2', 'f16c', 'fma', 'abm', 'movbe'];
const V4 = ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'];

const little64 = { is64: true, littleEndian: true } as const;

const ARCHITECTURES: readonly Architecture[] = [
  {
    ...little64,
    name: 'x86_64',
    e_machine: EM_X86_64,
    levels: [
      { name: 'x86-64-v4', needs: V4 },
      { name: 'x86-64-v3', needs: V3 },
      { name: 'x86-64-v2', needs: V2 },
    ],
    capabilities: ['x86_64', 'avx512_1'],
    always: ['x86_64'],
    platforms: ['x86_64', 'haswell', 'xeon_phi'],
    cacheFlags: [0x303],
    interpreters: ['/lib64/ld-linux-x86-64.so.2'],
  },
  {
    name: 'i386',
    is64: false,
    littleEndian: true,
    e_machine: EM_386,
    levels: [],
    capabilities: ['sse2'],
    always: [],
    platforms: ['i686', 'i586', 'i486', 'i386'],
    cacheFlags: [0x3, 0x1],
    interpreters: ['/lib/ld-linux.so.2'],
  },
  {
    ...little64,
    name: 'aarch64',
    e_machine: EM_AARCH64,
    levels: [],
    capabilities: ['atomics'],
    always: [],
    platforms: ['aarch64'],
    cacheFlags: [0xa03],
    interpreters: ['/lib/ld-linux-aarch64.so.1'],
  },
  {
    name: 'arm',
    is64: false,
    littleEndian: true,
    e_machine: EM_ARM,
    levels: [],
    capabilities: ['vfp', 'neon'],
    always: [],
    platforms: ['v7l', 'v8l', 'v6l', 'v5l'],
    cacheFlags: [0x903, 0x3],
    interpreters: ['/lib/ld-linux-armhf.so.3'],
  },
  {
    ...little64,
    name: 'riscv64',
    e_machine: EM_RISCV,
    levels: [],
    capabilities: [],
    always: [],
    platforms: [],
    cacheFlags: [0x1003],
    interpreters: ['/lib/ld-linux-riscv64-lp64d.so.1'],
  },
  {
    ...little64,
    name: 'loongarch64',
    e_machine: EM_LOONGARCH,
    levels: [],
    capabilities: [],
    always: [],
    platforms: ['loongarch'],
    cacheFlags: [0x1203],
    interpreters: ['/lib64/ld-linux-loongarch-lp64d.so.1'],
  },
  {
    ...little64,
    name: 'powerpc64le',
    e_machine: EM_PPC64,
    levels: [
      { name: 'power10', needs: ['power10'] },
      { name: 'power9', needs: ['power9'] },
    ],
    capabilities: ['dfp', 'altivec'],
    always: ['dfp', 'altivec'],
    platforms: ['power8', 'power9', 'power10'],
    cacheFlags: [0x503],
    interpreters: ['/lib64/ld64.so.2'],
  },
  {
    name: 's390x',
    is64: true,
    littleEndian: false,
    e_machine: EM_S390,
    levels: [
      { name: 'z16', needs: ['vxp2'] },
      { name: 'z15', needs: ['vxe2', 'vxp'] },
      { name: 'z14', needs: ['vxd', 'vxe', 'gs'] },
      { name: 'z13', needs: ['vx'] },
    ],
    capabilities: ['zarch', 'ldisp', 'eimm', 'dfp', 'vx', 'vxe', 'vxe2'],
    always: ['zarch'],
    platforms: ['z900', 'z990', 'z9-109', 'z10', 'z196', 'zEC12', 'z13', 'z14', 'z15', 'z16'],
    cacheFlags: [0x403],
    interpreters: ['/lib/ld64.so.1'],
  },
];

/** For a machine that is in no table: no subdirectories, and the plain directories. */
function unknownArchitecture({ encoding, header }: Pick<ElfImage, 'encoding' | 'header'>): Architecture {
  const { is64, littleEndian } = encoding;
  const nothing = { levels: [], capabilities: [], always: [], platforms: [], interpreters: [] };
  const name = `machine ${header.e_machine}`;
  return { name, is64, littleEndian, e_machine: header.e_machine, cacheFlags: [0x3, 0x1], ...nothing };
}

/** The table for the machine that a program is made for. */
export function architectureOf(image: Pick<ElfImage, 'encoding' | 'header'>): Architecture {
  const { encoding, header } = image;
  const found = ARCHITECTURES.find(
    ({ is64, littleEndian, e_machine }) =>
      is64 === encoding.is64 && littleEndian === encoding.littleEndian && e_machine === header.e_machine,
  );
  return found ?? unknownArchitecture(image);
}

/** Node's names of the architectures that it runs on: its own, and behind it another whose programs run there too. */
const RUNS: Readonly<Record<string, readonly string[]>> = {
  x64: ['x86_64', 'i386'],
  ia32: ['i386'],
  arm64: ['aarch64', 'arm'],
  arm: ['arm'],
  ppc64: ['powerpc64le'],
  riscv64: ['riscv64'],
  s390x: ['s390x'],
  loong64: ['loongarch64'],
};

/** @param machine as `process.arch` has it. */
export function runsHere(architecture: Architecture, machine: string): boolean {
  return RUNS[machine]?.includes(architecture.name) ?? false;
}

/** Whether it is that of Node itself. @param machine as `process.arch` has it. */
export function isOwn(architecture: Architecture, machine: string): boolean {
  return RUNS[machine]?.[0] === architecture.name;
}
