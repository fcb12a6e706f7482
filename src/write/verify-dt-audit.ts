import { type ByteString, isZero, largest } from '../elf/bytes.js';
import { DT_AUDIT, DT_STRSZ, PF_R, PF_W, PT_DYNAMIC, PT_LOAD } from '../elf/constants.js';
import { dynamicStrings, ownReader, READER_MARK, readAudit } from '../elf/dt-audit.js';
import { type ElfImage, offsetOfAddress, type ProgramHeader } from '../elf/image.js';
import type { ElfView } from '../elf/view.js';
import { occupiedRanges, tableEnd } from '../layout/model/occupied.js';
import type { Commit, Edit } from '../layout/model/plan.js';
import {
  type Check,
  checkEdits,
  checkNotes,
  checkSegments,
  checkTable,
  gapsIn,
  TABLE_TAGS,
} from './verify.js';

/** @throws ElfnoteError `verify` */
export function checkReaderWritten(
  before: ElfView,
  now: ElfView,
  commit: Commit,
  path: ByteString | undefined,
  check: Check,
): void {
  checkReader(before, now, path, check);
  checkEdits(before.image, before.source, otherEdits(now, commit.edits), tableEnd(before.image), check);
  checkPath(before, now, check);
}

/** @throws ElfnoteError `verify` */
export function checkReaderReleased(before: ElfView, now: ElfView, { edits }: Commit, check: Check): void {
  check(ownReader(now.image, now.source) === undefined, 'the old reader is still there');
  // Seen from its end, a removal is an addition.
  checkReader(now, before, ownReader(before.image, before.source), check);
  checkEdits(before.image, before.source, otherEdits(before, edits), tableEnd(before.image), check);
}

/** The one file is the other with a reader, and with nothing else that the kernel or ld.so could notice. */
function checkReader(without: ElfView, reader: ElfView, path: ByteString | undefined, check: Check): void {
  const audit = readAudit(reader.image, reader.source);
  check(audit?.own === true && audit.path === path, 'DT_AUDIT does not say what was planned');
  checkDynamic(without, reader, check);
  checkStrings(without, reader, check);
  checkHeaders(without, reader, check);
  checkSegments(without.image, reader.image, check);
  checkTable(without.image, reader.image, false, check);
  checkNotes(without.image, without.source, reader.image, reader.source, check);
  const notes = ({ cacheNotes }: ElfImage) => JSON.stringify(cacheNotes);
  check(notes(without.image) === notes(reader.image), 'the cache note changed');
}

/** One more entry behind the others, and `DT_NULL` behind that; the others follow what moved. */
function checkDynamic(without: ElfView, { image, source: view }: ElfView, check: Check): void {
  const old = without.image.dynamic;
  const now = image.dynamic;
  if (old === undefined || now === undefined) {
    check(false, 'there is no dynamic section');
    return;
  }
  const sections = without.image.sectionHeaders;
  const moved = new Map(sections.map((s, i) => [s.sh_addr, image.sectionHeaders[i]?.sh_addr]));
  const kept = old.entries.every(({ d_tag, d_val, offset }, i) => {
    const entry = now.entries[i];
    const expected = TABLE_TAGS.has(d_tag) ? (moved.get(d_val) ?? d_val) : d_val;
    const isRight = d_tag === DT_STRSZ || entry?.d_val === expected;
    return entry?.d_tag === d_tag && entry.offset === offset && isRight;
  });
  const [added, ...more] = now.entries.slice(old.entries.length);
  check(kept && added?.d_tag === DT_AUDIT && more.length === 0, 'the dynamic section has other entries');
  const said = ({ needed, soname, runpath, rpath }: typeof now) =>
    JSON.stringify([needed, soname, runpath, rpath]);
  check(said(old) === said(now), 'the dynamic section says something else');
  const segment = image.programHeaders.find(p => p.p_type === PT_DYNAMIC);
  const entrySize = 2 * image.encoding.wordSize;
  const end = (added?.offset ?? 0) + entrySize;
  const inside = segment !== undefined && end + entrySize <= segment.p_offset + segment.p_filesz;
  check(inside && isZero(view, end, image.encoding.wordSize), 'no DT_NULL ends the dynamic section');
}

/** Every string keeps its index, in a table that is loaded and that the section headers describe. */
function checkStrings(without: ElfView, { image, source: view }: ElfView, check: Check): void {
  const old = dynamicStrings(without.image);
  const now = dynamicStrings(image);
  const audit = readAudit(image, view);
  if (old === undefined || now === undefined || audit?.path === undefined) {
    check(false, 'the dynamic string table is not loaded');
    return;
  }
  const start = audit.entry.d_val - READER_MARK.length;
  const end = audit.entry.d_val + audit.path.length + 1;
  const same = (from: number, to: number) =>
    from >= to ||
    without.source.read(old.offset + from, to - from).equals(view.read(now.offset + from, to - from));
  check(old.size >= start && old.size <= now.size, 'the dynamic string table has a wrong size');
  check(same(0, start) && same(end, old.size), 'a dynamic string changed');
  const readable = image.programHeaders.some(
    p =>
      p.p_type === PT_LOAD &&
      (p.p_flags & PF_R) !== 0 &&
      p.p_vaddr <= now.address &&
      now.address + now.size <= p.p_vaddr + p.p_filesz,
  );
  check(readable, 'the dynamic string table is not readable');
}

