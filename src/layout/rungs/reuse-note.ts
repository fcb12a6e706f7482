import { alignUp } from '../../elf/bytes.js';
import { CACHE_NOTE_SECTION, PT_LOAD, PT_NOTE, SHT_NOTE } from '../../elf/constants.js';
import { addressOfOffset, type ProgramHeader } from '../../elf/image.js';
import { endOfNotes } from '../../elf/notes.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import { type Change, NOTHING_MOVED, newEntries, type Target } from './change.js';
import { free } from './free.js';
import type { Ground } from './ground.js';
import { leaveEdits } from './move.js';
import { type Block, type CopiedRoom, type ExtendedRoom, NO_SPARE } from './room.js';

/** A note larger than this holds a program's data (Node's single executables), not facts about it. */
const LARGEST_COPY = 4096;

/**
 * `reuse-note`: a 4-aligned `PT_NOTE` whose notes are copied in front of the cache note, so that it covers them all.
 * @param needed entries for other things, which must find free room.
 */
export function reuseNote(ground: Ground, needed: number): CopiedRoom | undefined {
  const spare = needed === 0 ? NO_SPARE : free(ground, needed)?.spare;
  if (spare === undefined) return undefined;
  let best: CopiedRoom | undefined;
  for (const [note, p] of ground.image.programHeaders.entries()) {
    if (p.p_type !== PT_NOTE || p.p_align !== NOTE_ALIGN || p.p_filesz !== p.p_memsz) continue;
    if (p.p_filesz > LARGEST_COPY || p.p_filesz >= (best?.front.size ?? Number.POSITIVE_INFINITY)) continue;
    const front = noteBlock(ground, note, p);
    if (front !== undefined) best = { kind: 'reuse-note', spare, front, note, load: undefined };
  }
  return best;
}

/** The `PT_NOTE` leads to the copies; the bytes stay, with every pointer to them that is loaded. */
export function applyReuse({ spare, front, note }: CopiedRoom, target: Target): Change {
  const { image, source, place } = target;
  const programHeaders = newEntries(target, spare, front, note);
  if (place.front === undefined) return { programHeaders, ...NOTHING_MOVED };
  const count = image.sectionHeaders.length;
  const renumbered = new Map(front.sections.map((old, i) => [old, count + i]));
  const { edits, places } = leaveEdits(image, source, front, place.front, renumbered);
  return { programHeaders, ...NOTHING_MOVED, edits, copied: places };
}

/** `reuse-note` where nothing has to move: a `PT_NOTE` that already ends its read-only segment. */
export function extendNote({ image, source }: Ground): ExtendedRoom | undefined {
  const { programHeaders } = image;
  for (const [note, p] of programHeaders.entries()) {
    if (p.p_type !== PT_NOTE || p.p_align !== NOTE_ALIGN || p.p_filesz !== p.p_memsz) continue;
    // strip leaves an empty PT_NOTE of one whose notes had no section.
    if (p.p_filesz === 0) continue;
    const end = alignUp(p.p_vaddr + p.p_filesz, NOTE_ALIGN);
    const load = programHeaders.findIndex(
      l => l.p_type === PT_LOAD && alignUp(l.p_vaddr + l.p_memsz, NOTE_ALIGN) === end,
    );
    if (load < 0 || addressOfOffset(programHeaders, p.p_offset, p.p_filesz) !== p.p_vaddr) continue;
    if (endOfNotes(source, image.encoding, p.p_offset, p.p_filesz) !== p.p_offset + p.p_filesz) continue;
    return { kind: 'extend-note', spare: NO_SPARE, front: undefined, note, load };
  }
  return undefined;
}

export function applyExtended({ spare, note }: ExtendedRoom, target: Target): Change {
  return { programHeaders: newEntries(target, spare, undefined, note), ...NOTHING_MOVED };
}

function noteBlock(ground: Ground, index: number, p: ProgramHeader): Block | undefined {
  const { programHeaders, sectionHeaders, encoding } = ground.image;
  const start = p.p_offset;
  const end = endOfNotes(ground.source, encoding, start, p.p_filesz);
  if (end === undefined) return undefined;
  if (p.p_filesz === 0 || addressOfOffset(programHeaders, start, p.p_filesz) !== p.p_vaddr) return undefined;
  const group = ground.groups.find(g => g.start < end && start < g.end);
  const sections = (group?.members ?? [])
    .filter(m => m.kind === 'section' && m.start < end && start < m.end)
    .filter(m => m.start >= start && m.end <= end && sectionHeaders[m.index]?.sh_type === SHT_NOTE)
    .map(m => m.index);
  const covered = sections.reduce((sum, i) => sum + alignUp(sectionHeaders[i]?.sh_size ?? 0, NOTE_ALIGN), 0);
  if (ground.hasSections() && covered !== alignUp(end - start, NOTE_ALIGN)) return undefined;
  if (sections.some(i => sectionHeaders[i]?.name === CACHE_NOTE_SECTION)) return undefined;
  const names = sections.map(i => sectionHeaders[i]?.name ?? '');
  return {
    start,
    end,
    size: end - start,
    address: p.p_vaddr,
    align: NOTE_ALIGN,
    sections,
    segments: [index],
    tags: [],
    names: names.length > 0 ? names : ['PT_NOTE'],
  };
}
