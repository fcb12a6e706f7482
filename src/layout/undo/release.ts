import { largest } from '../../elf/bytes.js';
import { PT_LOAD, SHT_NULL } from '../../elf/constants.js';
import {
  type CacheNoteLocation,
  type ElfImage,
  type ProgramHeader,
  sectionHeaderSize,
} from '../../elf/image.js';
import { SHDR } from '../../elf/structs.js';
import type { ElfView } from '../../elf/view.js';
import { ownEnd } from '../../note/own.js';
import { occupiedRanges } from '../model/occupied.js';
import { type Commit, type Edit, STEP } from '../model/plan.js';
import { headerPlan } from '../rungs/header.js';
import { recordNoteAtEnd } from './record-at-end.js';

/**
 * Takes a cache note, and elfnote's own notes behind it, out of the loader's sight and gives their space back: the
 * program header goes or shrinks, the segment ends before it, the bytes are zeroed, the section header becomes
 * `SHT_NULL` and keeps its name, so that the next note uses it again. What moved to make room stays where it is.
 */
export function releaseNote(view: ElfView, location: CacheNoteLocation): Commit {
  const { image, source } = view;
  const note = { ...location, end: ownEnd(image, source, location) };
  const programHeaders = releasedProgramHeaders(image.programHeaders, note);
  const header = headerPlan(image, source, {
    programHeaders,
    e_shoff: image.header.e_shoff,
    e_shnum: image.header.e_shnum,
  });
  const edits: Edit[] = [...header.edits];
  const zero = (offset: number, length: number, why: string) =>
    edits.push({ offset, bytes: Buffer.alloc(length), step: STEP.cleanup, why });
  const freed = (image.programHeaders.length - programHeaders.length) * image.header.e_phentsize;
  if (freed > 0) {
    const end = image.header.e_phoff + image.programHeaders.length * image.header.e_phentsize;
    zero(end - freed, freed, 'program header entries given back');
  }
  zero(note.offset, note.end - note.offset, 'bytes of the old notes');
  edits.push(...releasedSection(image, note));
  const end = recordNoteAtEnd(view)?.offset ?? image.size;
  const size = releasedSize(image, programHeaders, note, end);
  // Nothing would tell the next run what one that was stopped halfway has left.
  return { kind: 'release', edits, size, inPlaceIsSafe: false };
}

function releasedProgramHeaders(
  programHeaders: readonly ProgramHeader[],
  note: CacheNoteLocation,
): ProgramHeader[] {
  return programHeaders.flatMap((p, i): ProgramHeader[] => {
    const isNotes = i === note.segment;
    const endsSegment =
      p.p_type === PT_LOAD &&
      p.p_offset <= note.offset &&
      p.p_offset + p.p_filesz === note.end &&
      p.p_filesz === p.p_memsz;
    if (!isNotes && !endsSegment) return [p];
    const left = note.offset - p.p_offset;
    if (isNotes && p.p_offset + p.p_filesz > note.end) return [p];
    return left === 0 ? [] : [{ ...p, p_filesz: left, p_memsz: left }];
  });
}

function releasedSection(image: ElfImage, note: CacheNoteLocation): Edit[] {
  const section = note.section === undefined ? undefined : image.sectionHeaders[note.section];
  if (section === undefined || section.sh_offset !== note.offset || note.section === undefined) return [];
  const { encoding } = image;
  const size = sectionHeaderSize(encoding);
  const bytes = Buffer.alloc(size);
  SHDR.put(encoding, bytes, 0, { sh_name: section.sh_name, sh_type: SHT_NULL });
  const offset = image.header.e_shoff + note.section * size;
  return [{ offset, bytes, step: STEP.cleanup, why: 'section header of the old cache note' }];
}

/** A note that ended the file is cut off, and a record behind everything; anything else keeps the file's size. */
function releasedSize(
  image: ElfImage,
  programHeaders: readonly ProgramHeader[],
  note: CacheNoteLocation,
  end: number,
): number {
  if (note.end !== image.size) return end;
  const sectionHeaders = image.sectionHeaders.filter((_, i) => i !== note.section);
  const left = occupiedRanges({ ...image, programHeaders, sectionHeaders });
  const table = image.sectionHeaders.length * sectionHeaderSize(image.encoding);
  const tableEnd = image.sectionHeaders.length > 0 ? image.header.e_shoff + table : 0;
  return Math.min(
    image.size,
    largest(
      left.map(range => range.end),
      tableEnd,
    ),
  );
}
