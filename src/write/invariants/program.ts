import type { ByteString } from '../../elf/bytes.js';
import {
  DT_GNU_HASH,
  DT_HASH,
  DT_STRTAB,
  DT_SYMTAB,
  DT_VERDEF,
  DT_VERNEED,
  DT_VERSYM,
} from '../../elf/constants.js';
import type { DynamicEntry, DynamicTable, ElfImage } from '../../elf/image.js';
import { hex, type Invariant, type Report, type Step } from './invariant.js';

/** What the file is, and what its dynamic section asks of ld.so. */
export const PROGRAM: readonly Invariant[] = [
  { name: 'the ELF header says the same', check: headerFaults },
  { name: 'the section headers can be read', check: sectionFaults },
  { name: 'the dynamic section says the same', check: dynamicFaults },
];

/** Every dynamic entry follows the table that moved, and no other changes. */
export const ENTRIES: readonly Invariant[] = [
  { name: 'dynamic entries lead to their tables', check: entryFaults },
];

function headerFaults({ before, after }: Step, report: Report): void {
  kindFaults(before.image, after.image, 'the ELF header changed', hex, report);
}

/** The fields that say what a file is for, where they differ. */
export function kindFaults(
  before: ElfImage,
  after: ElfImage,
  what: string,
  tell: (value: number) => string,
  report: Report,
): void {
  const was = before.header;
  const is = after.header;
  if (was.e_type === is.e_type && was.e_machine === is.e_machine && was.e_flags === is.e_flags) return;
  for (const field of ['e_type', 'e_machine', 'e_flags'] as const)
    if (was[field] !== is[field]) report(`${what}: ${field} ${tell(was[field])} is ${tell(is[field])}`);
}

function sectionFaults({ after }: Step, report: Report): void {
  const error = after.image.sectionError;
  if (error !== undefined) report(`the section headers cannot be read: ${error.message}`);
}

/** What the two dynamic sections ask of ld.so, where it differs. */
export function saidFaults(before: ElfImage, after: ElfImage, what: string, report: Report): void {
  const was = before.dynamic ?? SILENT;
  const is = after.dynamic ?? SILENT;
  const isSame =
    was.runpath === is.runpath &&
    was.rpath === is.rpath &&
    was.soname === is.soname &&
    areSame(was.needed, is.needed);
  if (isSame) return;
  const differs = (tag: string, old: string | undefined, now: string | undefined) => {
    if (old !== now) report(`${what}: ${tag} ${old ?? 'nothing'} is ${now ?? 'nothing'}`);
  };
  differs('DT_NEEDED', was.needed.join(), is.needed.join());
  differs('DT_RUNPATH', was.runpath, is.runpath);
  differs('DT_RPATH', was.rpath, is.rpath);
  differs('DT_SONAME', was.soname, is.soname);
}

/** Of a file without a dynamic section. */
const SILENT: DynamicTable = {
  entries: [],
  needed: [],
  soname: undefined,
  runpath: undefined,
  rpath: undefined,
};

function areSame(old: readonly ByteString[], now: readonly ByteString[]): boolean {
  for (let i = 0; i < old.length; i++) if (old[i] !== now[i]) return false;
  return old.length === now.length;
}

function dynamicFaults({ before, after }: Step, report: Report): void {
  saidFaults(before.image, after.image, 'the dynamic section says something else', report);
  const old = (before.image.dynamic ?? SILENT).entries;
  const entries = (after.image.dynamic ?? SILENT).entries;
  if (!haveSameTags(old, entries))
    report(`the dynamic section has other entries: ${tagsOf(old)} are ${tagsOf(entries)}`);
}

function haveSameTags(old: readonly DynamicEntry[], now: readonly DynamicEntry[]): boolean {
  for (let i = 0; i < old.length; i++) if (old[i]?.d_tag !== now[i]?.d_tag) return false;
  return old.length === now.length;
}

function tagsOf(entries: readonly DynamicEntry[]): string {
  return entries.map(({ d_tag }) => hex(d_tag)).join(' ');
}

/** Tags of tables that may move. */
export const TABLE_TAGS: ReadonlySet<number> = new Set([
  DT_GNU_HASH,
  DT_HASH,
  DT_SYMTAB,
  DT_STRTAB,
  DT_VERSYM,
  DT_VERNEED,
  DT_VERDEF,
]);

function entryFaults({ before, after }: Step, report: Report): void {
  const { entries: old } = before.image.dynamic ?? SILENT;
  const { entries: now } = after.image.dynamic ?? SILENT;
  const areMoved = haveMoved(before.image, after.image);
  for (let i = 0; i < old.length; i++) {
    const was = old[i];
    if (was === undefined) continue;
    const { d_tag, d_val } = was;
    const due = areMoved && TABLE_TAGS.has(d_tag) ? newAddress(before.image, after.image, d_val) : d_val;
    const is = now[i]?.d_val;
    if (is !== due) report(`dynamic entry ${i} does not lead to its table: ${hex(is)}, not ${hex(due)}`);
  }
}

/** Whether any section has another address than it had. */
function haveMoved({ sectionHeaders: old }: ElfImage, { sectionHeaders: now }: ElfImage): boolean {
  const count = Math.min(old.length, now.length);
  for (let i = 0; i < count; i++) if (old[i]?.sh_addr !== now[i]?.sh_addr) return true;
  return false;
}

/** Of the section that was at an address; the address where none was. */
export function newAddress(before: ElfImage, after: ElfImage, address: number): number {
  const index = before.sectionHeaders.findLastIndex(({ sh_addr }) => sh_addr === address);
  return after.sectionHeaders[index]?.sh_addr ?? address;
}
