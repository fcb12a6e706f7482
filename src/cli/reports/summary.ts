import type { FileOutcome } from '../../outcome.js';
import type { Resolution } from '../../resolve/resolve.js';

export interface Summary {
  files: number;
  elf: number;
  written: number;
  upToDate: number;
  failed: number;
  /** Files by skip reason. */
  skipped: Record<string, number>;
  /** Sonames whose path-list has exact paths only. */
  exact: number;
  /** Sonames with a directory that the loader must search. */
  hinted: number;
  unresolved: number;
  bytesAdded: number;
  dryRun: boolean;
  /** The signal or `--fail-fast` that ended the run early. */
  stopped: string | null;
}

export const SKIP_WORDS: ReadonlyMap<string, string> = new Map([
  ['not-elf', 'not ELF'],
  ['same-file', 'other names of a file'],
  ['other-file-system', 'on other file systems'],
  ['pseudo-file-system', 'pseudo file systems'],
  ['relocatable', 'object files'],
  ['core', 'core files'],
  ['static', 'static'],
  ['no-needed', 'without DT_NEEDED'],
  ['no-run-path', 'without run path'],
  ['debug-only', 'debug files'],
  ['truncated', 'cut short'],
  ['high-addresses', 'with addresses above 2^53'],
  ['nothing-to-record', 'with nothing to record'],
  ['nothing-to-gain', 'with nothing to gain'],
  ['note-too-large', 'whose note would be too large'],
  ['no-note', 'without note'],
  ['no-room', 'without room'],
  ['unsupported-layout', 'with unsupported layout'],
]);

export function emptySummary(dryRun: boolean): Summary {
  return {
    files: 0,
    elf: 0,
    written: 0,
    upToDate: 0,
    failed: 0,
    skipped: {},
    exact: 0,
    hinted: 0,
    unresolved: 0,
    bytesAdded: 0,
    dryRun,
    stopped: null,
  };
}

export function addToSummary(summary: Summary, outcome: FileOutcome): void {
  summary.files++;
  if (isElfOutcome(outcome)) summary.elf++;
  switch (outcome.action) {
    case 'failed':
      summary.failed++;
      return;
    case 'skipped':
      summary.skipped[outcome.reason] = (summary.skipped[outcome.reason] ?? 0) + 1;
      break;
    case 'up-to-date':
      summary.upToDate++;
      break;
    default:
      summary.written++;
      summary.bytesAdded += outcome.bytesAdded;
  }
  if (outcome.resolution === undefined) return;
  const { exact, hinted } = countEntries(outcome.resolution);
  summary.exact += exact;
  summary.hinted += hinted;
  summary.unresolved += outcome.resolution.unresolved.length;
}

const NO_FILE: ReadonlySet<string> = new Set([
  'not-elf',
  'same-file',
  'other-file-system',
  'pseudo-file-system',
]);

function isElfOutcome(outcome: FileOutcome): boolean {
  if (outcome.action === 'skipped') return !NO_FILE.has(outcome.reason);
  return outcome.action !== 'failed' || !['not-elf', 'unreadable'].includes(outcome.error.code);
}

/** Sonames with exact paths only, and those with a directory that the loader has to search. */
export function countEntries(resolution: Resolution): { exact: number; hinted: number } {
  const exact = resolution.entries.filter(entry => entry.steps.every(step => step.kind === 'path')).length;
  return { exact, hinted: resolution.entries.length - exact };
}
