import type { ByteString } from '../elf/bytes.js';
import type { ElfImage } from '../elf/image.js';
import { type CacheEntry, type CacheStep, ELEMENT_LIMIT, elementOf } from '../note/cache.js';
import { judgeCandidate } from './candidate.js';
import {
  classifyComponent,
  joinPath,
  type RuntimeReason,
  type SearchComponent,
  splitRunPath,
} from './components.js';
import { legacySubdirectoryHolding } from './hwcaps.js';
import type { LibraryProbe } from './probe.js';

export interface ResolveOptions {
  /** Directories whose contents never change (Nix: `NIX_STORE`). Undefined: not known. */
  readonly storeRoots?: readonly ByteString[] | undefined;
}

/** What one run path directory had to say about one soname. */
export interface Attempt {
  readonly component: ByteString;
  readonly outcome: 'recorded' | 'hint' | 'passed-over' | 'fatal';
  /** The hint's reason, or why the candidate was not taken. Empty for `recorded`. */
  readonly why: RuntimeReason | string;
}

/** An entry and, for each run path directory in order, how it came about. */
export interface ResolvedEntry extends CacheEntry {
  readonly attempts: readonly Attempt[];
}

/** A soname without an entry; the loader will search for it as it always did. */
export interface Unresolved {
  readonly soname: ByteString;
  readonly why: 'not-found' | 'path' | 'token' | 'not-encodable';
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

/**
 * Resolves each `DT_NEEDED` soname over the run path, without running anything. Every matching directory is
 * listed, not only the first: the loader goes on to the next when a path has vanished.
 */
export function resolveImage(image: ElfImage, probe: LibraryProbe, options: ResolveOptions = {}): Resolution {
  const runPath = runPathOf(image);
  // ld.so keeps each directory of a run path once.
  const components = [...new Set(runPath.components)].map(component =>
    classifyComponent(component, probe, options.storeRoots),
  );
  const entries: ResolvedEntry[] = [];
  const unresolved: Unresolved[] = [];
  for (const soname of new Set(image.dynamic?.needed ?? [])) {
    const result = resolveSoname(soname, components, image, probe);
    if ('steps' in result) entries.push(result);
    else unresolved.push(result);
  }
  return { source: runPath.source, components, entries, unresolved };
}

/** One soname over a run path whose directories are classified already; as `resolveImage` does all of them. */
export function resolveSoname(
  soname: ByteString,
  components: readonly SearchComponent[],
  image: ElfImage,
  probe: LibraryProbe,
): ResolvedEntry | Unresolved {
  if (soname.includes('/')) return { soname, why: 'path', attempts: [] };
  if (soname.includes('$')) return { soname, why: 'token', attempts: [] };
  // `:` would end the path-list element, and an empty name the descriptor.
  if (soname === '' || soname.includes(':')) return { soname, why: 'not-encodable', attempts: [] };
  const attempts: Attempt[] = [];
  const steps: CacheStep[] = [];
  let tooLong = false;
  for (const component of components) {
    const { attempt, step } = lookUp(soname, component, image, probe);
    attempts.push(attempt);
    if (step === undefined || steps.some(other => elementOf(other) === elementOf(step))) continue;
    // The loader would skip this element and prefer a later one; without them it walks the run path instead.
    tooLong = elementOf(step).length >= ELEMENT_LIMIT;
    if (tooLong) break;
    steps.push(step);
  }
  if (steps.length > 0) return { soname, steps, attempts };
  return { soname, why: tooLong ? 'not-encodable' : 'not-found', attempts };
}

function lookUp(
  soname: ByteString,
  component: SearchComponent,
  image: ElfImage,
  probe: LibraryProbe,
): { attempt: Attempt; step?: CacheStep } {
  const hint = (why: RuntimeReason) => ({
    attempt: { component: component.component, outcome: 'hint' as const, why },
    step: { kind: 'hint' as const, dir: component.component },
  });
  if (component.kind === 'runtime') return hint(component.why);
  const { dir } = component;
  if (legacySubdirectoryHolding(dir, soname, probe) !== undefined) return hint('hwcaps');
  const path = joinPath(dir, soname);
  const candidate = probe.candidate(path);
  const verdict = judgeCandidate(candidate, image);
  if (verdict.kind === 'accepted') {
    return {
      attempt: { component: component.component, outcome: 'recorded', why: '' },
      step: { kind: 'path', path },
    };
  }
  if (component.mutable && candidate.kind === 'absent') return hint('mutable');
  return { attempt: { component: component.component, outcome: verdict.kind, why: verdict.why } };
}
