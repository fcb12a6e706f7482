import {
  DT_GNU_HASH,
  DT_HASH,
  DT_STRTAB,
  DT_SYMTAB,
  DT_VERDEF,
  DT_VERNEED,
  DT_VERSYM,
} from '../../elf/constants.js';
import type { DynamicEntry, ElfImage } from '../../elf/image.js';
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
  for (const field of ['e_type', 'e_machine', 'e_flags'] as const) {
    const [was, is] = [before.image.header[field], after.image.header[field]];
    if (was !== is) report(`the ELF header changed: ${field} ${hex(was)} is ${hex(is)}`);
  }
}

function sectionFaults({ after }: Step, report: Report): void {
  const error = after.image.sectionError;
  if (error !== undefined) report(`the section headers cannot be read: ${error.message}`);
}

/** What the two dynamic sections ask of ld.so, where it differs. */
export function saidFaults(before: ElfImage, after: ElfImage, what: string, report: Report): void {
  const [was, is] = [before.dynamic, after.dynamic];
  const differs = (tag: string, old: string | undefined, now: string | undefined) => {
    if (old !== now) report(`${what}: ${tag} ${old ?? 'nothing'} is ${now ?? 'nothing'}`);
  };
  differs('DT_NEEDED', was?.needed.join() ?? '', is?.needed.join() ?? '');
  differs('DT_RUNPATH', was?.runpath, is?.runpath);
  differs('DT_RPATH', was?.rpath, is?.rpath);
  differs('DT_SONAME', was?.soname, is?.soname);
}

function dynamicFaults({ before, after }: Step, report: Report): void {
  saidFaults(before.image, after.image, 'the dynamic section says something else', report);
  const [old, entries] = [before.image.dynamic?.entries ?? [], after.image.dynamic?.entries ?? []];
  if (old.length === entries.length && old.every(({ d_tag }, i) => d_tag === entries[i]?.d_tag)) return;
  report(`the dynamic section has other entries: ${tagsOf(old)} are ${tagsOf(entries)}`);
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
  const now = after.image.dynamic?.entries ?? [];
  let i = 0;
  for (const { d_tag, d_val } of before.image.dynamic?.entries ?? []) {
    const due = TABLE_TAGS.has(d_tag) ? newAddress(before.image, after.image, d_val) : d_val;
    const is = now[i]?.d_val;
    if (is !== due) report(`dynamic entry ${i} does not lead to its table: ${hex(is)}, not ${hex(due)}`);
    i++;
  }
}

/** Of the section that was at an address; the address where none was. */
export function newAddress(before: ElfImage, after: ElfImage, address: number): number {
  const index = before.sectionHeaders.findLastIndex(({ sh_addr }) => sh_addr === address);
  return after.sectionHeaders[index]?.sh_addr ?? address;
}
