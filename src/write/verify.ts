import { type ByteSource, isZero, largest } from '../elf/bytes.js';
import {
  CACHE_NOTE_SECTION,
  DT_GNU_HASH,
  DT_HASH,
  DT_STRTAB,
  DT_SYMTAB,
  DT_VERDEF,
  DT_VERNEED,
  DT_VERSYM,
  PF_W,
  PT_DYNAMIC,
  PT_GNU_PROPERTY,
  PT_INTERP,
  PT_LOAD,
  PT_NOTE,
  PT_NULL,
  PT_PHDR,
  SHT_DYNAMIC,
  SHT_NOBITS,
  SHT_NULL,
  SHT_SYMTAB,
} from '../elf/constants.js';
import { addressOfOffset, type ElfImage, offsetOfAddress, type ProgramHeader } from '../elf/image.js';
import type { ElfView } from '../elf/view.js';
import { ElfnoteError } from '../errors.js';
import { isWiped, type Occupied, occupiedRanges, tableEnd } from '../layout/model/occupied.js';
import { isCongruent, MIN_PAGE_SIZE, mapsNothing, maxPageSize } from '../layout/model/pages.js';
import type { Commit, Edit, WritePlan } from '../layout/model/plan.js';
import { decodeDescriptor, encodeDescriptor } from '../note/cache.js';
import { ownEnd } from '../note/own.js';

/**
 * Checks what a commit makes of a file against everything that the kernel, ld.so and binutils demand (docs/layout.md),
 * before a byte is written. It looks at results only and shares no reasoning with the planner.
 *
 * @throws ElfnoteError `verify`, a bug of elfnote's own; the file is left alone.
 */
export function checkPlaced(old: ElfView, now: ElfView, commit: Commit, plan: WritePlan, check: Check): void {
  const [before, after] = [old.image, now.image];
  checkSameProgram(before, after, check);
  checkEdits(before, old.source, commit.edits, tableEnd(after), check);
  checkSegments(before, after, check);
  checkTable(before, after, plan.rung.table === 'move-table', check);
  checkContents(before, old.source, after, now.source, check);
  checkDynamic(before, after, check);
  checkNote(after, now.source, plan, check);
  checkOldLoads(before, after, plan.addedLoads, check);
  checkNotes(before, old.source, after, now.source, check);
}

/** Throws ElfnoteError `verify`, a bug of elfnote's own, for what is not so. */
export function checkOf(image: ElfImage): Check {
  return (ok, what) => {
    if (!ok) throw new ElfnoteError('verify', `refusing to write: ${what}`, { path: image.path });
  };
}

export function checkOrder(edits: readonly Edit[], check: Check): void {
  const inOrder = edits.every((edit, i) => edit.step >= (edits[i - 1]?.step ?? 0));
  check(inOrder, 'the edits are not in commit order');
}

/** A note that is released takes nothing else with it. */
export function checkReleased(old: ElfView, now: ElfView, commit: Commit, check: Check): void {
  const [image, after] = [old.image, now.image];
  check(after.cacheNotes.length < image.cacheNotes.length, 'the old note is still there');
  checkSameProgram(image, after, check);
  checkEdits(image, old.source, commit.edits, tableEnd(image), check);
  // Seen from its end, a removal is an addition.
  checkSegments(after, image, check);
  checkOldLoads(after, image, 1, check);
  checkNotes(after, now.source, image, old.source, check);
  checkDynamic(image, after, check);
  checkTable(image, after, false, check);
  checkContents(image, old.source, after, now.source, check);
}

export type Check = (ok: boolean, what: string) => void;

function checkSameProgram(before: ElfImage, after: ElfImage, check: Check): void {
  const { e_type, e_machine, e_flags } = before.header;
  const same = after.header;
  check(
    same.e_type === e_type && same.e_machine === e_machine && same.e_flags === e_flags,
    'the ELF header changed',
  );
  check(after.sectionError === undefined, 'the section headers cannot be read');
  const said = (image: ElfImage) =>
    JSON.stringify([
      image.dynamic?.needed,
      image.dynamic?.runpath,
      image.dynamic?.rpath,
      image.dynamic?.soname,
    ]);
  check(said(before) === said(after), 'the dynamic section says something else');
  const tags = (image: ElfImage) => image.dynamic?.entries.map(entry => entry.d_tag).join() ?? '';
  check(tags(before) === tags(after), 'the dynamic section has other entries');
}

/**
 * An edit may touch headers, the dynamic and symbol tables, old cache notes, what stands where the program header
 * table will end, and zero bytes that nothing describes; nothing else.
 */
