import { displayBytes, escapeControls } from '../../elf/bytes.js';
import type { Lookup } from '../../loader/record.js';
import type { Trace } from '../../loader/trace.js';
import type { DlopenRequest } from '../../note/dlopen.js';
import { nameOf, pathOf, placeText } from './trace-words.js';

/** A library that an object of a trace declares to dlopen. */
interface Declared extends Pick<DlopenRequest, 'feature' | 'priority'> {
  readonly requester: number;
  readonly soname: string;
  /** What would become of it; undefined where the program does not start. */
  readonly lookup: Lookup | undefined;
}

/**
 * What the objects of a trace declare, in the order in which they are loaded.
 * @param opened the same program, with all of it opened.
 */
function declaredOf({ objects }: Trace, opened: Trace): Declared[] {
  const key = (requester: number, name: string) => `${requester} ${name}`;
  const lookups = new Map(
    opened.lookups.filter(({ tag }) => tag === 'dlopen').map(of => [key(of.requester, of.name), of]),
  );
  return objects.flatMap(({ index, facts }) =>
    (facts?.declared ?? []).flatMap(({ sonames, feature, priority }) =>
      sonames.map(soname => {
        return { requester: index, soname, feature, priority, lookup: lookups.get(key(index, soname)) };
      }),
    ),
  );
}

export function declaresAny({ objects }: Trace): boolean {
  return objects.some(({ facts }) => (facts?.declared.length ?? 0) > 0);
}

export function dlopenJson(trace: Trace, opened: Trace): object[] {
  return declaredOf(trace, opened).map(({ requester, soname, feature, priority, lookup }) => ({
    requester,
    name: displayBytes(soname),
    feature: feature ?? null,
    priority,
    path: lookup?.result === undefined ? null : pathOf(opened, lookup.result),
    how: lookup?.place?.how ?? null,
  }));
}

/** A line for each of them, below a heading. */
export function dlopenLines(trace: Trace, opened: Trace): string[] {
  const lines = declaredOf(trace, opened).map(({ requester, soname, feature, priority, lookup }) => {
    const what = [...(feature === undefined ? [] : [feature]), priority].join(', ');
    const whose = nameOf(pathOf(trace, requester));
    return `  ${displayBytes(soname)} by ${whose} (${escapeControls(what)}): ${whereText(lookup, opened)}`;
  });
  return lines.length === 0 ? [] : ['Declared to dlopen, and not loaded at the start:', ...lines];
}

function whereText(lookup: Lookup | undefined, opened: Trace): string {
  if (lookup?.result === undefined) return 'not found';
  const path = pathOf(opened, lookup.result);
  return lookup.place === undefined ? `${path} [loaded]` : `${path} [${placeText(lookup.place, opened)}]`;
}
