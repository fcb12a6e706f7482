import { isZero } from '../../elf/bytes.js';
import { PF_R, PT_LOAD } from '../../elf/constants.js';
import { AUDIT_MARK, dynamicStrings, readAudit } from '../../elf/dt-audit.js';
import type { ElfImage } from '../../elf/image.js';
import type { ElfView } from '../../elf/view.js';
import { occupiedRanges, tableEnd } from '../../layout/model/occupied.js';
import { editFaults, gapsIn } from './edits.js';
import { hex, type Invariant, type Step } from './invariant.js';

/** Every string keeps its index, in a table that is loaded, beside the one string more. */
export const STRINGS: readonly Invariant[] = [{ name: 'dynamic strings stay', faults: stringFaults }];

/** The path is written over nothing that is in use. */
export const PATH: readonly Invariant[] = [{ name: 'the path has its bytes for itself', faults: pathFaults }];

function* stringFaults({ before, after }: Step): Generator<string> {
  const old = dynamicStrings(before.image);
  const now = dynamicStrings(after.image);
  const audit = readAudit(after.image, after.source);
  if (old === undefined || now === undefined || audit?.path === undefined) {
    yield 'the dynamic string table is not loaded';
    return;
  }
  const start = audit.entry.d_val - AUDIT_MARK.length;
  const end = audit.entry.d_val + audit.path.length + 1;
  if (old.size < start || old.size > now.size) {
    yield `the dynamic string table has a wrong size: ${old.size} is ${now.size}, with the path from ${start}`;
    return;
  }
  for (const [from, to] of [
    [0, start],
    [end, old.size],
  ] as const) {
    if (from >= to) continue;
    const was = before.source.read(old.offset + from, to - from);
    if (!after.source.read(now.offset + from, to - from).equals(was))
      yield `a dynamic string changed: between ${from} and ${to} of ${now.size} bytes`;
  }
  const isReadable = after.image.programHeaders.some(
    p =>
      p.p_type === PT_LOAD &&
      (p.p_flags & PF_R) !== 0 &&
      p.p_vaddr <= now.address &&
      now.address + now.size <= p.p_vaddr + p.p_filesz,
  );
  if (!isReadable) yield `the dynamic string table is not readable: ${now.size} bytes at ${hex(now.address)}`;
}

/** The file range of mark and path. */
function pathRange({ image, source }: ElfView): { start: number; end: number } {
  const audit = readAudit(image, source);
  const at = (dynamicStrings(image)?.offset ?? 0) + (audit?.entry.d_val ?? 0);
  return { start: at - AUDIT_MARK.length, end: at + (audit?.path?.length ?? 0) + 1 };
}

/** On nothing but the string table now, and on no bytes before that nothing described. */
function* pathFaults({ before, after }: Step): Generator<string> {
  const { start, end } = pathRange(after);
  const described = (image: ElfImage) => occupiedRanges(image).filter(({ kind }) => kind !== 'load');
  const on = described(after.image).filter(range => range.start < end && range.end > start);
  const strings = dynamicStrings(after.image)?.offset;
  if (on.length !== 1 || on[0]?.start !== strings)
    yield `the audit module's path is on something else: ${on.map(({ kind, index }) => `${kind} ${index}`).join()}`;
  for (const [from, to] of gapsIn(described(before.image), start, Math.min(end, before.image.size))) {
    if (!isZero(before.source, from, to - from))
      yield `the audit module's path is on bytes that are not zero: ${from} to ${to}`;
  }
}

/** What is written besides the path, which may be where something was that has moved. */
export const OTHER_EDITS: Invariant = {
  name: 'edits besides the path touch what they may',
  faults: ({ before, after, commit }) => faultsBesides(before, after, commit.edits),
};

/** The same of an audit module that is taken out. */
export const OTHER_RELEASED_EDITS: Invariant = {
  name: 'edits besides the path touch what they may',
  faults: ({ before, commit }) => faultsBesides(before, before, commit.edits),
};

function faultsBesides(before: ElfView, other: ElfView, edits: Step['commit']['edits']): Iterable<string> {
  const { start, end } = pathRange(other);
  const others = edits.filter(({ offset, bytes }) => offset < start || offset + bytes.length > end);
  return editFaults(before, others, tableEnd(before.image));
}
