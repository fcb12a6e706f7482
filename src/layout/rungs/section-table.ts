import { alignUp, type ByteSource, bytesOf, type Encoding, zeroRun } from '../../elf/bytes.js';
import {
  CACHE_NOTE_SECTION,
  PT_LOAD,
  SHF_ALLOC,
  SHN_LORESERVE,
  SHT_NOTE,
  SHT_NULL,
} from '../../elf/constants.js';
import { type ElfImage, type ProgramHeader, type SectionHeader, sectionHeaderSize } from '../../elf/image.js';
import { SHDR } from '../../elf/structs.js';
import { Table } from '../../elf/table.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import type { Occupied } from '../model/occupied.js';
import { type Edit, STEP } from '../model/plan.js';
import { fileGap } from '../model/slack.js';

/** Where the note stands, for its section header. */
export interface NoteRange {
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

export interface SectionTablePlan {
  readonly edits: readonly Edit[];
  readonly e_shoff: number;
  readonly e_shnum: number;
  /** End of the file so far. */
  readonly fileEnd: number;
}

/** Addresses and offsets that sections get, by index. */
export type NewPlaces = ReadonlyMap<number, { readonly address: number; readonly offset: number }>;

/** How the section header table takes more entries; the note's own place may depend on where it ends. */
export interface SectionTableRoom {
  /** End of the file once the entries and the names are written. */
  readonly fileEnd: number;
  /**
   * @param moved new place of each section that moves.
   * @param copied place of the copy of each section of `copies`.
   */
  plan(note: NoteRange, moved: NewPlaces, copied: NewPlaces): SectionTablePlan;
}

const WHOLE_NAME = bytesOf(`\0${CACHE_NOTE_SECTION}\0`);
const NEW_NAME = bytesOf(`${CACHE_NOTE_SECTION}\0`);

/**
 * New section headers behind the last, and the names behind them: the note's, and before it one for each section
 * that the note's segment holds from now on, whose old header is given up. A table that neither ends the file nor has room behind it is copied to the
 * end; the old one stays, unreferenced. Other headers keep their indexes.
 *
 * @param copies indexes of the sections that are copied.
 * @returns undefined when the file has no section headers, or too many.
 */
export function sectionTableRoom(
  image: ElfImage,
  source: ByteSource,
  occupied: readonly Occupied[],
  copies: readonly number[],
): SectionTableRoom | undefined {
  const { sectionHeaders, header, encoding } = image;
  const strings = sectionHeaders[header.e_shstrndx];
  const count = sectionHeaders.length;
  if (strings === undefined || header.e_shstrndx === 0) return undefined;
  if (count + copies.length + 1 >= SHN_LORESERVE) return undefined;
  const entrySize = sectionHeaderSize(encoding);

  const reusable = sectionHeaders.findIndex(
    (s, i) => s.sh_type === SHT_NULL && i > 0 && s.name === CACHE_NOTE_SECTION,
  );
  const oldNames = source.read(strings.sh_offset, strings.sh_size);
  const known = oldNames.indexOf(WHOLE_NAME);
  const added = copies.length + (reusable < 0 ? 1 : 0);
  const names = known < 0 ? Buffer.concat([oldNames, NEW_NAME]) : undefined;
  const free = zerosBehind(image, source, occupied, header.e_shoff + count * entrySize);
  const { inPlace, e_shoff, namesAt, fileEnd } = fitTable(image, free, added, names?.length ?? 0);
  const e_shnum = count + added;
  const entryAt = (index: number) => e_shoff + index * entrySize;
  const named: Edit[] = [];
  if (names !== undefined) {
    const why = `section names with ${CACHE_NOTE_SECTION}`;
    named.push({ offset: namesAt, bytes: names, step: STEP.payload, why });
    const bytes = twoWords(encoding, namesAt, names.length);
    const offset = entryAt(header.e_shstrndx) + SHDR.at(encoding, 'sh_offset');
    named.push({ offset, bytes, step: STEP.pointers, why: 'section names: their new place and size' });
  }

  return {
    fileEnd,
    plan(note, moved, copied) {
      const edits: Edit[] = [];
      const put = (offset: number, bytes: Buffer, step: number, why: string) =>
        edits.push({ offset, bytes, step, why });
      if (!inPlace) {
        const table = source.read(header.e_shoff, count * entrySize);
        put(e_shoff, table, STEP.payload, 'copy of the section header table, which did not end the file');
      }
      for (let i = 0; i < copies.length; i++) {
        const index = copies[i] ?? 0;
        const entry = Buffer.from(source.read(header.e_shoff + index * entrySize, entrySize));
        const place = copied.get(index) ?? { address: 0, offset: 0 };
        SHDR.put(encoding, entry, 0, { sh_addr: place.address, sh_offset: place.offset });
        const name = sectionHeaders[index]?.name ?? '';
        put(entryAt(count + i), entry, STEP.payload, `section header of ${name}, where its copy is`);
        const old = abandonedHeader(encoding, nameLeft(sectionHeaders, index));
        put(entryAt(index), old, STEP.pointers, `section header of what ${name} has left behind`);
      }
      const own = ownHeader(encoding, note, known < 0 ? oldNames.length : known + 1);
      const ownIndex = reusable < 0 ? count + copies.length : reusable;
      put(entryAt(ownIndex), own, STEP.payload, `section header of ${CACHE_NOTE_SECTION}`);
      edits.push(...named, ...movedSectionEdits(image, e_shoff, moved));
      return { edits, e_shoff, e_shnum, fileEnd };
    },
  };
}

/** Where the table stands with `added` more entries, and where the names: behind the table, as long as that has room. */
function fitTable(
  { header, encoding, sectionHeaders, size }: ElfImage,
  free: number,
  added: number,
  namesSize: number,
): { inPlace: boolean; e_shoff: number; namesAt: number; fileEnd: number } {
  const entrySize = sectionHeaderSize(encoding);
  const tableEnd = header.e_shoff + sectionHeaders.length * entrySize;
  const inPlace = tableEnd === size || added * entrySize <= free;
  const e_shoff = inPlace ? header.e_shoff : alignUp(size, encoding.wordSize);
  const newEnd = e_shoff + (sectionHeaders.length + added) * entrySize;
  const end = Math.max(size, newEnd);
  if (inPlace && newEnd + namesSize <= tableEnd + free)
    return { inPlace, e_shoff, namesAt: newEnd, fileEnd: end };
  return { inPlace, e_shoff, namesAt: end, fileEnd: end + namesSize };
}

/**
 * Free bytes behind the table, as patchelf leaves them in front of the segment that it adds. Those behind a segment
 * that ends with the table are that segment's slack.
 */
function zerosBehind(
  { programHeaders }: ElfImage,
  source: ByteSource,
  occupied: readonly Occupied[],
  tableEnd: number,
): number {
  const isEnd = (p: ProgramHeader) => p.p_type === PT_LOAD && p.p_offset + p.p_filesz === tableEnd;
  if (programHeaders.some(p => isEnd(p) && p.p_filesz > 0)) return 0;
  return zeroRun(source, tableEnd, fileGap(tableEnd, occupied));
}

function ownHeader(encoding: Encoding, note: NoteRange, sh_name: number): Buffer {
  const bytes = Buffer.alloc(sectionHeaderSize(encoding));
  SHDR.put(encoding, bytes, 0, {
    sh_name,
    sh_type: SHT_NOTE,
    sh_flags: SHF_ALLOC,
    sh_addr: note.address,
    sh_offset: note.offset,
    sh_size: note.size,
    sh_addralign: NOTE_ALIGN,
  });
  return bytes;
}

/**
 * `sh_name` and `sh_type` of a section that has left. Its bytes stay, and its header still says where, as `SHT_NULL`:
 * readelf, binutils and elfutils see no section there. patchelf 0.14 goes through the headers until one stands beyond
 * the room that it needs for its program headers, so the first of them must not be away. Later patchelfs keep sections
 * by name, so no two may share one: this one's is its own without the dot, or less.
 */
function abandonedHeader(encoding: Encoding, sh_name: number): Buffer {
  const bytes = Buffer.alloc(8);
  encoding.putU32(bytes, 0, sh_name);
  encoding.putU32(bytes, 4, SHT_NULL);
  return bytes;
}

/** The longest end of a section's name that no section has. */
function nameLeft(sectionHeaders: readonly SectionHeader[], index: number): number {
  const { name = '', sh_name = 0 } = sectionHeaders[index] ?? {};
  const taken = new Set(sectionHeaders.map(section => section.name));
  for (let cut = 1; cut < name.length; cut++) if (!taken.has(name.slice(cut))) return sh_name + cut;
  return sh_name + name.length;
}

/** Of fields that stand side by side. */
function twoWords(encoding: Encoding, first: number, second: number): Buffer {
  const bytes = Buffer.alloc(2 * encoding.wordSize);
  const table = new Table(encoding, bytes);
  table.putWord(0, first);
  table.putWord(encoding.wordSize, second);
  return bytes;
}

/** `sh_addr` and `sh_offset` of the sections that move, in the table at `e_shoff`. */
export function movedSectionEdits(image: ElfImage, e_shoff: number, moved: NewPlaces): Edit[] {
  const { encoding, sectionHeaders } = image;
  const edits: Edit[] = [];
  for (const [index, { address, offset }] of moved) {
    edits.push({
      offset: e_shoff + index * sectionHeaderSize(encoding) + SHDR.at(encoding, 'sh_addr'),
      bytes: twoWords(encoding, address, offset),
      step: STEP.pointers,
      why: `section header of ${sectionHeaders[index]?.name ?? ''}: its new place`,
    });
  }
  return edits;
}
