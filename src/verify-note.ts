import type { ByteString } from './elf/bytes.js';
import type { ElfImage } from './elf/image.js';
import { ElfnoteError } from './errors.js';
import { type FileSource, withFile } from './files/source.js';
import { readLinked } from './kinds.js';
import { type LookupOptions, storeRoots } from './lookup.js';
import { type CacheEntry, type CacheStep, elementOf } from './note/cache.js';
import { type NoteReport, noteOf } from './note-report.js';
import type { SkippedOutcome } from './outcome.js';
import { BEHIND_RPATH, type Prospect, planBuild } from './pipeline.js';
import { isInStore } from './resolve/components.js';
import { FileSystemProbe } from './resolve/fs-probe.js';
import type { LibraryProbe } from './resolve/probe.js';
import { runPathOf } from './resolve/resolve.js';

/**
 * What a note is worth, the worst first. `malformed`: the loader rejects it, or the file. `absent`: a recorded path is
 * gone. `stale`: the run path gives something else now. `missing`: there is none, and build-cache would write one.
 * `foreign`: an exact path lies outside the store directories. `useless`: the loader gains nothing by it.
 */
export const VERIFY_STATES = [
  'malformed',
  'absent',
  'stale',
  'missing',
  'foreign',
  'useless',
  'fresh',
] as const;

export type VerifyState = (typeof VERIFY_STATES)[number];

export interface VerifyOptions extends LookupOptions {
  /** What reads the notes. A patched loader never gets to the note of an object with `DT_RPATH`. Default: `patched`. */
  readonly with?: 'patched' | 'audit' | undefined;
}

/** One thing that is to be said of a note; of one soname, or of all of it. */
export interface VerifyFinding {
  readonly state: Exclude<VerifyState, 'fresh'>;
  readonly soname?: ByteString | undefined;
  /** What the note says of the soname; empty where it does not name it. */
  readonly recorded?: readonly CacheStep[] | undefined;
  /** What build-cache would write now; empty where it would not name it. */
  readonly actual?: readonly CacheStep[] | undefined;
  readonly why: string;
  /** File offset in bytes, of what is malformed. */
  readonly offset?: number | undefined;
}

export interface VerifiedNote {
  readonly path: string;
  /** The worst of the findings. */
  readonly state: VerifyState;
  readonly findings: readonly VerifyFinding[];
}

/** A file that has no note and needs none. */
export interface NothingToVerify {
  readonly path: string;
  readonly state: 'none';
  readonly reason: SkippedOutcome['reason'] | 'rpath';
  readonly detail: string;
}

/**
 * Resolves a file's libraries anew and compares what its note says with what build-cache would write.
 * @throws ElfnoteError `not-elf`, `unreadable`, or `changed` for a file that others wrote to meanwhile.
 */
export function verifyFile(path: string, options: VerifyOptions = {}): VerifiedNote | NothingToVerify {
  return withFile(path, source => {
    try {
      return verify(source, { ...options, probe: options.probe ?? new FileSystemProbe(options.root) });
    } catch (error) {
      return malformed(path, error);
    }
  });
}

/** @throws the error itself where it says nothing about the bytes of the file. */
function malformed(path: string, error: unknown): VerifiedNote {
  const isOfBytes = error instanceof ElfnoteError && ['malformed', 'malformed-note'].includes(error.code);
  if (!isOfBytes) throw error;
  const { message, offset } = error;
  return { path, state: 'malformed', findings: [{ state: 'malformed', why: message, offset }] };
}

type Options = VerifyOptions & { readonly probe: LibraryProbe };

function verify(source: FileSource, options: Options): VerifiedNote | NothingToVerify {
  const { path } = source;
  const image = readLinked(source);
  if ('reason' in image) return { path, state: 'none', reason: image.reason, detail: image.detail };
  const note = noteOf(image, source);
  const prospect = planBuild(source, options, image);
  if (note === undefined) return withoutNote(path, image, prospect, options);
  if ('reason' in prospect) return verified(path, [{ state: 'useless', why: prospect.detail }]);
  const findings =
    prospect.plan.kind === 'keep'
      ? foreignEntries(note.entries, options)
      : (asPatchelfWrites(source, note, prospect, options) ?? differences(note, prospect, options));
  if (isPassedBy(image, options)) findings.push({ state: 'useless', why: BEHIND_RPATH });
  return verified(path, findings);
}

