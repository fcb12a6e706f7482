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

/** Whatever fails is an outcome. */
export type WorkOnFile = (file: Found, attributes: AttributeCheck) => Steps<FileOutcome>;

/** A job at work; it looks each library directory up once, whatever the number of files. */
export function startJob(job: Job): WorkOnFile {
  const work = workOf(job);
  return function* (file, attributes) {
    if (file.sameAs !== undefined) {
      return skippedOutcome(file.path, 'same-file', `is the same file as ${file.sameAs}`);
    }
    if (file.outside !== undefined) {
      return skippedOutcome(file.path, file.outside.reason, file.outside.detail);
    }
    try {
      if (file.unreadable !== undefined) {
        throw new ElfnoteError('unreadable', file.unreadable, { path: file.path });
      }
      const { output = job.options.output, unshare } = file;
      const closure = file.carrier ? true : whereNotCarried(job);
      return yield* work(file.path, { attributes, output, unshare, closure }, file.inode);
    } catch (error) {
      const failed = failedOutcome(file.path, error);
      const reason = file.explicit ? undefined : reasonToPassOver(file.path, failed.error);
      return reason === undefined ? failed : skippedOutcome(file.path, reason.reason, reason.detail);
    }
  };
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
