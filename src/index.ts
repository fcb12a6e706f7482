/**
 * elfnote as a library. Every function checks what it is given before it opens anything, and throws only
 * `ElfnoteError`, `usage` for an argument that it does not understand. Those for one file are synchronous.
 *
 * @packageDocumentation
 */

import { check } from './arguments/check.js';
import { FileSystemProbe } from './arguments/classes.js';
import * as schemas from './arguments/schemas.js';
import * as batch from './batch/annotate.js';
import * as verifying from './batch/verify.js';
import * as bytes from './elf/bytes.js';
import * as loader from './loader/api.js';
import type { ClosureNode } from './loader/edges.js';
import type { Trace } from './loader/trace.js';
import { type LookupOptions, storeRoots } from './lookup.js';
import * as cache from './note/cache.js';
import * as reports from './note-report.js';
import type { FileOutcome, WorkedOutcome } from './outcome.js';
import * as pipeline from './pipeline.js';
import type { Verdict } from './resolve/candidate.js';
import type { LibraryProbe } from './resolve/probe.js';
import type { Resolution } from './resolve/resolve.js';
import * as verify from './verify-note.js';

export { Encoding, FileSystemProbe } from './arguments/classes.js';
export type { AnnotateOptions, CleanOptions } from './batch/annotate.js';
export type { RunOptions } from './batch/run.js';
export type { VerifyFailure, VerifyReport, VerifyTreeOptions } from './batch/verify.js';
export type { Found, PathList, WalkOptions } from './batch/walk.js';
export type { ByteSource, ByteString } from './elf/bytes.js';
export type { Audit } from './elf/dt-audit.js';
export type {
  CacheNoteLocation,
  DynamicEntry,
  DynamicTable,
  ElfHeader,
  ElfImage,
  ProgramHeader,
  SectionHeader,
} from './elf/image.js';
export { ElfnoteError, type ErrorCode, type ErrorDetails } from './errors.js';
export type { Edit, NotePlace, Rung, SkipReason, TableRoom, WritePlan } from './layout/model/plan.js';
export type { ClosureOptions, TraceOptions } from './loader/api.js';
export type { Architecture } from './loader/architectures.js';
export type { Counts } from './loader/count.js';
export type { ClosureEdge, ClosureNode, EdgeCandidate } from './loader/edges.js';
export type { Processor } from './loader/hwcaps.js';
export type { LoaderFacts } from './loader/interpreter.js';
export type { Reader } from './loader/note-answer.js';
export type { ObjectFacts, Request } from './loader/object.js';
export type { How, Lookup, Place, Step, TracedObject, TriedPlace } from './loader/record.js';
export type { Trace } from './loader/trace.js';
export type { LookupOptions } from './lookup.js';
export type { CacheEntry, CacheStep } from './note/cache.js';
export type { ClosureNote } from './note/closure.js';
export type { NoteReport } from './note-report.js';
export type {
  FailedOutcome,
  FileOutcome,
  PlannedOutcome,
  PlanSummary,
  SkippedOutcome,
  WorkedOutcome,
  WrittenOutcome,
} from './outcome.js';
export type { BuildOptions, RemoveOptions } from './pipeline.js';
export type { Verdict } from './resolve/candidate.js';
export type { RuntimeReason, SearchComponent } from './resolve/components.js';
export type { Candidate, DirectoryState, LibraryProbe } from './resolve/probe.js';
export type { Attempt, Resolution, ResolvedEntry, Unresolved } from './resolve/resolve.js';
export type {
  NothingToVerify,
  VerifiedNote,
  VerifyFinding,
  VerifyOptions,
  VerifyState,
} from './verify-note.js';

function optionsOf<T>(called: string, { schema, keys }: schemas.OptionsSchema<T>, options: unknown): T {
  return check(called, 'options', schema, options, keys);
}

/**
 * Writes the notes of all files that the paths name, directories walked, in one process.
 *
 * Yields one outcome a file, in the order of the paths and sorted by name inside a directory; a file that fails is an
 * outcome like any other. Ending the iteration early stops the work; files that are begun by then are finished.
 *
 * @throws ElfnoteError `usage`, at the call for arguments, at the first outcome for paths that are not walked.
 */
export function annotateTree(
  paths: readonly string[],
  options: batch.AnnotateOptions = {},
): AsyncGenerator<FileOutcome> {
  return batch.annotateTree(
    check('annotateTree', 'paths', schemas.paths, paths),
    optionsOf('annotateTree', schemas.annotateOptions, options),
  );
}

/** Takes the notes out again, as `annotateTree` writes them. @throws ElfnoteError as `annotateTree` does. */
export function cleanTree(
  paths: readonly string[],
  options: batch.CleanOptions = {},
): AsyncGenerator<FileOutcome> {
  return batch.cleanTree(
    check('cleanTree', 'paths', schemas.paths, paths),
    optionsOf('cleanTree', schemas.cleanOptions, options),
  );
}

/**
 * Reads a file, resolves its sonames and writes its note.
 *
 * @throws ElfnoteError with the path, and for a malformed file the offset. The file is then unchanged.
 */
export function buildCache(path: string, options: pipeline.BuildOptions = {}): WorkedOutcome {
  return pipeline.buildCache(
    check('buildCache', 'path', schemas.path, path),
    optionsOf('buildCache', schemas.buildOptions, options),
  );
}

/**
 * Takes the note out of a file. A file that only elfnote has edited is again what it was, byte for byte; another
 * tool's note goes as far as its layout allows.
 *
 * @throws ElfnoteError with the path. The file is then unchanged.
 */
