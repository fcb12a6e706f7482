import { PF_W, PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, PT_NOTE, PT_NULL, PT_PHDR } from '../../elf/constants.js';
import { addressOfOffset, type ElfImage, type ProgramHeader } from '../../elf/image.js';
import { endOfNotes } from '../../elf/notes.js';
import { isCongruent, MIN_PAGE_SIZE, mapsNothing, maxPageSize } from '../../layout/model/pages.js';
import {
  headersOf,
  hex,
  type Invariant,
  isSameButSize,
  isSameHeader,
  type Report,
  type Step,
  tell,
} from './invariant.js';

/** What the kernel and ld.so demand of program headers, whoever changes them. */
export const SEGMENTS: readonly Invariant[] = [
  { name: 'each PT_LOAD is congruent, and they ascend', check: loadFaults },
  { name: 'each PT_NOTE is loaded', check: noteFaults },
  { name: 'PT_PHDR and PT_INTERP come first', check: leaderFaults },
  { name: 'a segment that grew shares no page with the next', check: pageFaults },
  { name: 'other program headers stay', check: otherFaults },
];

/** Of a commit that adds a note: old segments keep everything, but that read-only ones may grow. */
export const OLD_LOADS: readonly Invariant[] = [
  { name: 'old segments stay, and new ones are few', check: oldLoadFaults },
];

/** Every note that a `PT_NOTE` covered is still covered, wherever it is now. */
export const KEPT_NOTES: readonly Invariant[] = [{ name: 'no PT_NOTE is lost', check: lostFaults }];

function loadFaults({ before, after }: Step, report: Report): void {
  const loads = headersOf(after.image, PT_LOAD);
  const old = headersOf(before.image, PT_LOAD);
  for (const [i, load] of loads.entries()) {
    const wasSo = old.some(was => was.p_vaddr === load.p_vaddr && !isCongruent(was));
    if (!isCongruent(load) && !mapsNothing(load) && !wasSo)
      report(`a PT_LOAD is not congruent: number ${i}, ${tell(load)}`);
    const next = loads[i + 1];
    const end = load.p_vaddr + load.p_memsz;
    if (next !== undefined && end > next.p_vaddr)
      report(
        `PT_LOAD entries overlap or descend: number ${i} ends at ${hex(end)}, the next starts at ${hex(next.p_vaddr)}`,
      );
  }
}

function noteFaults({ before, after }: Step, report: Report): void {
  for (const p of headersOf(after.image, PT_NOTE)) {
    const address = addressOfOffset(after.image.programHeaders, p.p_offset, p.p_filesz);
    if (p.p_filesz > 0 && address !== p.p_vaddr && wasLoaded(before.image, p))
      report(`a PT_NOTE is not loaded: it says ${hex(p.p_vaddr)}, its bytes are at ${hex(address)}`);
  }
}

/** False only for a `PT_NOTE` that was not loaded to begin with. */
function wasLoaded({ programHeaders }: ElfImage, note: ProgramHeader): boolean {
  const same = programHeaders.find(p => p.p_type === PT_NOTE && p.p_offset === note.p_offset);
  return same === undefined || addressOfOffset(programHeaders, same.p_offset, same.p_filesz) === same.p_vaddr;
}

/** The gABI wants it; files that older tools have patched may not have it so. */
function leaderFaults({ before, after }: Step, report: Report): void {
  const [firstLoad, lastLeader] = leaders(after.image);
  const [oldLoad, oldLeader] = leaders(before.image);
  if (firstLoad >= 0 && lastLeader > firstLoad && (oldLoad < 0 || oldLeader < oldLoad))
    report(`PT_PHDR or PT_INTERP stands behind a PT_LOAD: number ${lastLeader} behind ${firstLoad}`);
}

function leaders({ programHeaders }: ElfImage): readonly [number, number] {
  const types = programHeaders.map(p => p.p_type);
  return [types.indexOf(PT_LOAD), Math.max(types.lastIndexOf(PT_PHDR), types.lastIndexOf(PT_INTERP))];
}

