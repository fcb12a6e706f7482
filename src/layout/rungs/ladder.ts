import type { ByteSource } from '../../elf/bytes.js';
import {
  DT_NOT_AN_ADDRESS,
  PT_INTERP,
  PT_LOAD,
  PT_NULL,
  PT_PHDR,
  SHN_LORESERVE,
} from '../../elf/constants.js';
import { addressOfOffset, type ElfImage } from '../../elf/image.js';
import { hasSections, tableEnd } from '../model/occupied.js';
import { isCongruent, isPageCongruent, mapsNothing } from '../model/pages.js';
import type { NoteCommit, Payload, PlanOptions, SkipPlan } from '../model/plan.js';
import { buildPlan, type Candidate } from './build.js';
import { cheapest } from './cost.js';
import { fitsPhnum } from './header.js';
import { moveTable } from './move-table.js';
import { type Place, placeInTail, placesInSlack } from './place.js';
import type { Room } from './room.js';
import { Study } from './study.js';

/**
 * Plans a place for notes in a file that has none of elfnote's: the ladder of docs/layout.md. The cheapest rung that fits wins: fewest added
 * segments, then fewest sections moved, then fewest bytes added. Reads only, and depends on nothing but the file and
 * the payload.
 */
export function planNote(
  image: ElfImage,
  source: ByteSource,
  payload: Payload,
  options: PlanOptions = {},
): NoteCommit | SkipPlan {
  const refusal = refuse(image);
  if (refusal !== undefined) return refusal;
  const study = Study.of(image, source);
  const candidate = findCandidate(image, study, payload.bytes.length, options);
  if (candidate === undefined) {
    const why = study.mayAppend
      ? 'the program header table has no room for another entry'
      : 'data is appended to the file and no read-only segment has slack';
    return { kind: 'skip', reason: 'no-room', detail: why };
  }
  return refuseStray(image, candidate) ?? buildPlan(image, source, payload, candidate);
}

/** A dynamic entry into zeros behind a segment finds zeros there, which the notes would be written over. */
function refuseStray(image: ElfImage, { place }: Candidate): SkipPlan | undefined {
  const load = place.load === undefined ? undefined : image.programHeaders[place.load];
  if (load === undefined) return undefined;
  const [start, end] = [load.p_vaddr + load.p_memsz, load.p_vaddr + place.end - load.p_offset];
  const stray = image.dynamic?.entries.find(
    ({ d_tag, d_val }) => !DT_NOT_AN_ADDRESS.has(d_tag) && start <= d_val && d_val < end,
  );
  if (stray === undefined) return undefined;
  const detail = `dynamic entry 0x${stray.d_tag.toString(16)} leads behind PT_LOAD ${place.load}, where the notes would be`;
  return { kind: 'skip', reason: 'unsupported-layout', detail };
}

/** Layouts that elfnote does not understand well enough to touch. */
export function refuse(image: ElfImage): SkipPlan | undefined {
  const skip = (detail: string): SkipPlan => ({ kind: 'skip', reason: 'unsupported-layout', detail });
  const loads = image.programHeaders.filter(p => p.p_type === PT_LOAD);
  for (const [i, load] of loads.entries()) {
    const next = loads[i + 1];
    if (next !== undefined && next.p_vaddr < load.p_vaddr + load.p_memsz) {
      return skip('the PT_LOAD entries overlap or are not in ascending order');
    }
    // Kernels before 5.18 compute AT_PHDR from the first one, whatever it maps.
    if (!isCongruent(load) && !(i > 0 && (isPageCongruent(load) || mapsNothing(load)))) {
      return skip('a PT_LOAD has an offset that is not congruent to its address');
    }
  }
  const { header, programHeaders } = image;
  const phdr = programHeaders.find(p => p.p_type === PT_PHDR);
  const table = addressOfOffset(programHeaders, header.e_phoff, tableEnd(image) - header.e_phoff);
  if (table === undefined) return skip('no PT_LOAD holds the program header table');
  if (phdr !== undefined && (phdr.p_offset !== header.e_phoff || phdr.p_vaddr !== table)) {
    return skip('PT_PHDR does not say where the program header table is');
  }
  const interp = programHeaders.find(p => p.p_type === PT_INTERP);
  if (
    interp !== undefined &&
    addressOfOffset(programHeaders, interp.p_offset, interp.p_filesz) !== interp.p_vaddr
  ) {
    return skip('no PT_LOAD holds PT_INTERP');
  }
  for (const [i, { p_type, p_offset, p_filesz }] of programHeaders.entries()) {
    // What is appended to the file would be taken for a part of it.
    if (p_type !== PT_NULL && p_filesz > 0 && p_offset + p_filesz > image.size)
      return skip(`program header ${i} reaches beyond the end of the file`);
  }
  if (image.sectionHeaders.length >= SHN_LORESERVE) return skip('too many section headers');
  if (!fitsPhnum(image.programHeaders.length + 2)) return skip('too many program headers');
  return undefined;
}

function findCandidate(
  image: ElfImage,
  study: Study,
  noteSize: number,
  options: PlanOptions,
): Candidate | undefined {
  const { source, ground, mayAppend } = study;
  const fit = (kind: Place['kind'], room: Room): Candidate[] => {
    if (options.avoid?.includes(room.kind)) return [];
    const sections = study.sections(copiedSections(room));
    // A note that nobody can give a section header would take the others it shares a segment with down in strip.
    if (room.reused !== undefined && sections === undefined && hasSections(image)) return [];
    const inTail = () => placeInTail(image, room, noteSize, sections?.fileEnd ?? image.size) ?? [];
    const places =
      kind === 'slack'
        ? placesInSlack(image, source, study.slacks(sections), room, noteSize)
        : [inTail()].flat();
    return places.map(place => ({ rung: { note: kind, table: room.kind }, room, place, sections }));
  };
  const kinds: Place['kind'][] = [];
  if (options.placement !== 'tail') kinds.push('slack');
  if (options.placement !== 'slack' && mayAppend) kinds.push('tail');
  // A tail costs a segment, so any slack beats it.
  for (const kind of kinds) {
    const rooms = study.rooms(kind === 'slack' ? 1 : 2);
    const best = cheapest(
      image,
      rooms.flatMap(room => fit(kind, room)),
    );
    if (best !== undefined) return best;
  }
  if (!options.moveTable) return undefined;
  return kinds.flatMap(kind => fit(kind, moveTable(ground, kind === 'slack' ? 1 : 2)))[0];
}

/** Only `reuse-note` gives what it moves new section headers. */
function copiedSections(room: Room): readonly number[] {
  return room.kind === 'reuse-note' ? (room.block?.sections ?? []) : [];
}
