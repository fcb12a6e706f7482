import { decodeDescriptor, encodeDescriptor } from '../cache/note.js';
import { type ByteSource, isZero, PatchedSource } from '../elf/bytes.js';
import {
  PT_DYNAMIC,
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
import { readImage } from '../elf/read.js';
import { ElfnoteError } from '../errors.js';
import { type Occupied, occupiedRanges, tableEnd } from '../layout/occupied.js';
import { MIN_PAGE_SIZE } from '../layout/pages.js';
import type { Edit, Removal, WritePlan } from '../layout/plan.js';
import { planFile } from '../layout/plan-file.js';

/**
 * Checks the edited view against everything that the kernel, ld.so and binutils demand (docs/layout.md), before a
 * byte is written. It looks at results only and shares no reasoning with the planner.
 *
 * @throws ElfnoteError `verify`, a bug of elfnote's own; the file is left alone.
 */
export function verifyPlan(image: ElfImage, source: ByteSource, plan: WritePlan): void {
  const check = (ok: boolean, what: string) => {
    if (!ok) throw new ElfnoteError('verify', `refusing to write: ${what}`, { path: image.path });
  };
  let before = image;
  let base = source;
  if (plan.removal !== undefined) {
    base = new PatchedSource(source, plan.removal.edits, plan.removal.size);
    before = readImage(base);
    checkRemoval(image, source, before, base, plan.removal, check);
    if (plan.rung.note === 'removed') return;
  }
  const edits = plan.edits.slice(plan.removal?.edits.length ?? 0);
  const view = new PatchedSource(base, edits, plan.size);
  const after = readImage(view);
  checkSameProgram(before, after, check);
  checkEditsStayInBounds(before, edits, check);
  checkSegments(before, after, check);
  checkTable(before, after, check);
  checkContents(before, base, after, view, check);
  checkNote(after, view, plan, check);
}

/** An exact removal was proved byte for byte when it was planned; any other must keep everything but the note. */
function checkRemoval(
  image: ElfImage,
  source: ByteSource,
  after: ElfImage,
  view: ByteSource,
  removal: Removal,
  check: Check,
): void {
  check(after.cacheNotes.length === 0, 'the old note is still there');
  checkSameProgram(image, after, check);
  if (removal.exact) return;
  checkEditsStayInBounds(image, removal.edits, check);
  checkSegments(image, after, check);
  checkTable(image, after, check);
  checkContents(image, source, after, view, check);
}

type Check = (ok: boolean, what: string) => void;

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

/** An edit may touch headers, the dynamic and symbol tables, old cache notes, and bytes nothing describes. */
function checkEditsStayInBounds(before: ElfImage, edits: readonly Edit[], check: Check): void {
  const growth = tableEnd(before) + 3 * before.header.e_phentsize;
  for (const range of occupiedRanges(before)) {
    if (range.kind === 'load' || range.kind === 'elf-header') continue;
    if (range.kind === 'program-headers' || range.kind === 'section-headers') continue;
    const type = before.sectionHeaders[range.index]?.sh_type;
    if (range.kind === 'section' && (type === SHT_DYNAMIC || type === SHT_SYMTAB)) continue;
    const segment = range.kind === 'segment' ? before.programHeaders[range.index] : undefined;
    if (segment !== undefined && segment.p_type !== PT_NOTE && segment.p_type !== PT_INTERP) continue;
    for (const { offset, bytes, why } of edits) {
      const from = Math.max(offset, range.start);
      const to = Math.min(offset + bytes.length, range.end);
      if (from >= to) continue;
      const oldNote = before.cacheNotes.some(note => note.offset <= from && to <= note.end);
      check(oldNote || to <= growth, `an edit (${why}) touches a ${range.kind} that must not change`);
    }
  }
}

function checkSegments(before: ElfImage, after: ElfImage, check: Check): void {
  const loads = after.programHeaders.filter(p => p.p_type === PT_LOAD);
  for (const [i, load] of loads.entries()) {
    check(
      load.p_align <= 1 || (load.p_vaddr - load.p_offset) % load.p_align === 0,
      'a PT_LOAD is not congruent',
    );
    const next = loads[i + 1];
    check(
      next === undefined || load.p_vaddr + load.p_memsz <= next.p_vaddr,
      'PT_LOAD entries overlap or descend',
    );
  }
  for (const p of after.programHeaders) {
    if (p.p_type === PT_NOTE && p.p_filesz > 0 && isMapped(before, p) !== false) {
      check(
        addressOfOffset(after.programHeaders, p.p_offset, p.p_filesz) === p.p_vaddr,
        'a PT_NOTE is not loaded',
      );
    }
  }
  check(leadersFirst(after) || !leadersFirst(before), 'PT_PHDR or PT_INTERP stands behind a PT_LOAD');
  checkPagesStayApart(before, after, check);
  const others = (image: ElfImage) =>
    image.programHeaders.filter(
      p => ![PT_LOAD, PT_NOTE, PT_NULL, PT_PHDR, PT_INTERP].includes(p.p_type) && p.p_type !== 0x6474e553,
    );
  check(
    JSON.stringify(others(before)) === JSON.stringify(others(after)),
    'a program header changed that must not',
  );
}

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

/** A segment that grew must not reach a page of its neighbour that was its neighbour's alone. */
function checkPagesStayApart(before: ElfImage, after: ElfImage, check: Check): void {
  const loads = after.programHeaders.filter(p => p.p_type === PT_LOAD);
  for (const [i, load] of loads.entries()) {
    const next = loads[i + 1];
    const old = before.programHeaders.find(p => p.p_type === PT_LOAD && p.p_vaddr === load.p_vaddr);
    if (next === undefined || old === undefined || old.p_memsz === load.p_memsz) continue;
    check(
      old.p_filesz === old.p_memsz && (load.p_flags & 2) === 0,
      'a segment grew that is not read-only data',
    );
    const page = (address: number) => Math.floor(address / MIN_PAGE_SIZE);
    check(
      page(load.p_vaddr + load.p_memsz - 1) < page(next.p_vaddr),
      "a segment grew into the next one's page",
    );
  }
}

function checkTable(before: ElfImage, after: ElfImage, check: Check): void {
  const { e_phoff, e_phentsize } = after.header;
  const size = after.programHeaders.length * e_phentsize;
  check(e_phoff === before.header.e_phoff, 'the program header table moved');
  const address = addressOfOffset(after.programHeaders, e_phoff, size);
  check(address !== undefined, 'the program header table is not loaded');
  const phdr = after.programHeaders.find(p => p.p_type === PT_PHDR);
  check(
    phdr === undefined || (phdr.p_offset === e_phoff && phdr.p_vaddr === address && phdr.p_filesz === size),
    'PT_PHDR does not say where the table is',
  );
  const first = after.programHeaders.find(p => p.p_type === PT_LOAD);
  // Kernels before 5.18 and qemu-user compute AT_PHDR from the first PT_LOAD.
  check(
    first === undefined || address === undefined || first.p_vaddr - first.p_offset === address - e_phoff,
    'old kernels would compute a wrong AT_PHDR',
  );
  const stale = new Set(onTable(before, tableEnd(before)).map(({ kind, index }) => `${kind} ${index}`));
  for (const { kind, index } of onTable(after, tableEnd(after))) {
    check(stale.has(`${kind} ${index}`), `the table runs into a ${kind}`);
  }
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
    if (isOldNote || i === before.header.e_shstrndx) continue;
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
  check(desc.equals(encodeDescriptor(plan.entries)), 'the note does not say what was planned');
  check(decodeDescriptor(desc, note.descOffset).length === plan.entries.length, 'the note does not decode');
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
  check(planFile(after, view, plan.entries).kind === 'keep', 'a second run would change the file again');
}
