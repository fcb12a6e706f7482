import type { TableRoom } from '../model/plan.js';

/** A run of bytes that moves or is copied as one, with everything that describes a part of it. */
export interface Block {
  /** File range of the old place. */
  readonly start: number;
  readonly end: number;
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

/** Where the program header table finds room for the entries that a note needs. */
export interface Room {
  readonly kind: TableRoom;
  /** What has to move, or for `reuse-note` to be copied, if anything. */
  readonly block: Block | undefined;
  /** `PT_NULL` entries at the end of the table that are given up. */
  readonly nullsUsed: number;
  /** A `PT_PHDR` that nobody needs and that is given up. */
  readonly dropped?: number | undefined;
  /** The `PT_NOTE` that will cover the cache note too, or, for `property`, nothing else. */
  readonly reused: number | undefined;
  /** Whether that `PT_NOTE` leaves what it has covered, which `PT_GNU_PROPERTY` covers as well. */
  readonly vacated?: boolean | undefined;
  /** For `move-table`: size in bytes of the table, which stands in front of the note. */
  readonly tableSize?: number;
  /** The only segment in which the note may stand, where that matters. */
  readonly load?: number;
}
