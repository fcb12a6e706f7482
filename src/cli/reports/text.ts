import { displayBytes } from '../../elf/bytes.js';
import { type CacheStep, elementOf } from '../../note/cache.js';
import type { FileOutcome, PlannedOutcome, WorkedOutcome, WrittenOutcome } from '../../outcome.js';
import { counted, effectOf, effectWords, someOf } from './effect.js';
import { type Summary, summaryParts } from './summary.js';

export interface TextOptions {
  readonly verbose: boolean;
  /** Named by the caller, not found in a walk. */
  readonly explicit: boolean;
}

/**
 * What a person reads of one file. Of a walk that is what a dry run would write; the rest is only named when asked for,
 * and problems are told on standard error.
 */
export function textOf(outcome: FileOutcome, options: TextOptions): string[] {
  const isNamed = options.explicit || options.verbose;
  switch (outcome.action) {
    case 'failed':
      return [];
    case 'skipped':
      return isNamed ? [`${outcome.path}: skipped: ${outcome.detail}`] : [];
    case 'up-to-date':
      return isNamed ? [joined(outcome, 'up to date', options)] : [];
    case 'written':
      return isNamed ? [changeLine(outcome, options)] : [];
    case 'planned':
      return [changeLine(outcome, options), ...(options.verbose ? planLines(outcome) : [])];
  }
}

function changeLine(outcome: WrittenOutcome | PlannedOutcome, options: TextOptions): string {
  const { plan, resolution, bytesAdded } = outcome;
  const would = outcome.action === 'planned' ? 'would be ' : '';
  const size = bytesWords(bytesAdded);
  if (resolution === undefined)
    return `${outcome.path}: note ${would}removed, ${size}${plan.exact ? '' : ', not every old byte is back'}`;
  if (plan.rung.note === 'removed')
    return `${outcome.path}: old note ${would}removed, ${plan.whyRemoved ?? ''}, ${size}`;
  const place = options.verbose ? ` in ${rungText(outcome)}` : '';
  const note = `note ${would}written${place}`;
  return `${joined(outcome, note, options)}, ${size}`;
}

const MOST_NAMES = 5;

function joined(outcome: WorkedOutcome, what: string, { verbose }: TextOptions): string {
  const effect = effectOf(outcome);
  const left = effect?.left ?? [];
  const names = verbose ? left : someOf(left, MOST_NAMES);
  const words = effect === undefined ? [] : effectWords({ ...effect, left: left.length }, names);
  if (outcome.reader !== undefined) words.push(`reader ${displayBytes(outcome.reader)}`);
  return `${outcome.path}: ${[what, ...(words.length > 0 ? [words.join(', ')] : [])].join(': ')}`;
}

function bytesWords(count: number): string {
  return `${count < 0 ? '' : '+'}${counted(count, 'byte')}`;
}

function rungText({ plan }: Pick<WrittenOutcome, 'plan'>): string {
  const table = plan.rung.table === 'none' ? '' : `, table ${plan.rung.table}`;
  return `${plan.rung.note}${table}${plan.hasSection ? '' : ', no section'}`;
}

function planLines({ edits, resolution }: PlannedOutcome): string[] {
  return [
    ...edits.map(
      ({ step, offset, bytes, why }) =>
        `  step ${step}: ${counted(bytes.length, 'byte')} at offset ${offset}: ${displayBytes(why)}`,
    ),
    ...(resolution?.entries ?? []).flatMap(({ soname, steps }) => [
      `  ${displayBytes(soname)}`,
      ...steps.map(step => `    ${elementText(step)}`),
    ]),
    ...(resolution?.unresolved ?? []).map(
      ({ soname, why }) => `  ${displayBytes(soname)}: left to the loader (${why})`,
    ),
  ];
}

export function elementText(step: CacheStep): string {
  const element = displayBytes(elementOf(step));
  return `${element.slice(0, 1)} ${element.slice(1)}`;
}

/** What became of all files, in one line; of nothing there is a word where there is none of it. */
export function summaryLine(summary: Summary): string {
  const { files, outcomes, skips, libraries, cost } = summaryParts(summary);
  const words = outcomes.map(({ kind, text }) =>
    kind === undefined && text.endsWith(' skipped') ? `${text} (${skips.join(', ')})` : text,
  );
  return [
    ...(summary.stopped === null ? [] : [`stopped by ${summary.stopped}`]),
    files,
    ...(words.length > 0 ? [words.join(', ')] : []),
    ...(libraries.length > 0 ? [`libraries: ${libraries.join(', ')}`] : []),
    ...(cost.length > 0 ? [cost.join(', ')] : []),
  ].join('; ');
}
