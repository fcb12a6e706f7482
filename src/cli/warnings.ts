import type { WorkedOutcome } from '../outcome.js';
import { BEHIND_RPATH } from '../pipeline.js';

/** Of a registered Nix store that is about to be changed. */
export const REGISTERED_STORE =
  'is a Nix store, which has recorded the hash of each path: `nix-store --verify --check-contents` will report the ' +
  'paths changed here as modified. Write copies with --output-dir instead, or let the build write the notes ' +
  '(nix/setup-hook.sh)';

/** Of all files of a run, once: where the system has libraries that stores do not. */
export function systemWarning(count: number): string {
  const libraries = count === 1 ? '1 library' : `${count} libraries`;
  return `--system-libraries would let ${libraries} be found at once that the system has, and the run path has not`;
}

/** Of all files of a run, once: Spack's are so by default. */
export function rpathWarning(count: number): string {
  const [files, them] = count === 1 ? ['1 file has a note', 'it'] : [`${count} files have notes`, 'them'];
  return `${files} behind DT_RPATH: a patched loader never gets to ${them}, the audit module does`;
}

/** Of files that need libraries or are not understood; an object file or a static program is as it should be. */
const WITHOUT_NOTE: ReadonlySet<string> = new Set([
  'no-run-path',
  'nothing-to-record',
  'nothing-to-gain',
  'truncated',
  'no-room',
  'note-too-large',
  'unsupported-layout',
]);

const NO_PLACE: ReadonlySet<string> = new Set(['no-room', 'note-too-large']);

/**
 * What has to be said of a file besides what became of it.
 * @param hook in a build each file that gets no note is worth a word, in a walk only one that has no room.
 * @param explicit whether it was named; what many files of a walk have in common is said of all of them.
 */
export function warningsOf(outcome: WorkedOutcome, hook: boolean, explicit: boolean): string[] {
  const warnings = outcome.warnings.filter(warning => explicit || warning !== BEHIND_RPATH);
  if (
    outcome.action === 'skipped' &&
    (hook ? WITHOUT_NOTE.has(outcome.reason) : NO_PLACE.has(outcome.reason))
  ) {
    warnings.push(`gets no note: ${outcome.detail}`);
  }
  if ((outcome.action === 'written' || outcome.action === 'planned') && !outcome.plan.hasSection) {
    warnings.push('its note has no section header, so that the next strip drops it');
  }
  if (outcome.action === 'written' && outcome.lost.length > 0) {
    warnings.push(`gave up ${outcome.lost.join(', ')}`);
  }
  return warnings;
}
