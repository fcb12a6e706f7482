import type { ByteString } from '../elf/bytes.js';
import type { ElfImage } from '../elf/image.js';
import { ElfnoteError } from '../errors.js';
import { type CacheEntry, type CacheStep, ELEMENT_LIMIT, elementOf } from '../note/cache.js';
import { judgeCandidate } from './candidate.js';
import {
  classifyComponent,
  joinPath,
  type RuntimeReason,
  type SearchComponent,
  splitRunPath,
} from './components.js';
import { gainingSteps, type NoGain } from './gain.js';
import { legacySubdirectoryHolding, namesWithoutLegacy } from './hwcaps.js';
import type { Answer, Attempt, Known } from './memory.js';
import type { Candidate, LibraryProbe } from './probe.js';

export interface ResolveOptions {
  /** Directories whose contents never change (Nix: `NIX_STORE`). Undefined: not known. */
  readonly storeRoots?: readonly ByteString[] | undefined;
  /** Record every element, also those that help no loader, as `patchelf --build-resolution-cache` does. */
  readonly likePatchelf?: boolean | undefined;
  /**
   * What the loader finds behind the run path, for a soname that no directory of it has. Asked only where the whole run
   * path is in store roots, so that nothing can come in between later.
   */
  readonly systemLibrary?: ((soname: ByteString) => ByteString | undefined) | undefined;
  /** Sonames that are resolved besides `DT_NEEDED`. */
  readonly more?: readonly ByteString[] | undefined;
}

export type { Attempt };

/** An entry and, for each run path directory in order, how it came about. */
export interface ResolvedEntry extends CacheEntry {
  readonly attempts: readonly Attempt[];
}

/**
 * A soname without an entry; the loader will search for it as it always did. Of `hints-only` the run path has
 * directories that only the loader can search, and no path; of `current-directory` such a one comes first.
 */
export interface Unresolved {
  readonly soname: ByteString;
  readonly why: 'not-found' | 'path' | 'token' | 'not-encodable' | NoGain;
  readonly attempts: readonly Attempt[];
}

export interface Resolution {
  readonly source: 'DT_RUNPATH' | 'DT_RPATH' | undefined;
  readonly components: readonly SearchComponent[];
  readonly entries: readonly ResolvedEntry[];
  readonly unresolved: readonly Unresolved[];
}

/** The run path the walk uses: `DT_RPATH` only where there is no `DT_RUNPATH`, as in ld.so. */
export function runPathOf(image: ElfImage): { source: Resolution['source']; components: ByteString[] } {
  const { runpath, rpath } = image.dynamic ?? {};
  if (runpath !== undefined) return { source: 'DT_RUNPATH', components: splitRunPath(runpath) };
  if (rpath !== undefined) return { source: 'DT_RPATH', components: splitRunPath(rpath) };
  return { source: undefined, components: [] };
}

/** Sonames times run path directories; a file of a few kilobytes can ask for any number. */
const MOST_LOOKUPS = 1_000_000;

/**
 * Resolves each `DT_NEEDED` soname over the run path, without running anything. Every matching directory is
 * listed, not only the first: the loader goes on to the next when a path has vanished.
 *
 * @throws ElfnoteError `unsupported` where the run path and the sonames are too many.
 */
export function resolveImage(image: ElfImage, probe: LibraryProbe, options: ResolveOptions = {}): Resolution {
  const runPath = runPathOf(image);
  // ld.so keeps each directory of a run path once.
  const names = [...new Set(runPath.components)];
  const needed = new Set([...(image.dynamic?.needed ?? []), ...(options.more ?? [])]);
  if (names.length * needed.size > MOST_LOOKUPS) {
    const what = `${needed.size} libraries over ${names.length} directories`;
    throw new ElfnoteError('unsupported', `looking up ${what} is more than ${MOST_LOOKUPS} look-ups`, {
      path: image.path,
    });
  }
  const known = knownComponents(names, image, probe, options);
  const components = known.map(({ component }) => component);
  const entries: ResolvedEntry[] = [];
  const unresolved: Unresolved[] = [];
  const isSettled = options.storeRoots !== undefined && isImmutable(components);
  for (const soname of needed) {
    const found = resolveOver(soname, known, { image, probe, options });
    const result = isSettled ? orSystemLibrary(found, options) : found;
    if ('steps' in result) entries.push(result);
    else unresolved.push(result);
  }
  return { source: runPath.source, components, entries, unresolved };
}

function knownComponents(
  names: readonly ByteString[],
  image: ElfImage,
  probe: LibraryProbe,
  { storeRoots }: ResolveOptions,
): Known[] {
  const known = probe.memory?.componentsFor(image, storeRoots);
  return names.map(name => {
    const before = known?.get(name);
    if (before !== undefined) return before;
    const added = knownOf(classifyComponent(name, probe, storeRoots), probe);
    if (known !== undefined) probe.memory?.keep(known, name, added);
    return added;
  });
}

function knownOf(component: SearchComponent, probe: LibraryProbe): Known {
  const names = component.kind === 'exact' ? namesWithoutLegacy(component.dir, probe) : undefined;
  return { component, answers: new Map(), names };
}

