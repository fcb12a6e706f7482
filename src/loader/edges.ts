import type { ByteString } from '../elf/bytes.js';
import { judgeCandidate } from '../resolve/candidate.js';
import {
  classifyComponent,
  joinPath,
  type RuntimeReason,
  type SearchComponent,
  splitRunPath,
} from '../resolve/components.js';
import { legacySubdirectoryHolding } from '../resolve/hwcaps.js';
import type { LibraryProbe } from '../resolve/probe.js';
import type { ObjectFacts } from './object.js';
import type { Lookup, TracedObject } from './record.js';
import { expandTokens, type Tokens, tokensOf } from './tokens.js';
import type { Trace } from './trace.js';

/**
 * Where an object's request may be met, in the order in which the loader looks. Directories are expanded; `component`
 * is what stands in the file, so that one that starts with `$ORIGIN` can be kept relative.
 */
export type EdgeCandidate =
  /** A file that the loader takes. */
  | (EdgePlace & { readonly kind: 'exact'; readonly path: ByteString })
  /** A directory that has to be searched at run time, and why. */
  | (EdgePlace & { readonly kind: 'search'; readonly why: RuntimeReason })
  /** A file for which the loader leaves the search: `found` in ld.so.cache or a default directory by this trace. */
  | { readonly kind: 'system'; readonly path: ByteString };

interface EdgePlace {
  /** Index of the object whose run path it is. */
  readonly owner: number;
  readonly tag: 'DT_RUNPATH' | 'DT_RPATH';
  readonly component: ByteString;
  /** Undefined where a token of the component has no value: the loader passes over it. */
  readonly dir: ByteString | undefined;
}

/** One thing that an object asks for. */
export interface ClosureEdge {
  readonly tag: Lookup['tag'];
  readonly name: ByteString;
  readonly outcome: Lookup['outcome'];
  /** Index of the object that it is; undefined where there is none. */
  readonly result: number | undefined;
  /** None for a name with `/`, which is opened as it is. */
  readonly candidates: readonly EdgeCandidate[];
  /**
   * The answer comes, or may come, from the `DT_RPATH` of an object that caused this one to be loaded: another program,
   * or a preloaded library, may change it.
   */
  readonly dependsOnLoaders: boolean;
}

/** An object that was opened, and all that it asks for. */
export interface ClosureNode {
  readonly index: number;
  /** By which ld.so opened it (`l_name`); of the program, its real path. */
  readonly path: ByteString;
  /** `DT_NEEDED` in order. */
  readonly needed: readonly ByteString[];
  readonly runpath: ByteString | undefined;
  /** Undefined also where `DT_RUNPATH` hides it. */
  readonly rpath: ByteString | undefined;
  readonly edges: readonly ClosureEdge[];
}

/**
 * What a table for a whole closure can be made from: each requester with its own answers.
 * @param libraries looks run path directories up; the same file system as the trace's.
 * @param storeRoots directories whose contents never change; undefined when none are known.
 * @param workingDirectory as the trace had it.
 */
export function closureNodes(
  trace: Trace,
  libraries: LibraryProbe,
  storeRoots: readonly ByteString[] | undefined,
  workingDirectory: ByteString,
): ClosureNode[] {
  const finder = new EdgeFinder(trace, libraries, storeRoots, workingDirectory);
  const requests = new Map<number, Lookup[]>();
  for (const lookup of trace.lookups) {
    const known = requests.get(lookup.requester);
    if (known === undefined) requests.set(lookup.requester, [lookup]);
    else known.push(lookup);
  }
  return trace.objects.flatMap(({ index, path, facts }) => {
    if (facts === undefined) return [];
    const edges = (requests.get(index) ?? []).map(lookup => finder.edge(lookup, facts));
    const { runpath, rpath, image } = facts;
    return [{ index, path, needed: image.dynamic?.needed ?? [], runpath, rpath, edges }];
  });
}

/** One directory of a run path, with what is known of it. */
type Entry = EdgePlace & { readonly classified: SearchComponent | undefined };

class EdgeFinder {
  readonly #trace: Trace;
  readonly #libraries: LibraryProbe;
  readonly #storeRoots: readonly ByteString[] | undefined;
  readonly #workingDirectory: ByteString;
  readonly #runPaths = new Map<number, readonly Entry[]>();
  readonly #classified = new Map<ByteString, SearchComponent>();

