import { displayBytes } from '../../elf/bytes.js';
import type { Lookup, TriedPlace } from '../../loader/record.js';
import type { Trace } from '../../loader/trace.js';
import { directoryText, nameOf, PLACE_WORDS, pathOf } from './trace-words.js';

/** Colours of a terminal; each function gives the text back where there are none. */
export interface Colours {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
}

export interface TreeOptions {
  readonly colours: Colours;
  /** How many levels below the program. Default: all. */
  readonly depth?: number | undefined;
}

/** Every object below the one for which it was loaded first, with how it was found, as libtree shows it. */
export function treeLines(
  trace: Trace,
  { colours, depth = Number.POSITIVE_INFINITY }: TreeOptions,
): string[] {
  const requests = groupByRequester(trace.lookups);
  const lines = [colours.bold(pathOf(trace, 0))];
  const visit = (index: number, indent: string, level: number) => {
    if (level > depth) return;
    const lookups = requests.get(index) ?? [];
    for (const [i, lookup] of lookups.entries()) {
      const isLast = i === lookups.length - 1;
      const below = `${indent}${isLast ? '    ' : '│   '}`;
      lines.push(
        `${colours.dim(`${indent}${isLast ? '└── ' : '├── '}`)}${lookupText(lookup, trace, colours)}`,
      );
      for (const line of missText(lookup, trace)) lines.push(`${colours.dim(below)}${line}`);
      if (lookup.outcome === 'loaded' && lookup.result !== undefined) visit(lookup.result, below, level + 1);
    }
  };
  visit(0, '', 1);
  return lines;
}

/** One line an object, in the order in which they were loaded, and the missing ones. */
export function flatLines(trace: Trace, { colours }: TreeOptions): string[] {
  const shown = trace.lookups.filter(({ outcome }) => outcome !== 'known' && outcome !== 'same-file');
  return shown.flatMap(lookup => [
    lookupText(lookup, trace, colours),
    ...missText(lookup, trace).map(line => `    ${line}`),
  ]);
}

function groupByRequester(lookups: readonly Lookup[]): Map<number, Lookup[]> {
  const groups = new Map<number, Lookup[]>();
  for (const lookup of lookups) {
    const group = groups.get(lookup.requester);
    if (group === undefined) groups.set(lookup.requester, [lookup]);
    else group.push(lookup);
  }
  return groups;
}

/** A word for what is no `DT_NEEDED`. */
const TAG_WORDS: Readonly<Record<Lookup['tag'], string>> = {
  needed: '',
  preload: ' (preload)',
  auxiliary: ' (DT_AUXILIARY)',
  filter: ' (DT_FILTER)',
  dlopen: ' (dlopen)',
};

function lookupText({ name, tag, outcome, result, place }: Lookup, trace: Trace, colours: Colours): string {
  const text = `${displayBytes(name)}${TAG_WORDS[tag]}`;
  const path = pathOf(trace, result);
  switch (outcome) {
    case 'loaded': {
      const how = place === undefined ? '' : ` ${colours.yellow(`[${PLACE_WORDS[place.how]}]`)}`;
      return `${colours.cyan(text)} => ${path}${how}`;
    }
    case 'known':
      return `${colours.dim(`${text} [loaded]`)}`;
    case 'same-file':
      return `${colours.dim(`${text} [the same file as ${path}]`)}`;
    case 'missing':
      return `${colours.red(`${text} not found`)}${tag === 'auxiliary' ? ', and not needed' : ''}`;
    case 'fatal':
      return colours.red(`${text} ends the program`);
  }
}

/** Where the loader looked for what it did not find, one line a rule. */
function missText({ outcome, places = [], steps }: Lookup, trace: Trace): string[] {
  if (outcome !== 'missing' && outcome !== 'fatal') return [];
  const bad = steps.filter(({ result }) => result === 'passed-over' || result === 'fatal');
  const lines = bad.map(({ path, why }) => `${displayBytes(path)}: ${why}`);
  if (outcome === 'fatal') return lines;
  if (places.length === 0)
    return [...lines, ...steps.map(({ path, why }) => `${displayBytes(path)}: ${why}`)];
  const rules = new Map<string, string[]>();
  for (const place of places) {
    const rule = `${PLACE_WORDS[place.how]}${place.owner === undefined ? '' : ` of ${nameOf(pathOf(trace, place.owner))}`}`;
    rules.set(rule, [...(rules.get(rule) ?? []), tried(place)]);
  }
  return [...lines, ...[...rules].map(([rule, directories]) => `${rule}: ${directories.join(', ')}`)];
}

function tried({ how, directory = '', isAbsent }: TriedPlace): string {
  if (how === 'ld.so.cache')
    return isAbsent ? `${displayBytes(directory)} (absent)` : displayBytes(directory);
  return `${directoryText(directory)}${isAbsent ? ' (absent)' : ''}`;
}
