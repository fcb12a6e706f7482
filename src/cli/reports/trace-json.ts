import { displayBytes } from '../../elf/bytes.js';
import { type Counts, countByRequester, countSteps, libraryCount, NO_COUNTS } from '../../loader/count.js';
import type { Lookup, Place, Step, TracedObject } from '../../loader/record.js';
import type { Trace } from '../../loader/trace.js';
import { JSON_SCHEMA } from './json.js';
import { dlopenJson } from './trace-dlopen.js';

/**
 * A trace as an object (docs/trace-schema.json).
 * @param best the same program with a note in every object.
 * @param opened the same program, with all opened that its objects declare to dlopen.
 * @param why names whose every probe is told; of others, how many failed.
 */
export function traceJson(trace: Trace, best: Trace, opened: Trace, why: readonly string[]): object {
  const { loader, processor, architecture, fatal } = trace;
  const costs = countByRequester(trace);
  return {
    schema: JSON_SCHEMA,
    type: 'trace',
    path: trace.file,
    with: trace.with,
    loader: {
      path: loader.path === undefined ? null : displayBytes(loader.path),
      glibc: `2.${loader.glibc}`,
      versionFrom: loader.versionFrom,
    },
    architecture: architecture.name,
    processor: {
      levels: processor.levels,
      capabilities: processor.capabilities,
      platform: processor.platform ?? null,
    },
    subdirectories: trace.subdirectories,
    libraries: libraryCount(trace),
    ...countsJson(trace.counts),
    withNotesEverywhere: countsJson(best.counts),
    fatal: fatal === undefined ? null : trace.lookups.indexOf(fatal),
    objects: trace.objects.map(object => objectJson(object, costs.get(object.index) ?? NO_COUNTS)),
    lookups: trace.lookups.map(lookup => lookupJson(lookup, why.includes(lookup.name))),
    dlopen: dlopenJson(trace, opened),
  };
}

function countsJson({ opens, stats }: Counts): { failingOpens: number; failingStats: number } {
  return { failingOpens: opens, failingStats: stats };
}

function objectJson(
  { index, kind, name, path, place, requester, facts }: TracedObject,
  cost: Counts,
): object {
  const text = (value: string | undefined) => (value === undefined ? null : displayBytes(value));
  return {
    index,
    kind,
    name: displayBytes(name),
    path: displayBytes(path),
    found: place === undefined ? null : placeJson(place),
    requester: requester ?? null,
    soname: text(facts?.soname),
    runpath: text(facts?.runpath),
    rpath: text(facts?.rpath),
    hasNote: facts?.note !== undefined,
    ...countsJson(cost),
  };
}

function placeJson({ how, directory, owner }: Place): object {
  return { how, directory: directory === undefined ? null : displayBytes(directory), owner: owner ?? null };
}

function lookupJson(lookup: Lookup, withProbes: boolean): object {
  const { requester, tag, name, outcome, result, places, answer, steps } = lookup;
  return {
    requester,
    tag,
    name: displayBytes(name),
    outcome,
    result: result ?? null,
    ...countsJson(countSteps(steps)),
    ...(places === undefined
      ? {}
      : { tried: places.map(({ isAbsent, ...place }) => ({ ...placeJson(place), isAbsent })) }),
    ...(answer === undefined ? {} : { leftToLoader: answer }),
    ...(withProbes ? { probes: steps.map(probeJson) } : {}),
  };
}

function probeJson({ call, path, result, why, place }: Step): object {
  return { call, path: displayBytes(path), result, why, ...placeJson(place) };
}