  constructor(
    trace: Trace,
    libraries: LibraryProbe,
    storeRoots: readonly ByteString[] | undefined,
    workingDirectory: ByteString,
  ) {
    this.#trace = trace;
    this.#libraries = libraries;
    this.#storeRoots = storeRoots;
    this.#workingDirectory = workingDirectory;
  }

  edge(lookup: Lookup, facts: ObjectFacts): ClosureEdge {
    const { tag, name, outcome, result, requester } = lookup;
    if (name.includes('/')) return { tag, name, outcome, result, candidates: [], dependsOnLoaders: false };
    const own = this.#runPathOf(requester).flatMap(entry => this.#candidate(name, entry, facts));
    const inherited = this.#inheritedBy(requester, facts);
    const later = inherited.flatMap(index =>
      this.#runPathOf(index).flatMap(entry => this.#candidate(name, entry, facts)),
    );
    const isSettled = own[0]?.kind === 'exact';
    const candidates = [...own, ...later, ...this.#system(result)];
    const dependsOnLoaders = !isSettled && inherited.length > 0;
    return { tag, name, outcome, result, candidates, dependsOnLoaders };
  }

  /** Objects on the way to the program that have a `DT_RPATH`, nearest first; none for an object with `DT_RUNPATH`. */
  #inheritedBy(requester: number, { runpath }: ObjectFacts): number[] {
    if (runpath !== undefined) return [];
    const chain: TracedObject[] = [];
    let at = this.#trace.objects[requester]?.requester;
    for (; at !== undefined; at = this.#trace.objects[at]?.requester) {
      const object = this.#trace.objects[at];
      if (object !== undefined) chain.push(object);
    }
    return chain.filter(({ facts }) => facts?.rpath !== undefined).map(({ index }) => index);
  }

  #runPathOf(index: number): readonly Entry[] {
    const known = this.#runPaths.get(index);
    if (known !== undefined) return known;
    const object = this.#trace.objects[index];
    const entries = object?.facts === undefined ? [] : this.#entriesOf(object, object.facts);
    this.#runPaths.set(index, entries);
    return entries;
  }

  #entriesOf({ index, path }: TracedObject, { runpath, rpath }: ObjectFacts): Entry[] {
    const { loader, processor } = this.#trace;
    const tokens = tokensOf(path, this.#workingDirectory, loader.lib, processor.platform);
    const tag = runpath === undefined ? 'DT_RPATH' : 'DT_RUNPATH';
    // The loader keeps each directory of a run path once.
    return [...new Set(splitRunPath(runpath ?? rpath ?? ''))].map(component => {
      const dir = expanded(component, tokens);
      const classified = dir === undefined ? undefined : this.#classify(dir);
      return { owner: index, tag, component, dir, classified };
    });
  }

  #classify(dir: ByteString): SearchComponent {
    let classified = this.#classified.get(dir);
    if (classified === undefined) {
      classified = classifyComponent(dir, this.#libraries, this.#storeRoots);
      this.#classified.set(dir, classified);
    }
    return classified;
  }

  #candidate(name: ByteString, { classified, ...place }: Entry, facts: ObjectFacts): [EdgeCandidate] | [] {
    if (classified === undefined) return [];
    if (classified.kind === 'runtime') return [{ kind: 'search', why: classified.why, ...place }];
    const { dir, mutable } = classified;
    if (legacySubdirectoryHolding(dir, name, this.#libraries) !== undefined)
      return [{ kind: 'search', why: 'hwcaps', ...place }];
    const path = joinPath(dir, name);
    const candidate = this.#libraries.candidate(path);
    if (judgeCandidate(candidate, facts.image).kind === 'accepted')
      return [{ kind: 'exact', path, ...place }];
    return mutable && candidate.kind === 'absent' ? [{ kind: 'search', why: 'mutable', ...place }] : [];
  }

  #system(result: number | undefined): [EdgeCandidate] | [] {
    const object = result === undefined ? undefined : this.#trace.objects[result];
    const how = object?.place?.how;
    if (object === undefined || (how !== 'ld.so.cache' && how !== 'default')) return [];
    return [{ kind: 'system', path: object.path }];
  }
}

function expanded(component: ByteString, tokens: Tokens): ByteString | undefined {
  const dir = expandTokens(component, tokens);
  return dir === '' && component !== '' ? undefined : dir;
}
