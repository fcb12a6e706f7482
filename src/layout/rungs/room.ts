/** A run of bytes that moves or is copied as one, with everything that describes a part of it. */
export interface Block {
  /** File range of the old place. */
  readonly start: number;
  readonly end: number;
  /** In bytes, in the new place. */
  readonly size: number;
  readonly address: number;
  /** The distance of the move is a multiple of this. */
  readonly align: number;
  readonly sections: readonly number[];
  readonly segments: readonly number[];
  /** Dynamic tags whose address follows. */
  readonly tags: readonly number[];
  readonly names: readonly string[];
}

/** Entries of the program header table that nobody needs: each makes way for one that a note needs. */
export interface Spare {
  /** `PT_NULL` entries at the end of the table. */
  readonly nulls: number;
  /** A `PT_PHDR`, by index. */
  readonly phdr: number | undefined;
  /** A `PT_NOTE` that says what `PT_GNU_PROPERTY` says too, by index; the cache note's own takes its place. */
  readonly twin: number | undefined;
}

export const NO_SPARE: Spare = { nulls: 0, phdr: undefined, twin: undefined };

/** Nothing moves: entries go where there is room, or in the place of spare ones. */
export interface StillRoom {
  readonly kind: 'free' | 'phdr' | 'property';
  readonly spare: Spare;
  readonly front: undefined;
  readonly note: undefined;
  readonly load: undefined;
}

/** A `PT_NOTE` grows over the cache note right behind it. */
export interface ExtendedRoom {
  readonly kind: 'extend-note';
  readonly spare: Spare;
  readonly front: undefined;
  readonly note: number;
  /** The segment that it ends, by index: the note may be in no other. */
  readonly load: number;
}

/** A `PT_NOTE` covers a copy of its notes and the cache note behind it. */
export interface CopiedRoom {
  readonly kind: 'reuse-note';
  readonly spare: Spare;
  readonly front: Block;
  readonly note: number;
  readonly load: undefined;
}

/** What is behind the table makes way for it. */
export interface MovedRoom {
  readonly kind: 'move-notes' | 'move-tables';
  readonly spare: Spare;
  readonly front: Block;
  /** A `PT_NOTE` that ends what moves, by index, and covers the cache note too. */
  readonly note: number | undefined;
  readonly load: undefined;
}

/** The table itself moves. */
export interface MovedTableRoom {
  readonly kind: 'move-table';
  readonly spare: Spare;
  /** The table, as large as it becomes. */
  readonly front: Block;
  readonly note: undefined;
  /** The first segment, by index: in slack, the table may be in no other. */
  readonly load: number;
}

/**
 * Where the program header table finds room for the entries that a note needs. All have the entries of the table that
 * are used again (`spare`), what comes to be in front of the note (`front`), and the `PT_NOTE` that covers the note with
 * what it covers (`note`).
 */
export type Room = StillRoom | ExtendedRoom | CopiedRoom | MovedRoom | MovedTableRoom;
