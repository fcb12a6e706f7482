import { accessSync, closeSync, constants, openSync, readSync, type Stats, statSync } from 'node:fs';
import { BufferSource, type ByteString, byteStringOf, displayBytes } from '../elf/bytes.js';
import { EI_NIDENT } from '../elf/constants.js';
import { IDENT_SIZE, isElf, readElfHeader } from '../elf/read.js';
import { ElfnoteError, fromSystemError, systemCode } from '../errors.js';
import type { Candidate } from './probe.js';

/**
 * Why ld.so ends where it cannot open a file in a directory that is there: `open_path` goes on after ENOENT and EACCES
 * alone (elf/dl-load.c).
 */
const FATAL_TO_OPEN: Readonly<Record<string, string>> = {
  ELOOP: 'a link that leads to itself',
  ENOTDIR: 'a link into what is no directory',
  ENAMETOOLONG: 'a link to a name that is too long',
  ENXIO: 'a socket',
};

/** What `open_verify` finds in a file's first bytes, one file after the other. */
const HEAD = Buffer.alloc(IDENT_SIZE);

/** What ld.so finds at a path. @throws ElfnoteError `unreadable`, where it cannot be told now. */
export function readCandidate(path: Buffer): Candidate {
  let fd: number;
  try {
    const stats = statSync(path);
    if (!stats.isFile() && !stats.isDirectory()) return oddCandidate(path, stats);
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    return unopened(byteStringOf(path), { code: systemCode(error), error });
  }
  try {
    const got = readSync(fd, HEAD, 0, HEAD.length, 0);
    return parseCandidate(HEAD.subarray(0, got));
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EISDIR') return { kind: 'broken', why: 'is a directory' };
    // A pseudo file system has files without places to read from.
    if (code === 'ESPIPE' || code === 'EINVAL') return { kind: 'broken', why: 'cannot be read' };
    throw unknowable(byteStringOf(path), error);
  } finally {
    close(fd);
  }
}

/**
 * With which code open(2) fails on what is no regular file, without opening it; undefined where it does not. To open
 * one may do something: a tape is wound back, a watchdog starts, who waits to write into a pipe waits no longer. So what a
 * run path names is looked at first.
 */
export function failureToOpen(path: Buffer, stats: Pick<Stats, 'isSocket'>): string | undefined {
  try {
    accessSync(path, constants.R_OK);
  } catch (error) {
    return systemCode(error);
  }
  return stats.isSocket() ? 'ENXIO' : undefined;
}

function oddCandidate(path: Buffer, stats: Stats): Candidate {
  const code = failureToOpen(path, stats);
  return code === undefined
    ? { kind: 'broken', why: 'is not a regular file' }
    : unopened(byteStringOf(path), { code });
}

/** @throws ElfnoteError `unreadable` for what says nothing of what ld.so will find. */
export function unopened(
  path: ByteString,
  failed: { readonly code?: string | undefined; readonly error?: unknown },
): Candidate {
  const code = failed.code ?? '';
  if (code === 'EACCES') return { kind: 'absent', why: 'no permission' };
  if (code === 'ENOENT') return { kind: 'absent', why: 'dangling link' };
  const why = FATAL_TO_OPEN[code];
  if (why === undefined) throw unknowable(path, failed.error);
  return { kind: 'broken', why };
}

export function unknowable(path: ByteString, error: unknown): ElfnoteError {
  return fromSystemError('unreadable', `cannot look up ${displayBytes(path)}`, undefined, error);
}

/** Nothing was written. */
function close(fd: number): void {
  try {
    closeSync(fd);
  } catch {}
}

function parseCandidate(head: Buffer): Candidate {
  if (head.length < EI_NIDENT) return { kind: 'broken', why: 'too short' };
  if (!isElf(head)) return { kind: 'broken', why: 'not an ELF file' };
  try {
    const { header, encoding } = readElfHeader(new BufferSource(head));
    return {
      kind: 'elf',
      is64: encoding.is64,
      littleEndian: encoding.littleEndian,
      e_type: header.e_type,
      e_machine: header.e_machine,
      e_flags: header.e_flags,
    };
  } catch (error) {
    return { kind: 'broken', why: error instanceof ElfnoteError ? error.message : 'invalid ELF header' };
  }
}
