import { displayBytes } from '../../elf/bytes.js';
import type { WorkedOutcome } from '../../outcome.js';

/** What a loader that reads notes has of the note that a file has when all is done. */
export interface Effect {
  /** Sonames whose path the loader opens at once. */
  readonly foundAtOnce: number;
  /** Sonames for which it searches a directory or more before it opens a path. */
  readonly searched: number;
  /** Sonames of which the note says nothing; the loader searches as it always did. */
  readonly left: readonly string[];
}

/** Undefined where nothing was resolved. */
export function effectOf(outcome: WorkedOutcome): Effect | undefined {
  const { resolution } = outcome;
  if (resolution === undefined) return undefined;
  const { entries, unresolved } = resolution;
  const isThere =
    outcome.action === 'up-to-date' || ('plan' in outcome && outcome.plan.rung.note !== 'removed');
  const inNote = isThere ? entries : [];
  const foundAtOnce = inNote.filter(({ steps }) => steps[0]?.kind === 'path').length;
  const left = [...(isThere ? [] : entries), ...unresolved].map(({ soname }) => displayBytes(soname));
  return { foundAtOnce, searched: inNote.length - foundAtOnce, left };
}

/** Only what there is: `2 found at once, 1 left to the loader (libc.so.6)`. */
export function effectWords(
  counts: { readonly foundAtOnce: number; readonly searched: number; readonly left: number },
  names: readonly string[],
): string[] {
  const { foundAtOnce, searched, left } = counts;
  return [
    ...(foundAtOnce > 0 ? [`${foundAtOnce} found at once`] : []),
    ...(searched > 0 ? [`${searched} searched`] : []),
    ...(left > 0 ? [`${left} left to the loader (${names.join(', ')})`] : []),
  ];
}

/** The first few, and how many there are besides. */
export function someOf(names: readonly string[], most: number): string[] {
  return names.length <= most + 1 ? [...names] : [...names.slice(0, most), `${names.length - most} more`];
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