/** Of any size at which they had none in common. */
function pageFaults({ before, after }: Step, report: Report): void {
  const loads = headersOf(after.image, PT_LOAD);
  const olds = headersOf(before.image, PT_LOAD);
  for (const [i, load] of loads.entries()) {
    const next = loads[i + 1];
    const old = olds.find(p => p.p_vaddr === load.p_vaddr);
    if (next === undefined || old === undefined || old.p_memsz === load.p_memsz) continue;
    for (let page = MIN_PAGE_SIZE; page <= Math.max(MIN_PAGE_SIZE, load.p_align); page *= 2) {
      const last = (p: ProgramHeader) => Math.floor((p.p_vaddr + p.p_memsz - 1) / page);
      const first = Math.floor(next.p_vaddr / page);
      if (last(load) >= first && (last(old) < first || page === MIN_PAGE_SIZE))
        report(
          `a segment grew into the next one's page: number ${i} to ${hex(load.p_vaddr + load.p_memsz)}, the next is at ${hex(next.p_vaddr)}, pages of ${page}`,
        );
    }
  }
}

/** They have invariants of their own. */
const MAY_CHANGE: ReadonlySet<number> = new Set([
  PT_LOAD,
  PT_NOTE,
  PT_NULL,
  PT_PHDR,
  PT_INTERP,
  PT_GNU_PROPERTY,
]);

function otherFaults({ before, after }: Step, report: Report): void {
  const others = ({ programHeaders }: ElfImage) => programHeaders.filter(p => !MAY_CHANGE.has(p.p_type));
  const now = others(after.image);
  const old = others(before.image);
  for (let i = 0; i < Math.max(old.length, now.length); i++) {
    if (!isSameHeader(old[i], now[i]))
      report(`a program header changed that must not: ${tell(old[i])} is ${tell(now[i])}`);
  }
}

function oldLoadFaults({ before, after, plan }: Step, report: Report): void {
  const loads = headersOf(after.image, PT_LOAD);
  const old = headersOf(before.image, PT_LOAD);
  let i = -1;
  for (const was of old) {
    i++;
    const now = loads.find(load => load.p_vaddr === was.p_vaddr);
    if (now === undefined || !isSameButSize(now, was)) {
      report(`a PT_LOAD changed: number ${i}, ${tell(was)} is ${tell(now)}`);
      continue;
    }
    const { p_filesz, p_memsz } = now;
    const sameSize = p_filesz === was.p_filesz && p_memsz === was.p_memsz;
    const grew = was.p_filesz === was.p_memsz && p_filesz === p_memsz && p_memsz > was.p_memsz;
    if (!sameSize && !(grew && (was.p_flags & PF_W) === 0))
      report(`a segment grew that is not read-only data: number ${i}, ${tell(was)} is ${tell(now)}`);
  }
  const added = loads.filter(load => !old.some(was => was.p_vaddr === load.p_vaddr));
  // What is released may have had one.
  const most = plan.rung.note === 'removed' ? 1 : Math.max(1, plan.addedLoads);
  if (added.length > most) report(`a PT_LOAD appeared: ${added.length}, at most ${most}`);
  const page = maxPageSize(after.image.header.e_machine);
  for (const load of added) {
    if (load.p_align < page)
      report(`a new PT_LOAD is aligned to less than the largest page: ${load.p_align}, not ${page}`);
  }
}

/** What `PT_GNU_PROPERTY` covers needs no `PT_NOTE` besides. */
function lostFaults({ before, after }: Step, report: Report): void {
  const now = headersOf(after.image, PT_NOTE, PT_GNU_PROPERTY);
  for (const old of headersOf(before.image, PT_NOTE)) {
    if (old.p_offset + old.p_filesz > before.source.size) continue;
    // Zeros behind the last note are none.
    const end = endOfNotes(before.source, before.image.encoding, old.p_offset, old.p_filesz);
    const size = end === undefined ? old.p_filesz : end - old.p_offset;
    const bytes = before.source.read(old.p_offset, size);
    const isKept = now.some(
      p =>
        p.p_align === old.p_align &&
        p.p_filesz >= size &&
        p.p_offset + size <= after.source.size &&
        after.source.read(p.p_offset, size).equals(bytes),
    );
    if (!isKept) report(`a PT_NOTE is gone: ${tell(old)}`);
  }
}
