import { alignUp, type ByteString } from '../elf/bytes.js';
import { DT_FLAGS, EM_386, EM_S390, EM_X86_64 } from '../elf/constants.js';
import type { ElfImage } from '../elf/image.js';
import type { Closure } from './closure.js';

const PT_TLS = 7;
const DF_STATIC_TLS = 0x10;

/*
 * glibc reserves the block of thread-local storage that every thread starts with. Without an auditor it does so when all
 * libraries are loaded, and knows their sizes. With one it does so before, for the program alone and a surplus, from
 * which each library with DF_STATIC_TLS then takes its part; where it is used up, the program does not start
 * (elf/rtld.c, init_tls; elf/dl-tls.c, _dl_tls_static_surplus_init).
 */

/** What the surplus has with the default tunables and no auditor, in bytes: LEGACY_TLS makes it this. */
const DEFAULT_SURPLUS = 1664;

/** What each auditor adds to it: the static TLS of one more libc (LIBC_IE_TLS), and of what comes with it (OTHER_IE_TLS). */
const SURPLUS_OF_AUDITOR = 144 + 144;

/** The part of the surplus that libraries without DF_STATIC_TLS may take, for speed: OPTIONAL_TLS. */
const DEFAULT_OPTIONAL = 512;

export const TUNABLE = 'glibc.rtld.optional_static_tls';

/**
 * A value of the tunable for programs that are not known. A thread with the smallest stack, 16 KiB, still starts.
 */
export const TUNABLE_FOR_ALL = 4096;

/** `TCB_ALIGNMENT` of x86, to which the whole block is rounded up. */
const BLOCK_ALIGNMENT = 64;

/** One object's thread-local storage. */
interface Part {
  readonly path: ByteString;
  /** `p_memsz`, `p_align`, and `p_vaddr` within that alignment, in bytes. */
  readonly size: number;
  readonly align: number;
  readonly firstByte: number;
}

export interface StaticTls {
  /** Of the libraries with `DF_STATIC_TLS`, in the order in which they are loaded. */
  readonly parts: readonly Part[];
  /** The program's own part, in bytes: it is none of the surplus. */
  readonly program: number;
  /** Bytes that libraries without the flag may take of the surplus. */
  readonly optional: number;
  /** Whether the parts are in front of the thread's own block (`TLS_TCB_AT_TP`). */
  readonly isBelow: boolean;
}

/** What the libraries of a closure take of the surplus. */
export function staticTlsOf({ objects }: Pick<Closure, 'objects'>): StaticTls {
  const parts: Part[] = [];
  let [program, optional] = [0, 0];
  // All objects of a process are of one machine.
  const machine = objects[0]?.facts?.image.header.e_machine;
  const isBelow = machine === undefined || BELOW.has(machine);
  for (const { index, path, facts } of objects) {
    if (facts === undefined) continue;
    const part = partOf(path, facts.image);
    if (part === undefined) continue;
    if (index === 0) program = alignUp(part.size, part.align);
    else if (hasStaticTls(facts.image)) parts.push(part);
    // Where compilers use TLS descriptors, or powerpc's own way, the loader makes other libraries' TLS static too.
    else if (!isBelow) optional += alignUp(part.size + part.firstByte, part.align);
  }
  return { parts, program, optional, isBelow };
}

const BELOW: ReadonlySet<number> = new Set([EM_X86_64, EM_386, EM_S390]);

function partOf(path: ByteString, { programHeaders }: ElfImage): Part | undefined {
  const segment = programHeaders.find(({ p_type }) => p_type === PT_TLS);
  if (segment === undefined || segment.p_memsz === 0) return undefined;
  const align = Math.max(segment.p_align, 1);
  return { path, size: segment.p_memsz, align, firstByte: segment.p_vaddr % align };
}

function hasStaticTls({ dynamic }: ElfImage): boolean {
  const flags = dynamic?.entries.findLast(({ d_tag }) => d_tag === DT_FLAGS)?.d_val ?? 0;
  return Math.floor(flags / DF_STATIC_TLS) % 2 === 1;
}

/**
 * The largest of the libraries, where they do not fit into the surplus that there is with the default tunables; else
 * undefined. As `_dl_try_allocate_static_tls` places them: the last that was loaded comes first.
 */
export function tooLargeFor(
  tls: StaticTls,
  auditors: number,
): { path: ByteString; size: number } | undefined {
  const surplus = DEFAULT_SURPLUS + auditors * SURPLUS_OF_AUDITOR - Math.min(tls.optional, DEFAULT_OPTIONAL);
  const fits = tls.isBelow ? fitsBelow(tls, surplus) : fitsAbove(tls, surplus);
  return fits ? undefined : tls.parts.reduce((most, part) => (part.size > most.size ? part : most));
}

function fitsBelow({ parts, program }: StaticTls, surplus: number): boolean {
  let free = alignUp(program + surplus, BLOCK_ALIGNMENT) - program;
  for (const { size, align, firstByte } of parts.toReversed()) {
    if (free < size + firstByte) return false;
    free = Math.floor((free - size - firstByte) / align) * align + firstByte;
  }
  return true;
}

function fitsAbove({ parts }: StaticTls, surplus: number): boolean {
  let used = 0;
  for (const { size, align, firstByte } of parts.toReversed())
    used = alignUp(Math.max(used - firstByte, 0), align) + firstByte + size;
  return used <= surplus;
}

/**
 * The value of the tunable with which a program has as much surplus left for dlopen as without an auditor; undefined
 * where it has so without.
 */
export function tunableFor({ parts, optional }: StaticTls, auditors: number): number | undefined {
  const sizes = parts.map(({ size, align, firstByte }) => alignUp(size + firstByte, align));
  const gap = Math.max(0, ...parts.map(({ align }) => align));
  const needed = sizes.reduce((sum, size) => sum + size, gap) + optional;
  const missing = needed - auditors * SURPLUS_OF_AUDITOR;
  return missing > 0 ? DEFAULT_OPTIONAL + alignUp(missing, BLOCK_ALIGNMENT) : undefined;
}

/** A value of `GLIBC_TUNABLES` with one more in it; a larger one that is there stays. */
export function joinTunable(tunables: string | undefined, value: number): string {
  const all = tunables === undefined || tunables === '' ? [] : tunables.split(':');
  const known = all
    .filter(one => one.startsWith(`${TUNABLE}=`))
    .map(one => Number(one.slice(TUNABLE.length + 1)));
  const others = all.filter(one => !one.startsWith(`${TUNABLE}=`));
  const most = Math.max(value, ...known.filter(Number.isSafeInteger));
  return [...others, `${TUNABLE}=${most}`].join(':');
}
