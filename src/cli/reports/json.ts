import { displayBytes } from '../../elf/bytes.js';
import { exitStatusOf } from '../../errors.js';
import type { Edit } from '../../layout/model/plan.js';
import { type CacheEntry, elementOf } from '../../note/cache.js';
import type { FileOutcome, PlanSummary, WorkedOutcome } from '../../outcome.js';
import type { Attempt, Resolution } from '../../resolve/resolve.js';
import { effectOf } from './effect.js';
import { leftSonames, type Summary } from './summary.js';

/** Changes when a field changes its meaning or goes; new fields do not change it. Documented in docs/json.md. */
export const JSON_SCHEMA = 'elfnote/1';

export function jsonOf(outcome: FileOutcome): object {
  const base = { schema: JSON_SCHEMA, type: 'file', path: outcome.path, action: outcome.action };
  if (outcome.action === 'failed') {
    const { code, message, offset } = outcome.error;
    return { ...base, error: { code, message, offset: offset ?? null, exitStatus: exitStatusOf(code) } };
  }
  return {
    ...base,
    ...(outcome.action === 'skipped' ? { reason: outcome.reason, detail: outcome.detail } : {}),
    ...('plan' in outcome ? { ...planJson(outcome.plan), bytesAdded: outcome.bytesAdded } : {}),
    ...(outcome.action === 'written' ? { lost: outcome.lost } : {}),
    ...(outcome.action === 'planned' ? { edits: outcome.edits.map(editJson) } : {}),
    ...effectJson(outcome),
    ...(outcome.resolution === undefined ? {} : resolutionJson(outcome.resolution)),
    ...(outcome.reader === undefined ? {} : { reader: displayBytes(outcome.reader) }),
    ...(outcome.onSystem === undefined ? {} : { onSystem: outcome.onSystem }),
    warnings: outcome.warnings,
  };
}

function effectJson(outcome: WorkedOutcome): object {
  const effect = effectOf(outcome);
  if (effect === undefined) return {};
  const { foundAtOnce, searched, left } = effect;
  return { foundAtOnce, searched, leftToLoader: left.length, leftSonames: left };
}

function editJson({ step, offset, bytes, why }: Edit): object {
  return { step, offset, length: bytes.length, bytes: bytes.toString('hex'), why: displayBytes(why) };
}

function planJson(plan: PlanSummary): object {
  return {
    rung: plan.rung,
    size: plan.size,
    addedSegments: plan.addedLoads,
    moved: plan.moved.map(displayBytes),
    hasSection: plan.hasSection,
    hasRecord: plan.hasRecord,
    exact: plan.exact ?? null,
  };
}

function resolutionJson(resolution: Resolution): object {
  return {
    runPath: resolution.source ?? null,
    entries: resolution.entries.map(entry => ({
      ...entryJson(entry),
      attempts: entry.attempts.map(attemptJson),
    })),
    unresolved: resolution.unresolved.map(({ soname, why, attempts }) => ({
      soname: displayBytes(soname),
      why,
      attempts: attempts.map(attemptJson),
    })),
  };
}

export function entryJson(entry: CacheEntry): { soname: string; elements: string[] } {
  return {
    soname: displayBytes(entry.soname),
    elements: entry.steps.map(step => displayBytes(elementOf(step))),
  };
}

function attemptJson({ component, outcome, why }: Attempt): object {
  return { directory: displayBytes(component), outcome, why };
}

/** @param path of the tree that is summed up; undefined for the whole run. */
export function summaryJson(summary: Summary, path?: string): object {
  const { left, ...counts } = summary;
  return {
    schema: JSON_SCHEMA,
    type: 'summary',
    ...(path === undefined ? {} : { path }),
    ...counts,
    leftSonames: leftSonames(summary),
  };
}
