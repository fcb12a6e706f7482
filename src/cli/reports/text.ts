import { displayBytes, escapeControls } from '../../elf/bytes.js';
import { type CacheStep, elementOf } from '../../note/cache.js';
import type { FileOutcome, PlannedOutcome, WrittenOutcome } from '../../outcome.js';
import { countEntries, SKIP_WORDS, type Summary } from './summary.js';

/** What a person reads of one file. What a walk found and left alone is only named when asked for. */
export function textOf(outcome: FileOutcome, options: { verbose: boolean; explicit: boolean }): string[] {
  const path = escapeControls(outcome.path);
  switch (outcome.action) {
    case 'failed':
      return [];
    case 'skipped':
      return options.explicit || options.verbose ? [`${path}: skipped: ${outcome.detail}`] : [];
    case 'up-to-date':
      return options.explicit || options.verbose ? [`${path}: up to date`] : [];
    case 'written':
    case 'planned':
      return [writtenLine(path, outcome), ...(outcome.action === 'planned' ? planLines(outcome) : [])];
  }
}

function writtenLine(path: string, outcome: WrittenOutcome | PlannedOutcome): string {
  const { plan, resolution, bytesAdded } = outcome;
  const would = outcome.action === 'planned' ? 'would be ' : '';
  const size = `${bytesAdded < 0 ? '' : '+'}${bytesAdded} bytes`;
  if (resolution === undefined)
    return `${path}: note ${would}removed, ${size}${plan.exact ? '' : ', not every old byte is back'}`;
  if (plan.rung.note === 'removed')
    return `${path}: old note ${would}removed, ${plan.whyRemoved ?? ''}, ${size}`;
  const { exact, hinted } = countEntries(resolution);
  const counts = [`${exact} exact`];
  if (hinted > 0) counts.push(`${hinted} hinted`);
  if (resolution.unresolved.length > 0) counts.push(`${resolution.unresolved.length} unresolved`);
  if (outcome.reader !== undefined) counts.push(`reader ${displayBytes(outcome.reader)}`);
  const note = plan.rung.note === 'kept' ? 'note kept' : `note ${would}written in ${rungText(outcome)}`;
  return `${path}: ${note}: ${counts.join(', ')}, ${size}`;
}

function rungText({ plan }: Pick<WrittenOutcome, 'plan'>): string {
  const table = plan.rung.table === 'none' ? '' : `, table ${plan.rung.table}`;
  return `${plan.rung.note}${table}${plan.hasSection ? '' : ', no section'}`;
}

function planLines({ edits, resolution }: PlannedOutcome): string[] {
  return [
    ...edits.map(
      ({ step, offset, bytes, why }) =>
        `  step ${step}: ${bytes.length} bytes at offset ${offset}: ${displayBytes(why)}`,
    ),
    ...(resolution?.entries ?? []).flatMap(({ soname, steps }) => [
      `  ${displayBytes(soname)}`,
      ...steps.map(step => `    ${elementText(step)}`),
    ]),
    ...(resolution?.unresolved ?? []).map(
      ({ soname, why }) => `  ${displayBytes(soname)}: unresolved (${why})`,
    ),
  ];
}

export function elementText(step: CacheStep): string {
  const element = displayBytes(elementOf(step));
  return `${element.slice(0, 1)} ${element.slice(1)}`;
}

export function summaryLine(summary: Summary): string {
  const skipped = Object.entries(summary.skipped).map(
    ([reason, count]) => `${count} ${SKIP_WORDS.get(reason) ?? reason}`,
  );
  const stopped = summary.stopped === null ? [] : [`stopped by ${summary.stopped}`];
  const written = summary.dryRun ? `${summary.written} to write` : `${summary.written} written`;
  return [
    ...stopped,
    `${summary.files} files`,
    `${summary.elf} ELF`,
    written,
    `${summary.upToDate} up to date`,
    `${Object.values(summary.skipped).reduce((a, b) => a + b, 0)} skipped${skipped.length > 0 ? ` (${skipped.join(', ')})` : ''}`,
    `${summary.failed} failed`,
    `sonames: ${summary.exact} exact, ${summary.hinted} hinted, ${summary.unresolved} unresolved`,
    `${summary.bytesAdded} bytes added`,
  ].join('; ');
}
