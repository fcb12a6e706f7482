import { type ByteSource, type Patch, PatchedSource } from './bytes.js';
import type { ElfImage } from './image.js';
import { readImage } from './read.js';

/** Bytes to write into a file, and its size in bytes afterwards. */
export interface FileChange {
  /** In the order in which they are written. */
  readonly edits: readonly Patch[];
  readonly size: number;
}

/** A file as it is, or as it will be: what it says, and its bytes. */
export class ElfView {
  readonly image: ElfImage;
  readonly source: ByteSource;

  constructor(image: ElfImage, source: ByteSource) {
    this.image = image;
    this.source = source;
  }

  /** @throws ElfnoteError of `readImage`. */
  static of(source: ByteSource): ElfView {
    return new ElfView(readImage(source), source);
  }

  /**
   * The file once the changes are made, one after the other.
   * @throws ElfnoteError of `readImage`.
   */
  with(...changes: readonly FileChange[]): ElfView {
    return changes.length === 0 ? this : ElfView.of(changed(this.source, changes));
  }
}

/** What a source will read like once the changes are made, one after the other. */
export function changed(source: ByteSource, changes: readonly FileChange[]): ByteSource {
  return changes.reduce<ByteSource>((base, { edits, size }) => new PatchedSource(base, edits, size), source);
}
