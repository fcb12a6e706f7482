import type { ByteSource } from '../../elf/bytes.js';
import {
  DT_NOT_AN_ADDRESS,
  PT_INTERP,
  PT_LOAD,
  PT_NULL,
  PT_PHDR,
  SHN_LORESERVE,
} from '../../elf/constants.js';
import { addressOfOffset, type ElfImage, type ProgramHeader } from '../../elf/image.js';
import { hasSections, tableEnd } from '../model/occupied.js';
import { isCongruent, isPageCongruent, mapsNothing } from '../model/pages.js';
import type { NoteCommit, Payload, PlanOptions, SkipPlan } from '../model/plan.js';
import { buildPlan, type Candidate } from './build.js';
import { costOf, isCheaper, isLeast } from './cost.js';
import { fitsPhnum } from './header.js';
import { moveTable } from './move-table.js';
import { type Place, placeInTail } from './place.js';
import type { Room } from './room.js';
import { rungOf, WAYS, type Way } from './rooms.js';
import { Study } from './study.js';

/**
 * Plans a place for notes in a file that has none of elfnote's: the ladder of docs/layout.md. The cheapest rung that fits
 * wins. Reads only, and depends on nothing but the file and the payload.
 */
export function planNote(
  image: ElfImage,
  source: ByteSource,
  payload: Payload,
  options: PlanOptions = {},
): NoteCommit | SkipPlan {
  const refusal = Study.has(image) ? undefined : refuse(image);
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
  const start = load.p_vaddr + load.p_memsz;
  const end = load.p_vaddr + place.end - load.p_offset;
  const stray = image.dynamic?.entries.find(
    ({ d_tag, d_val }) => start <= d_val && d_val < end && !DT_NOT_AN_ADDRESS.has(d_tag),
  );
  if (stray === undefined) return undefined;
  const detail = `dynamic entry 0x${stray.d_tag.toString(16)} leads behind PT_LOAD ${place.load}, where the notes would be`;
  return { kind: 'skip', reason: 'unsupported-layout', detail };
}

/** Layouts that elfnote does not understand well enough to touch. */
export function refuse(image: ElfImage): SkipPlan | undefined {
  const detail = refusalOfLoads(image) ?? refusalOfTable(image);
  return detail === undefined ? undefined : { kind: 'skip', reason: 'unsupported-layout', detail };
}

function refusalOfLoads({ programHeaders }: ElfImage): string | undefined {
  let last: ProgramHeader | undefined;
  const faults = (load: ProgramHeader, next: ProgramHeader | undefined, isFirst: boolean) => {
    if (next !== undefined && next.p_vaddr < load.p_vaddr + load.p_memsz)
      return 'the PT_LOAD entries overlap or are not in ascending order';
    // Kernels before 5.18 compute AT_PHDR from the first one, whatever it maps.
    if (isCongruent(load) || (!isFirst && (isPageCongruent(load) || mapsNothing(load)))) return undefined;
    return 'a PT_LOAD has an offset that is not congruent to its address';
  };
  let isFirst = true;
  for (const p of programHeaders) {
    if (p.p_type !== PT_LOAD) continue;
    const fault = last && faults(last, p, isFirst);
    if (fault !== undefined) return fault;
    if (last !== undefined) isFirst = false;
    last = p;
  }
  return last && faults(last, undefined, isFirst);
}

function refusalOfTable(image: ElfImage): string | undefined {
  const { header, programHeaders, sectionHeaders, size } = image;
  const table = addressOfOffset(programHeaders, header.e_phoff, tableEnd(image) - header.e_phoff);
  if (table === undefined) return 'no PT_LOAD holds the program header table';
  const phdr = programHeaders.find(p => p.p_type === PT_PHDR);
  if (phdr !== undefined && (phdr.p_offset !== header.e_phoff || phdr.p_vaddr !== table))
    return 'PT_PHDR does not say where the program header table is';
  const interp = programHeaders.find(p => p.p_type === PT_INTERP);
  if (
    interp !== undefined &&
    addressOfOffset(programHeaders, interp.p_offset, interp.p_filesz) !== interp.p_vaddr
  )
    return 'no PT_LOAD holds PT_INTERP';
  // What is appended to the file would be taken for a part of it.
  const beyond = programHeaders.findIndex(
    ({ p_type, p_offset, p_filesz }) => p_type !== PT_NULL && p_filesz > 0 && p_offset + p_filesz > size,
  );
  if (beyond >= 0) return `program header ${beyond} reaches beyond the end of the file`;
  if (sectionHeaders.length >= SHN_LORESERVE) return 'too many section headers';
  return fitsPhnum(programHeaders.length + 2) ? undefined : 'too many program headers';
}

function findCandidate(
  image: ElfImage,
  study: Study,
  noteSize: number,
  options: PlanOptions,
): Candidate | undefined {
  const { placement, avoid } = options;
  const kinds: Place['kind'][] = [];
  if (placement !== 'tail') kinds.push('slack');
  if (placement !== 'slack' && study.mayAppend) kinds.push('tail');
  // A tail costs a segment, so any slack beats it.
  for (const kind of kinds) {
    let best: Candidate | undefined;
    const fitting = new Set<Way>();
    for (const way of WAYS[kind]) {
      if (way.rather !== undefined && fitting.has(way.rather)) continue;
      const room = study.room(way.find);
      if (room === undefined || avoid?.includes(rungOf(room))) continue;
      for (const candidate of fit(image, study, kind, room, noteSize)) {
        fitting.add(way);
        if (best === undefined || isCheaper(candidate.cost, best.cost)) best = candidate;
      }
      if (best !== undefined && isLeast(best.cost)) break;
    }
    if (best !== undefined) return best;
  }
  if (!options.moveTable) return undefined;
  for (const kind of kinds) {
    const room = moveTable(study.ground, kind === 'slack' ? 1 : 2);
    const [first] = fit(image, study, kind, room, noteSize);
    if (first !== undefined) return first;
  }
  return undefined;
}

/** Every place in which a room can be used. */
function fit(image: ElfImage, study: Study, kind: Place['kind'], room: Room, noteSize: number): Candidate[] {
  const sections = study.sections(copiedSections(room));
  const sharesNote = room.note !== undefined || room.spare.twin !== undefined;
  // A note that nobody can give a section header would take the others it shares a segment with down in strip.
  if (sharesNote && sections === undefined && hasSections(image)) return [];
  const candidate = (place: Place): Candidate => {
    const cost = costOf(image, { room, place, sections });
    return { room, place, sections, cost };
  };
  if (kind === 'slack') return study.placesInSlack(sections, room, noteSize).map(candidate);
  const place = placeInTail(image, room, noteSize, sections?.fileEnd ?? image.size);
  return place === undefined ? [] : [candidate(place)];
}

const NONE: readonly number[] = [];

/** Only `reuse-note` gives what it moves new section headers. */
function copiedSections(room: Room): readonly number[] {
  return room.kind === 'reuse-note' ? room.front.sections : NONE;
}
