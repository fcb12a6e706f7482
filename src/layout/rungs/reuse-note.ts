import { alignUp } from '../../elf/bytes.js';
import { CACHE_NOTE_SECTION, PT_LOAD, PT_NOTE, SHT_NOTE } from '../../elf/constants.js';
import { addressOfOffset, type ProgramHeader } from '../../elf/image.js';
import { endOfNotes } from '../../elf/notes.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import { free } from './free.js';
import type { Ground } from './ground.js';
import type { Block, Room } from './room.js';

/** A note larger than this holds a program's data (Node's single executables), not facts about it. */
const LARGEST_COPY = 4096;

/**
 * `reuse-note`: a 4-aligned `PT_NOTE` whose notes are copied in front of the cache note, so that it covers them all.
 * @param needed entries for other things, which must find free room.
 */
export function reuseNote(ground: Ground, needed: number): Room | undefined {
  const room = needed === 0 ? undefined : free(ground, needed);
  if (needed > 0 && room === undefined) return undefined;
  let best: Room | undefined;
  for (const [reused, p] of ground.image.programHeaders.entries()) {
    if (p.p_type !== PT_NOTE || p.p_align !== NOTE_ALIGN || p.p_filesz !== p.p_memsz) continue;
    if (p.p_filesz > LARGEST_COPY || p.p_filesz >= (best?.block?.size ?? Number.POSITIVE_INFINITY)) continue;
    const block = noteBlock(ground, reused, p);
    if (block !== undefined) best = { kind: 'reuse-note', block, nullsUsed: room?.nullsUsed ?? 0, reused };
  }
  return best;
}

/** `reuse-note` where nothing has to move: a `PT_NOTE` that already ends its read-only segment. */
export function extendNote({ image, source }: Ground): Room | undefined {
  const { programHeaders } = image;
  for (const [reused, p] of programHeaders.entries()) {
    if (p.p_type !== PT_NOTE || p.p_align !== NOTE_ALIGN || p.p_filesz !== p.p_memsz) continue;
    // strip leaves an empty PT_NOTE of one whose notes had no section.
    if (p.p_filesz === 0 || addressOfOffset(programHeaders, p.p_offset, p.p_filesz) !== p.p_vaddr) continue;
    if (endOfNotes(source, image.encoding, p.p_offset, p.p_filesz) !== p.p_offset + p.p_filesz) continue;
    const end = alignUp(p.p_vaddr + p.p_filesz, NOTE_ALIGN);
    const load = programHeaders.findIndex(
      l => l.p_type === PT_LOAD && alignUp(l.p_vaddr + l.p_memsz, NOTE_ALIGN) === end,
    );
    if (load >= 0) return { kind: 'reuse-note', block: undefined, nullsUsed: 0, reused, load };
  }
  return undefined;
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
