import {
  type BigIntStats,
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  futimesSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { during, type ErrorCode } from '../errors.js';

/**
 * An open file whose every call says what failed: one line with the call's meaning and the file's path, whatever the
 * system's reason is.
 */
export class OpenFile {
  readonly fd: number;
  /** By which people know it: a temporary copy goes by the name of what it becomes. */
  readonly path: string;

  constructor(fd: number, path: string) {
    this.fd = fd;
    this.path = path;
  }

  /** @throws ElfnoteError `unreadable` */
  static toRead(path: string, flags: number): OpenFile {
    return new OpenFile(
      during('unreadable', 'cannot open', path, () => openSync(path, flags)),
      path,
    );
  }

  /** @throws ElfnoteError `unreadable` */
  stat(): BigIntStats {
    return this.#call('unreadable', 'cannot ask for size and time stamp', () =>
      fstatSync(this.fd, { bigint: true }),
    );
  }

  /** @returns the number of bytes read; 0 at the end of the file. @throws ElfnoteError `unreadable` */
  read(bytes: Buffer, start: number, offset: number): number {
    return this.#call('unreadable', 'cannot read', () =>
      readSync(this.fd, bytes, start, bytes.length - start, offset),
    );
  }

  /** Writes all of the bytes, in as many calls as the system makes of it. @throws ElfnoteError `unwritable` */
  write(bytes: Buffer, offset: number): void {
    this.#call('unwritable', 'cannot write', () => {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.fd, bytes, done, bytes.length - done, offset + done);
      }
    });
  }

  /** @throws ElfnoteError `unwritable` */
  truncate(size: number): void {
    this.#call('unwritable', 'cannot set the size', () => ftruncateSync(this.fd, size));
  }

  /** Waits until what was written is on the disk. @throws ElfnoteError `unwritable` */
  sync(): void {
    this.#call('unwritable', 'cannot bring what was written to the disk', () => fsyncSync(this.fd));
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

  #call<T>(code: ErrorCode, doing: string, call: () => T): T {
    return during(code, doing, this.path, call);
  }
}
