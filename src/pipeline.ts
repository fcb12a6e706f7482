import { checkedModule, refuseModule } from './audit-module.js';
import { carryOut, passOver, type RemoveOptions } from './carry-out.js';
import { type ByteString, displayBytes } from './elf/bytes.js';
import { isProgram } from './elf/dt-audit.js';
import type { ElfImage } from './elf/image.js';
import { readImage } from './elf/read.js';
import { ElfView } from './elf/view.js';
import { type FileSource, withFile, withFileInSteps } from './files/source.js';
import { ALONE, runNow, type Steps } from './files/steps.js';
import { readLinked, reasonToSkip } from './kinds.js';
import type { Plan, PlanOptions, SkipPlan } from './layout/model/plan.js';
import { planFile, planRemoval } from './layout/plan-file.js';
import { hasNoDefaultLibraries } from './loader/object.js';
import {
  type ClosureOptions,
  closureToRenew,
  countOnSystem,
  type LookupOptions,
  lookUpFile,
  type OlderClosure,
  probeFor,
  resolveView,
  systemLibrariesFor,
} from './lookup.js';
import { descriptorSize } from './note/cache.js';
import type { WorkedOutcome } from './outcome.js';
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
  return runNow(buildCacheInSteps(path, options, found));
}

/** As `buildCache`. */
export function buildCacheInSteps(path: string, options: BuildOptions, found?: string): Steps<WorkedOutcome> {
  const reader = checkedModule(options.reader);
  const work = (source: FileSource) => build(source, reader, options);
  return withFileInSteps(path, work, { settled: !options.dryRun, found });
}

function build(
  source: FileSource,
  reader: ByteString | undefined,
  options: BuildOptions,
): Steps<WorkedOutcome> {
  const image = readLinked(source);
  if ('reason' in image) return passOver(source, image, options);
  const reason = reasonToSkip(image);
  if (reason !== undefined) return passOver(source, reason, options);
  const view = new ElfView(image, source);
  const renewed = closureToRenew(view, options);
  const work = () => lookUpAndBuild(source, view, renewed, reader, options);
  // What is looked up must not depend on how far the work on other files is. A closure note has their sizes, a program
  // with an audit module is traced, and an output may be in a directory of a run path. All else that is read of a library
  // is the start of its ELF header, of which no write changes what counts here.
  const readsWhole = options.closure ?? renewed !== undefined;
  const waits = readsWhole || options.output !== undefined || (reader !== undefined && isProgram(image));
  return waits ? alone(work) : work();
}

function* alone<T>(work: () => Steps<T>): Steps<T> {
  yield ALONE;
  return yield* work();
}

/** @param renewed of `closureToRenew`. */
function lookUpAndBuild(
  source: FileSource,
  view: ElfView,
  renewed: OlderClosure | undefined,
  reader: ByteString | undefined,
  options: BuildOptions,
): Steps<WorkedOutcome> {
  const { path } = source;
  const { image } = view;
  const probe = probeFor(options);
  const { resolution, extraNotes, warnings } = lookUpFile(view, probe, options, renewed);
  if (options.strict) refuseUnresolved(path, resolution, allowedOf(image, options));
  const plan = planNote(view, resolution, extraNotes, { auditModule: reader, ...options });
  if (plan.kind === 'skip' && options.strict) refuseNoRoom(path, plan);
  if (plan.kind !== 'skip') refuseModule(image, source, reader, probe, options);
  const explained = {
    path,
    resolution,
    warnings: [...warningsFor(resolution, image), ...warnings],
    onSystem: countOnSystem(resolution, image, options),
  };
  return carryOut(source, image, plan, explained, options);
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
  const renewed = closureToRenew(view, options);
  const { resolution, extraNotes } = lookUpFile(view, probeFor(options), options, renewed);
  const reader = checkedModule(options.reader);
  const plan = planNote(view, resolution, extraNotes, { auditModule: reader, ...options });
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
  return runNow(removeCacheInSteps(path, options, found));
}

/** As `removeCache`. */
export function removeCacheInSteps(
  path: string,
  options: RemoveOptions,
  found?: string,
): Steps<WorkedOutcome> {
  const work = (source: FileSource) => {
    const image = readLinked(source);
    if ('reason' in image) return passOver(source, image, options);
    if (image.sectionError !== undefined && image.cacheNotes.length > 0) throw image.sectionError;
    const plan = planRemoval(new ElfView(image, source));
    return carryOut(source, image, plan, { path, resolution: undefined, warnings: [] }, options);
  };
  return withFileInSteps(path, work, { settled: !options.dryRun, found });
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

/** Whoever reads notes in the place of the loader is not meant. */
export const BEHIND_RPATH =
  'has DT_RPATH and no DT_RUNPATH: a patched loader finds its libraries before it looks at the note';

function warningsFor(resolution: Resolution, image: ElfImage): string[] {
  const warnings: string[] = [];
  if (resolution.source === 'DT_RPATH') warnings.push(BEHIND_RPATH);
  for (const { soname, attempts } of [...resolution.entries, ...resolution.unresolved]) {
    for (let i = 0; i < attempts.length; i++) {
      const attempt = attempts[i];
      if (attempt?.outcome !== 'fatal') continue;
      const path = displayBytes(`${attempt.component}/${soname}`);
      warnings.push(`the loader would fail on ${path}: ${attempt.why}`);
    }
  }
  if (image.cacheNotes.length > 1)
    warnings.push(`has ${image.cacheNotes.length} cache notes; the loader reads one`);
  return warnings;
}