export function removeCache(path: string, options: pipeline.RemoveOptions = {}): WorkedOutcome {
  return pipeline.removeCache(
    check('removeCache', 'path', schemas.path, path),
    optionsOf('removeCache', schemas.removeOptions, options),
  );
}

/** Resolves without planning or writing. @throws ElfnoteError */
export function resolveFile(path: string, options: LookupOptions = {}): Resolution {
  return pipeline.resolveFile(
    check('resolveFile', 'path', schemas.path, path),
    optionsOf('resolveFile', schemas.lookupOptions, options),
  );
}

/**
 * The note of a file, or undefined when it has none.
 * @throws ElfnoteError `malformed-note`, with the offset, for a note that the loader would reject.
 */
export function readNote(path: string): reports.NoteReport | undefined {
  return reports.readNote(check('readNote', 'path', schemas.path, path));
}

/**
 * What ld.so would do with an exact path of a note now: take it, try the next place, or end the program.
 *
 * @param note as `readNote` gives it: its file is the one that asks.
 * @param path an element of the note without its `=`; absolute.
 * @param probe where it is looked up; default: this machine, anew. @throws ElfnoteError `usage`
 */
export function judgePath(
  note: Pick<reports.NoteReport, 'image'>,
  path: bytes.ByteString,
  probe: LibraryProbe = new FileSystemProbe(),
): Verdict {
  return reports.judgePath(
    check('judgePath', 'note', schemas.note, note),
    check('judgePath', 'path', schemas.absolutePath, path),
    check('judgePath', 'probe', schemas.probe, probe),
  );
}

/** A byte string as text for people: UTF-8 where it is UTF-8, control characters escaped. @throws ElfnoteError `usage` */
export function displayBytes(text: bytes.ByteString): string {
  return bytes.displayBytes(check('displayBytes', 'text', schemas.byteString, text));
}

/**
 * Resolves a file's libraries anew and compares what its note says with what `buildCache` would write.
 * @throws ElfnoteError `not-elf`, `unreadable`, or `changed` for a file that others wrote to meanwhile.
 */
export function verifyFile(
  path: string,
  options: verify.VerifyOptions = {},
): verify.VerifiedNote | verify.NothingToVerify {
  return verify.verifyFile(
    check('verifyFile', 'path', schemas.path, path),
    optionsOf('verifyFile', schemas.verifyOptions, options),
  );
}

/**
 * Verifies the notes of all files that the paths name, directories walked, and writes nothing. Yields one report a
 * file, in the order of the paths and sorted by name inside a directory.
 *
 * @throws ElfnoteError `usage`, at the call for arguments, at the first report for paths that are not walked.
 */
export function verifyTree(
  paths: readonly string[],
  options: verifying.VerifyTreeOptions = {},
): AsyncGenerator<verifying.VerifyReport> {
  return verifying.verifyTree(
    check('verifyTree', 'paths', schemas.paths, paths),
    optionsOf('verifyTree', schemas.verifyTreeOptions, options),
  );
}

/**
 * Simulates ld.so over the whole closure of a program or library: which objects it opens and in what order, how it
 * finds each, and every open(2) and stat(2) that it makes for that. Paths and names are byte strings. Nothing of it is
 * run; the loader that has started Node is asked for the processor (`ld.so --help`), unless `hwcaps` names one.
 *
 * @throws ElfnoteError `usage` for an option that does not fit; of the file itself `unreadable`, `not-elf`,
 * `malformed`, or `unsupported` for a static program or one whose loader is no glibc.
 */
export function traceFile(path: string, options: loader.TraceOptions = {}): Trace {
  return loader.traceFile(
    check('traceFile', 'path', schemas.path, path),
    optionsOf('traceFile', schemas.traceOptions, options),
  );
}

/**
 * Each object of a closure with its own requests, and for each the places where it may be met, in the order in which
 * the loader looks.
 *
 * @throws ElfnoteError as `traceFile` does.
 */
export function closureOf(path: string, options: loader.ClosureOptions = {}): ClosureNode[] {
  const { storeDirs, ...rest } = optionsOf('closureOf', schemas.closureOptions, options);
  const roots = storeRoots({ storeDirs });
  return loader.closureOf(check('closureOf', 'path', schemas.path, path), rest, roots);
}

/** The descriptor without its padding. An empty list of entries has none. @throws ElfnoteError `usage` */
export function encodeDescriptor(entries: readonly cache.CacheEntry[]): Buffer {
  return cache.encodeDescriptor(check('encodeDescriptor', 'entries', schemas.entries, entries));
}

/**
 * The whole note, padded to 4 bytes.
 * @param encoding `is64` and `littleEndian` of the file. @throws ElfnoteError `usage`
 */
export function encodeNote(
  entries: readonly cache.CacheEntry[],
  encoding: Pick<bytes.Encoding, 'is64' | 'littleEndian'>,
): Buffer {
  const list = check('encodeNote', 'entries', schemas.entries, entries);
  const { is64, littleEndian } = check('encodeNote', 'encoding', schemas.encoding, encoding);
  return cache.encodeNote(list, new bytes.Encoding(is64, littleEndian));
}

/**
 * Decodes a descriptor (without padding).
 * @param at the file offset of the descriptor in bytes, for messages.
 * @param path the file, for messages.
 * @throws ElfnoteError `malformed-note` for everything the format forbids, with the file offset of the fault.
 */
export function decodeDescriptor(desc: Buffer, at = 0, path?: string): cache.CacheEntry[] {
  return cache.decodeDescriptor(
    check('decodeDescriptor', 'desc', schemas.bytes, desc),
    check('decodeDescriptor', 'at', schemas.offset, at),
    path === undefined ? undefined : check('decodeDescriptor', 'path', schemas.path, path),
  );
}
