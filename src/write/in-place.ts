import { type BigIntStats, constants, openSync, statfsSync, statSync } from 'node:fs';
import { type ByteSource, type Patch, PatchedSource } from '../elf/bytes.js';
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

/** Step by step; after a failed write the bytes written so far are put back as they were. */
function writeSteps(file: OpenFile, source: FileSource, change: Change, { fast }: CommitOptions): void {
  const steps = new Steps(file, source, fast !== true);
  try {
    for (const { edits, size } of change.commits) {
      for (const edit of joined(edits)) steps.write(edit);
      steps.cut(size);
    }
    refuseCompany(file, source.agreesWith(file, steps.view));
  } catch (error) {
    if (!(error instanceof ElfnoteError) || error.code !== 'changed') steps.undo();
    throw error;
  }
}

/** Writes, and knows at each moment what the file has to hold. */
class Steps {
  readonly #file: OpenFile;
  readonly #source: FileSource;
  readonly #waits: boolean;
  readonly #undoes: Patch[] = [];
  #base: ByteSource;
  #done: Edit[] = [];
  #size: number;
  #last: BigIntStats | undefined;

  constructor(file: OpenFile, source: FileSource, waits: boolean) {
    this.#file = file;
    this.#source = source;
    this.#waits = waits;
    this.#base = source;
    this.#size = source.size;
  }

  get view(): ByteSource {
    return new PatchedSource(this.#base, this.#done, this.#size);
  }

  /** @throws ElfnoteError `unwritable`, or `changed` where the file is not what it has to be. */
  write(edit: Edit): void {
    if (this.#waits && this.#last !== undefined && this.#needsDisk(edit)) this.#file.sync();
    this.#refuseCompany();
    const bytes = expected(this.#file, this.view, edit);
    this.#undoes.push({ offset: edit.offset, bytes });
    this.#file.write(edit.bytes, edit.offset);
    this.#done.push(edit);
    this.#size = Math.max(this.#size, edit.offset + edit.bytes.length);
    this.#last = this.#file.stat();
    refuseCompany(this.#file, this.#last.size === BigInt(this.#size));
  }

  /** Between steps, and behind the first write of a commit: by the undo record the next run knows what the others are. */
  #needsDisk({ step }: Edit): boolean {
    return this.#done.length <= 1 || this.#done.at(-1)?.step !== step;
  }

  /** The end of a commit; the next one relies on the file's end. */
  cut(size: number): void {
    this.#refuseCompany();
    if (size !== this.#size) {
      const { view } = this;
      const length = Math.max(0, this.#size - size);
      this.#undoes.push({ offset: size, bytes: length > 0 ? view.read(size, length) : Buffer.alloc(0) });
      this.#file.truncate(size);
      this.#last = this.#file.stat();
    }
    this.#base = new PatchedSource(this.#base, this.#done, size);
    this.#done = [];
    this.#size = size;
  }

  #refuseCompany(): void {
    if (this.#last !== undefined) refuseCompany(this.#file, isUnchanged(this.#file.stat(), this.#last));
  }

  /** What cannot be put back is for the next run to finish: every state between two writes is a sound one. */
  undo(): void {
    try {
      for (const { offset, bytes } of this.#undoes.toReversed()) this.#file.write(bytes, offset);
      this.#file.truncate(this.#source.size);
      this.#file.sync();
    } catch {}
  }
}

/** The bytes that an edit writes over, which are what was planned on. @throws ElfnoteError `changed` */
function expected(file: OpenFile, view: ByteSource, edit: Edit): Buffer {
  const length = Math.max(0, Math.min(edit.bytes.length, view.size - edit.offset));
  const bytes = view.read(Math.min(edit.offset, view.size), length);
  const now = Buffer.alloc(length);
  if (length > 0) refuseCompany(file, file.read(now, 0, edit.offset) === length && now.equals(bytes));
  return bytes;
}

/**
 * Another process that found the file between two writes has planned on what it saw there, which is sound. Neither
 * going on nor undoing would leave it so.
 */
function refuseCompany({ path }: OpenFile, isAlone: boolean): void {
  if (isAlone) return;
  throw new ElfnoteError('changed', 'another process wrote to the file at the same time', { path });
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
