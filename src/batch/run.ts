import { isProgram } from '../elf/dt-audit.js';
import { readImage } from '../elf/read.js';
import { ElfnoteError } from '../errors.js';
import { ForeignLinks } from '../files/links.js';
import { withFile } from '../files/source.js';
import { spareLock } from '../files/spare-lock.js';
import { type FileOutcome, failedOutcome } from '../outcome.js';
import { type Batch, batchesOf } from './batches.js';
import { type Job, startJob } from './job.js';
import { Overlap, type Result } from './overlap.js';
import { Turn } from './turn.js';
import type { Found } from './walk.js';

export interface RunOptions {
  /** Begin no further file after the first failure; those in hand are finished. */
  readonly failFast?: boolean | undefined;
  /** The files in hand are finished, no further one is begun. */
  readonly signal?: AbortSignal | undefined;
}

export type { Result };

/**
 * Works on the files, on several at once where the system has to be waited for; outcomes come in the order of the files.
 * Whoever ends the run early waits for those that are begun. What shares its content with others in a Nix store is
 * replaced, and its other names in this run follow it.
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
      let hasFailed = false;
      for await (const result of workOver(group, job, links, options)) {
        hasFailed ||= result.outcome.action === 'failed';
        yield result;
      }
      if (options.failFast && hasFailed) return;
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
  const marked = files.map(file => ({ carrier: file.explicit || isProgramFile(file.path), ...file }));
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
  return unshare === undefined ? file : { unshare, ...file };
}

function followed({ file: { path }, outcome }: Result, links: ForeignLinks): FileOutcome {
  if (outcome.action !== 'written') return outcome;
  try {
    links.follow(path);
    return outcome;
  } catch (error) {
    return failedOutcome(path, error);
  }
}

async function* workOver(
  found: readonly Found[],
  job: Job,
  links: ForeignLinks,
  options: RunOptions,
): AsyncGenerator<Result> {
  const work = new Overlap(startJob(job), result => followed(result, links));
  const turn = new Turn();
  const queue = queueOf(found, job);
  try {
    for (let isOver = false; !isOver || !work.isEmpty; ) {
      const result = work.take();
      if (result !== undefined) yield result;
      else if (isOver || work.isFull) await work.change();
      else {
        const isStopped = options.signal?.aborted || (options.failFast && work.hasFailed);
        const next = isStopped ? undefined : queue.next().value;
        if (next === undefined) isOver = true;
        else work.begin(next.file, next.attributes);
        const given = turn.give(work.isBusy);
        if (given !== undefined) await given;
      }
    }
  } finally {
    while (work.isBusy) await work.change();
  }
}

function* queueOf(found: readonly Found[], job: Job): Generator<Queued, undefined> {
  for (const { files, attributes } of batchesOf(found, job.options.dryRun !== true)) {
    for (const file of files) yield { file, attributes };
  }
}

interface Queued extends Pick<Batch, 'attributes'> {
  readonly file: Found;
}
