import type { ByteString } from '../elf/bytes.js';
import { joinPath } from './components.js';
import type { LibraryProbe } from './probe.js';

/**
 * Every subdirectory name that a glibc up to 2.36 may search by itself, before the directory and in any
 * combination: `tls`, platform names (`AT_PLATFORM`) and hardware capability names (`AT_HWCAP`), of all
 * architectures, because the target's need not be the machine's.
 */
const LEGACY_SUBDIRECTORIES: ReadonlySet<string> = new Set(
  [
    'tls',
    // x86
    'haswell xeon_phi avx512_1 x86_64 i386 i486 i586 i686 sse2 nosegneg',
    // aarch64, arm
    'aarch64 atomics swp half thumb 26bit fastmult fpa vfp edsp java iwmmxt crunch thumbee neon vfpv3',
    'vfpv3d16 vfpv4 idiva idivt vfpd32 lpae evtstrm v4l v4b v5l v5b v6l v6b v7l v7b v8l v8b',
    // s390
    'esan3 zarch stfle msa ldisp eimm dfp edat etf3eh highgprs te vx vxd vxe gs vxe2 vxp sort dflt vxp2',
    'nnpa pcimio sie g5 z900 z990 z9-109 z10 z196 zEC12 z13 z14 z15 z16',
    // powerpc
    'vsx arch_2_06 power6x dfp pa6t archpmu booke spe efpdouble efpsingle 4xxmac mmu fpu altivec ppc32',
    'ppc64 ppc601 notb smt cellbe ucache power4 power5 power5+ power6 power7 power8 power9 power10',
    'ppc970 ppc-cell-be ppca2 ppc405 ppc440 ppc464 ppc476 arch_2_07 arch_3_00 arch_3_1 darn scv mma',
    'ppcle isel tar htm vcrypto ic_snoop ieee128 htm-nosc htm-no-suspend',
    // sparc
    'flush stbar swap muldiv v9 ultra3 blkinit n2 mul32 div32 fsmuld v8plus popc vis vis2 vis3 asi_blk_init',
    'v9v v9v2 fmaf hpc ima cspare pause cbcond crypto adp',
    // others
    'm68020 m68030 m68040 m68060 ev4 ev5 ev56 pca56 ev6 ev67 ia64 sh3 sh4 loongson2e loongson2f octeon octeon2',
  ]
    .join(' ')
    .split(' '),
);

const DEEPEST = 4;

/** By the list of a directory's names, which a probe keeps: most directories have thousands and none of these. */
const intersections = new WeakMap<ReadonlySet<ByteString>, readonly ByteString[]>();

function legacyNamesIn(names: ReadonlySet<ByteString> | undefined): readonly ByteString[] {
  if (names === undefined) return [];
  let legacy = intersections.get(names);
  if (legacy === undefined) {
    legacy = [...names].filter(name => LEGACY_SUBDIRECTORIES.has(name));
    intersections.set(names, legacy);
  }
  return legacy;
}

/** The names in a directory without legacy subdirectories; undefined where it has some, or cannot be listed. */
export function namesWithoutLegacy(
  dir: ByteString,
  probe: LibraryProbe,
): ReadonlySet<ByteString> | undefined {
  const names = probe.names(dir);
  return legacyNamesIn(names).length === 0 ? names : undefined;
}

/** A legacy subdirectory of `dir`, at any depth, that holds `soname`; undefined when there is none. */
export function legacySubdirectoryHolding(
  dir: ByteString,
  soname: ByteString,
  probe: LibraryProbe,
  depth = 0,
): ByteString | undefined {
  if (depth === DEEPEST) return undefined;
  for (const name of legacyNamesIn(probe.names(dir))) {
    const sub = joinPath(dir, name);
    if (probe.directory(sub) !== 'searchable') continue;
    if (probe.candidate(joinPath(sub, soname)).kind !== 'absent') return sub;
    const deeper = legacySubdirectoryHolding(sub, soname, probe, depth + 1);
    if (deeper !== undefined) return deeper;
  }
  return undefined;
}
