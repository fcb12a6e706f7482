/**
 * elfnote as a library. Every function throws only `ElfnoteError`; those for one file are synchronous.
 *
 * @packageDocumentation
 */

export { type AnnotateOptions, annotateTree, type CleanOptions, cleanTree } from './batch/annotate.js';
export { type ByteSource, type ByteString, Encoding } from './elf/bytes.js';
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
export { ElfnoteError, type ErrorCode } from './errors.js';
export type { Edit, NotePlace, Rung, SkipReason, TableRoom, WritePlan } from './layout/model/plan.js';
export {
  type CacheEntry,
  type CacheStep,
  decodeDescriptor,
  encodeDescriptor,
  encodeNote,
} from './note/cache.js';
export { type NoteReport, readNote } from './note-report.js';
export type {
  FailedOutcome,
  FileOutcome,
  PlannedOutcome,
  PlanSummary,
  SkippedOutcome,
  WorkedOutcome,
  WrittenOutcome,
} from './outcome.js';
export {
  type BuildOptions,
  buildCache,
  type LookupOptions,
  type RemoveOptions,
  removeCache,
  resolveFile,
} from './pipeline.js';
export type { RuntimeReason, SearchComponent } from './resolve/components.js';
export { FileSystemProbe } from './resolve/fs-probe.js';
export type { Candidate, DirectoryState, LibraryProbe } from './resolve/probe.js';
export type { Attempt, Resolution, ResolvedEntry, Unresolved } from './resolve/resolve.js';
