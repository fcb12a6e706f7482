import { ET_EXEC, PT_NOTE, SHF_ALLOC, SHT_NOTE } from '../../elf/constants.js';
import { type ElfImage, programHeaderSize } from '../../elf/image.js';
import { tableEnd } from '../model/occupied.js';
import type { Placed } from './build.js';

/** What a candidate costs, the dearest term first. */
export interface Cost {
  /** 4: patchelf cannot edit the file any more; 2: more system calls at each load; 1: the build-id is where the kernel does not look. */
  readonly losses: number;
  /** Sections. Moving comes before bytes: what has not moved cannot be missed by another tool. */
  readonly moved: number;
  /** At the end of the file. */
  readonly bytes: number;
}

export function costOf(image: ElfImage, candidate: Placed): Cost {
  const { room, place, sections } = candidate;
  return {
    losses:
      (stopsPatchelf(image, candidate) ? 4 : 0) +
      (outgrowsFirstRead(image, candidate) ? 2 : 0) +
      (takesNoteFromFirstPage(image, candidate) ? 1 : 0),
    moved: room.front?.names.length ?? 0,
    bytes: Math.max(place.kind === 'tail' ? place.end : 0, sections?.fileEnd ?? 0),
  };
}

export function isCheaper(a: Cost, b: Cost): boolean {
  if (a.losses !== b.losses) return a.losses < b.losses;
  return a.moved === b.moved ? a.bytes < b.bytes : a.moved < b.moved;
}

/** Whether none of the rooms behind it costs less: nothing is lost or moves, and so the same bytes are written. */
export function isLeast({ losses, moved }: Cost): boolean {
  return losses === 0 && moved === 0;
}

/** ld.so reads so much of a file at first (`struct filebuf`), and a table that reaches beyond it once more. */
const FIRST_READ = { 64: 832, 32: 512 } as const;

function outgrowsFirstRead(image: ElfImage, { room, place }: Placed): boolean {
  const limit = FIRST_READ[image.encoding.is64 ? 64 : 32];
  const end = tableEnd(image);
  const { nulls, phdr, twin } = room.spare;
  const added =
    (room.note === undefined && twin === undefined ? 1 : 0) +
    (place.newLoad === undefined ? 0 : 1) -
    (phdr === undefined ? 0 : 1) -
    nulls;
  return end <= limit && end + added * programHeaderSize(image.encoding) > limit;
}

/**
 * patchelf 0.19 takes the cache note out when it changes the run path or what is needed, and its program header only
 * where that covers nothing else. When it then has to move a note, it demands that sections fill every `PT_NOTE`. It
 * moves what stands where its program headers shall, and in an `ET_EXEC` all up to what it replaces.
 */
function stopsPatchelf({ header, programHeaders, sectionHeaders }: ElfImage, { room }: Placed): boolean {
  if (room.note === undefined) return false;
  const notes = sectionHeaders.filter(s => s.sh_type === SHT_NOTE && (s.sh_flags & SHF_ALLOC) !== 0);
  const entries = programHeaders.length + notes.length + 2;
  const isFixed = header.e_type === ET_EXEC;
  const end = isFixed ? Number.POSITIVE_INFINITY : header.e_phoff + entries * header.e_phentsize;
  const moved = new Set(room.front?.sections.map(i => sectionHeaders[i]));
  return notes.some(s => s.sh_offset < end && !moved.has(s));
}

/** The kernel takes a mapped file's build-id for a core dump, and for perf, from the file's first page alone. */
const FIRST_PAGE = 4096;

function takesNoteFromFirstPage({ programHeaders }: ElfImage, { room, place }: Placed): boolean {
  const { front, spare } = room;
  if (front === undefined || place.front === undefined) return false;
  const distance = place.front.offset - front.start;
  return front.segments.some(index => {
    const p = programHeaders[index];
    if (p?.p_type !== PT_NOTE || index === spare.twin) return false;
    const end = p.p_offset + p.p_filesz;
    return end <= FIRST_PAGE && end + distance > FIRST_PAGE;
  });
}
