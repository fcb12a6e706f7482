import { posix } from 'node:path';
import type { ByteString } from '../elf/bytes.js';
import type { LibraryProbe } from './probe.js';

/** Why a run path directory is left to the loader. */
export type RuntimeReason =
  | 'empty'
  | 'relative'
  | 'token'
  | 'missing'
  | 'not-a-directory'
  | 'unsearchable'
  | 'hwcaps'
  | 'mutable';

/** A directory of the run path: looked up now, or at run time for a reason. */
export type SearchComponent =
  | {
      readonly kind: 'exact';
      readonly component: ByteString;
      readonly dir: ByteString;
      readonly mutable: boolean;
    }
  | { readonly kind: 'runtime'; readonly component: ByteString; readonly why: RuntimeReason };

/** `DT_RUNPATH` is split at `:` only; an empty component is kept, also the one after a trailing `:`. */
export function splitRunPath(runPath: ByteString): ByteString[] {
  return runPath === '' ? [] : runPath.split(':');
}

/**
 * Decides what may be said about a component before the program runs.
 * @param storeRoots directories whose contents never change; undefined when none are known.
 */
export function classifyComponent(
  component: ByteString,
  probe: LibraryProbe,
  storeRoots: readonly ByteString[] | undefined,
): SearchComponent {
  const runtime = (why: RuntimeReason): SearchComponent => ({ kind: 'runtime', component, why });
  if (component === '') return runtime('empty');
  if (component.includes('$')) return runtime('token');
  if (!component.startsWith('/')) return runtime('relative');
  const dir = stripTrailingSlashes(component);
  const state = probe.directory(dir);
  if (state !== 'searchable') return runtime(state);
  if (hasHwcaps(dir, probe)) return runtime('hwcaps');
  const mutable = storeRoots !== undefined && !isInStore(dir, probe, storeRoots);
  return { kind: 'exact', component, dir, mutable };
}

/** Hardly any directory has one, and a list of names says so without asking for it. */
function hasHwcaps(dir: ByteString, probe: LibraryProbe): boolean {
  if (probe.names(dir)?.has(HWCAPS) === false) return false;
  return probe.directory(joinPath(dir, HWCAPS)) === 'searchable';
}

const HWCAPS = 'glibc-hwcaps';

/** ld.so drops them before it joins the name, and `l_name` shows it. */
export function stripTrailingSlashes(component: ByteString): ByteString {
  return component.replace(/\/+$/, '') || '/';
}

export function joinPath(dir: ByteString, name: ByteString): ByteString {
  return dir === '/' ? `/${name}` : `${dir}/${name}`;
}

/** By name and by its real path: a link inside the store that leads out of it is mutable, and so is one into it. */
export function isInStore(dir: ByteString, probe: LibraryProbe, roots: readonly ByteString[]): boolean {
  const named = posix.normalize(dir);
  if (!roots.some(root => isBelow(named, root))) return false;
  const real = probe.realPath(dir);
  return real !== undefined && roots.some(root => isBelow(real, probe.realPath(root) ?? root));
}

function isBelow(path: ByteString, root: ByteString): boolean {
  const prefix = root.endsWith('/') ? root : `${root}/`;
  return path.startsWith(prefix);
}
