import { type ByteSource, type ByteString, byteStringOf, bytesOf } from './bytes.js';
import { DT_AUDIT, DT_STRSZ, DT_STRTAB, PT_INTERP } from './constants.js';
import { lastOf } from './dynamic.js';
import { type DynamicEntry, type ElfImage, offsetOfAddress } from './image.js';

/** The string in front of a path that elfnote wrote for `DT_AUDIT`; nothing refers to it. */
export const AUDIT_MARK = 'elfnote\0';

/** Linux `PATH_MAX`, the NUL included. */
const PATH_MAX = 4096;

/** `DT_AUDIT` of a program: audit modules that ld.so loads before it (glibc 2.32 or later, `elf/rtld.c`). */
export interface Audit {
  readonly entry: DynamicEntry;
  /** Undefined where the string table does not hold it. */
  readonly path: ByteString | undefined;
  /** Whether elfnote wrote it: the mark stands in front of it. */
  readonly own: boolean;
}

/** Where `DT_STRTAB` leads; addresses, offsets and sizes in bytes. */
export interface StringTable {
  readonly address: number;
  readonly offset: number;
  readonly size: number;
}

/** The dynamic string table as ld.so finds it, or undefined where no segment holds it. */
export function dynamicStrings(image: ElfImage): StringTable | undefined {
  const entries = image.dynamic?.entries ?? [];
  const address = lastOf(entries, DT_STRTAB)?.d_val;
  const size = lastOf(entries, DT_STRSZ)?.d_val;
  if (address === undefined || size === undefined) return undefined;
  const offset = offsetOfAddress(image.programHeaders, address, size);
  return offset === undefined ? undefined : { address, offset, size };
}

/** What ld.so would load for `DT_AUDIT`: of several entries the last one counts. */
export function readAudit(image: ElfImage, source: ByteSource): Audit | undefined {
  const entry = image.dynamic && lastOf(image.dynamic.entries, DT_AUDIT);
  if (entry === undefined) return undefined;
  const strings = dynamicStrings(image);
  if (strings === undefined || entry.d_val >= strings.size) return { entry, path: undefined, own: false };
  const at = strings.offset + entry.d_val;
  const text = source.read(at, Math.min(PATH_MAX, strings.size - entry.d_val));
  const end = text.indexOf(0);
  if (end < 0) return { entry, path: undefined, own: false };
  const mark = bytesOf(`\0${AUDIT_MARK}`);
  const own = entry.d_val >= mark.length && source.read(at - mark.length, mark.length).equals(mark);
  return { entry, path: byteStringOf(text.subarray(0, end)), own };
}

/** The path that elfnote wrote into `DT_AUDIT`, or undefined. */
export function ownAuditModule(image: ElfImage, source: ByteSource): ByteString | undefined {
  const audit = readAudit(image, source);
  return audit?.own ? audit.path : undefined;
}

/** Whether ld.so can be asked to start the file: only then does it look at `DT_AUDIT`. */
export function isProgram(image: ElfImage): boolean {
  return image.programHeaders.some(p => p.p_type === PT_INTERP);
}

/** In bytes with the NUL. ld.so passes over a longer name of an audit module, without a word. */
export const AUDIT_NAME_MAX = 255;

/** Why ld.so would not load a file by this name in `DT_AUDIT`, a colon-separated list, or undefined when it would. */
export function badModulePath(path: ByteString): string | undefined {
  if (!path.startsWith('/')) return 'must be absolute';
  if (path.includes(':')) return 'must not have a colon, which separates the names in DT_AUDIT';
  if (path.includes('$')) return 'must not have a $, which the loader expands';
  if (path.includes('\0')) return 'must not have a NUL';
  return path.length >= AUDIT_NAME_MAX
    ? `must be shorter than ${AUDIT_NAME_MAX} bytes, or the loader ignores it`
    : undefined;
}
