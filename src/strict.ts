import picomatch from 'picomatch';
import { type ByteString, displayBytes } from './elf/bytes.js';
import { ElfnoteError } from './errors.js';
import type { SkipPlan, SkipReason } from './layout/model/plan.js';
import type { NoGain } from './resolve/gain.js';
import type { Resolution, Unresolved } from './resolve/resolve.js';

/** What the run path may well hold when the program runs, and what is not looked for in it. */
const NO_MISS: ReadonlySet<Unresolved['why']> = new Set([
  'path',
  'hints-only',
  'current-directory',
] satisfies ('path' | NoGain)[]);

/** What of a file may be missing from its run path. */
export interface Allowed {
  /** Globs of sonames. */
  readonly allowMissing: readonly string[] | undefined;
  /** Whether the loader finds a soname without a run path: in ld.so.cache, or in a default directory. */
  readonly isOnSystem: (soname: ByteString) => boolean;
}

/** @throws ElfnoteError `unresolved` for a soname that the run path does not find, and that is not allowed to be missing. */
export function refuseUnresolved(path: string, resolution: Resolution, allowed: Allowed): void {
  const isAllowed = picomatch([...(allowed.allowMissing ?? [])], { dot: true, nonegate: true });
  const missing = resolution.unresolved.filter(
    ({ soname, why }) => !NO_MISS.has(why) && !isAllowed(displayBytes(soname)) && !allowed.isOnSystem(soname),
  );
  if (missing.length === 0) return;
  const names = missing.map(({ soname }) => displayBytes(soname)).join(', ');
  throw new ElfnoteError('unresolved', `not found over the run path: ${names}`, { path });
}

/** Of files that would gain from a note: there is a library to find, and no place to say where. */
const WANTS_NOTE: ReadonlySet<SkipReason> = new Set<SkipReason>([
  'no-room',
  'note-too-large',
  'unsupported-layout',
]);

/** @throws ElfnoteError `no-note` for a file that a note would help and that gets none. */
export function refuseNoRoom(path: string, { reason, detail }: SkipPlan): void {
  if (!WANTS_NOTE.has(reason)) return;
  throw new ElfnoteError('no-note', `gets no note: ${detail}`, { path });
}
