import { BufferSource } from '../../src/elf/bytes.js';
import { ElfView } from '../../src/elf/view.js';
import { ElfnoteError } from '../../src/errors.js';
import { planFile, planRemoval } from '../../src/layout/plan-file.js';
import type { CacheEntry } from '../../src/note/cache.js';
import { verifyPlan } from '../../src/write/verify-plan.js';

const ENTRIES: readonly CacheEntry[] = [
  { soname: 'liba.so.1', steps: [{ kind: 'path', path: '/store/a/lib/liba.so.1' }] },
  { soname: 'libb.so.2', steps: [{ kind: 'hint', dir: '/run/lib' }] },
];

/**
 * Reads any bytes, plans a note into them and out again, in memory. An `ElfnoteError` is an answer; anything else that
 * is thrown is a find, and so is a note that is not there afterwards, or is after its removal.
 */
export function fuzz(data: Buffer): void {
  const view = attempt(() => ElfView.of(new BufferSource(data)));
  if (view === undefined) return;
  plan(view, 0);
  const built = plan(view, ENTRIES.length);
  if (built === undefined) return;
  if (built.image.cacheNotes.length !== 1) throw new Error(`${built.image.cacheNotes.length} notes`);
  const bare = plan(built, 0);
  if (bare !== undefined && bare.image.cacheNotes.length > 0) throw new Error('the note is still there');
}

/** The view once the plan is carried out; undefined where there is none, or it is refused. */
function plan(view: ElfView, count: number): ElfView | undefined {
  return attempt(() => {
    const made =
      count === 0
        ? planRemoval(view)
        : planFile(view, { entries: ENTRIES.slice(0, count), extraNotes: [] }, {});
    if (made.kind !== 'write') return undefined;
    verifyPlan(view, made);
    return view.with(...made.commits);
  });
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof ElfnoteError) return undefined;
    throw error;
  }
}
