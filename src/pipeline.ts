import { checkedModule, refuseModule } from './audit-module.js';
import { carryOut, leaveAlone, type RemoveOptions } from './carry-out.js';
import { type ByteString, displayBytes } from './elf/bytes.js';
import type { ElfImage } from './elf/image.js';
import { readImage } from './elf/read.js';
import { ElfView } from './elf/view.js';
import { type FileSource, withFile } from './files/source.js';
import { readLinked, reasonToSkip } from './kinds.js';
import type { Plan, PlanOptions, SkipPlan } from './layout/model/plan.js';
import { planFile, planRemoval } from './layout/plan-file.js';
import { hasNoDefaultLibraries } from './loader/object.js';
import {
  type ClosureOptions,
  countOnSystem,
  type LookupOptions,
  lookUpFile,
  probeFor,
  resolveView,
  systemLibrariesFor,
} from './lookup.js';
import { descriptorSize } from './note/cache.js';
import { skippedOutcome, type WorkedOutcome } from './outcome.js';
import type { NoGain } from './resolve/gain.js';
import type { Resolution } from './resolve/resolve.js';
import { type Allowed, refuseNoRoom, refuseUnresolved } from './strict.js';

export type { RemoveOptions };

export interface BuildOptions extends ClosureOptions, RemoveOptions {
  /**
   * A soname that neither the run path nor the system has is a failure, and so is a file without room for the note that
   * would help it. The file is left alone.
   */
  readonly strict?: boolean | undefined;
  /** Globs of sonames that `strict` lets be missing. */
  readonly allowMissing?: readonly string[] | undefined;
  /** Where the note may be; the default `auto` takes the cheapest place. */
  readonly placement?: PlanOptions['placement'];
  /** Let the program header table move where nothing else fits. Such a file does not survive `strip`. */
  readonly moveTable?: PlanOptions['moveTable'];
  /**
   * An audit module, as an absolute path that a program's `DT_AUDIT` shall name. Without it, one that elfnote has
   * written stays.
   */
  readonly reader?: string | undefined;
}

/**
 * Reads a file, resolves its sonames and writes its note; the one place that knows the order of the stages.
 *
 * @param found as in `OpenOptions`.
 * @throws ElfnoteError with the path, and for a malformed file the offset. The file is then unchanged.
 */
export function buildCache(path: string, options: BuildOptions = {}, found?: string): WorkedOutcome {
  const reader = checkedModule(options.reader);
  return withFile(
    path,
    source => {
      const image = readLinked(source);
      if ('reason' in image) return skipped(path, image, source, options);
      const reason = reasonToSkip(image);
      if (reason !== undefined) return skipped(path, reason, source, options);
      const probe = probeFor(options);
      const view = new ElfView(image, source);
      const { resolution, extraNotes, warnings } = lookUpFile(view, probe, options);
      if (options.strict) refuseUnresolved(path, resolution, allowedOf(image, options));
      const plan = planNote(view, resolution, extraNotes, { ...options, auditModule: reader });
      if (plan.kind === 'skip' && options.strict) refuseNoRoom(path, plan);
      if (plan.kind !== 'skip') refuseModule(image, source, reader, probe, options);
      const explained = {
        path,
        resolution,
        warnings: [...warningsFor(resolution, image), ...warnings],
        onSystem: countOnSystem(resolution, image, options),
      };
      return carryOut(source, image, plan, explained, options);
    },
    { settled: !options.dryRun, found },
  );
}

function allowedOf(image: ElfImage, options: BuildOptions): Allowed {
  const { allowMissing } = options;
  const isOnSystem = (soname: ByteString) =>
    !hasNoDefaultLibraries(image) && systemLibrariesFor(options).has(soname, image);
  return { allowMissing, isOnSystem };
}

/** What `buildCache` would do with a file. */
export interface Prospect {
  readonly image: ElfImage;
  readonly resolution: Resolution;
  readonly plan: Plan;
}

