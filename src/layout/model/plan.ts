import type { ByteString, Patch } from '../../elf/bytes.js';
import type { CacheEntry } from '../../note/cache.js';

/** Why a file gets no note; nothing is wrong with it. */
export type SkipReason =
  | 'not-elf'
  | 'relocatable'
  | 'core'
  | 'static'
  | 'no-needed'
  | 'no-run-path'
  | 'debug-only'
  | 'truncated'
  | 'high-addresses'
  | 'nothing-to-record'
  | 'nothing-to-gain'
  | 'note-too-large'
  | 'no-note'
  | 'no-room'
  | 'unsupported-layout';

/** Where the note is written, or that it is taken out. */
export type NotePlace = 'slack' | 'tail' | 'removed';

/** Where the program header table found room for its new entries. */
export type TableRoom =
  | 'none'
  | 'free'
  | 'phdr'
  | 'property'
  | 'reuse-note'
  | 'move-notes'
  | 'move-tables'
  | 'move-table';

export interface Rung {
  readonly note: NotePlace;
  readonly table: TableRoom;
}

export interface PlanOptions {
  /** Where the note may be; `auto` takes the cheapest. */
  readonly placement?: 'auto' | 'slack' | 'tail' | undefined;
  /** Let the program header table move where nothing else fits. Such a file does not survive `strip`. */
  readonly moveTable?: boolean | undefined;
  /** Rungs that are not taken, for tests of files that a planner with other preferences has noted. */
  readonly avoid?: readonly TableRoom[] | undefined;
  /** What `DT_AUDIT` of a program shall name; without it, an audit module that elfnote has written stays. */
  readonly auditModule?: ByteString | undefined;
}

/** Bytes to write at a file offset. Edits of a lower step are on disk before those of a higher one. */
export interface Edit extends Patch {
  readonly why: string;
  readonly step: number;
}

/** What a file's notes shall say. */
export interface Wanted {
  /** Of the cache note; without any, there are no notes at all. */
  readonly entries: readonly CacheEntry[];
  /** Whole notes of elfnote's own that come behind it, each padded to 4 bytes. */
  readonly extraNotes?: readonly Buffer[] | undefined;
}

/** What is to be placed in a file, whatever it says. */
export interface Payload {
  /** Whole notes, each padded to 4 bytes. */
  readonly bytes: Buffer;
}

/** Edits that lead from one sound file to the next, planned on what the commit before leaves. */
export interface Commit {
  /** `undo` by the file's own record, `release` where there is none; then what is written. */
  readonly kind: 'undo' | 'release' | 'note' | 'audit-out' | 'audit-in';
  /** In commit order. */
  readonly edits: readonly Edit[];
  /** Of the file afterwards, in bytes: what is beyond is cut off when the edits are written. */
  readonly size: number;
  /** False: no order of writes is safe in place. */
  readonly inPlaceIsSafe: boolean;
}

/** A payload with its place. */
export interface NoteCommit extends Commit {
  readonly kind: 'note';
  readonly rung: Rung;
  /** File offset of the payload. */
  readonly at: number;
  /** What else the place costs, as `Cost` weighs it; 0 where nothing is lost. */
  readonly losses: number;
  /** Names of what moved to make room. */
  readonly moved: readonly string[];
  readonly addedLoads: number;
  /** False when the file's section headers could not take one more: strip would lose the note. */
  readonly hasSection: boolean;
}

/** What writes an audit module into a program that has none. */
export interface AuditCommit extends Commit {
  readonly kind: 'audit-in';
  readonly path: ByteString;
}

export interface WritePlan extends Pick<NoteCommit, 'moved' | 'addedLoads' | 'hasSection' | 'inPlaceIsSafe'> {
  readonly kind: 'write';
  readonly rung: Rung;
  /** What is written, in this order. */
  readonly commits: readonly Commit[];
  /** Of the file afterwards, in bytes. */
  readonly size: number;
  readonly wanted: Wanted;
  /** What elfnote's `DT_AUDIT` names afterwards, if there is one. */
  readonly auditModule: ByteString | undefined;
  /** Whether an old note was undone to the last byte; undefined where there was none. */
  readonly exact: boolean | undefined;
  /** Whether the file will say how to undo this. */
  readonly hasRecord: boolean;
  readonly whyRemoved: string | undefined;
}

/** The edits of all commits, in the order in which they are written, each commit's steps after those before. */
export function editsOf({ commits }: Pick<WritePlan, 'commits'>): Edit[] {
  const all: Edit[] = [];
  for (const { edits } of commits) {
    const base = all.length === 0 ? 0 : (all.at(-1)?.step ?? 0) + 1;
    all.push(...edits.map(edit => ({ ...edit, step: edit.step + base })));
  }
  return all;
}

export interface SkipPlan {
  readonly kind: 'skip';
  readonly reason: SkipReason;
  readonly detail: string;
}

export type Plan = WritePlan | SkipPlan | { readonly kind: 'keep' };

/**
 * The commit order (docs/layout.md): what nothing refers to yet; pointers good before and after; the header; pointers
 * to what only the header has mapped.
 */
export const STEP = { payload: 1, pointers: 2, header: 3, mapped: 4, cleanup: 5 } as const;
