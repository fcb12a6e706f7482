import { ET_EXEC, PT_NOTE, SHF_ALLOC, SHT_NOTE } from '../../elf/constants.js';
import { type ElfImage, programHeaderSize, type SectionHeader } from '../../elf/image.js';
import { tableEnd } from '../model/occupied.js';
import { type Candidate, movedNames } from './build.js';

/**
 * What patchelf can still edit, then fewest system calls at each load, then the build-id where the kernel looks for it, then fewest sections moved, then
 * fewest bytes at the end of the file, then the order of the ladder. Moving comes before bytes: what has not moved
 * cannot be missed by another tool.
 */
export function cheapest(image: ElfImage, candidates: readonly Candidate[]): Candidate | undefined {
  const costs = new Map(candidates.map(candidate => [candidate, costOf(image, candidate)]));
  const cost = (candidate: Candidate) => costs.get(candidate) ?? [];
  const isCheaper = (a: readonly number[], b: readonly number[]) => {
    const differs = a.findIndex((value, i) => value !== b[i]);
    return differs >= 0 && (a[differs] ?? 0) < (b[differs] ?? 0);
  };
  return candidates.reduce<Candidate | undefined>(
    (best, candidate) => (best === undefined || isCheaper(cost(candidate), cost(best)) ? candidate : best),
    undefined,
  );
}

function costOf(image: ElfImage, candidate: Candidate): number[] {
  const { room, place, sections } = candidate;
  return [
    Number(stopsPatchelf(image, candidate)),
    Number(outgrowsFirstRead(image, candidate)),
    Number(takesNoteFromFirstPage(image, candidate)),
    movedNames(room).length,
    Math.max(place.kind === 'tail' ? place.end : 0, sections?.fileEnd ?? 0),
  ];
}

/** ld.so reads so much of a file at first (`struct filebuf`), and a table that reaches beyond it once more. */
const FIRST_READ = { 64: 832, 32: 512 } as const;

function outgrowsFirstRead(image: ElfImage, { room, place }: Candidate): boolean {
  const limit = FIRST_READ[image.encoding.is64 ? 64 : 32];
  const end = tableEnd(image);
  const added =
    (room.reused === undefined ? 1 : 0) +
    (place.newLoad === undefined ? 0 : 1) -
    (room.dropped === undefined ? 0 : 1) -
    room.nullsUsed;
  return end <= limit && end + added * programHeaderSize(image.encoding) > limit;
}

/**
 * patchelf 0.19 takes the cache note out when it changes the run path or what is needed, and its program header only
 * where that covers nothing else. When it then has to move a note, it demands that sections fill every `PT_NOTE`. It
 * moves what stands where its program headers shall, and in an `ET_EXEC` all up to what it replaces.
 */
function stopsPatchelf({ header, programHeaders, sectionHeaders }: ElfImage, { room }: Candidate): boolean {
  if (room.reused === undefined || room.vacated) return false;
  const isNote = (s: SectionHeader) => s.sh_type === SHT_NOTE && (s.sh_flags & SHF_ALLOC) !== 0;
  const entries = programHeaders.length + sectionHeaders.filter(isNote).length + 2;
  const isFixed = header.e_type === ET_EXEC;
  const end = isFixed ? Number.POSITIVE_INFINITY : header.e_phoff + entries * header.e_phentsize;
  const moved = new Set(room.block?.sections);
  return sectionHeaders.some((s, i) => isNote(s) && s.sh_offset < end && !moved.has(i));
}

/** The kernel takes a mapped file's build-id for a core dump, and for perf, from the file's first page alone. */
const FIRST_PAGE = 4096;

function takesNoteFromFirstPage({ programHeaders }: ElfImage, { room, place }: Candidate): boolean {
  const { block } = room;
  const distance = (place.block?.offset ?? 0) - (block?.start ?? 0);
  return (block?.segments ?? []).some(index => {
    const p = programHeaders[index];
    if (p?.p_type !== PT_NOTE || (index === room.reused && room.vacated)) return false;
    const end = p.p_offset + p.p_filesz;
    return end <= FIRST_PAGE && end + distance > FIRST_PAGE;
  });
}