/**
 * Resolves and plans as `buildCache` does, and writes nothing.
 * @returns a skip where nothing is resolved at all. @throws ElfnoteError
 */
export function planBuild(
  source: FileSource,
  options: BuildOptions = {},
  image = readImage(source),
): Prospect | SkipPlan {
  const skip = reasonToSkip(image);
  if (skip !== undefined) return skip;
  const view = new ElfView(image, source);
  const { resolution, extraNotes } = lookUpFile(view, probeFor(options), options);
  const reader = checkedModule(options.reader);
  const plan = planNote(view, resolution, extraNotes, { ...options, auditModule: reader });
  return { image, resolution, plan };
}

/**
 * Takes the note out of a file. A file that only elfnote has edited is again what it was, byte for byte; another
 * tool's note goes as far as its layout allows.
 *
 * @param found as in `OpenOptions`.
 * @throws ElfnoteError with the path. The file is then unchanged.
 */
export function removeCache(path: string, options: RemoveOptions = {}, found?: string): WorkedOutcome {
  return withFile(
    path,
    source => {
      const image = readLinked(source);
      if ('reason' in image) return skipped(path, image, source, options);
      if (image.sectionError !== undefined && image.cacheNotes.length > 0) throw image.sectionError;
      const plan = planRemoval(new ElfView(image, source));
      return carryOut(source, image, plan, { path, resolution: undefined, warnings: [] }, options);
    },
    { settled: !options.dryRun, found },
  );
}

/** In bytes; a loader walks the note for each library that it looks for. */
const LARGEST_DESCRIPTOR = 1 << 20;

const NO_GAIN: ReadonlySet<string> = new Set(['hints-only', 'current-directory'] satisfies NoGain[]);

function planNote(
  view: ElfView,
  { entries, unresolved }: Resolution,
  extraNotes: readonly Buffer[],
  options: PlanOptions,
): Plan {
  const size = descriptorSize(entries);
  if (size > LARGEST_DESCRIPTOR) {
    const detail = `the note would have ${size} bytes, more than ${LARGEST_DESCRIPTOR}`;
    return { kind: 'skip', reason: 'note-too-large', detail };
  }
  const plan = planFile(view, { entries, extraNotes }, options);
  if (entries.length > 0 || !unresolved.some(({ why }) => NO_GAIN.has(why))) return plan;
  if (plan.kind === 'write') return { ...plan, whyRemoved: 'nothing to gain' };
  if (plan.kind !== 'skip' || plan.reason !== 'nothing-to-record') return plan;
  const detail = 'a note would gain nothing: the loader searches for every library all the same';
  return { kind: 'skip', reason: 'nothing-to-gain', detail };
}

/** Resolves without planning or writing. @throws ElfnoteError */
export function resolveFile(path: string, options: LookupOptions = {}): Resolution {
  return withFile(path, source =>
    resolveView(new ElfView(readImage(source), source), probeFor(options), options),
  );
}

function skipped(
  path: string,
  { reason, detail }: SkipPlan,
  source: FileSource,
  options: RemoveOptions,
): WorkedOutcome {
  leaveAlone(source, options);
  return skippedOutcome(path, reason, detail);
}

function warningsFor(resolution: Resolution, image: ElfImage): string[] {
  const warnings: string[] = [];
  if (resolution.source === 'DT_RPATH') {
    warnings.push(
      'has DT_RPATH and no DT_RUNPATH: the loader finds its libraries before it looks at the note',
    );
  }
  for (const { soname, attempts } of [...resolution.entries, ...resolution.unresolved]) {
    for (const attempt of attempts.filter(({ outcome }) => outcome === 'fatal')) {
      warnings.push(
        `the loader would fail on ${displayBytes(`${attempt.component}/${soname}`)}: ${attempt.why}`,
      );
    }
  }
  if (image.cacheNotes.length > 1)
    warnings.push(`has ${image.cacheNotes.length} cache notes; the loader reads one`);
  return warnings;
}
