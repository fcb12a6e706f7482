import { displayBytes } from '../../elf/bytes.js';
import { countByRequester, countLookups } from '../../loader/count.js';
import type { Lookup } from '../../loader/record.js';
import type { Trace } from '../../loader/trace.js';
import { dlopenLines } from './trace-dlopen.js';
import { counted, headline, number, pathOf, placeText, shellWord, total } from './trace-words.js';
import { flatLines, type TreeOptions, treeLines } from './tree.js';

export interface TextOptions extends TreeOptions {
  readonly flat?: boolean | undefined;
}

/**
 * What a person reads of a trace.
 * @param best the same program with a note in every object.
 * @param opened the same program, with all opened that its objects declare to dlopen.
 */
export function traceText(trace: Trace, best: Trace, opened: Trace, options: TextOptions): string[] {
  const { colours } = options;
  const sections = [
    [colours.bold(headline(trace, best))],
    options.flat ? flatLines(trace, options) : treeLines(trace, options),
    dlopenLines(trace, opened),
    costLines(trace),
    adviceLines(trace, best),
  ];
  return sections.filter(lines => lines.length > 0).flatMap((lines, i) => (i === 0 ? lines : ['', ...lines]));
}

const MOST_SHOWN = 5;

/** The objects whose requests cost most. */
function costLines(trace: Trace): string[] {
  const costs = [...countByRequester(trace)].filter(([, counts]) => total(counts) > 0);
  if (costs.length === 0) return [];
  const worst = costs.sort(([, a], [, b]) => total(b) - total(a)).slice(0, MOST_SHOWN);
  const width = number(worst[0]?.[1].opens ?? 0).length;
  const shown = worst.map(([index, { opens, stats }]) => {
    const figures = `${number(opens).padStart(width)} opens, ${number(stats).padStart(width)} stats`;
    return `  ${figures}  ${pathOf(trace, index)}`;
  });
  return [
    `What ${counted(costs.length, 'object asks', 'objects ask')} for costs that; most of it:`,
    ...shown,
  ];
}

/** What helps, and what does not. */
function adviceLines(trace: Trace, best: Trace): string[] {
  const advice = [
    ...missingAdvice(trace),
    ...noteAdvice(trace, best),
    ...systemAdvice(trace, best),
    ...environmentAdvice(trace),
  ];
  return advice.length === 0 ? [] : ['What to do:', ...advice.map(line => `  ${line}`)];
}

function missingAdvice({ lookups, fatal }: Trace): string[] {
  const names = lookups.filter(({ outcome, tag }) => outcome === 'missing' && tag !== 'auxiliary');
  const missing = [...new Set(names.map(({ name }) => displayBytes(name)))];
  const lines = missing.map(name => `${name} is nowhere: the program does not start without it`);
  return fatal === undefined ? lines : [...lines, `${displayBytes(fatal.name)} stops the loader: see above`];
}

function noteAdvice(trace: Trace, best: Trace): string[] {
  const gain = total(trace.counts) - total(best.counts);
  const lines: string[] = [];
  if (gain > 0) {
    const file = shellWord(trace.file);
    lines.push(
      `notes save ${counted(gain, 'failing lookup')}; written into the program and its libraries by`,
    );
    lines.push(`  elfnote build-cache --closure-files --store-dir DIR ${file}`);
    lines.push('or, for the audit module, one for all of them into the program alone by');
    lines.push(`  elfnote build-cache --closure --store-dir DIR ${file}`);
    lines.push('and the program started with the audit module:');
    lines.push(`  elfnote exec -- ${file}`);
  }
  const withRpath = trace.objects.filter(({ facts }) => facts?.rpath !== undefined).length;
  if (trace.with === 'patched' && withRpath > 0 && total(trace.counts) > 0) {
    const have = counted(withRpath, 'object has', 'objects have');
    lines.push(
      `${have} DT_RPATH, which a patched loader searches before it looks at a note: make it DT_RUNPATH`,
    );
  }
  return lines;
}

/** What the run path has not is searched for in all of it, whatever the notes say of the rest. */
function systemAdvice(trace: Trace, best: Trace): string[] {
  const hasRunPath = (index: number) => {
    const facts = best.objects[index]?.facts;
    return facts?.runpath !== undefined || facts?.rpath !== undefined;
  };
  const isOfSystem = ({ place, requester }: Lookup) =>
    (place?.how === 'ld.so.cache' || place?.how === 'default') && hasRunPath(requester);
  const left = total(countLookups(best.lookups.filter(isOfSystem)));
  if (left === 0 || total(trace.counts) < total(best.counts)) return [];
  return [
    `${counted(left, 'failing lookup is', 'failing lookups are')} for libraries that the system has: --system-libraries lets`,
    '  the notes name them too, where the whole run path is in store directories',
  ];
}

function environmentAdvice({ lookups }: Trace): string[] {
  const failing = lookups
    .flatMap(({ steps }) => steps)
    .filter(({ result, place }) => result === 'failed' && place.how === 'library-path').length;
  if (failing === 0) return [];
  return [
    `${counted(failing, 'failing lookup is', 'failing lookups are')} the library path's: drop what it need not have`,
  ];
}

/** Every lookup of a name, each probe in order below the rule by which it was made. */
export function whyLines(trace: Trace, name: string): string[] {
  return trace.lookups
    .filter(lookup => lookup.name === name)
    .flatMap(lookup => [
      `${displayBytes(name)} for ${pathOf(trace, lookup.requester)}: ${outcomeText(lookup, trace)}`,
      ...(lookup.answer === undefined ? [] : [`  left to the loader by the audit module: ${lookup.answer}`]),
      ...probeLines(lookup, trace),
    ]);
}

function probeLines({ steps }: Lookup, trace: Trace): string[] {
  let rule = '';
  return steps.flatMap(({ call, path, result, why, place }) => {
    const own = placeText(place, trace);
    const heading = own === rule ? [] : [`  ${own}`];
    rule = own;
    const what = result === 'found' ? (call === 'stat' ? 'is there' : 'opened') : why;
    return [...heading, `    ${call === 'stat' ? 'stat' : 'open'} ${displayBytes(path)}  ${what}`];
  });
}

function outcomeText({ outcome, result, place }: Lookup, trace: Trace): string {
  const path = pathOf(trace, result);
  switch (outcome) {
    case 'known':
      return `loaded before, as ${path}`;
    case 'same-file':
      return `the same file as ${path}`;
    case 'loaded':
      return place === undefined ? path : `${path} (${placeText(place, trace)})`;
    case 'missing':
      return 'not found';
    case 'fatal':
      return 'the loader stops here';
  }
}
