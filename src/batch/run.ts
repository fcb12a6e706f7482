import { isProgram } from '../elf/dt-audit.js';
import { readImage } from '../elf/read.js';
import { ElfnoteError } from '../errors.js';
import { ForeignLinks } from '../files/links.js';
import { withFile } from '../files/source.js';
import { spareLock } from '../files/spare-lock.js';
import { type FileOutcome, failedOutcome } from '../outcome.js';
import { batchesOf } from './batches.js';
import { type Job, startJob } from './job.js';
import { Turn } from './turn.js';
import type { Found } from './walk.js';

export interface RunOptions {
  /** Stop after the first failure. */
  readonly failFast?: boolean | undefined;
  /** The files in hand are finished, no further one is begun. */
  readonly signal?: AbortSignal | undefined;
}

export interface Result {
  readonly file: Found;
  readonly outcome: FileOutcome;
}

/**
 * Works on the files, one after the other; outcomes come in the order of the files. What shares its content with others in a Nix store is replaced, and its other names in this run follow it.
 */
export async function* runOver(
  found: readonly Found[],
  job: Job,
  options: RunOptions = {},
): AsyncGenerator<Result> {
  const isEdited = job.options.dryRun !== true && job.options.output === undefined;
  const edited = isEdited ? found.filter(isEditable) : [];
  const linked = edited.filter(({ hasLinks }) => hasLinks);
  const links = new ForeignLinks(linked.map(({ path }) => path));
  const files = linked.length === 0 ? found : found.map(file => withLinks(file, links));
  const locksMany = edited.length > 1;
  if (locksMany) spareLock.begin();
  try {
    for (const group of groupsOf(files, job)) {
      for await (const result of workOver(group, job, options)) {
        yield followed(result, links);
        if (options.failFast && result.outcome.action === 'failed') return;
      }
    }
  } finally {
    if (locksMany) spareLock.end();
  }
}

/**
 * Files in the order in which they are worked on. A closure note says how large the libraries are, so those that get
 * notes in the same run come before what carries one.
 */
function groupsOf(files: readonly Found[], job: Job): (readonly Found[])[] {
  if (job.kind !== 'build' || !job.options.closure) return [files];
  const marked = files.map(file => ({ ...file, carrier: file.explicit || isProgramFile(file.path) }));
  return [marked.filter(({ carrier }) => !carrier), marked.filter(({ carrier }) => carrier)];
}

/** Whether a file asks for a loader. What cannot be read does not: the job says why. */
function isProgramFile(path: string): boolean {
  try {
    return withFile(path, source => isProgram(readImage(source, { sections: false })));
  } catch (error) {
    if (error instanceof ElfnoteError) return false;
    throw error;
  }
}

function isEditable({ unreadable, outside, output }: Found): boolean {
  return unreadable === undefined && outside === undefined && output === undefined;
}

function withLinks(file: Found, links: ForeignLinks): Found {
  const unshare = links.isToBeReplaced(file.path);
  return unshare === undefined ? file : { ...file, unshare };
}

function followed(result: Result, links: ForeignLinks): Result {
  if (result.outcome.action !== 'written') return result;
  try {
    links.follow(result.file.path);
    return result;
  } catch (error) {
    return { ...result, outcome: failedOutcome(result.file.path, error) };
  }
}

async function* workOver(found: readonly Found[], job: Job, options: RunOptions): AsyncGenerator<Result> {
  const readsAttributes = job.options.dryRun !== true;
  const work = startJob(job);
  const turn = new Turn();
  for (const { files, attributes } of batchesOf(found, readsAttributes)) {
    for (const file of files) {
      if (options.signal?.aborted) return;
      const outcome = work(file, attributes);
      yield { file, outcome };
      if (options.failFast && outcome.action === 'failed') return;
      await turn.give();
    }
  }
}