/** Sections may move with their contents, and one segment may end later. */
function checkHeaders(without: ElfView, reader: ElfView, check: Check): void {
  const [old, now] = [without.image, reader.image];
  check(now.sectionError === undefined, 'the section headers cannot be read');
  check(JSON.stringify(old.header) === JSON.stringify(now.header), 'the ELF header changed');
  check(old.sectionHeaders.length === now.sectionHeaders.length, 'a section appeared or went');
  const strings = dynamicStrings(old);
  for (const [i, section] of now.sectionHeaders.entries()) {
    const was = old.sectionHeaders[i];
    if (was === undefined || JSON.stringify(was) === JSON.stringify(section)) continue;
    const isTable = was.sh_offset === strings?.offset && was.sh_size === strings.size;
    const { sh_addr, sh_offset, sh_size } = section;
    const expected = {
      ...was,
      sh_addr,
      sh_offset,
      sh_size: isTable ? dynamicStrings(now)?.size : was.sh_size,
    };
    check(JSON.stringify(section) === JSON.stringify(expected), `section ${section.name} changed`);
    const loadedAt = offsetOfAddress(now.programHeaders, sh_addr, sh_size);
    check(loadedAt === sh_offset, `section ${section.name} is not loaded`);
    // What the string table says is checked string by string.
    const same = () =>
      without.source.read(was.sh_offset, sh_size).equals(reader.source.read(sh_offset, sh_size));
    check(isTable || same(), `section ${section.name} has other contents in its new place`);
  }
  check(old.programHeaders.length === now.programHeaders.length, 'a program header appeared or went');
  const grown = now.programHeaders.filter(
    (p, i) => JSON.stringify(p) !== JSON.stringify(old.programHeaders[i]),
  );
  check(grown.length <= 1, 'more than one program header changed');
  for (const p of grown) checkGrowth(old.programHeaders[now.programHeaders.indexOf(p)], p, now, check);
}

/** Read-only, or the last in the file and in memory, where nothing but the heap comes after it. */
function checkGrowth(was: ProgramHeader | undefined, p: ProgramHeader, image: ElfImage, check: Check): void {
  const { p_filesz, p_memsz } = p;
  check(JSON.stringify({ ...was, p_filesz, p_memsz }) === JSON.stringify(p), 'a program header changed');
  const isFull = was?.p_filesz === was?.p_memsz && p_filesz === p_memsz;
  check(p.p_type === PT_LOAD && isFull && p_memsz > (was?.p_memsz ?? 0), 'what grew is no full PT_LOAD');
  const top = largest(image.programHeaders.map(other => other.p_vaddr + other.p_memsz));
  const isLast = p.p_vaddr + p_memsz === top && p.p_offset + p_filesz === image.size;
  check((p.p_flags & PF_W) === 0 || isLast, 'a segment grew that is not read-only data');
}

/** The file range of mark and path. */
function pathRange({ image, source: view }: ElfView): { start: number; end: number } {
  const audit = readAudit(image, view);
  const at = (dynamicStrings(image)?.offset ?? 0) + (audit?.entry.d_val ?? 0);
  return { start: at - READER_MARK.length, end: at + (audit?.path?.length ?? 0) + 1 };
}

/** What is written besides the path, which may stand where something stood that has moved. */
function otherEdits(reader: ElfView, edits: readonly Edit[]): Edit[] {
  const { start, end } = pathRange(reader);
  return edits.filter(({ offset, bytes }) => offset < start || offset + bytes.length > end);
}

/** The path stands on nothing but the string table now, and on no bytes before that nothing described. */
function checkPath(without: ElfView, reader: ElfView, check: Check): void {
  const { start, end } = pathRange(reader);
  const described = (image: ElfImage) => occupiedRanges(image).filter(({ kind }) => kind !== 'load');
  const on = described(reader.image).filter(range => range.start < end && range.end > start);
  const strings = dynamicStrings(reader.image)?.offset;
  check(on.length === 1 && on[0]?.start === strings, "the reader's path stands on something else");
  for (const [from, to] of gapsIn(described(without.image), start, Math.min(end, without.image.size))) {
    check(isZero(without.source, from, to - from), "the reader's path stands on bytes that are not zero");
  }
}