export function checkEdits(
  before: ElfImage,
  source: ByteSource,
  edits: readonly Edit[],
  newTableEnd: number,
  check: Check,
): void {
  const described = occupiedRanges(before).filter(range => range.kind !== 'load');
  const contentEnd = largest(occupiedRanges(before).map(range => range.end));
  for (const edit of edits) {
    const end = edit.offset + edit.bytes.length;
    for (const range of described) {
      const from = Math.max(edit.offset, range.start);
      const to = Math.min(end, range.end);
      if (from >= to || isFreeToChange(before, range)) continue;
      const oldNote = before.cacheNotes.some(
        note => note.offset <= from && to <= ownEnd(before, source, note),
      );
      check(
        oldNote || to <= newTableEnd,
        `an edit (${edit.why}) touches a ${range.kind} that must not change`,
      );
    }
    check(
      end <= contentEnd || edit.offset >= source.size || contentEnd === source.size,
      `an edit (${edit.why}) touches data that is appended to the file`,
    );
    for (const [from, to] of gapsIn(described, edit.offset, Math.min(end, source.size))) {
      const unused = isZero(source, from, to - from) || isWiped(source, from, to);
      check(unused, `an edit (${edit.why}) touches bytes that are not zero and that nothing describes`);
    }
  }
}

function isFreeToChange(before: ElfImage, range: Occupied): boolean {
  if (range.kind === 'segment') {
    const type = before.programHeaders[range.index]?.p_type;
    return type !== PT_NOTE && type !== PT_INTERP;
  }
  const type = before.sectionHeaders[range.index]?.sh_type;
  return range.kind !== 'section' || type === SHT_DYNAMIC || type === SHT_SYMTAB;
}

/** The parts of [from, to) that no range covers; the ranges are sorted by start. */
export function gapsIn(ranges: readonly Occupied[], from: number, to: number): [number, number][] {
  const gaps: [number, number][] = [];
  let at = from;
  for (const { start, end } of ranges) {
    if (start > at && at < to) gaps.push([at, Math.min(start, to)]);
    at = Math.max(at, end);
  }
  if (at < to) gaps.push([at, to]);
  return gaps;
}

export function checkSegments(before: ElfImage, after: ElfImage, check: Check): void {
  const loads = loadsOf(after);
  for (const [i, load] of loads.entries()) {
    check(isCongruent(load) || mapsNothing(load), 'a PT_LOAD is not congruent');
    const next = loads[i + 1];
    check(
      next === undefined || load.p_vaddr + load.p_memsz <= next.p_vaddr,
      'PT_LOAD entries overlap or descend',
    );
  }
  for (const p of after.programHeaders) {
    if (p.p_type === PT_NOTE && p.p_filesz > 0 && isMapped(before, p)) {
      const address = addressOfOffset(after.programHeaders, p.p_offset, p.p_filesz);
      check(address === p.p_vaddr, 'a PT_NOTE is not loaded');
    }
  }
  check(leadersFirst(after) || !leadersFirst(before), 'PT_PHDR or PT_INTERP stands behind a PT_LOAD');
  checkPagesStayApart(before, after, check);
  const others = (image: ElfImage) => image.programHeaders.filter(p => !MAY_CHANGE.has(p.p_type));
  const same = JSON.stringify(others(before)) === JSON.stringify(others(after));
  check(same, 'a program header changed that must not');
}

/** They have checks of their own. */
const MAY_CHANGE: ReadonlySet<number> = new Set([
  PT_LOAD,
  PT_NOTE,
  PT_NULL,
  PT_PHDR,
  PT_INTERP,
  PT_GNU_PROPERTY,
]);

function loadsOf(image: ElfImage): ProgramHeader[] {
  return image.programHeaders.filter(p => p.p_type === PT_LOAD);
}

/** Old segments keep everything, but that read-only ones may grow; new ones stand above them. */
function checkOldLoads(before: ElfImage, after: ElfImage, addedLoads: number, check: Check): void {
  const loads = loadsOf(after);
  const old = loadsOf(before);
  for (const was of old) {
    const now = loads.find(load => load.p_vaddr === was.p_vaddr);
    const kept =
      now !== undefined &&
      now.p_flags === was.p_flags &&
      now.p_offset === was.p_offset &&
      now.p_vaddr === was.p_vaddr &&
      now.p_align === was.p_align;
    check(kept, 'a PT_LOAD changed');
    if (now === undefined) return;
    const sameSize = now.p_filesz === was.p_filesz && now.p_memsz === was.p_memsz;
    const grew = was.p_filesz === was.p_memsz && now.p_filesz === now.p_memsz && now.p_memsz > was.p_memsz;
    check(sameSize || (grew && (was.p_flags & PF_W) === 0), 'a segment grew that is not read-only data');
  }
  const added = loads.filter(load => !old.some(was => was.p_vaddr === load.p_vaddr));
  check(added.length <= addedLoads, 'a PT_LOAD appeared');
  const aligned = added.every(load => load.p_align >= maxPageSize(after.header.e_machine));
  check(aligned, 'a new PT_LOAD is aligned to less than the largest page');
}