/** Of a note that is right by patchelf's rule, which records also what helps no loader. */
function asPatchelfWrites(
  source: FileSource,
  note: NoteReport,
  { image, resolution }: Prospect,
  options: Options,
): VerifyFinding[] | undefined {
  const other = planBuild(source, { ...options, likePatchelf: true }, image);
  if ('reason' in other || other.plan.kind !== 'keep') return undefined;
  const foreign = foreignEntries(note.entries, options);
  if (resolution.entries.length > 0) return foreign;
  return [{ state: 'useless', why: 'the loader searches for every library all the same' }, ...foreign];
}

function verified(path: string, findings: readonly VerifyFinding[]): VerifiedNote {
  const state = VERIFY_STATES.find(one => findings.some(finding => finding.state === one)) ?? 'fresh';
  return { path, state, findings };
}

function withoutNote(
  path: string,
  image: ElfImage,
  prospect: Prospect | Extract<ReturnType<typeof planBuild>, { kind: 'skip' }>,
  options: Options,
): VerifiedNote | NothingToVerify {
  const none = (reason: NothingToVerify['reason'], detail: string): NothingToVerify => ({
    path,
    state: 'none',
    reason,
    detail,
  });
  if ('reason' in prospect) return none(prospect.reason, prospect.detail);
  const { plan, resolution } = prospect;
  if (plan.kind === 'skip') return none(plan.reason, plan.detail);
  if (isPassedBy(image, options)) return none('rpath', BEHIND_RPATH);
  if (plan.kind === 'keep' || plan.rung.note === 'removed')
    return none('nothing-to-record', 'nothing to record');
  const sonames = resolution.entries.length;
  const why = `build-cache would record ${sonames} ${sonames === 1 ? 'library' : 'libraries'}`;
  return verified(path, [{ state: 'missing', why }]);
}

/** Whether the loader never gets to the note of an object. */
function isPassedBy(image: ElfImage, options: Options): boolean {
  return options.with !== 'audit' && runPathOf(image).source === 'DT_RPATH';
}

/** What a note says and build-cache would not write. */
function differences(note: NoteReport, { resolution }: Prospect, options: Options): VerifyFinding[] {
  const now = new Map(resolution.entries.map(({ soname, steps }) => [soname, steps]));
  const findings = note.entries.flatMap(({ soname, steps }) => {
    const actual = now.get(soname) ?? [];
    now.delete(soname);
    return isSame(steps, actual)
      ? foreignEntries([{ soname, steps }], options)
      : [difference(soname, steps, actual, options)];
  });
  for (const [soname, actual] of now) findings.push(difference(soname, [], actual, options));
  if (findings.some(({ state }) => state !== 'foreign')) return findings;
  return [{ state: 'stale', why: 'build-cache would write the note anew, in another place' }, ...findings];
}

function isSame(some: readonly CacheStep[], others: readonly CacheStep[]): boolean {
  return some.map(elementOf).join(':') === others.map(elementOf).join(':');
}

function difference(
  soname: ByteString,
  recorded: readonly CacheStep[],
  actual: readonly CacheStep[],
  { probe }: Options,
): VerifyFinding {
  for (const step of recorded) {
    if (step.kind === 'hint') continue;
    const candidate = probe.candidate(step.path);
    if (candidate.kind === 'absent')
      return { state: 'absent', soname, recorded, actual, why: `${step.path}: ${candidate.why}` };
  }
  const why = recorded.length === 0 ? 'the note does not name it' : 'the run path gives something else now';
  return { state: 'stale', soname, recorded, actual, why };
}

/** Exact paths that may come to hold something else, where it is known what may not. */
function foreignEntries(entries: readonly CacheEntry[], options: Options): VerifyFinding[] {
  const roots = storeRoots(options);
  if (roots === undefined) return [];
  const isForeign = (step: CacheStep) =>
    step.kind === 'path' && !isInStore(step.path.slice(0, step.path.lastIndexOf('/')), options.probe, roots);
  return entries.flatMap(({ soname, steps }) => {
    const foreign = steps.filter(isForeign);
    if (foreign.length === 0) return [];
    const why = `outside the store: ${foreign.map(elementOf).join(', ')}`;
    return [{ state: 'foreign' as const, soname, recorded: steps, actual: steps, why }];
  });
}
