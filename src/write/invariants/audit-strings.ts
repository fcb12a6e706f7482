import { isZero } from '../../elf/bytes.js';
import { PF_R, PT_LOAD } from '../../elf/constants.js';
import { AUDIT_MARK, dynamicStrings, readAudit } from '../../elf/dt-audit.js';
import type { ElfImage } from '../../elf/image.js';
import type { ElfView } from '../../elf/view.js';
import { occupiedRanges, tableEnd } from '../../layout/model/occupied.js';
import { editFaults, gapsIn } from './edits.js';
import { hex, type Invariant, type Report, type Step } from './invariant.js';

/** Every string keeps its index, in a table that is loaded, beside the one string more. */
export const STRINGS: readonly Invariant[] = [{ name: 'dynamic strings stay', check: stringFaults }];

/** The path is written over nothing that is in use. */
export const PATH: readonly Invariant[] = [{ name: 'the path has its bytes for itself', check: pathFaults }];

function stringFaults({ before, after }: Step, report: Report): void {
  const old = dynamicStrings(before.image);
  const now = dynamicStrings(after.image);
  const audit = readAudit(after.image, after.source);
  if (old === undefined || now === undefined || audit?.path === undefined) {
    report('the dynamic string table is not loaded');
    return;
  }
  const start = audit.entry.d_val - AUDIT_MARK.length;
  const end = audit.entry.d_val + audit.path.length + 1;
  if (old.size < start || old.size > now.size) {
    report(
      `the dynamic string table has a wrong size: ${old.size} is ${now.size}, with the path from ${start}`,
    );
    return;
  }
  for (const [from, to] of [
    [0, start],
    [end, old.size],
  ] as const) {
    if (from >= to) continue;
    const was = before.source.read(old.offset + from, to - from);
    if (!after.source.read(now.offset + from, to - from).equals(was))
      report(`a dynamic string changed: between ${from} and ${to} of ${now.size} bytes`);
  }
  const isReadable = after.image.programHeaders.some(
    p =>
      p.p_type === PT_LOAD &&
      (p.p_flags & PF_R) !== 0 &&
      p.p_vaddr <= now.address &&
      now.address + now.size <= p.p_vaddr + p.p_filesz,
  );
  if (!isReadable)
    report(`the dynamic string table is not readable: ${now.size} bytes at ${hex(now.address)}`);
}

/** The file range of mark and path. */
function pathRange({ image, source }: ElfView): { start: number; end: number } {
  const audit = readAudit(image, source);
  const at = (dynamicStrings(image)?.offset ?? 0) + (audit?.entry.d_val ?? 0);
  return { start: at - AUDIT_MARK.length, end: at + (audit?.path?.length ?? 0) + 1 };
}

/** On nothing but the string table now, and on no bytes before that nothing described. */
function pathFaults({ before, after }: Step, report: Report): void {
  const { start, end } = pathRange(after);
  const described = (image: ElfImage) => occupiedRanges(image).filter(({ kind }) => kind !== 'load');
  const on = described(after.image).filter(range => range.start < end && range.end > start);
  const strings = dynamicStrings(after.image)?.offset;
  if (on.length !== 1 || on[0]?.start !== strings)
    report(
      `the audit module's path is on something else: ${on.map(({ kind, index }) => `${kind} ${index}`).join()}`,
    );
  for (const [from, to] of gapsIn(described(before.image), start, Math.min(end, before.image.size))) {
    if (!isZero(before.source, from, to - from))
      report(`the audit module's path is on bytes that are not zero: ${from} to ${to}`);
  }
}

/** What is written besides the path, which may be where something was that has moved. */
export const OTHER_EDITS: Invariant = {
  name: 'edits besides the path touch what they may',
  check: ({ before, after, commit }, report) => besidesFaults(before, after, commit.edits, report),
};

/** The same of an audit module that is taken out. */
export const OTHER_RELEASED_EDITS: Invariant = {
  name: 'edits besides the path touch what they may',
  check: ({ before, commit }, report) => besidesFaults(before, before, commit.edits, report),
};

function besidesFaults(
  before: ElfView,
  other: ElfView,
  edits: Step['commit']['edits'],
  report: Report,
): void {
  const { start, end } = pathRange(other);
  const others = edits.filter(({ offset, bytes }) => offset < start || offset + bytes.length > end);
  editFaults(before, others, tableEnd(before.image), report);
}
