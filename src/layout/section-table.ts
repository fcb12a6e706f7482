import { alignUp, type ByteSource, bytesOf } from '../elf/bytes.js';
import { CACHE_NOTE_SECTION, SHF_ALLOC, SHN_LORESERVE, SHT_NOTE, SHT_NULL } from '../elf/constants.js';
import { type ElfImage, sectionHeaderSize } from '../elf/image.js';
import { type Edit, STEP } from './plan.js';

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

/** How the section header table takes one more entry; the note's own place may depend on where it ends. */
export interface SectionTableRoom {
  /** End of the file once the entry and the names are written. */
  readonly fileEnd: number;
  /** @param moved new address and offset of each section that moves, by index. */
  plan(note: NoteRange, moved: ReadonlyMap<number, { address: number; offset: number }>): SectionTablePlan;
}

/**
 * One new section header behind the last, and the names behind it. A table that does not end the file is
 * copied to its end; the old one stays, unreferenced. Other headers keep their indexes.
 *
 * @returns undefined when the file has no section headers, or too many.
 */
export function sectionTableRoom(image: ElfImage, source: ByteSource): SectionTableRoom | undefined {
  const { sectionHeaders, header, encoding } = image;
  const strings = sectionHeaders[header.e_shstrndx];
  const count = sectionHeaders.length;
  if (strings === undefined || header.e_shstrndx === 0 || count + 1 >= SHN_LORESERVE) return undefined;
  const entrySize = sectionHeaderSize(encoding);
  const oldEnd = header.e_shoff + count * entrySize;

  const reusable = sectionHeaders.findIndex(
    (s, i) => i > 0 && s.sh_type === SHT_NULL && s.name === CACHE_NOTE_SECTION,
  );
  const oldNames = source.read(strings.sh_offset, strings.sh_size);
  const known = oldNames.indexOf(bytesOf(`\0${CACHE_NOTE_SECTION}\0`));
  const grows = reusable < 0;
  const inPlace = !grows || oldEnd === image.size;
  const e_shoff = inPlace ? header.e_shoff : alignUp(image.size, encoding.wordSize);
  const e_shnum = grows ? count + 1 : count;
  const index = grows ? count : reusable;
  const tableEnd = e_shoff + e_shnum * entrySize;
  const names = known < 0 ? Buffer.concat([oldNames, bytesOf(`${CACHE_NOTE_SECTION}\0`)]) : undefined;
  const namesAt = Math.max(image.size, tableEnd);

  return {
    fileEnd: names === undefined ? namesAt : namesAt + names.length,
    plan(note, moved) {
      const own = Buffer.alloc(entrySize);
      const w = encoding.wordSize;
      encoding.putU32(own, 0, known < 0 ? oldNames.length : known + 1);
      encoding.putU32(own, 4, SHT_NOTE);
      encoding.putWord(own, 8, SHF_ALLOC);
      encoding.putWord(own, 8 + w, note.address);
      encoding.putWord(own, 8 + 2 * w, note.offset);
      encoding.putWord(own, 8 + 3 * w, note.size);
      encoding.putWord(own, 16 + 4 * w, 4);

      const edits: Edit[] = [];
      const put = (offset: number, bytes: Buffer, step: number, why: string) =>
        edits.push({ offset, bytes, step, why });
      if (!inPlace) {
        const copy = Buffer.from(source.read(header.e_shoff, count * entrySize));
        put(e_shoff, copy, STEP.payload, 'copy of the section header table, which did not end the file');
      }
      put(e_shoff + index * entrySize, own, STEP.payload, `section header of ${CACHE_NOTE_SECTION}`);
      if (names !== undefined) {
        put(namesAt, names, STEP.payload, `section names with ${CACHE_NOTE_SECTION}`);
        const field = Buffer.concat([encoding.wordBytes(namesAt), encoding.wordBytes(names.length)]);
        const at = e_shoff + header.e_shstrndx * entrySize + 8 + 2 * w;
        put(at, field, STEP.pointers, 'section names: their new place and size');
      }
      edits.push(...movedSectionEdits(image, e_shoff, moved));
      return { edits, e_shoff, e_shnum, fileEnd: this.fileEnd };
    },
  };
}

/** `sh_addr` and `sh_offset` of the sections that move, in the table at `e_shoff`. */
export function movedSectionEdits(
  image: ElfImage,
  e_shoff: number,
  moved: ReadonlyMap<number, { address: number; offset: number }>,
): Edit[] {
  const { encoding, sectionHeaders } = image;
  return [...moved].map(([index, { address, offset }]) => ({
    offset: e_shoff + index * sectionHeaderSize(encoding) + 8 + encoding.wordSize,
    bytes: Buffer.concat([encoding.wordBytes(address), encoding.wordBytes(offset)]),
    step: STEP.pointers,
    why: `section header of ${sectionHeaders[index]?.name ?? ''}: its new place`,
  }));
}
