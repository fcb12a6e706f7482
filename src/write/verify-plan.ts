import type { ElfView } from '../elf/view.js';
import type { Commit, WritePlan } from '../layout/model/plan.js';
import { planFile } from '../layout/plan-file.js';
import { findRecord } from '../layout/undo/find.js';
import { AUDIT, PLANNED_AUDIT, RELEASED_AUDIT } from './invariants/audit.js';
import { OTHER_EDITS, OTHER_RELEASED_EDITS, PATH, STRINGS } from './invariants/audit-strings.js';
import { CONTENTS } from './invariants/contents.js';
import { EDITS, RELEASED_EDITS } from './invariants/edits.js';
import { type Invariant, type Report, refuse, refuseFaults, reversed, Side } from './invariants/invariant.js';
import { NOTE, RELEASED } from './invariants/notes.js';
import { ENTRIES, PROGRAM } from './invariants/program.js';
import { recordFaults, undoneFaults, unprovedFaults } from './invariants/record.js';
import { KEPT_NOTES, LOSSES, OLD_LOADS, SEGMENTS } from './invariants/segments.js';
import { TABLE } from './invariants/table.js';

const WITH_AUDIT: readonly Invariant[] = [...AUDIT, ...STRINGS, ...SEGMENTS];

/** What has to be so of each kind of commit, against the kernel, ld.so and binutils (docs/layout.md). */
const INVARIANTS: Readonly<Record<Exclude<Commit['kind'], 'undo'>, readonly Invariant[]>> = {
  note: [
    ...PROGRAM,
    ...EDITS,
    ...SEGMENTS,
    ...TABLE,
    ...CONTENTS,
    ...ENTRIES,
    ...NOTE,
    ...OLD_LOADS,
    ...KEPT_NOTES,
  ],
  // A note that is released takes nothing else with it.
  release: [
    ...RELEASED,
    ...PROGRAM,
    ...RELEASED_EDITS,
    ...LOSSES,
    ...reversed([...SEGMENTS, ...OLD_LOADS, ...KEPT_NOTES]),
    ...ENTRIES,
    ...TABLE,
    ...CONTENTS,
  ],
  'audit-in': [PLANNED_AUDIT, ...WITH_AUDIT, ...TABLE, ...KEPT_NOTES, OTHER_EDITS, ...PATH],
  'audit-out': [
    RELEASED_AUDIT,
    ...LOSSES,
    ...reversed([...WITH_AUDIT, ...TABLE, ...KEPT_NOTES]),
    OTHER_RELEASED_EDITS,
  ],
};

/**
 * Checks each commit of a plan on what the one before it leaves, then the whole: the record leads back to what was
 * there, and a second run would change nothing. It looks at results only and shares no reasoning with the planner.
 *
 * @throws ElfnoteError `verify`, a bug of elfnote's own; the file is left alone.
 */
export function verifyPlan(view: ElfView, plan: WritePlan): void {
  const { path } = view.image;
  const { commits, auditModule } = plan;
  const report = (fault: string) => refuse(path, fault);
  const undo = commits.filter(({ kind }) => kind === 'undo');
  for (const commit of commits) orderFaults(commit, report);
  const record = undo.length === 0 ? undefined : findRecord(view)?.record;
  if (record === undefined) unprovedFaults(view, undo, report);
  const base = view.with(...undo);
  if (undo.length > 0) undoneFaults(view, base, plan, record, report);
  let now = new Side(base);
  let bare = now;
  const added: Commit[] = [];
  for (const commit of commits.slice(undo.length)) {
    const { kind } = commit;
    const after = new Side(now.with(commit));
    if (kind === 'undo') refuse(path, 'what is undone is not undone first');
    refuseFaults(path, INVARIANTS[kind], { before: now, after, commit, plan });
    now = after;
    if (added.length > 0 || kind === 'note' || kind === 'audit-in') added.push(commit);
    else bare = after;
  }
  if (plan.rung.note === 'removed') return;
  if (plan.hasRecord) recordFaults(bare, now, added, report);
  const again = planFile(now, plan.wanted, { auditModule }, plan.hasRecord);
  if (again.kind !== 'keep') refuse(path, 'a second run would change the file again');
}

function orderFaults({ kind, edits }: Commit, report: Report): void {
  let before = 0;
  let i = 0;
  for (const { step } of edits) {
    if (step < before)
      report(`the edits are not in commit order: number ${i} of ${kind} has step ${step} behind ${before}`);
    before = step;
    i++;
  }
}
