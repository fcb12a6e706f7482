import { PF_W, PT_NOTE } from '../../elf/constants.js';
import { addressOfOffset, type ElfImage, type ProgramHeader } from '../../elf/image.js';
import { endOfNotes } from '../../elf/notes.js';
import { isCongruent, MIN_PAGE_SIZE, mapsNothing, maxPageSize } from '../../layout/model/pages.js';
import { isOwn } from './edits.js';
import {
  hex,
  type Invariant,
  isSameButSize,
  isSameHeader,
  type Report,
  type Side,
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

/** Of a commit that takes something out: whatever else was loaded is loaded still, at the same address. */
export const LOSSES: readonly Invariant[] = [
  { name: 'a segment loses nothing but notes of elfnote', check: lossFaults },
];

function loadFaults({ before, after }: Step, report: Report): void {
  let i = -1;
  for (const load of after.loads) {
    i++;
    if (!isCongruent(load) && !mapsNothing(load) && !wasIncongruent(before, load.p_vaddr))
      report(`a PT_LOAD is not congruent: number ${i}, ${tell(load)}`);
    const next = after.loads[i + 1];
    const end = load.p_vaddr + load.p_memsz;
    if (next !== undefined && end > next.p_vaddr)
      report(
        `PT_LOAD entries overlap or descend: number ${i} ends at ${hex(end)}, the next starts at ${hex(next.p_vaddr)}`,
      );
  }
}

function wasIncongruent({ loads }: Side, address: number): boolean {
  return loads.some(was => was.p_vaddr === address && !isCongruent(was));
}

function noteFaults({ before, after }: Step, report: Report): void {
  for (const p of after.notes) {
    const address = addressOfOffset(after.loads, p.p_offset, p.p_filesz);
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
  if (isLeaderBehind(after) && !isLeaderBehind(before))
    report(
      `PT_PHDR or PT_INTERP stands behind a PT_LOAD: number ${after.lastLeader} behind ${after.firstLoad}`,
    );
}

function isLeaderBehind({ firstLoad, lastLeader }: Side): boolean {
  return firstLoad >= 0 && lastLeader > firstLoad;
}

/** Of any size at which they had none in common. */
function pageFaults({ before, after }: Step, report: Report): void {
  let i = -1;
  for (const load of after.loads) {
    i++;
    const next = after.loads[i + 1];
    const old = next && counterpart(before, load);
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

/**
 * What another side's segment is here: the first at its address that is empty as it is, and otherwise the first there.
 * strip leaves empty ones, and what is put behind the last segment may then start where it does.
 */
function counterpart({ loads }: Side, { p_vaddr, p_memsz }: ProgramHeader): ProgramHeader | undefined {
  let first: ProgramHeader | undefined;
  for (let i = 0; i < loads.length; i++) {
    const load = loads[i];
    if (load?.p_vaddr !== p_vaddr) continue;
    if ((load.p_memsz === 0) === (p_memsz === 0)) return load;
    first ??= load;
  }
  return first;
}

function otherFaults({ before, after }: Step, report: Report): void {
  const now = after.others;
  const old = before.others;
  for (let i = 0; i < Math.max(old.length, now.length); i++) {
    if (!isSameHeader(old[i], now[i]))
      report(`a program header changed that must not: ${tell(old[i])} is ${tell(now[i])}`);
  }
}

function oldLoadFaults({ before, after, plan }: Step, report: Report): void {
  let i = -1;
  for (const was of before.loads) {
    i++;
    const now = counterpart(after, was);
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
  const added = after.loads.filter(load => counterpart(before, load) === undefined);
  // What is released may have had one.
  const most = plan.rung.note === 'removed' ? 1 : Math.max(1, plan.addedLoads);
  if (added.length > most) report(`a PT_LOAD appeared: ${added.length}, at most ${most}`);
  const page = maxPageSize(after.image.header.e_machine);
  for (const load of added) {
    if (load.p_align < page)
      report(`a new PT_LOAD is aligned to less than the largest page: ${load.p_align}, not ${page}`);
  }
}

function lossFaults({ before, after }: Step, report: Report): void {
  for (const was of before.loads) {
    const size = counterpart(after, was)?.p_memsz ?? 0;
    if (size >= was.p_memsz || isOwn(before, was.p_offset + size, was.p_offset + was.p_memsz)) continue;
    report(`a segment loses more than notes: of ${tell(was)} there are ${hex(size)} bytes left`);
  }
}

/** What `PT_GNU_PROPERTY` covers needs no `PT_NOTE` besides. */
function lostFaults({ before, after }: Step, report: Report): void {
  for (const old of before.notes) {
    if (old.p_offset + old.p_filesz > before.source.size || isCovered(before, after, old, old.p_filesz))
      continue;
    // Zeros behind the last note are none.
    const end = endOfNotes(before.source, before.image.encoding, old.p_offset, old.p_filesz);
    if (end === undefined || !isCovered(before, after, old, end - old.p_offset))
      report(`a PT_NOTE is gone: ${tell(old)}`);
  }
}

/** Whether the first `size` bytes of what a `PT_NOTE` covered are covered still. */
function isCovered(before: Side, after: Side, old: ProgramHeader, size: number): boolean {
  const bytes = before.source.read(old.p_offset, size);
  return holds(after, after.notes, old.p_align, bytes) || holds(after, after.properties, old.p_align, bytes);
}

function holds({ source }: Side, headers: readonly ProgramHeader[], p_align: number, bytes: Buffer): boolean {
  for (const p of headers) {
    const isFit =
      p.p_align === p_align && p.p_filesz >= bytes.length && p.p_offset + bytes.length <= source.size;
    if (isFit && source.read(p.p_offset, bytes.length).equals(bytes)) return true;
  }
  return false;
}
