import { type ByteSource, isZero } from '../../elf/bytes.js';
import { PT_NULL, SHF_ALLOC, SHT_NOBITS } from '../../elf/constants.js';
import { addressOfOffset, type ElfImage, programHeaderSize } from '../../elf/image.js';
import { hasSections, isWiped, type Occupied, tableEnd } from '../model/occupied.js';
import { type Group, groupOverlapping, isGrouped, Movable } from './movable.js';

/** What every rung asks of one file: what stands behind its program header table, and what of it may move. */
export class Ground {
  readonly image: ElfImage;
  readonly source: ByteSource;
  readonly #occupied: readonly Occupied[];
  #groups: readonly Group[] | undefined;
  #movable: Movable | undefined;

  constructor(image: ElfImage, source: ByteSource, occupied: readonly Occupied[]) {
    this.image = image;
    this.source = source;
    this.#occupied = occupied;
  }

  get groups(): readonly Group[] {
    this.#groups ??= groupOverlapping(this.#occupied);
    return this.#groups;
  }

  get movable(): Movable {
    this.#movable ??= new Movable(this.image, this.source, this.groups);
    return this.#movable;
  }

  after(offset: number): readonly Group[] {
    return this.groups.filter(group => group.end > offset);
  }

  /** File offset at which the first of them starts. */
  nextBehind(offset: number): number | undefined {
    let start: number | undefined;
    let end = 0;
    for (const range of this.#occupied) {
      if (!isGrouped(range)) continue;
      if (start === undefined || range.start >= end) {
        if (end > offset) return start;
        start = range.start;
      }
      end = Math.max(end, range.end);
    }
    return end > offset ? start : undefined;
  }

  /** File offset at which the table ends with that many more entries. */
  tableEndWith(added: number): number {
    return tableEnd(this.image) + added * programHeaderSize(this.image.encoding);
  }

  /** Empty `PT_NULL` entries at the end of the table; one with anything but an alignment may be somebody's. */
  nulls(): number {
    const { programHeaders, encoding } = this.image;
    const used = programHeaders.findLastIndex(
      p =>
        p.p_type !== PT_NULL ||
        p.p_flags !== 0 ||
        p.p_offset !== 0 ||
        p.p_vaddr !== 0 ||
        p.p_paddr !== 0 ||
        p.p_filesz !== 0 ||
        p.p_memsz !== 0 ||
        (p.p_align !== 0 && p.p_align !== encoding.wordSize),
    );
    return programHeaders.length - 1 - used;
  }

  /** The kernel and ld.so read the table from memory, so the segment that holds it must hold all of it. */
  loadHolds(end: number): boolean {
    const { programHeaders, header } = this.image;
    return addressOfOffset(programHeaders, header.e_phoff, end - header.e_phoff) !== undefined;
  }

  unclaimedIsZero(from: number, to: number): boolean {
    return from >= to || isZero(this.source, from, to - from);
  }

  /** Zeros, or bytes that patchelf has wiped. */
  isUnused(from: number, to: number): boolean {
    return this.unclaimedIsZero(from, to) || isWiped(this.source, from, to);
  }

  /** What patchelf needs where it would not see what stands behind the table, because the first section is away. */
  spareFor(next: number | undefined): number {
    const { sectionHeaders } = this.image;
    const first = sectionHeaders.find(s => (s.sh_flags & SHF_ALLOC) !== 0 && s.sh_size > 0);
    return first !== undefined && next !== undefined && first.sh_offset > next ? this.spares() : 0;
  }

  /**
   * Entries to leave free for patchelf. It sorts the section headers by offset, so the second time it does see what
   * stands behind the table, unless strip has come in between: mold gives `.bss` the offset 0, so it sorts first, and
   * strip gives it its own, far off.
   */
  spares(): number {
    const end = tableEnd(this.image);
    return this.image.sectionHeaders.some(s => s.sh_type === SHT_NOBITS && s.sh_offset < end) ? 2 : 1;
  }

  hasSections(): boolean {
    return hasSections(this.image);
  }
}