/** Every note that was covered by a `PT_NOTE` still is, wherever it stands now. */
export function checkNotes(
  before: ElfImage,
  source: ByteSource,
  after: ElfImage,
  view: ByteSource,
  check: Check,
): void {
  const now = after.programHeaders.filter(p => p.p_type === PT_NOTE);
  for (const old of before.programHeaders) {
    if (old.p_type !== PT_NOTE || old.p_offset + old.p_filesz > source.size) continue;
    const bytes = source.read(old.p_offset, old.p_filesz);
    const kept = now.some(
      p =>
        p.p_align === old.p_align &&
        p.p_filesz >= old.p_filesz &&
        view.read(p.p_offset, old.p_filesz).equals(bytes),
    );
    check(kept, 'a PT_NOTE is gone');
  }
}

/** A dynamic entry follows the table that moved, and no other changes. */
function checkDynamic(before: ElfImage, after: ElfImage, check: Check): void {
  const moved = new Map(before.sectionHeaders.map((s, i) => [s.sh_addr, after.sectionHeaders[i]?.sh_addr]));
  for (const [i, old] of (before.dynamic?.entries ?? []).entries()) {
    const now = after.dynamic?.entries[i];
    const isTable = TABLE_TAGS.has(old.d_tag);
    const expected = isTable ? (moved.get(old.d_val) ?? old.d_val) : old.d_val;
    check(now?.d_val === expected, `dynamic entry ${i} does not lead to its table`);
  }
}

export const TABLE_TAGS: ReadonlySet<number> = new Set([
  DT_GNU_HASH,
  DT_HASH,
  DT_SYMTAB,
  DT_STRTAB,
  DT_VERSYM,
  DT_VERNEED,
  DT_VERDEF,
]);

/** The gABI wants `PT_PHDR` and `PT_INTERP` before every `PT_LOAD`; files that older tools patched may not have it so. */
function leadersFirst(image: ElfImage): boolean {
  const types = image.programHeaders.map(p => p.p_type);
  const firstLoad = types.indexOf(PT_LOAD);
  const lastLeader = Math.max(types.lastIndexOf(PT_PHDR), types.lastIndexOf(PT_INTERP));
  return firstLoad < 0 || lastLeader < firstLoad;
}

/** False only for a `PT_NOTE` that was not loaded to begin with. */
function isMapped(before: ElfImage, note: ProgramHeader): boolean {
  const same = before.programHeaders.find(p => p.p_type === PT_NOTE && p.p_offset === note.p_offset);
  return (
    same === undefined ||
    addressOfOffset(before.programHeaders, same.p_offset, same.p_filesz) === same.p_vaddr
  );
}

/** A segment that grew must not reach a page of its neighbour's, of any size at which they had none in common. */
function checkPagesStayApart(before: ElfImage, after: ElfImage, check: Check): void {
  const loads = after.programHeaders.filter(p => p.p_type === PT_LOAD);
  for (const [i, load] of loads.entries()) {
    const next = loads[i + 1];
    const old = before.programHeaders.find(p => p.p_type === PT_LOAD && p.p_vaddr === load.p_vaddr);
    if (next === undefined || old === undefined || old.p_memsz === load.p_memsz) continue;
    for (let page = MIN_PAGE_SIZE; page <= Math.max(MIN_PAGE_SIZE, load.p_align); page *= 2) {
      const last = (p: ProgramHeader) => Math.floor((p.p_vaddr + p.p_memsz - 1) / page);
      const first = Math.floor(next.p_vaddr / page);
      check(
        last(load) < first || (last(old) >= first && page > MIN_PAGE_SIZE),
        "a segment grew into the next one's page",
      );
    }
  }
}

export function checkTable(before: ElfImage, after: ElfImage, mayMove: boolean, check: Check): void {
  const { e_phoff, e_phentsize } = after.header;
  const size = after.programHeaders.length * e_phentsize;
  check(mayMove || e_phoff === before.header.e_phoff, 'the program header table moved');
  const address = addressOfOffset(after.programHeaders, e_phoff, size);
  check(address !== undefined, 'the program header table is not loaded');
  const phdr = after.programHeaders.find(p => p.p_type === PT_PHDR);
  check(
    phdr === undefined || (phdr.p_offset === e_phoff && phdr.p_vaddr === address && phdr.p_filesz === size),
    'PT_PHDR does not say where the table is',
  );
  check(
    isWhereOldKernelsLook(after) || !isWhereOldKernelsLook(before),
    'old kernels would compute a wrong AT_PHDR',
  );
  const stale = new Set(onTable(before, tableEnd(before)).map(({ kind, index }) => `${kind} ${index}`));
  for (const { kind, index } of onTable(after, tableEnd(after))) {
    check(stale.has(`${kind} ${index}`), `the table runs into a ${kind}`);
  }
}

