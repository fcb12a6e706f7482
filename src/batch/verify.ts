import { ElfnoteError } from '../errors.js';
import { reasonToPassOver } from '../kinds.js';
import { failedOutcome } from '../outcome.js';
import { FileSystemProbe } from '../resolve/fs-probe.js';
import { type NothingToVerify, type VerifiedNote, type VerifyOptions, verifyFile } from '../verify-note.js';
import { type Found, findFiles, type WalkOptions } from './walk.js';

/** Of a file that could not be read. */
export interface VerifyFailure {
  readonly path: string;
  readonly state: 'failed';
  readonly error: ElfnoteError;
}

export type VerifyReport = VerifiedNote | NothingToVerify | VerifyFailure;

export interface VerifyTreeOptions extends VerifyOptions, WalkOptions {}

/**
 * Verifies the notes of all files that the paths name, directories walked, and writes nothing. Yields one report a
 * file, in the order of the paths and sorted by name inside a directory.
 */
export async function* verifyTree(
  paths: readonly string[],
  options: VerifyTreeOptions = {},
): AsyncGenerator<VerifyReport> {
  yield* verifyFound(await findFiles(paths, options), options);
}

/** Looks each library directory up once, whatever the number of files. */
export function* verifyFound(
  found: readonly Found[],
  options: VerifyOptions,
): Generator<VerifyReport & { readonly file: Found }> {
  const shared = { ...options, probe: options.probe ?? new FileSystemProbe(options.root) };
  for (const file of found) yield { file, ...verifyOne(file, shared) };
}

function verifyOne(
  { path, sameAs, unreadable, outside, explicit }: Found,
  options: VerifyOptions,
): VerifyReport {
  if (sameAs !== undefined) {
    return { path, state: 'none', reason: 'same-file', detail: `is the same file as ${sameAs}` };
  }
  if (outside !== undefined) return { path, state: 'none', ...outside };
  try {
    if (unreadable !== undefined) throw new ElfnoteError('unreadable', unreadable, { path });
    const report = verifyFile(path, options);
    if (report.state !== 'malformed' || explicit) return report;
    return passedOver(path, new ElfnoteError('malformed', 'is malformed', { path })) ?? report;
  } catch (thrown) {
    const { error } = failedOutcome(path, thrown);
    return (explicit ? undefined : passedOver(path, error)) ?? { path, state: 'failed', error };
  }
}

function passedOver(path: string, error: ElfnoteError): NothingToVerify | undefined {
  const skip = reasonToPassOver(path, error);
  return skip && { path, state: 'none', reason: skip.reason, detail: skip.detail };
}
