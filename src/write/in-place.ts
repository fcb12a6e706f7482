import { type BigIntStats, constants, openSync, statfsSync, statSync } from 'node:fs';
import { during, ElfnoteError, systemCode } from '../errors.js';
import { OpenFile } from '../files/open-file.js';
import { type FileSource, isUnchanged } from '../files/source.js';
import type { Edit } from '../layout/model/plan.js';
import { type Change, type CommitOptions, checkUnchanged, joined } from './change.js';

const CANNOT_OPEN = new Set(['EACCES', 'EPERM', 'EROFS', 'ETXTBSY']);

/**
 * Writes a change to the file itself, step by step, each step on the disk before the next but with `fast`. A failed
 * write is undone.
 *
 * @returns false where the file cannot be opened for writing.
 * @throws ElfnoteError `unwritable` or `changed`.
 */
export function editInPlace(
  path: string,
  source: FileSource,
  change: Change,
  options: CommitOptions,
): boolean {
  const file = openToWrite(path);
  if (file === undefined) return false;
  try {
    checkSameFile(path, file, source, options);
    writeSteps(file, source, change, options);
    keepModeAndDates(file, source.stats, options);
    if (!options.fast) file.sync();
    refuseReplaced(path, file);
  } catch (error) {
    file.abandon();
    throw inWriting(path, error);
  }
  file.close();
  return true;
}

/** A question that the system does not answer is a failed write here: the file may not be what was read. */
function inWriting(path: string, error: unknown): unknown {
  if (!(error instanceof ElfnoteError) || error.code !== 'unreadable') return error;
  return new ElfnoteError('unwritable', error.message, { path, cause: error.cause });
}

function openToWrite(path: string): OpenFile | undefined {
  const fd = during('unwritable', 'cannot open for writing', path, () => {
    try {
      return openSync(path, constants.O_RDWR);
    } catch (error) {
      if (CANNOT_OPEN.has(systemCode(error) ?? '')) return undefined;
      throw error;
    }
  });
  return fd === undefined ? undefined : new OpenFile(fd, path);
}

const OVERLAYFS = 0x794c7630;

/**
 * Opening for writing a file of a lower layer makes overlayfs copy it up, and a file with hard links then has another
 * inode and no other names.
 */
function checkSameFile(path: string, file: OpenFile, source: FileSource, options: CommitOptions): void {
  const [now, { stats }] = [file.stat(), source];
  if (isUnchanged(now, stats)) return;
  const isCopiedUp =
    (['size', 'mtimeNs', 'mode', 'uid', 'gid'] as const).every(field => now[field] === stats[field]) &&
    during('unreadable', 'cannot ask for the file system', path, () => statfsSync(path).type) === OVERLAYFS &&
    source.agreesWith(file);
  if (!isCopiedUp) checkUnchanged(path, now, stats);
  if (now.nlink < stats.nlink) options.onLoss?.('hard links');
}

const NOTHING = Buffer.alloc(0);

/** Step by step; after a failed write the bytes written so far are put back as they were. */
function writeSteps(file: OpenFile, source: FileSource, change: Change, { fast }: CommitOptions): void {
  const done: Edit[] = [];
  let last: BigIntStats | undefined;
  let step: number | undefined;
  const keep = (edit: Edit, wanted: number) => {
    const length = Math.min(wanted, source.size - edit.offset);
    done.push({ ...edit, bytes: length > 0 ? source.read(edit.offset, length) : NOTHING });
  };
  try {
    for (const { edits, size } of change.commits) {
      for (const edit of joined(edits)) {
        if (step !== undefined && step !== edit.step && !fast) file.sync();
        step = edit.step;
        if (last !== undefined) refuseCompany(file, last);
        keep(edit, edit.bytes.length);
        file.write(edit.bytes, edit.offset);
        last = file.stat();
      }
      if (last !== undefined) refuseCompany(file, last);
      const now = Number(last?.size ?? source.stats.size);
      if (now === size) continue;
      keep({ offset: size, bytes: NOTHING, step: 0, why: 'what is cut off' }, now - size);
      file.truncate(size);
      last = file.stat();
      // The next commit relies on the cut.
      step = -1;
    }
  } catch (error) {
    if (!(error instanceof ElfnoteError) || error.code !== 'changed') undo(file, source, done);
    throw error;
  }
}

/**
 * Another process that found the file between two writes has planned on what it saw there, which is sound. Neither
 * going on nor undoing would leave it so.
 */
function refuseCompany(file: OpenFile, last: BigIntStats): void {
  if (isUnchanged(file.stat(), last)) return;
  throw new ElfnoteError('changed', 'another process wrote to the file at the same time', {
    path: file.path,
  });
}

/** What was written to a file that has no name any more is lost. */
function refuseReplaced(path: string, file: OpenFile): void {
  const [now, written] = [
    during('changed', 'cannot find the file that was written', path, () => statSync(path, { bigint: true })),
    file.stat(),
  ];
  if (now.ino === written.ino && now.dev === written.dev) return;
  throw new ElfnoteError('changed', 'another process replaced the file while it was written', { path });
}

/** What cannot be put back is for the next run to finish: every state between two writes is a sound one. */
function undo(file: OpenFile, source: FileSource, done: readonly Edit[]): void {
  try {
    for (const { offset, bytes } of done.toReversed()) file.write(bytes, offset);
    file.truncate(source.size);
    file.sync();
  } catch {}
}

/** The kernel clears setuid and setgid bits on a write. The content is written by now, so a failure is only told. */
function keepModeAndDates(file: OpenFile, stats: BigIntStats, options: CommitOptions): void {
  const attempt = (what: string, work: () => void) => {
    try {
      work();
    } catch {
      options.onLoss?.(what);
    }
  };
  if (file.stat().mode !== stats.mode) attempt('mode', () => file.setMode(stats.mode));
  if (options.preserveDates) attempt('dates', () => file.setDates(stats));
}
