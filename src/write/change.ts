import { type BigIntStats, statSync } from 'node:fs';
import { during, ElfnoteError } from '../errors.js';
import type { OpenFile } from '../files/open-file.js';
import type { Commit, Edit } from '../layout/model/plan.js';

export interface Change {
  /** In this order; with the edits of each, the file gets its size. */
  readonly commits: readonly Pick<Commit, 'edits' | 'size'>[];
  /** False: no order of writes is safe in place. */
  readonly inPlaceIsSafe: boolean;
}

export interface CommitOptions {
  /** Give up hard links, owner and group of a file that has to be replaced. */
  readonly force?: boolean | undefined;
  /** Replace the file by its edited copy: it has hard links whose content must stay. */
  readonly unshare?: boolean | undefined;
  /** Put access and modification times back, to the microsecond. */
  readonly preserveDates?: boolean | undefined;
  /** Edit in place wherever that is safe against other programs, and wait for no disk (docs/safety.md). */
  readonly fast?: boolean | undefined;
  /** A copy would lose something of the file, or get something that it has not: edit in place where that is safe. */
  readonly copyLoses?: boolean | undefined;
  /** Called before a file is replaced rather than edited; throws to prevent it. */
  readonly beforeReplacing?: (() => void) | undefined;
  /** Told what could not be kept of a file that is written: `mode`, `dates` or `hard links`. */
  readonly onLoss?: ((what: string) => void) | undefined;
}

export interface LockState {
  /** False: other elfnotes cannot be held off. */
  readonly isLocked: boolean;
}

/**
 * The last look at a file by its name.
 * @param gone what it means that the name is not there. @throws ElfnoteError `changed`, or `unwritable`
 */
export function lookAgain(path: string, gone: string): BigIntStats {
  const now = during('unwritable', 'cannot look at the file once more', path, () =>
    statSync(path, { bigint: true, throwIfNoEntry: false }),
  );
  if (now === undefined) throw new ElfnoteError('changed', gone, { path });
  return now;
}

/** Neighbours of one step as one write. */
export function joined(edits: readonly Edit[]): Edit[] {
  const result: Edit[] = [];
  for (const edit of edits) {
    const last = result.at(-1);
    if (last?.step === edit.step && last.offset + last.bytes.length === edit.offset) {
      result[result.length - 1] = { ...last, bytes: Buffer.concat([last.bytes, edit.bytes]) };
    } else {
      result.push(edit);
    }
  }
  return result;
}

/**
 * Of a copy that nobody else has: in any order.
 * @param now the size of the copy in bytes. @throws ElfnoteError `unwritable`
 */
export function apply(change: Change, copy: OpenFile, now: number): void {
  for (const { edits, size } of change.commits) {
    for (const { bytes, offset } of joined(edits)) {
      copy.write(bytes, offset);
      now = Math.max(now, offset + bytes.length);
    }
    if (now !== size) copy.truncate(size);
    now = size;
  }
}
