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
import { legacySubdirectoryHolding } from './hwcaps.js';
import type { LibraryProbe } from './probe.js';

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

/** What one run path directory had to say about one soname. */
export interface Attempt {
  readonly component: ByteString;
  readonly outcome: 'recorded' | 'hint' | 'passed-over' | 'fatal';
  /** The hint's reason, or why the candidate was not taken. Empty for `recorded`, but for `system`. */
  readonly why: RuntimeReason | string;
}

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
  const components = names.map(component => classifyComponent(component, probe, options.storeRoots));
  const entries: ResolvedEntry[] = [];
  const unresolved: Unresolved[] = [];
  const isSettled = options.storeRoots !== undefined && isImmutable(components);
  for (const soname of needed) {
    const found = resolveSoname(soname, components, image, probe, options);
    const result = isSettled ? orSystemLibrary(found, options) : found;
    if ('steps' in result) entries.push(result);
    else unresolved.push(result);
  }
  return { source: runPath.source, components, entries, unresolved };
}

/** What one directory says of one soname; the step is missing where nothing is recorded. */
interface Answer {
  readonly attempt: Attempt;
  readonly step?: CacheStep;
}

type ExactComponent = Extract<SearchComponent, { kind: 'exact' }>;

/** Of the directories that only the loader can search: they say the same of every soname. */
const answers = new WeakMap<SearchComponent, Answer>();

function answerOf(
  soname: ByteString,
  component: SearchComponent,
  image: ElfImage,
  probe: LibraryProbe,
): Answer {
  if (component.kind === 'exact') return lookUp(soname, component, image, probe);
  let answer = answers.get(component);
  if (answer === undefined) {
    answer = hint(component.component, component.why);
    answers.set(component, answer);
  }
  return answer;
}

function hint(component: ByteString, why: RuntimeReason): Answer {
  return { attempt: { component, outcome: 'hint', why }, step: { kind: 'hint', dir: component } };
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
  if (soname.includes('/')) return { soname, why: 'path', attempts: [] };
  if (soname.includes('$')) return { soname, why: 'token', attempts: [] };
  // `:` would end the path-list element, and an empty name the descriptor.
  if (soname === '' || soname.includes(':')) return { soname, why: 'not-encodable', attempts: [] };
  const attempts: Attempt[] = [];
  const steps = new Map<ByteString, CacheStep>();
  let tooLong = false;
  for (const component of components) {
    const { attempt, step } = answerOf(soname, component, image, probe);
    attempts.push(attempt);
    if (step === undefined) continue;
    // The loader would skip this element and prefer a later one; without them it walks the run path instead.
    const element = elementOf(step);
    tooLong = element.length >= ELEMENT_LIMIT;
    if (tooLong) break;
    if (!steps.has(element)) steps.set(element, step);
  }
  if (steps.size === 0) return { soname, why: tooLong ? 'not-encodable' : 'not-found', attempts };
  const all = [...steps.values()];
  const useful = options.likePatchelf ? all : gainingSteps(all);
  return typeof useful === 'string' ? { soname, why: useful, attempts } : { soname, steps: useful, attempts };
}

function lookUp(
  soname: ByteString,
  { component, dir, mutable }: ExactComponent,
  image: ElfImage,
  probe: LibraryProbe,
): Answer {
  if (legacySubdirectoryHolding(dir, soname, probe) !== undefined) return hint(component, 'hwcaps');
  const path = joinPath(dir, soname);
  const candidate = probe.candidate(path);
  const verdict = judgeCandidate(candidate, image);
  if (verdict.kind === 'accepted') {
    return {
      attempt: { component, outcome: 'recorded', why: '' },
      step: { kind: 'path', path },
    };
  }
  if (mutable && candidate.kind === 'absent') return hint(component, 'mutable');
  return { attempt: { component, outcome: verdict.kind, why: verdict.why } };
}