type ExactComponent = Extract<SearchComponent, { kind: 'exact' }>;

/** Who asks, and whom. */
interface Query {
  readonly image: ElfImage;
  readonly probe: LibraryProbe;
  readonly options: Pick<ResolveOptions, 'likePatchelf'>;
}

function answerOf(soname: ByteString, known: Known, { image, probe }: Query): Answer {
  const { component, answers, names } = known;
  if (component.kind === 'exact' && names?.has(soname) === false) {
    // Not asked of the probe, which may have forgotten the list, and would answer for this soname by a newer one.
    known.without ??= answerTo(NOT_THERE, '', component, image);
    return known.without;
  }
  // A directory that only the loader can search says the same of every soname.
  const asked = component.kind === 'exact' ? soname : '';
  const before = answers.get(asked);
  if (before !== undefined) return before;
  const answer =
    component.kind === 'exact'
      ? lookUp(soname, component, image, probe)
      : hint(component.component, component.why);
  if (probe.memory === undefined) answers.set(asked, answer);
  else probe.memory.keep(answers, asked, answer);
  return answer;
}

function hint(component: ByteString, why: RuntimeReason): Answer {
  const step = { kind: 'hint', dir: component } as const;
  return { attempt: { component, outcome: 'hint', why }, step, element: elementOf(step) };
}

/** Whether nothing can come into a run path later. */
export function isImmutable(components: readonly SearchComponent[]): boolean {
  return components.every(component => component.kind === 'exact' && !component.mutable);
}

function orSystemLibrary(
  found: ResolvedEntry | Unresolved,
  { systemLibrary }: ResolveOptions,
): ResolvedEntry | Unresolved {
  if ('steps' in found || found.why !== 'not-found') return found;
  const { soname, attempts } = found;
  const path = systemLibrary?.(soname);
  if (path === undefined || path.includes(':') || path.length + 1 >= ELEMENT_LIMIT) return found;
  const attempt = { component: directoryOf(path), outcome: 'recorded', why: 'system' } as const;
  return { soname, steps: [{ kind: 'path', path }], attempts: [...attempts, attempt] };
}

function directoryOf(path: ByteString): ByteString {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

/** As `resolveImage` does, for one soname and the classified run path of its object. */
export function resolveSoname(
  soname: ByteString,
  components: readonly SearchComponent[],
  image: ElfImage,
  probe: LibraryProbe,
  options: Pick<ResolveOptions, 'likePatchelf'> = {},
): ResolvedEntry | Unresolved {
  const known = components.map(component => knownOf(component, probe));
  return resolveOver(soname, known, { image, probe, options });
}

function resolveOver(soname: ByteString, known: readonly Known[], query: Query): ResolvedEntry | Unresolved {
  if (soname.includes('/')) return { soname, why: 'path', attempts: [] };
  if (soname.includes('$')) return { soname, why: 'token', attempts: [] };
  // `:` would end the path-list element, and an empty name the descriptor.
  if (soname === '' || soname.includes(':')) return { soname, why: 'not-encodable', attempts: [] };
  const attempts: Attempt[] = [];
  const steps: CacheStep[] = [];
  const elements = new Set<ByteString>();
  let tooLong = false;
  for (let i = 0; i < known.length; i++) {
    const one = known[i];
    if (one === undefined) continue;
    const { attempt, step, element } = answerOf(soname, one, query);
    attempts.push(attempt);
    if (step === undefined || element === undefined) continue;
    // The loader would skip this element and prefer a later one; without them it walks the run path instead.
    tooLong = element.length >= ELEMENT_LIMIT;
    if (tooLong) break;
    if (elements.has(element)) continue;
    elements.add(element);
    steps.push(step);
  }
  if (steps.length === 0) return { soname, why: tooLong ? 'not-encodable' : 'not-found', attempts };
  const useful = query.options.likePatchelf ? steps : gainingSteps(steps);
  return typeof useful === 'string' ? { soname, why: useful, attempts } : { soname, steps: useful, attempts };
}

function lookUp(soname: ByteString, exact: ExactComponent, image: ElfImage, probe: LibraryProbe): Answer {
  const { component, dir } = exact;
  if (legacySubdirectoryHolding(dir, soname, probe) !== undefined) return hint(component, 'hwcaps');
  const path = joinPath(dir, soname);
  return answerTo(probe.candidate(path), path, exact, image);
}

const NOT_THERE: Candidate = { kind: 'absent', why: 'not there' };

function answerTo(
  candidate: Candidate,
  path: ByteString,
  { component, mutable }: ExactComponent,
  image: ElfImage,
): Answer {
  const verdict = judgeCandidate(candidate, image);
  if (verdict.kind === 'accepted') {
    const step = { kind: 'path', path } as const;
    return { attempt: { component, outcome: 'recorded', why: '' }, step, element: elementOf(step) };
  }
  if (mutable && candidate.kind === 'absent') return hint(component, 'mutable');
  return { attempt: { component, outcome: verdict.kind, why: verdict.why } };
}
