import {
  type BigIntStats,
  close,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  futimesSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { during, type ErrorCode, fromSystemError, systemCode } from '../errors.js';
import { refusePseudoFile } from './file-systems.js';
import { nameOf } from './names.js';
import { realPathOf } from './paths.js';
import type { Steps } from './steps.js';

const NOT_ON_DISK = 'cannot bring what was written to the disk';

const EXACT = { bigint: true } as const;

/**
 * An open file whose every call says what failed: one line with the call's meaning and the file's path, whatever the
 * system's reason is.
 */
export class OpenFile {
  readonly fd: number;
  /** By which people know it: a temporary copy goes by the name of what it becomes. */
  readonly path: string;
  /** Whether the path is a symbolic link; undefined where nobody has asked. */
  readonly throughLink: boolean | undefined;

  constructor(fd: number, path: string, throughLink?: boolean) {
    this.fd = fd;
    this.path = path;
    this.throughLink = throughLink;
  }

  /**
   * @param tellsLink find out whether the path is a symbolic link, which costs calls only where it is one.
   * @throws ElfnoteError `unreadable`, also for a link into a pseudo file system, if it is to be told
   */
  static toRead(path: string, flags: number, tellsLink = false): OpenFile {
    const fd = tellsLink ? openUnlinked(path, flags) : undefined;
    if (fd !== undefined) return new OpenFile(fd, path, false);
    if (tellsLink) refusePseudoFile(path);
    const followed = during('unreadable', 'cannot open', path, () => openSync(path, flags));
    return new OpenFile(followed, path, tellsLink ? true : undefined);
  }

  /** A path by its bytes, which need not be UTF-8. @throws ElfnoteError `unreadable` */
  static toReadBytes(place: Buffer, flags: number): OpenFile {
    const path = nameOf(place).text;
    return new OpenFile(
      during('unreadable', 'cannot open', path, () => openSync(place, flags)),
      path,
    );
  }

  /** Where the file itself has its name. */
  get place(): string {
    return this.throughLink === false ? this.path : realPathOf(this.path);
  }

  /** @throws ElfnoteError `unreadable` */
  stat(): BigIntStats {
    try {
      return fstatSync(this.fd, EXACT);
    } catch (error) {
      throw fromSystemError('unreadable', 'cannot ask for size and time stamp', this.path, error);
    }
  }

  /** @returns the number of bytes read; 0 at the end of the file. @throws ElfnoteError `unreadable` */
  read(bytes: Buffer, start: number, offset: number): number {
    try {
      return readSync(this.fd, bytes, start, bytes.length - start, offset);
    } catch (error) {
      throw fromSystemError('unreadable', 'cannot read', this.path, error);
    }
  }

  /** Writes all of the bytes, in as many calls as the system makes of it. @throws ElfnoteError `unwritable` */
  write(bytes: Buffer, offset: number): void {
    try {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.fd, bytes, done, bytes.length - done, offset + done);
      }
    } catch (error) {
      throw fromSystemError('unwritable', 'cannot write', this.path, error);
    }
  }

  /** @throws ElfnoteError `unwritable` */
  truncate(size: number): void {
    this.#call('unwritable', 'cannot set the size', () => ftruncateSync(this.fd, size));
  }

  /** Waits until what was written is on the disk. @throws ElfnoteError `unwritable` */
  sync(): void {
    this.#call('unwritable', NOT_ON_DISK, () => fsyncSync(this.fd));
  }

  /** As `sync`. */
  *syncing(): Steps<void> {
    try {
      yield { now: () => fsyncSync(this.fd), later: done => fsync(this.fd, done) };
    } catch (error) {
      throw fromSystemError('unwritable', NOT_ON_DISK, this.path, error);
    }
  }

  /** @throws ElfnoteError `unwritable`; its cause tells why. */
  setOwner(uid: bigint, gid: bigint): void {
    this.#call('unwritable', 'cannot set owner and group', () =>
      fchownSync(this.fd, Number(uid), Number(gid)),
    );
  }

  /** @throws ElfnoteError `unwritable` */
  setMode(mode: bigint): void {
    this.#call('unwritable', 'cannot set the mode', () => fchmodSync(this.fd, Number(mode & 0o7777n)));
  }

  /** To the microsecond. @throws ElfnoteError `unwritable` */
  setDates({ atimeNs, mtimeNs }: BigIntStats): void {
    this.#call('unwritable', 'cannot set the dates', () =>
      futimesSync(this.fd, Number(atimeNs) / 1e9, Number(mtimeNs) / 1e9),
    );
  }

  /** Of a file that was written to: some file systems say only now that they could not. @throws ElfnoteError `unwritable` */
  close(): void {
    this.#call('unwritable', 'cannot close after writing', () => closeSync(this.fd));
  }

  /** Where nothing was written, or has failed already, a failure says nothing. */
  abandon(): void {
    try {
      closeSync(this.fd);
    } catch {}
  }

  /** As `abandon`. */
  *abandoning(): Steps<void> {
    try {
      yield { now: () => closeSync(this.fd), later: done => close(this.fd, done) };
    } catch {}
  }

  #call<T>(code: ErrorCode, doing: string, call: () => T): T {
    return during(code, doing, this.path, call);
  }
}

/** @returns undefined for a symbolic link. @throws ElfnoteError `unreadable` */
function openUnlinked(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags | constants.O_NOFOLLOW);
  } catch (error) {
    if (systemCode(error) === 'ELOOP') return undefined;
    throw fromSystemError('unreadable', 'cannot open', path, error);
  }
}