/** Kernels before 5.18 and qemu-user compute AT_PHDR from the first PT_LOAD. Other tools have moved tables without it. */
function isWhereOldKernelsLook({ programHeaders, header }: ElfImage): boolean {
  const first = programHeaders.find(p => p.p_type === PT_LOAD);
  const address = addressOfOffset(programHeaders, header.e_phoff, 1);
  return (
    first === undefined ||
    address === undefined ||
    first.p_vaddr - first.p_offset === address - header.e_phoff
  );
}

/** What claims bytes of the program header table. patchelf grows it over `PT_GNU_PROPERTY` and leaves that behind. */
function onTable(image: ElfImage, end: number): Occupied[] {
  return occupiedRanges(image).filter(
    range =>
      range.kind !== 'load' &&
      range.kind !== 'program-headers' &&
      range.start < end &&
      range.end > image.header.e_phoff,
  );
}

/** What moved reads the same in its new place; what ld.so finds by address is still there. */
function checkContents(
  before: ElfImage,
  source: ByteSource,
  after: ElfImage,
  view: ByteSource,
  check: Check,
): void {
  for (const [i, old] of before.sectionHeaders.entries()) {
    const now = after.sectionHeaders[i];
    const isOldNote = before.cacheNotes.some(note => note.section === i);
    const isKeptFor = old.sh_type === SHT_NULL && old.name === CACHE_NOTE_SECTION;
    if (isOldNote || isKeptFor || i === before.header.e_shstrndx) continue;
    check(
      now !== undefined && now.sh_type === old.sh_type && now.sh_size === old.sh_size,
      `section ${i} changed`,
    );
    check(now?.name === old.name || before.cacheNotes.length > 0, `section ${i} has another name`);
    if (
      now === undefined ||
      now.sh_offset === old.sh_offset ||
      old.sh_type === SHT_NULL ||
      old.sh_type === SHT_NOBITS
    ) {
      continue;
    }
    const same = view.read(now.sh_offset, now.sh_size).equals(source.read(old.sh_offset, old.sh_size));
    check(same, `section ${old.name} has other contents in its new place`);
    check(
      offsetOfAddress(after.programHeaders, now.sh_addr, now.sh_size) === now.sh_offset,
      `section ${old.name} is not loaded`,
    );
  }
  for (const type of [PT_INTERP, PT_DYNAMIC]) {
    const old = before.programHeaders.find(p => p.p_type === type);
    const now = after.programHeaders.find(p => p.p_type === type);
    check(
      (old === undefined) === (now === undefined) && old?.p_filesz === now?.p_filesz,
      'PT_INTERP or PT_DYNAMIC changed',
    );
    if (type !== PT_INTERP || old === undefined || now === undefined) continue;
    const text = source.read(old.p_offset, old.p_filesz);
    check(view.read(now.p_offset, now.p_filesz).equals(text), 'PT_INTERP names another loader');
    check(
      addressOfOffset(after.programHeaders, now.p_offset, now.p_filesz) === now.p_vaddr,
      'PT_INTERP is not loaded',
    );
  }
}

function checkNote(after: ElfImage, view: ByteSource, plan: WritePlan, check: Check): void {
  const [note, ...more] = after.cacheNotes;
  check(note !== undefined && more.length === 0, 'there is not exactly one cache note');
  if (note === undefined) return;
  const desc = view.read(note.descOffset, note.n_descsz);
  check(desc.equals(encodeDescriptor(plan.wanted.entries)), 'the note does not say what was planned');
  check(
    decodeDescriptor(desc, note.descOffset).length === plan.wanted.entries.length,
    'the note does not decode',
  );
  check(
    isZero(view, note.descOffset + note.n_descsz, note.end - note.descOffset - note.n_descsz),
    'the padding is not zero',
  );
  const segment = note.segment === undefined ? undefined : after.programHeaders[note.segment];
  check(segment?.p_align === 4 && note.address % 4 === 0, 'the note has no 4-aligned PT_NOTE');
  check(
    addressOfOffset(after.programHeaders, note.offset, note.end - note.offset) === note.address,
    'the note is not loaded',
  );
  const section = note.section === undefined ? undefined : after.sectionHeaders[note.section];
  check(
    !plan.hasSection || after.sectionHeaders.length === 0 || section?.sh_addr === note.address,
    'the note has no section',
  );
}
