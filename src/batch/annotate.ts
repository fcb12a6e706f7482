import type { FileOutcome } from '../outcome.js';
import type { BuildOptions, RemoveOptions } from '../pipeline.js';
import type { Job } from './job.js';
import { type RunOptions, runOver } from './run.js';
import { findFiles, type WalkOptions } from './walk.js';

type OneFileOnly = 'output' | 'attributes' | 'probe' | 'objects' | 'unshare';

export interface AnnotateOptions extends Omit<BuildOptions, OneFileOnly>, WalkOptions, RunOptions {}

export interface CleanOptions extends Omit<RemoveOptions, OneFileOnly>, WalkOptions, RunOptions {}

/**
 * Writes the notes of all files that the paths name, directories walked, in one process.
 *
 * Yields one outcome a file, in the order of the paths and sorted by name inside a directory; a file that fails is an
 * outcome like any other. Ending the iteration early stops the work; files that are begun by then are finished.
 */
export function annotateTree(
  paths: readonly string[],
  options: AnnotateOptions = {},
): AsyncGenerator<FileOutcome> {
  return run(paths, { kind: 'build', options: ofOneFile(options) }, options);
}

/** Takes the notes out again, as `annotateTree` writes them. */
export function cleanTree(paths: readonly string[], options: CleanOptions = {}): AsyncGenerator<FileOutcome> {
  return run(paths, { kind: 'remove', options: ofOneFile(options) }, options);
}

function ofOneFile<T extends WalkOptions & RunOptions>(options: T) {
  const { include, exclude, listed, crossFileSystems, preserveRoot, failFast, signal, ...rest } = options;
  return rest;
}

async function* run(
  paths: readonly string[],
  job: Job,
  options: WalkOptions & RunOptions,
): AsyncGenerator<FileOutcome> {
  const found = await findFiles(paths, options);
  for await (const { outcome } of runOver(found, job, options)) yield outcome;
}
