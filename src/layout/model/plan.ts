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
  | 'nothing-to-record'
  | 'nothing-to-gain'
  | 'note-too-large'
  | 'no-note'
  | 'no-room'
  | 'unsupported-layout';

/** Where the note is written, or what else becomes of it; `kept` where only the reader changes. */
export type NotePlace = 'slack' | 'tail' | 'removed' | 'kept';

/** Where the program header table found room for its new entries. */
export type TableRoom =
  | 'none'
  | 'free'
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
  /** Where the note may stand; `auto` takes the cheapest. */
  readonly placement?: 'auto' | 'slack' | 'tail' | undefined;
  /** Let the program header table move where nothing else fits. Such a file does not survive `strip`. */
  readonly moveTable?: boolean | undefined;
  /** What `DT_AUDIT` of a program shall name; without it, a reader that elfnote has written stays. */
  readonly reader?: ByteString | undefined;
}

/** Bytes to write at a file offset. Edits of a lower step are on disk before those of a higher one. */
export interface Edit extends Patch {
  readonly why: string;
  readonly step: number;
}

export interface WritePlan {
  readonly kind: 'write';
  readonly rung: Rung;
  /** In commit order. */
  readonly edits: readonly Edit[];
  /** Of the file afterwards, in bytes. */
  readonly size: number;
  readonly entries: readonly CacheEntry[];
  /** Where an old note goes first: the edits that take it out, at the head of `edits`. */
  readonly removal: Removal | undefined;
  /** Names of what moved to make room. */
  readonly moved: readonly string[];
  readonly addedLoads: number;
  /** False when no order of writes leaves the file valid after each: such a file is replaced, not edited. */
  readonly inPlaceIsSafe: boolean;
  /** Why an old note was removed and none written. */
  readonly whyRemoved: string | undefined;
  /** False when the file's section headers could not take one more: strip would lose the note. */
  readonly hasSection: boolean;
  /** Set where `DT_AUDIT` changes too: what `edits` are made of, each planned on what the one before it leaves. */
  readonly commits?: readonly Commit[] | undefined;
}

export type Commit =
  | { readonly kind: 'note'; readonly change: WritePlan }
  | { readonly kind: 'reader-in'; readonly change: ReaderEdits }
  | { readonly kind: 'reader-out'; readonly change: ReaderRemoval };

/** What writes a reader into a program that has none. */
export interface ReaderEdits {
  readonly path: ByteString;
  /** In commit order. */
  readonly edits: readonly Edit[];
  /** Of the file afterwards, in bytes. */
  readonly size: number;
  /** False where a program that is running may still read what is written over. */
  readonly inPlaceIsSafe: boolean;
}

/** What takes a reader out. */
export interface ReaderRemoval extends Removal {
  readonly inPlaceIsSafe: boolean;
}

export interface Removal {
  readonly edits: readonly Edit[];
  /** Of the file without the note, in bytes. */
  readonly size: number;
  /** The result was proved to be what the file was before elfnote: planning on it gives the file at hand. */
  readonly exact: boolean;
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
