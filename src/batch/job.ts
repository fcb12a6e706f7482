import { ElfnoteError } from '../errors.js';
import type { AttributeCheck } from '../files/attributes.js';
import type { Steps } from '../files/steps.js';
import { reasonToPassOver } from '../kinds.js';
import { FileLoaderProbe } from '../loader/file-probe.js';
import { type FileOutcome, failedOutcome, skippedOutcome, type WorkedOutcome } from '../outcome.js';
import { type BuildOptions, buildCacheInSteps, type RemoveOptions, removeCacheInSteps } from '../pipeline.js';
import { FileSystemProbe } from '../resolve/fs-probe.js';
import type { Found } from './walk.js';

type PerFile = 'attributes' | 'probe' | 'objects';

/** What is done to every file of a tree. */
export type Job =
  | { readonly kind: 'build'; readonly options: Omit<BuildOptions, PerFile> }
  | { readonly kind: 'remove'; readonly options: Omit<RemoveOptions, PerFile> };

type FileOptions = Pick<RemoveOptions, 'attributes' | 'output' | 'unshare'> & Pick<BuildOptions, 'closure'>;

/** A job at work. */
export interface Work {
  /** Undefined for a file that has to be begun. */
  passOver(file: Found): FileOutcome | undefined;
  /** @throws what `failed` makes an outcome of, and so do the steps. */
  begin(file: Found, attributes: AttributeCheck): Steps<FileOutcome>;
  failed(file: Found, error: unknown): FileOutcome;
}

/** It looks each library directory up once, whatever the number of files. */
export function startJob(job: Job): Work {
  const work = workOf(job);
  return {
    passOver,
    begin: (file, attributes) => {
      const { output = job.options.output, unshare } = file;
      const closure = file.carrier ? true : whereNotCarried(job);
      return work(file.path, { attributes, output, unshare, closure }, file.inode);
    },
    failed,
  };
}

function passOver({ path, sameAs, outside, unreadable }: Found): FileOutcome | undefined {
  if (sameAs !== undefined) return skippedOutcome(path, 'same-file', `is the same file as ${sameAs}`);
  if (outside !== undefined) return skippedOutcome(path, outside.reason, outside.detail);
  if (unreadable === undefined) return undefined;
  return failedOutcome(path, new ElfnoteError('unreadable', unreadable, { path }));
}

function failed({ path, explicit }: Found, error: unknown): FileOutcome {
  const outcome = failedOutcome(path, error);
  const reason = explicit ? undefined : reasonToPassOver(path, outcome.error);
  return reason === undefined ? outcome : skippedOutcome(path, reason.reason, reason.detail);
}

/** What is no carrier keeps a closure note that it has; told not to, it does not. */
function whereNotCarried(job: Job): boolean | undefined {
  return job.kind === 'build' && job.options.closure === false ? false : undefined;
}

function workOf(
  job: Job,
): (path: string, options: FileOptions, found: string | undefined) => Steps<WorkedOutcome> {
  if (job.kind === 'remove') {
    return (path, { closure: _, ...options }, found) =>
      removeCacheInSteps(path, { attributes: undefined, ...job.options, ...options }, found);
  }
  const probe = new FileSystemProbe(job.options.root);
  const objects = new FileLoaderProbe(job.options.root);
  return (path, options, found) =>
    buildCacheInSteps(path, { probe, objects, ...job.options, ...options }, found);
}
