import { Help } from 'commander';
import type { VerifyReport } from '../../batch/verify.js';
import { displayBytes, escapeControls } from '../../elf/bytes.js';
import { exitStatusOf, whereText } from '../../errors.js';
import { type CacheStep, elementOf } from '../../note/cache.js';
import type { VerifyFinding, VerifyState } from '../../verify-note.js';
import type { BlockOptions } from './block.js';
import { JSON_SCHEMA } from './json.js';
import { elementText } from './text.js';

type Problem = VerifyFinding['state'];

/** What each kind of problem means and what to do about it, the worst first. */
const HEADINGS: Readonly<Record<Problem, string>> = {
  malformed: 'the loader rejects the note or the file; `elfnote build-cache` mends a note',
  absent: 'a recorded path is gone, and the loader searches for it; run `elfnote build-cache` again',
  stale: 'the run path gives something else now; run `elfnote build-cache` again',
  missing: 'there is no note, and `elfnote build-cache` would write one',
  foreign: 'an exact path lies outside the store, where a library may change under its name',
  useless: 'the note helps nothing; `elfnote remove-cache` takes it out',
};

const PROBLEMS: readonly Problem[] = ['malformed', 'absent', 'stale', 'missing', 'foreign', 'useless'];

/** Problems by their kind; each file once below each kind that it has. */
export function problemLines(reports: readonly VerifyReport[], { colours, width }: BlockOptions): string[] {
  const help = new Help();
  return PROBLEMS.flatMap(problem => {
    const lines = reports.flatMap(report => linesOf(report, problem));
    const text = `${problem}: ${HEADINGS[problem]}`;
    const heading = width === undefined ? text : help.boxWrap(text, width);
    const paint = isFinding(problem) ? colours.red : colours.yellow;
    return lines.length === 0 ? [] : [heading.replace(problem, paint(problem)), ...lines, ''];
  });
}

function isFinding(problem: Problem): boolean {
  return problem === 'malformed' || problem === 'absent' || problem === 'stale';
}

function linesOf(report: VerifyReport, problem: Problem): string[] {
  const findings = 'findings' in report ? report.findings.filter(({ state }) => state === problem) : [];
  if (findings.length === 0) return [];
  const ofAll = findings.filter(({ soname }) => soname === undefined);
  const words = ofAll.map(({ why, offset }) => `${why}${whereText(offset)}`);
  return [
    `  ${[escapeControls(report.path), ...words].join(': ')}`,
    ...findings.flatMap(finding => sonameLines(finding)),
  ];
}

function sonameLines({ soname, why, state, recorded = [], actual = [] }: VerifyFinding): string[] {
  if (soname === undefined) return [];
  const line = `    ${displayBytes(soname)}: ${displayBytes(why)}`;
  if (state === 'foreign') return [line];
  if (state === 'absent') return [line, ...(actual.length === 0 ? [] : stepLines('now', actual))];
  return [line, ...stepLines('noted', recorded), ...stepLines('now', actual)];
}

function stepLines(what: string, steps: readonly CacheStep[]): string[] {
  const texts = steps.length === 0 ? ['nothing'] : steps.map(elementText);
  return texts.map((text, i) => `      ${(i === 0 ? what : '').padEnd(5)} ${text}`);
}

type Counts = Partial<Record<VerifyState | 'none' | 'failed', number>>;

function countsOf(reports: readonly VerifyReport[]): Counts {
  const counts: Counts = {};
  for (const { state } of reports) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

/** In the order in which they are told. */
const WORDS: readonly (readonly [keyof Counts, string])[] = [
  ['fresh', 'fresh'],
  ['malformed', 'malformed'],
  ['absent', 'absent'],
  ['stale', 'stale'],
  ['missing', 'missing'],
  ['foreign', 'foreign'],
  ['useless', 'useless'],
  ['none', 'without need of a note'],
  ['failed', 'failed'],
];

export function verifySummaryLine(reports: readonly VerifyReport[]): string {
  const counts = countsOf(reports);
  const parts = WORDS.flatMap(([state, word]) => {
    const count = counts[state];
    return count === undefined ? [] : [`${count} ${word}`];
  });
  const files = `${reports.length} file${reports.length === 1 ? '' : 's'}`;
  return parts.length === 0 ? files : `${files}: ${parts.join(', ')}`;
}

/** Documented in docs/json.md. */
export function verifyJson(report: VerifyReport): object {
  const { path, state } = report;
  const base = { schema: JSON_SCHEMA, type: 'verify', path, state };
  if (report.state === 'failed') {
    const { code, message, offset } = report.error;
    return { ...base, error: { code, message, offset: offset ?? null, exitStatus: exitStatusOf(code) } };
  }
  if (report.state === 'none') return { ...base, reason: report.reason, detail: report.detail };
  return { ...base, findings: report.findings.map(findingJson) };
}

function findingJson({ state, soname, recorded, actual, why, offset }: VerifyFinding): object {
  const elements = (steps: readonly CacheStep[]) => steps.map(step => displayBytes(elementOf(step)));
  return {
    state,
    ...(soname === undefined ? {} : { soname: displayBytes(soname) }),
    ...(recorded === undefined ? {} : { recorded: elements(recorded) }),
    ...(actual === undefined ? {} : { actual: elements(actual) }),
    why: displayBytes(why),
    ...(offset === undefined ? {} : { offset }),
  };
}

export function verifySummaryJson(reports: readonly VerifyReport[]): object {
  const counts = countsOf(reports);
  const all = Object.fromEntries(WORDS.map(([state]) => [state, counts[state] ?? 0]));
  return { schema: JSON_SCHEMA, type: 'summary', files: reports.length, ...all };
}
