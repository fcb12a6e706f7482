import * as unchecked from '../elf/bytes.js';
import { ElfnoteError } from '../errors.js';
import * as probe from '../resolve/fs-probe.js';
import type { Candidate, DirectoryState } from '../resolve/probe.js';
import { check } from './check.js';
import * as schemas from './schemas.js';

/** Integers of one ELF class and byte order; offsets are into the given buffer. @throws ElfnoteError */
export class Encoding extends unchecked.Encoding {
  constructor(is64: boolean, littleEndian: boolean) {
    super(
      check('Encoding', 'is64', schemas.boolean, is64),
      check('Encoding', 'littleEndian', schemas.boolean, littleEndian),
    );
  }

  override u16(bytes: Buffer, at: number): number {
    checkRange(bytes, at, 2);
    return super.u16(bytes, at);
  }

  override u32(bytes: Buffer, at: number): number {
    checkRange(bytes, at, 4);
    return super.u32(bytes, at);
  }

  override u64(bytes: Buffer, at: number): number {
    checkRange(bytes, at, 8);
    return super.u64(bytes, at);
  }

  override word(bytes: Buffer, at: number): number {
    checkRange(bytes, at, this.wordSize);
    return super.word(bytes, at);
  }

  override putU16(bytes: Buffer, at: number, value: number): void {
    checkRange(bytes, at, 2);
    super.putU16(bytes, at, numberOf(value));
  }

  override putU32(bytes: Buffer, at: number, value: number): void {
    checkRange(bytes, at, 4);
    super.putU32(bytes, at, numberOf(value));
  }

  override putU64(bytes: Buffer, at: number, value: number): void {
    checkRange(bytes, at, 8);
    super.putU64(bytes, at, numberOf(value));
  }

  override putWord(bytes: Buffer, at: number, value: number): void {
    checkRange(bytes, at, this.wordSize);
    super.putWord(bytes, at, numberOf(value));
  }

  override wordBytes(value: number): Buffer {
    return super.wordBytes(numberOf(value));
  }
}

function numberOf(value: number): number {
  return check('Encoding', 'value', schemas.value, value);
}

/** By hand: a schema costs more than the read. */
function checkRange(bytes: Buffer, at: number, size: number): void {
  check('Encoding', 'bytes', schemas.bytes, bytes);
  if (Number.isSafeInteger(at) && at >= 0 && at + size <= bytes.length) return;
  throw new ElfnoteError('usage', `Encoding: there are no ${size} bytes at ${at} of ${bytes.length}`);
}

/**
 * Looks libraries up in the file system, or in the one that stands below `root`. Each directory is listed
 * once, each candidate opened once; everything else is answered from memory, up to a bound.
 */
export class FileSystemProbe extends probe.FileSystemProbe {
  /**
   * @param root a directory in which absolute paths and links are looked up; the default is `/`.
   * @param most how many names and paths are kept in memory.
   * @throws ElfnoteError `usage`, also when the root is no directory.
   */
  constructor(root?: string, most?: number) {
    super(
      root === undefined ? undefined : check('FileSystemProbe', 'root', schemas.path, root),
      most === undefined ? undefined : check('FileSystemProbe', 'most', schemas.count, most),
    );
  }

  override directory(dir: string): DirectoryState {
    return super.directory(checkedPath(dir));
  }

  override names(dir: string): ReadonlySet<string> | undefined {
    return super.names(checkedPath(dir));
  }

  override candidate(path: string): Candidate {
    return super.candidate(checkedPath(path));
  }

  override realPath(path: string): string | undefined {
    return super.realPath(checkedPath(path));
  }
}

/** Resolution asks for many; a schema would cost more than the answer. */
function checkedPath(path: string): string {
  return typeof path === 'string' ? path : check('FileSystemProbe', 'path', schemas.byteString, path);
}
