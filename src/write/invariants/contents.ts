import type { ByteSource } from '../../elf/bytes.js';
import { CACHE_NOTE_SECTION, SHT_NOBITS, SHT_NOTE, SHT_NULL } from '../../elf/constants.js';
import {
  addressOfOffset,
  type ElfImage,
  offsetOfAddress,
  type ProgramHeader,
  type SectionHeader,
} from '../../elf/image.js';
import { hex, type Invariant, type Report, type Side, type Step, tell } from './invariant.js';

/** What moved reads the same in its new place; what ld.so finds by address is still there. */
export const CONTENTS: readonly Invariant[] = [
  { name: 'sections keep what they say and hold', check: sectionFaults },
  { name: 'PT_INTERP and PT_DYNAMIC hold the same', check: segmentFaults },
];

function sectionFaults({ before, after }: Step, report: Report): void {
  const old = before.image;
  const now = after.image;
  for (let i = 0; i < old.sectionHeaders.length; i++) {
    const was = old.sectionHeaders[i];
    const there = now.sectionHeaders[i];
    if (was === undefined || (there !== undefined && isSameSection(was, there))) continue;
    const isOldNote = old.cacheNotes.some(note => note.section === i);
    const isKeptFor = was.sh_type === SHT_NULL && was.name === CACHE_NOTE_SECTION;
    if (isOldNote || isKeptFor || i === old.header.e_shstrndx) continue;
    const is = successor(old, now, i);
    if (is?.sh_type !== was.sh_type || is.sh_size !== was.sh_size) {
      const [type, size] = [hex(is?.sh_type), hex(is?.sh_size)];
      report(`section ${i} changed: type ${hex(was.sh_type)}, size ${hex(was.sh_size)} are ${type}, ${size}`);
      continue;
    }
    if (is.name !== was.name) report(`section ${i} has another name: ${was.name} is ${is.name}`);
    if (was.sh_type !== SHT_NULL && was.sh_type !== SHT_NOBITS)
      movedFaults(before.source, after.source, now, was, is, report);
  }
}

/** As it was, at its place: whatever else may be asked of a section that changed. */
function isSameSection(was: SectionHeader, is: SectionHeader): boolean {
  return (
    was.sh_type === is.sh_type &&
    was.sh_size === is.sh_size &&
    was.sh_offset === is.sh_offset &&
    was.name === is.name
  );
}

function movedFaults(
  source: ByteSource,
  view: ByteSource,
  now: ElfImage,
  was: SectionHeader,
  is: SectionHeader,
  report: Report,
): void {
  if (!view.read(is.sh_offset, is.sh_size).equals(source.read(was.sh_offset, was.sh_size)))
    report(
      `section ${was.name} has other contents in its new place: offset ${was.sh_offset} is ${is.sh_offset}`,
    );
  const loadedAt = offsetOfAddress(now.programHeaders, is.sh_addr, is.sh_size);
  if (loadedAt !== is.sh_offset)
    report(
      `section ${was.name} is not loaded: address ${hex(is.sh_addr)} is offset ${loadedAt}, not ${is.sh_offset}`,
    );
}

/** The section of that index, or the new one that a note's header has moved to. */
function successor(before: ElfImage, after: ElfImage, index: number): SectionHeader | undefined {
  const old = before.sectionHeaders[index];
  const now = after.sectionHeaders[index];
  if (old?.sh_type !== SHT_NOTE || now?.sh_type !== SHT_NULL || now.sh_offset !== old.sh_offset) return now;
  return after.sectionHeaders.slice(before.sectionHeaders.length).find(s => s.name === old.name);
}

function segmentFaults({ before, after }: Step, report: Report): void {
  sizeFaults(before.interp, after.interp, report);
  if (before.interp !== undefined && after.interp !== undefined)
    loaderFaults(before.source, after, before.interp, after.interp, report);
  sizeFaults(before.dynamic, after.dynamic, report);
}

function sizeFaults(old: ProgramHeader | undefined, now: ProgramHeader | undefined, report: Report): void {
  if (old?.p_filesz !== now?.p_filesz)
    report(`PT_INTERP or PT_DYNAMIC changed: ${tell(old)} is ${tell(now)}`);
}

function loaderFaults(
  source: ByteSource,
  after: Side,
  old: ProgramHeader,
  now: ProgramHeader,
  report: Report,
): void {
  const text = source.read(old.p_offset, old.p_filesz);
  const named = after.source.read(now.p_offset, now.p_filesz);
  if (!named.equals(text)) report(`PT_INTERP names another loader: ${text} is ${named}`);
  const address = addressOfOffset(after.loads, now.p_offset, now.p_filesz);
  if (address !== now.p_vaddr)
    report(`PT_INTERP is not loaded: it says ${hex(now.p_vaddr)}, its bytes are at ${hex(address)}`);
}
