import { displayBytes } from '../../elf/bytes.js';
import { libraryCount } from '../../loader/count.js';
import type { Lookup, Place } from '../../loader/record.js';
import type { Trace } from '../../loader/trace.js';

const PLACE_WORDS: Readonly<Record<Place['how'], string>> = {
  path: 'path',
  note: 'note',
  rpath: 'rpath',
  'library-path': 'library path',
  runpath: 'runpath',
  'ld.so.cache': 'ld.so.cache',
  default: 'default',
};

/** @param best the same program with a note in every object. */
export function treeText(trace: Trace, best: Trace): string[] {
  return [headline(trace, best), displayBytes(trace.objects[0]?.path ?? ''), ...branches(trace)];
}

export function headline(trace: Trace, best: Trace): string {
  const { opens, stats } = trace.counts;
  const libraries = counted(libraryCount(trace), 'library', 'libraries');
  const least = best.counts.opens + best.counts.stats;
  const cost = `${counted(opens, 'failing open')} and ${counted(stats, 'failing stat')}`;
  return `${libraries}, ${cost}; with notes everywhere ${least === 0 ? 'none' : number(least)}`;
}

function branches(trace: Trace): string[] {
  const lines: string[] = [];
  const visit = (index: number, indent: string) => {
    const lookups = trace.lookups.filter(({ requester }) => requester === index);
    for (const [i, lookup] of lookups.entries()) {
      const isLast = i === lookups.length - 1;
      lines.push(`${indent}${isLast ? '└── ' : '├── '}${lookupText(lookup, trace)}`);
      if (lookup.outcome === 'loaded' && lookup.result !== undefined)
        visit(lookup.result, `${indent}${isLast ? '    ' : '│   '}`);
    }
  };
  visit(0, '');
  return lines;
}

function lookupText({ name, outcome, result, place }: Lookup, { objects }: Trace): string {
  const path = displayBytes((result === undefined ? undefined : objects[result])?.path ?? '');
  const text = displayBytes(name);
  if (outcome === 'loaded')
    return `${text} => ${path} [${place === undefined ? '' : PLACE_WORDS[place.how]}]`;
  if (outcome === 'known') return `${text} [loaded]`;
  return outcome === 'same-file' ? `${text} [the same file as ${path}]` : `${text} not found`;
}

export function number(value: number): string {
  return String(value).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${number(count)} ${count === 1 ? one : many}`;
}
