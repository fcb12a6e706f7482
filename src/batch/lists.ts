import { closeSync, openSync, readSync } from 'node:fs';
import { ElfnoteError, fromSystemError } from '../errors.js';
import { nameOf } from '../files/names.js';
import { type Found, foreignName, type PathList } from './walk.js';

/**
 * Reads a list of paths, one a line or, with `nul`, each ended by a NUL as `find -print0` does. Empty ones are
 * passed over.
 *
 * @param file `-` is standard input.
 * @throws ElfnoteError `usage` when the list cannot be read, is longer than 64 MiB, or has NUL inside a line.
 */
export function readPathList(file: string, nul: boolean): PathList {
  let bytes: Buffer;
  try {
    bytes = readBounded(file);
  } catch (error) {
    throw fromSystemError('usage', 'cannot read the list of files', file, error);
  }
  if (!nul && bytes.includes(0)) {
    throw new ElfnoteError('usage', 'the list of files has NUL bytes: it needs --null', { path: file });
  }
  return pathList(split(bytes, nul ? 0 : 0x0a));
}

/** Paths by their bytes; those that are not UTF-8 are failures. */
export function pathList(names: Iterable<Buffer>): PathList {
  const paths: string[] = [];
  const failures: Found[] = [];
  for (const name of names) {
    const { text, isUtf8 } = nameOf(name);
    if (isUtf8) paths.push(text);
    else failures.push(foreignName(text));
  }
  return { paths, failures };
}

/** In bytes. Every path stays in memory until the run ends, at several times its length. */
const LARGEST_LIST = 1 << 26;
const PIECE = 1 << 16;

function readBounded(file: string): Buffer {
  const fd = file === '-' ? 0 : openSync(file, 'r');
  const pieces: Buffer[] = [];
  try {
    for (let size = 0; ; ) {
      const piece = Buffer.allocUnsafe(PIECE);
      const got = readSync(fd, piece);
      if (got === 0) return Buffer.concat(pieces);
      size += got;
      if (size > LARGEST_LIST) {
        throw new ElfnoteError('usage', `the list of files is longer than ${LARGEST_LIST} bytes: split it`, {
          path: file,
        });
      }
      pieces.push(piece.subarray(0, got));
    }
  } finally {
    if (fd !== 0) closeSync(fd);
  }
}

function* split(bytes: Buffer, separator: number): Generator<Buffer> {
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(separator, start);
    const piece = bytes.subarray(start, end < 0 ? bytes.length : end);
    if (piece.length > 0) yield piece;
    start += piece.length + 1;
  }
}
