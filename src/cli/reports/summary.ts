import type { FileOutcome } from '../../outcome.js';
import { effectOf } from './effect.js';

export interface Summary {
  files: number;
  elf: number;
  written: number;
  /** Of those, the files whose note was taken out. */
  removed: number;
  upToDate: number;
  failed: number;
  /** Files by skip reason. */
  skipped: Record<string, number>;
  /** Sonames, of all files; what the words mean stands in `Effect`. */
  foundAtOnce: number;
  searched: number;
  leftToLoader: number;
  /** In how many files each soname is left to the loader. */
  left: Map<string, number>;
  bytesAdded: number;
  addedSegments: number;
  /** Notes that got no section header: `strip` drops them. */
  withoutSection: number;
  dryRun: boolean;
  /** The signal or `--fail-fast` that ended the run early. */
  stopped: string | null;
}

/** Of one file, and of more where that is said otherwise. */
const SKIP_WORDS: ReadonlyMap<string, readonly [one: string, many?: string]> = new Map<
  string,
  readonly [string, string?]
>([
  ['not-elf', ['not ELF']],
  ['same-file', ['other name of a file', 'other names of a file']],
  ['other-file-system', ['on another file system', 'on other file systems']],
  ['pseudo-file-system', ['pseudo file system', 'pseudo file systems']],
  ['relocatable', ['object file', 'object files']],
  ['core', ['core file', 'core files']],
  ['static', ['static']],
  ['no-needed', ['without DT_NEEDED']],
  ['no-run-path', ['without run path']],
  ['debug-only', ['debug file', 'debug files']],
  ['truncated', ['cut short']],
  ['high-addresses', ['with addresses above 2^53']],
  ['nothing-to-record', ['with nothing to record']],
  ['nothing-to-gain', ['with nothing to gain']],
  ['note-too-large', ['whose note would be too large']],
  ['no-note', ['without note']],
  ['no-room', ['without room']],
  ['unsupported-layout', ['with unsupported layout']],
]);

export function skipWords(reason: string, count: number): string {
  const [one, many] = SKIP_WORDS.get(reason) ?? [reason];
  return `${count} ${count === 1 ? one : (many ?? one)}`;
}

export function emptySummary(dryRun: boolean): Summary {
  return {
    files: 0,
    elf: 0,
    written: 0,
    removed: 0,
    upToDate: 0,
    failed: 0,
    skipped: {},
    foundAtOnce: 0,
    searched: 0,
    leftToLoader: 0,
    left: new Map(),
    bytesAdded: 0,
    addedSegments: 0,
    withoutSection: 0,
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
      if (outcome.plan.rung.note === 'removed') summary.removed++;
      summary.bytesAdded += outcome.bytesAdded;
      summary.addedSegments += outcome.plan.addedLoads;
      if (!outcome.plan.hasSection) summary.withoutSection++;
  }
  const effect = effectOf(outcome);
  if (effect === undefined) return;
  summary.foundAtOnce += effect.foundAtOnce;
  summary.searched += effect.searched;
  summary.leftToLoader += effect.left.length;
  for (const soname of effect.left) summary.left.set(soname, (summary.left.get(soname) ?? 0) + 1);
}

/** Those of most files first. */
export function leftSonames({ left }: Summary): { soname: string; files: number }[] {
  return [...left]
    .map(([soname, files]) => ({ soname, files }))
    .sort((a, b) => b.files - a.files || (a.soname < b.soname ? -1 : 1));
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
