import type { ByteString } from './elf/bytes.js';
import { ElfnoteError, unforeseenSystemError } from './errors.js';
import type { Edit, SkipReason, WritePlan } from './layout/model/plan.js';
import type { Resolution } from './resolve/resolve.js';

/** What became of one file. Reports read nothing else. */
export type FileOutcome = WorkedOutcome | FailedOutcome;

/** Of a file on which the work did not fail. */
export type WorkedOutcome =
  | WrittenOutcome
  | PlannedOutcome
  | (Explained & { readonly action: 'up-to-date' })
  | SkippedOutcome;

export interface FailedOutcome {
  readonly path: string;
  readonly action: 'failed';
  readonly error: ElfnoteError;
}

/** What is known of a file that could be read; without a resolution where there was nothing to resolve. */
export interface Explained {
  readonly path: string;
  readonly resolution: Resolution | undefined;
  /** What elfnote's `DT_AUDIT` names when all is done, if there is one. */
  readonly reader?: ByteString | undefined;
  readonly warnings: readonly string[];
  /** Libraries that the loader searches for, and that `systemLibraries` would record; undefined for none. */
  readonly onSystem?: number | undefined;
}

export interface SkippedOutcome extends Explained {
  readonly action: 'skipped';
  /**
   * `same-file`: another path of the file came earlier in the same run. `other-file-system`, `pseudo-file-system`: a
   * directory that a walk did not enter.
   */
  readonly reason: SkipReason | 'same-file' | 'other-file-system' | 'pseudo-file-system';
  readonly detail: string;
}

/** A plan without its bytes. */
export type PlanSummary = Pick<
  WritePlan,
  'rung' | 'size' | 'addedLoads' | 'moved' | 'hasSection' | 'hasRecord' | 'exact' | 'whyRemoved'
>;

interface Changed extends Explained {
  readonly plan: PlanSummary;
  /** Growth of the file in bytes; negative when an old note's space was given back. */
  readonly bytesAdded: number;
}

export interface WrittenOutcome extends Changed {
  readonly action: 'written';
  /** Extended attributes that were given up with `force`. */
  readonly lost: readonly string[];
}

/** What a dry run would write, in commit order. */
export interface PlannedOutcome extends Changed {
  readonly action: 'planned';
  readonly edits: readonly Edit[];
}

export function summaryOf(plan: WritePlan): PlanSummary {
  const { rung, size, addedLoads, moved, hasSection, hasRecord, exact, whyRemoved } = plan;
  return { rung, size, addedLoads, moved, hasSection, hasRecord, exact, whyRemoved };
}

export function skippedOutcome(
  path: string,
  reason: SkippedOutcome['reason'],
  detail: string,
): SkippedOutcome {
  return { path, action: 'skipped', reason, detail, resolution: undefined, warnings: [] };
}

/** A mistake of elfnote's own is reported like any failure, so that it does not stop the other files. */
export function failedOutcome(path: string, error: unknown): FailedOutcome {
  if (error instanceof ElfnoteError) return { path, action: 'failed', error };
  const refused = unforeseenSystemError(error, path);
  if (refused !== undefined) return { path, action: 'failed', error: refused };
  const what = error instanceof Error ? error.message : String(error);
  const internal = new ElfnoteError('internal', `internal error, please report it: ${what}`, {
    path,
    cause: error,
  });
  return { path, action: 'failed', error: internal };
}
