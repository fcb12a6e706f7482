import {
  PT_DYNAMIC,
  PT_GNU_PROPERTY,
  PT_INTERP,
  PT_LOAD,
  PT_NOTE,
  PT_NULL,
  PT_PHDR,
} from '../../elf/constants.js';
import type { ProgramHeader } from '../../elf/image.js';
import { ElfView } from '../../elf/view.js';
import { ElfnoteError } from '../../errors.js';
import type { Commit, WritePlan } from '../../layout/model/plan.js';

/** A file on one side of a commit, its program headers sorted out once for all who ask; lists are in the table's order. */
export class Side extends ElfView {
  readonly loads: readonly ProgramHeader[];
  readonly notes: readonly ProgramHeader[];
  readonly properties: readonly ProgramHeader[];
  /** Those that have no invariant of their own, and must not change. */
  readonly others: readonly ProgramHeader[];
  /** Of several, the first. */
  readonly phdr: ProgramHeader | undefined;
  readonly interp: ProgramHeader | undefined;
  readonly dynamic: ProgramHeader | undefined;
  /** Index of the first `PT_LOAD`, and of the last `PT_PHDR` or `PT_INTERP`; -1 where there is none. */
  readonly firstLoad: number;
  readonly lastLeader: number;

  constructor({ image, source }: ElfView) {
    super(image, source);
    const loads: ProgramHeader[] = [];
    const notes: ProgramHeader[] = [];
    const properties: ProgramHeader[] = [];
    const others: ProgramHeader[] = [];
    let phdr: ProgramHeader | undefined;
    let interp: ProgramHeader | undefined;
    let dynamic: ProgramHeader | undefined;
    let firstLoad = -1;
    let lastLeader = -1;
    for (let i = 0; i < image.programHeaders.length; i++) {
      const p = image.programHeaders[i];
      if (p === undefined) continue;
      switch (p.p_type) {
        case PT_NULL:
          break;
        case PT_LOAD:
          if (firstLoad < 0) firstLoad = i;
          loads.push(p);
          break;
        case PT_NOTE:
          notes.push(p);
          break;
        case PT_GNU_PROPERTY:
          properties.push(p);
          break;
        case PT_PHDR:
          phdr ??= p;
          lastLeader = i;
          break;
        case PT_INTERP:
          interp ??= p;
          lastLeader = i;
          break;
        default:
          if (p.p_type === PT_DYNAMIC) dynamic ??= p;
          others.push(p);
      }
    }
    this.loads = loads;
    this.notes = notes;
    this.properties = properties;
    this.others = others;
    this.phdr = phdr;
    this.interp = interp;
    this.dynamic = dynamic;
    this.firstLoad = firstLoad;
    this.lastLeader = lastLeader;
  }
}

/** A file before and after a commit, and the plan that the commit is a part of. */
export interface Step {
  readonly before: Side;
  readonly after: Side;
  readonly commit: Commit;
  readonly plan: WritePlan;
}

/** What has to be so of every step of its kind, for the kernel, ld.so, binutils or elfnote itself. */
export interface Invariant {
  readonly name: string;
  /** Reports what is not so: each with the index, both values and the bound, where there are some. */
  readonly check: Check;
}

type Check = (step: Step, report: Report) => void;

/** Takes a fault, in words. */
export type Report = (fault: string) => void;

/** @throws ElfnoteError `verify` for the first fault; the file is left alone. */
export function refuseFaults(path: string, invariants: readonly Invariant[], step: Step): void {
  const report = (fault: string) => refuse(path, fault);
  for (let i = 0; i < invariants.length; i++) invariants[i]?.check(step, report);
}

/** @throws ElfnoteError `verify`, a bug of elfnote's own. */
export function refuse(path: string, fault: string): never {
  throw new ElfnoteError('verify', `refusing to write: ${fault}`, { path });
}

/** The same invariants for a step that takes something out: seen from its end, it is an addition. */
export function reversed(invariants: readonly Invariant[]): Invariant[] {
  return invariants.map(({ name, check }) => ({
    name,
    check: ({ before, after, commit, plan }, report) =>
      check({ before: after, after: before, commit, plan }, report),
  }));
}

export function hex(value: number | undefined): string {
  return value === undefined ? 'nothing' : `0x${value.toString(16)}`;
}

/** Whether two program headers are there, with the same value in every field. */
export function isSameHeader(a: ProgramHeader | undefined, b: ProgramHeader | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return isSameButSize(a, b) && a.p_filesz === b.p_filesz && a.p_memsz === b.p_memsz;
}

/** Whether they have so in every field but `p_filesz` and `p_memsz`. */
export function isSameButSize(a: ProgramHeader, b: ProgramHeader): boolean {
  return (
    a.p_type === b.p_type &&
    a.p_flags === b.p_flags &&
    a.p_offset === b.p_offset &&
    a.p_vaddr === b.p_vaddr &&
    a.p_paddr === b.p_paddr &&
    a.p_align === b.p_align
  );
}

/** A program header, for a message. */
export function tell(p: ProgramHeader | undefined): string {
  if (p === undefined) return 'none';
  const { p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align } = p;
  const values = [p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align].map(hex);
  return `type, flags, offset, addresses, sizes and alignment ${values.join(' ')}`;
}
