import type { FileOutcome } from '../../outcome.js';
import { counted, effectOf, effectWords, someOf } from './effect.js';

export interface Summary {
  files: number;
  elf: number;
  written: number;
  /** Of those, the files whose note was taken out. */
  removed: number;
  upToDate: number;
  failed: number;
  /** Files by error code. */
  failedBy: Record<string, number>;
  /** Files with a note that a patched loader never gets to. */
  behindRpath: number;
  /** Files by skip reason. */
  skipped: Record<string, number>;
  /** Sonames, of all files; what the words mean stands in `Effect`. */
  foundAtOnce: number;
  searched: number;
  leftToLoader: number;
  /** In how many files each soname is left to the loader. */
  left: Map<string, number>;
  /** Of those, the ones that --system-libraries would record. */
  onSystem: number;
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

function skipWords(reason: string, count: number): string {
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
    failedBy: {},
    behindRpath: 0,
    skipped: {},
    foundAtOnce: 0,
    searched: 0,
    leftToLoader: 0,
    left: new Map(),
    onSystem: 0,
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
      summary.failedBy[outcome.error.code] = (summary.failedBy[outcome.error.code] ?? 0) + 1;
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
  summary.onSystem += outcome.onSystem ?? 0;
  const effect = effectOf(outcome);
  if (effect === undefined) return;
  const hasNote = effect.foundAtOnce + effect.searched > 0;
  if (hasNote && outcome.resolution?.source === 'DT_RPATH') summary.behindRpath++;
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

/** What became of all files, in words; empty where there is nothing to say. */
export interface SummaryParts {
  readonly files: string;
  readonly outcomes: readonly { readonly kind?: 'written' | 'failed'; readonly text: string }[];
  readonly skips: readonly string[];
  readonly libraries: readonly string[];
  readonly cost: readonly string[];
}

const MOST_NAMES = 3;

export function summaryParts(summary: Summary): SummaryParts {
  const { dryRun, removed, upToDate, failed, bytesAdded, addedSegments, withoutSection } = summary;
  const written = summary.written - removed;
  const skipped = Object.values(summary.skipped).reduce((a, b) => a + b, 0);
  const names = someOf(
    leftSonames(summary).map(({ soname }) => soname),
    MOST_NAMES,
  );
  const bytes = `${counted(Math.abs(bytesAdded), 'byte')} ${bytesAdded < 0 ? 'removed' : 'added'}`;
  const unstripped = counted(withoutSection, 'note without a section', 'notes without a section');
  return {
    files: `${counted(summary.files, 'file')}${summary.elf > 0 ? `, ${summary.elf} ELF` : ''}`,
    outcomes: [
      ...some(written, dryRun ? 'to write' : 'written', 'written'),
      ...some(removed, dryRun ? 'to take a note out of' : 'with the note removed', 'written'),
      ...some(upToDate, 'up to date'),
      ...some(skipped, 'skipped'),
      ...some(failed, 'failed', 'failed'),
    ],
    skips: Object.entries(summary.skipped).map(([reason, count]) => skipWords(reason, count)),
    libraries: effectWords({ ...summary, left: summary.leftToLoader }, names),
    cost: [
      ...(bytesAdded === 0 ? [] : [bytes]),
      ...(addedSegments > 0 ? [counted(addedSegments, 'new segment')] : []),
      ...(withoutSection > 0 ? [unstripped] : []),
    ],
  };
}

function some(count: number, what: string, kind?: 'written' | 'failed') {
  const text = `${count} ${what}`;
  return count > 0 ? [kind === undefined ? { text } : { kind, text }] : [];
}
