import { type BigIntStats, constants, openSync, statfsSync } from 'node:fs';
import { type ByteSource, type Patch, PatchedSource } from '../elf/bytes.js';
import { during, ElfnoteError, systemCode } from '../errors.js';
import { OpenFile } from '../files/open-file.js';
import { type FileSource, isUnchanged, isUntouched } from '../files/source.js';
import type { Edit } from '../layout/model/plan.js';
import { OWN_OWNER } from '../note/own.js';
import { type Change, type CommitOptions, joined, type LockState, lookAgain } from './change.js';

export type InPlaceOptions = CommitOptions & LockState;

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
  options: InPlaceOptions,
): boolean {
  const file = openToWrite(path);
  if (file === undefined) return false;
  try {
    const opened = checkSameFile(path, file, source, options);
    // The lock is of one name: another elfnote may come by another.
    const isLocked = options.isLocked && opened.nlink === 1n;
    writeSteps(file, source, change, { ...options, isLocked });
    source.isEdited = true;
    keepModeAndDates(file, source.stats, options);
    if (!options.fast) file.sync();
    checkWritten(path, file, opened, change.commits.at(-1)?.size ?? source.size);
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
 * The last look before anything is written: a capability that was set meanwhile would be lost. Opening for writing a file
 * of a lower layer makes overlayfs copy it up, and a file with hard links then has another inode and no other names.
 */
function checkSameFile(
  path: string,
  file: OpenFile,
  source: FileSource,
  options: CommitOptions,
): BigIntStats {
  const { stats } = source;
  const now = file.stat();
  if (isUntouched(now, stats)) return now;
  const isCopiedUp =
    (['size', 'mtimeNs', 'mode', 'uid', 'gid'] as const).every(field => now[field] === stats[field]) &&
    during('unreadable', 'cannot ask for the file system', path, () => statfsSync(path).type) === OVERLAYFS &&
    source.agreesWith(file);
  if (!isCopiedUp) throw new ElfnoteError('changed', 'the file changed while it was read', { path });
  if (now.nlink < stats.nlink) options.onLoss?.('hard links');
  return now;
}

/** Step by step; after a failed write the bytes written so far are put back as they were. */
function writeSteps(file: OpenFile, source: FileSource, change: Change, options: InPlaceOptions): void {
  const waits = options.fast !== true;
  // Waiting for the disk takes long enough for others to come in, and so they may where no lock holds them off.
  const watches = waits || !options.isLocked;
  const steps = new Steps(file, source, { waits, watches });
  try {
    for (const { edits, size } of change.commits) {
      for (const edit of joined(edits)) steps.write(edit);
      steps.cut(size);
    }
    if (watches) refuseCompany(file, source.agreesWith(file, steps.view));
  } catch (error) {
    if (!(error instanceof ElfnoteError) || error.code !== 'changed') steps.undo();
    throw error;
  }
}

interface Care {
  /** Each step is on the disk before the next. */
  readonly waits: boolean;
  /** Others may write between two writes. */
  readonly watches: boolean;
}

/** Writes, and knows at each moment what the file has to hold. */
class Steps {
  readonly #file: OpenFile;
  readonly #source: FileSource;
  readonly #care: Care;
  readonly #undoes: Patch[] = [];
  #base: ByteSource;
  #done: Edit[] = [];
  #size: number;
  #last: BigIntStats | undefined;
  /** How many writes the first edit of the commit takes. */
  #first = 1;

  constructor(file: OpenFile, source: FileSource, care: Care) {
    this.#file = file;
    this.#source = source;
    this.#care = care;
    this.#base = source;
    this.#size = source.size;
  }

  get view(): ByteSource {
    return new PatchedSource(this.#base, this.#done, this.#size);
  }

  /**
   * The first edit of a commit brings the notes, with the undo record at their end by which the next run knows all that is
   * unfinished, or wipes them. Its pages come in the order in which the next run also knows a part of them.
   *
   * @throws ElfnoteError `unwritable`, or `changed` where the file is not what it has to be.
   */
  write(edit: Edit): void {
    // What the loader reads, from the ELF header on, changes in one call.
    const pages = this.#done.length > 0 || edit.offset === 0 ? [edit] : pagesOf(edit);
    if (this.#done.length === 0) this.#first = pages.length;
    for (const page of pages) this.#write(page);
  }

  #write(edit: Edit): void {
    if (this.#care.waits && this.#undoes.length > 0 && this.#needsDisk(edit)) this.#file.sync();
    this.#refuseCompany();
    const { view } = this;
    const end = edit.offset + edit.bytes.length;
    if (end > view.size && this.#undoes.length > 0) this.#refuseOtherSize();
    const start = Math.min(edit.offset, view.size);
    const old = view.read(start, Math.min(edit.bytes.length, view.size - start));
    if (this.#care.watches) refuseCompany(this.#file, holds(this.#file, old, edit.offset));
    this.#undoes.push({ offset: edit.offset, bytes: old });
    this.#file.write(edit.bytes, edit.offset);
    this.#done.push(edit);
    this.#size = Math.max(this.#size, end);
    this.#look();
  }

  /** Between steps, and behind the first write of a commit: by the undo record the next run knows what the others are. */
  #needsDisk({ step }: Edit): boolean {
    return this.#done.length <= this.#first || this.#done.at(-1)?.step !== step;
  }

  /** The end of a commit; the next one relies on the file's end. @throws ElfnoteError `unwritable` or `changed` */
  cut(size: number): void {
    if (size !== this.#size) {
      this.#refuseCompany();
      this.#refuseOtherSize();
      const { view } = this;
      const length = Math.max(0, this.#size - size);
      this.#undoes.push({ offset: size, bytes: length > 0 ? view.read(size, length) : Buffer.alloc(0) });
      this.#file.truncate(size);
    }
    this.#base = new PatchedSource(this.#base, this.#done, size);
    this.#done = [];
    this.#size = size;
    this.#look();
  }

  #look(): void {
    if (!this.#care.watches) return;
    this.#last = this.#file.stat();
    refuseCompany(this.#file, this.#last.size === BigInt(this.#size));
  }

  /** Asked before the size changes: later it would not tell any more that others have cut or appended. */
  #refuseOtherSize(): void {
    refuseCompany(this.#file, this.#file.stat().size === BigInt(this.#size));
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

/** Of the owner within a note, in bytes. */
const OWNER_AT = 12;

/** In bytes: a process may be killed, and the power may go, between two pages of one write. */
const PAGE = 4096;

/**
 * From behind, where that brings the record whole: all else is undone by it. From behind also where notes are wiped: what
 * is left of them starts with the cache note, by which the next run knows it. So it does where the record is on two pages,
 * and the first ones come first.
 */
function pagesOf(edit: Edit): Edit[] {
  if (edit.bytes.length <= PAGE - (edit.offset % PAGE)) return [edit];
  const pages = ascendingPagesOf(edit);
  const last = pages.at(-1)?.bytes ?? edit.bytes;
  const record = edit.bytes.lastIndexOf(`${OWN_OWNER}\0`);
  const isOnTwo = record >= 0 && record - OWNER_AT < edit.bytes.length - last.length;
  return isOnTwo ? pages : pages.reverse();
}

function ascendingPagesOf(edit: Edit): Edit[] {
  const pages: Edit[] = [];
  for (let from = 0; from < edit.bytes.length; ) {
    const offset = edit.offset + from;
    const to = Math.min(edit.bytes.length, from + PAGE - (offset % PAGE));
    pages.push({ ...edit, offset, bytes: edit.bytes.subarray(from, to) });
    from = to;
  }
  return pages;
}

function holds(file: OpenFile, bytes: Buffer, offset: number): boolean {
  if (bytes.length === 0) return true;
  const now = Buffer.alloc(bytes.length);
  return file.read(now, 0, offset) === now.length && now.equals(bytes);
}

/**
 * Another process that found the file between two writes has planned on what it saw there, which is sound. Neither
 * going on nor undoing would leave it so.
 */
function refuseCompany({ path }: OpenFile, isAlone: boolean): void {
  if (isAlone) return;
  throw new ElfnoteError('changed', 'another process wrote to the file at the same time', { path });
}

/**
 * The look after the last write. What was written to a file that has no name any more is lost, and one of another size
 * was cut or appended to.
 */
function checkWritten(path: string, file: OpenFile, { dev, ino }: BigIntStats, size: number): void {
  const now = lookAgain(path, 'another process took the file away while it was written');
  if (now.ino !== ino || now.dev !== dev) {
    throw new ElfnoteError('changed', 'another process replaced the file while it was written', { path });
  }
  refuseCompany(file, now.size === BigInt(size));
}

const SET_ID = 0o6000n;

/** The kernel clears setuid and setgid bits on a write. The content is written by now, so a failure is only told. */
function keepModeAndDates(file: OpenFile, stats: BigIntStats, options: CommitOptions): void {
  const attempt = (what: string, work: () => void) => {
    try {
      work();
    } catch {
      options.onLoss?.(what);
    }
  };
  const mayBeCleared = (stats.mode & SET_ID) !== 0n;
  if (mayBeCleared && file.stat().mode !== stats.mode) attempt('mode', () => file.setMode(stats.mode));
  if (options.preserveDates) attempt('dates', () => file.setDates(stats));
}
