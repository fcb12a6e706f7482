import assert from 'node:assert/strict';
import type { WritePlan } from '../../src/layout/model/plan.js';
import { planFile, planRemoval } from '../../src/layout/plan-file.js';
import type { CacheEntry } from '../../src/note/cache.js';
import { verifyPlan } from '../../src/write/verify-plan.js';
import { applied, viewOf } from './plans.js';

/** A file once a verified plan is carried out. */
export interface Written {
  readonly bytes: Buffer;
  readonly plan: WritePlan;
}

/** What a note says whose path has `length` bytes behind the first `/`. */
export const entryOf = (length: number): readonly CacheEntry[] => [
  { soname: 'libone.so.1', steps: [{ kind: 'path', path: `/${'p'.repeat(length)}` }] },
];

/** @throws AssertionError where there is nothing to write. */
export function carriedOut(bytes: Buffer, plan: ReturnType<typeof planFile>): Written {
  if (plan.kind !== 'write') assert.fail(`got no plan but ${plan.kind}`);
  verifyPlan(viewOf(bytes), plan);
  return { bytes: applied(bytes, plan), plan };
}

/** The file with the note of `entryOf`. */
export const noted = (bytes: Buffer, length: number): Written =>
  carriedOut(bytes, planFile(viewOf(bytes), { entries: entryOf(length) }));

/** The file with its notes taken out. */
export const removed = (bytes: Buffer): Written => carriedOut(bytes, planRemoval(viewOf(bytes)));
