import { alignUp, type ByteSource, isZero } from '../../elf/bytes.js';
import {
  CACHE_NOTE_SECTION,
  DT_GNU_HASH,
  DT_HASH,
  DT_STRTAB,
  DT_SYMTAB,
  DT_VERDEF,
  DT_VERNEED,
  DT_VERSYM,
  PF_W,
  PT_GNU_PROPERTY,
  PT_INTERP,
  PT_LOAD,
  PT_NOTE,
  SHF_ALLOC,
  SHT_DYNSYM,
  SHT_GNU_HASH,
  SHT_GNU_VERDEF,
  SHT_GNU_VERNEED,
  SHT_GNU_VERSYM,
  SHT_HASH,
  SHT_NOBITS,
  SHT_NOTE,
  SHT_STRTAB,
  SHT_SYMTAB_SHNDX,
} from '../../elf/constants.js';
import {
  addressOfOffset,
  type ElfImage,
  type ProgramHeader,
  programHeaderSize,
  type SectionHeader,
} from '../../elf/image.js';
import { noteOwners } from '../../elf/notes.js';
import { NOTE_ALIGN } from '../../note/cache.js';
import { hasSections, isWiped, type Occupied, tableEnd } from '../model/occupied.js';
import type { TableRoom } from '../model/plan.js';
import { type Reference, referencesInto } from './references.js';

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

export interface Room {
  readonly kind: TableRoom;
  /** What has to move, or for `reuse-note` to be copied, if anything. */
  readonly block: Block | undefined;
  /** `PT_NULL` entries that are given up. */
  readonly nullsUsed: number;
  /** For `reuse-note`: the `PT_NOTE` that will cover the cache note too. */
  readonly reused: number | undefined;
  /** For `move-table`: size in bytes of the table, which stands in front of the note. */
  readonly tableSize?: number;
  /** The only segment in which the note may stand, where that matters. */
  readonly load?: number;
}

/** A block keeps its alignment, which must not blow the file up. */
function isSaneAlignment(align: number): boolean {
  return align <= 1 || (align <= 4096 && Number.isInteger(Math.log2(align)));
}

/** A note larger than this holds a program's data (Node's single executables), not facts about it. */
const LARGEST_COPY = 4096;

/** What stands at the same bytes: a section, its program header, ... */
interface Group {
  start: number;
  end: number;
  readonly members: Occupied[];
}

/** Finds room in one file; asks for references once. */
export class RoomFinder {
  readonly #image: ElfImage;
  readonly #source: ByteSource;
  readonly #groups: readonly Group[];
  #references: Reference[] | undefined | 'not-asked' = 'not-asked';

  constructor(image: ElfImage, source: ByteSource, occupied: readonly Occupied[]) {
    this.#image = image;
    this.#source = source;
    this.#groups = groupOverlapping(
      occupied.filter(range => range.kind !== 'load' && range.kind !== 'program-headers'),
    );
  }

  /** Rung 1: nothing moves; unused bytes behind the table that no section claims, or `PT_NULL` entries. */
  free(needed: number): Room | undefined {
    const nullsUsed = Math.min(needed, this.#nulls());
    const added = needed - nullsUsed;
    const next = this.#after(tableEnd(this.#image))[0];
    const end = this.#tableEndWith(added > 0 ? added + this.#spareFor(next) : added);
    if (next !== undefined && next.start < end) return undefined;
    if (end > tableEnd(this.#image) && !hasSections(this.#image)) return undefined;
    if (!this.#loadHolds(end) || !this.#isUnused(tableEnd(this.#image), this.#tableEndWith(added), next))
      return undefined;
    return { kind: 'free', block: undefined, nullsUsed, reused: undefined };
  }

  /**
   * Rungs 2 and 4: what stands right behind the table moves, as much as it takes, and room for an entry is left
   * free behind the new end. patchelf makes room for its own segment by moving sections in the order of their
   * headers, and stops at the first that stands further off: where `.interp` is away already, it overwrites what
   * follows the table.
   */
  byMoving(kind: 'move-notes' | 'move-tables', needed: number): Room | undefined {
    return this.#moveLeading(kind, needed)?.room;
  }

  /** Rungs 2 and 3 at once: what moves ends with a 4-aligned `PT_NOTE`, which then covers the cache note too. */
  byMovingNotesAndReusing(needed: number): Room | undefined {
    const found = this.#moveLeading('move-notes', needed);
    const reused = found && this.#onlyNoteOf(found.last);
    return found && reused !== undefined ? { ...found.room, reused } : undefined;
  }

  #onlyNoteOf(group: Group): number | undefined {
    const segments = group.members.filter(m => m.kind === 'segment');
    const [only] = segments;
    const p = only && this.#image.programHeaders[only.index];
    if (only === undefined || segments.length !== 1 || p?.p_type !== PT_NOTE) return undefined;
    if (p.p_align !== NOTE_ALIGN || p.p_filesz !== p.p_memsz) return undefined;
    return only.start === group.start && only.end === group.end ? only.index : undefined;
  }

  #moveLeading(kind: 'move-notes' | 'move-tables', needed: number): { room: Room; last: Group } | undefined {
    const nullsUsed = Math.min(needed, this.#nulls());
    const end = this.#tableEndWith(needed - nullsUsed + this.#spares());
    const chosen: Group[] = [];
    for (const group of this.#after(tableEnd(this.#image))) {
      if (group.start >= end) break;
      if (!this.#mayMove(group, kind === 'move-tables')) return undefined;
      chosen.push(group);
    }
    const last = chosen.at(-1);
    if (last === undefined || !this.#loadHolds(end)) return undefined;
    // Without sections nothing tells what stands between and behind the parts.
    if (!hasSections(this.#image) && end > last.end) return undefined;
    let at = tableEnd(this.#image);
    for (const group of chosen) {
      if (!this.#unclaimedIsZero(at, Math.min(group.start, end))) return undefined;
      at = group.end;
    }
    if (!this.#unclaimedIsZero(at, end)) return undefined;
    const block = this.#block(chosen);
    return block && { room: { kind, block, nullsUsed, reused: undefined }, last };
  }

  /**
   * Rung 3: a 4-aligned `PT_NOTE` whose notes are copied in front of the cache note, so that it covers them all.
   * The originals stay, with their section headers, so nothing that points to them has to change.
   * @param needed entries for other things, which must find free room.
   */
  reuseNote(needed: number): Room | undefined {
    const free = needed === 0 ? undefined : this.free(needed);
    if (needed > 0 && free === undefined) return undefined;
    let best: Room | undefined;
    for (const [reused, p] of this.#image.programHeaders.entries()) {
      if (p.p_type !== PT_NOTE || p.p_align !== NOTE_ALIGN || p.p_filesz !== p.p_memsz) continue;
      if (p.p_filesz > LARGEST_COPY || p.p_filesz >= (best?.block?.size ?? Number.POSITIVE_INFINITY))
        continue;
      const block = this.#noteBlock(reused, p);
      if (block !== undefined) best = { kind: 'reuse-note', block, nullsUsed: free?.nullsUsed ?? 0, reused };
    }
    return best;
  }

  #noteBlock(index: number, p: ProgramHeader): Block | undefined {
    const start = p.p_offset;
    const end = start + p.p_filesz;
    const { programHeaders, sectionHeaders } = this.#image;
    if (p.p_filesz === 0 || addressOfOffset(programHeaders, start, p.p_filesz) !== p.p_vaddr)
      return undefined;
    const group = this.#groups.find(g => g.start < end && start < g.end);
    const sections = (group?.members ?? [])
      .filter(m => m.kind === 'section' && m.start < end && start < m.end)
      .filter(m => m.start >= start && m.end <= end && sectionHeaders[m.index]?.sh_type === SHT_NOTE)
      .map(m => m.index);
    const covered = sections.reduce(
      (sum, i) => sum + alignUp(sectionHeaders[i]?.sh_size ?? 0, NOTE_ALIGN),
      0,
    );
    if (hasSections(this.#image) && covered !== alignUp(p.p_filesz, NOTE_ALIGN)) return undefined;
    if (sections.some(i => sectionHeaders[i]?.name === CACHE_NOTE_SECTION)) return undefined;
    const names = sections.map(i => sectionHeaders[i]?.name ?? '');
    return {
      start,
      end,
      size: p.p_filesz,
      address: p.p_vaddr,
      align: NOTE_ALIGN,
      sections,
      segments: [index],
      tags: [],
      names: names.length > 0 ? names : ['PT_NOTE'],
    };
  }

  /** Rung 3 where nothing has to move: a `PT_NOTE` that already ends its read-only segment. */
  extendNote(): Room | undefined {
    const { programHeaders } = this.#image;
    for (const [reused, p] of programHeaders.entries()) {
      if (p.p_type !== PT_NOTE || p.p_align !== NOTE_ALIGN || p.p_filesz !== p.p_memsz) continue;
      // strip leaves an empty PT_NOTE of one whose notes had no section.
      if (p.p_filesz === 0 || addressOfOffset(programHeaders, p.p_offset, p.p_filesz) !== p.p_vaddr) continue;
      const end = alignUp(p.p_vaddr + p.p_filesz, NOTE_ALIGN);
      const load = programHeaders.findIndex(
        l => l.p_type === PT_LOAD && alignUp(l.p_vaddr + l.p_memsz, NOTE_ALIGN) === end,
      );
      if (load >= 0) return { kind: 'reuse-note', block: undefined, nullsUsed: 0, reused, load };
    }
    return undefined;
  }

  /**
   * Rung 5: the whole table moves. `AT_PHDR` stays right on old kernels only where `p_vaddr - p_offset` is that of
   * the first segment, which the place has to see to.
   */
  byMovingTable(needed: number): Room {
    const { programHeaders, encoding } = this.#image;
    const tableSize = (programHeaders.length + needed) * programHeaderSize(encoding);
    const load = programHeaders.findIndex(p => p.p_type === PT_LOAD);
    return { kind: 'move-table', block: undefined, nullsUsed: 0, reused: undefined, load, tableSize };
  }

  /** What stands in [start, start + size), where that is whole tables that only a dynamic entry leads to. */
  tablesIn(start: number, size: number): Block | undefined {
    const end = start + size;
    const groups = this.#after(start).filter(group => group.start < end);
    let at = start;
    for (const group of groups) {
      const isTable = group.members.length === 1 && group.members.every(m => this.#tableTag(m) !== undefined);
      if (group.start < at || !isTable || !this.#mayMove(group, true)) return undefined;
      if (!this.#unclaimedIsZero(at, group.start)) return undefined;
      at = group.end;
    }
    return groups.length > 0 && this.#unclaimedIsZero(at, end) ? this.#block(groups) : undefined;
  }

  /** What patchelf needs where it would not see what stands behind the table, because the first section is away. */
  #spareFor(next: Group | undefined): number {
    const { sectionHeaders } = this.#image;
    const first = sectionHeaders.find(s => (s.sh_flags & SHF_ALLOC) !== 0 && s.sh_size > 0);
    return first !== undefined && next !== undefined && first.sh_offset > next.start ? this.#spares() : 0;
  }

  /**
   * Entries to leave free for patchelf. It sorts the section headers by offset, so the second time it does see what
   * stands behind the table, unless strip has come in between: mold gives `.bss` the offset 0, so it sorts first, and
   * strip gives it its own, far off.
   */
  #spares(): number {
    const end = tableEnd(this.#image);
    return this.#image.sectionHeaders.some(s => s.sh_type === SHT_NOBITS && s.sh_offset < end) ? 2 : 1;
  }

  /** Empty `PT_NULL` entries at the end of the table; one with anything but an alignment may be somebody's. */
  #nulls(): number {
    const { programHeaders, encoding } = this.#image;
    const used = programHeaders.findLastIndex(({ p_align, ...fields }) => {
      const empty = Object.values(fields).every(value => value === 0);
      return !empty || (p_align !== 0 && p_align !== encoding.wordSize);
    });
    return programHeaders.length - 1 - used;
  }

  #tableEndWith(added: number): number {
    return tableEnd(this.#image) + added * programHeaderSize(this.#image.encoding);
  }

  #after(offset: number): Group[] {
    return this.#groups.filter(group => group.end > offset);
  }

  /** The kernel and ld.so read the table from memory, so the segment that holds it must hold all of it. */
  #loadHolds(end: number): boolean {
    const { programHeaders, header } = this.#image;
    return addressOfOffset(programHeaders, header.e_phoff, end - header.e_phoff) !== undefined;
  }

  #unclaimedIsZero(from: number, to: number): boolean {
    return from >= to || isZero(this.#source, from, to - from);
  }

  /** Zeros, or bytes that patchelf has wiped: then one more of them stays, to tell remove-cache what to put back. */
  #isUnused(from: number, to: number, next: Group | undefined): boolean {
    if (this.#unclaimedIsZero(from, to)) return true;
    return (next === undefined || to < next.start) && isWiped(this.#source, from, to + 1);
  }

  #mayMove(group: Group, tables: boolean): boolean {
    const { programHeaders, sectionHeaders } = this.#image;
    if (sectionHeaders.some(s => s.sh_type === SHT_SYMTAB_SHNDX)) return false;
    const address = addressOfOffset(programHeaders, group.start, group.end - group.start);
    if (address === undefined) return false;
    const tags = group.members.map(m => this.#tableTag(m)).filter(tag => tag !== undefined);
    const isTable = tables && group.members.length === 1 && tags.length === 1;
    if (!isTable && !group.members.every(m => this.#isNoteOrInterp(m, group))) return false;
    if (!group.members.every(m => this.#addressOf(m) === m.start - group.start + address)) return false;
    const pins = this.#pins();
    if (pins === undefined) return false;
    return !pins.some(
      pin =>
        pin.address >= address &&
        pin.address < address + group.end - group.start &&
        !(isTable && pin.d_tag !== undefined && pin.d_tag === tags[0]),
    );
  }

  #isNoteOrInterp(member: Occupied, group: Group): boolean {
    if (member.kind === 'segment') {
      const type = this.#image.programHeaders[member.index]?.p_type;
      if (type === PT_NOTE && !hasSections(this.#image)) return this.#isToolchainNote(member);
      return type === PT_INTERP || type === PT_NOTE || type === PT_GNU_PROPERTY;
    }
    if (member.kind !== 'section') return false;
    const section = this.#image.sectionHeaders[member.index];
    if (section === undefined || (section.sh_flags & SHF_ALLOC) === 0) return false;
    if (section.sh_type === SHT_NOTE) return this.#isToolchainNote(member);
    return group.members.some(
      m =>
        m.kind === 'segment' &&
        this.#image.programHeaders[m.index]?.p_type === PT_INTERP &&
        m.start <= member.start &&
        member.end <= m.end,
    );
  }

  /**
   * Build-id, ABI tag and properties: the toolchain's own notes, found through their segment. Code may reach any other
   * note by its address, which no table of the file shows, so those stay where they are.
   */
  #isToolchainNote({ start, end }: Occupied): boolean {
    const owners = noteOwners(this.#source, this.#image.encoding, start, end - start);
    return owners?.every(owner => owner === 'GNU') ?? false;
  }

  #tableTag(member: Occupied): number | undefined {
    const section = member.kind === 'section' ? this.#image.sectionHeaders[member.index] : undefined;
    return section && tableTagOf(this.#image, section);
  }

  #addressOf(member: Occupied): number | undefined {
    return member.kind === 'section'
      ? this.#image.sectionHeaders[member.index]?.sh_addr
      : this.#image.programHeaders[member.index]?.p_vaddr;
  }

  #pins(): Reference[] | undefined {
    if (this.#references === 'not-asked') {
      const spans = this.#image.programHeaders.filter(p => p.p_type === PT_LOAD && (p.p_flags & PF_W) === 0);
      const low = Math.min(...spans.map(p => p.p_vaddr));
      const high = Math.max(...spans.map(p => p.p_vaddr + p.p_filesz));
      const bounds = this.#movableBounds() ?? { low, high };
      this.#references = referencesInto(this.#image, this.#source, bounds.low, bounds.high);
    }
    return this.#references;
  }

  /** The addresses of all that any rung may move, so that one scan answers for every one of them. */
  #movableBounds(): { low: number; high: number } | undefined {
    const groups = this.#groups.filter(group =>
      group.members.every(m => this.#isNoteOrInterp(m, group) || this.#tableTag(m) !== undefined),
    );
    const addresses = groups.flatMap(group => {
      const size = group.end - group.start;
      const address = addressOfOffset(this.#image.programHeaders, group.start, size);
      return address === undefined ? [] : [{ low: address, high: address + size }];
    });
    if (addresses.length === 0) return undefined;
    return {
      low: Math.min(...addresses.map(a => a.low)),
      high: Math.max(...addresses.map(a => a.high)),
    };
  }

  #block(groups: readonly Group[]): Block | undefined {
    const first = groups[0];
    const last = groups.at(-1);
    if (first === undefined || last === undefined) return undefined;
    const { programHeaders, sectionHeaders, encoding } = this.#image;
    const address = addressOfOffset(programHeaders, first.start, last.end - first.start);
    if (address === undefined) return undefined;
    const members = groups.flatMap(group => group.members);
    const sections = members.filter(m => m.kind === 'section').map(m => m.index);
    const segments = members.filter(m => m.kind === 'segment').map(m => m.index);
    const aligns = [
      ...sections.map(i => sectionHeaders[i]?.sh_addralign ?? 1),
      ...segments.map(i => programHeaders[i]?.p_align ?? 1),
    ];
    if (!aligns.every(isSaneAlignment)) return undefined;
    const names =
      sections.length > 0
        ? sections.map(i => sectionHeaders[i]?.name ?? '')
        : segments.map(i => (programHeaders[i]?.p_type === PT_INTERP ? 'PT_INTERP' : 'PT_NOTE'));
    return {
      start: first.start,
      end: last.end,
      size: last.end - first.start,
      address,
      align: Math.max(encoding.wordSize, ...aligns),
      sections,
      segments,
      tags: members.map(m => this.#tableTag(m)).filter(tag => tag !== undefined),
      names,
    };
  }
}

/** The dynamic tag that is the only pointer to a table section; ld.so finds the table by it alone. */
export function tableTagOf(image: ElfImage, section: SectionHeader): number | undefined {
  if ((section.sh_flags & SHF_ALLOC) === 0) return undefined;
  const tag = TABLE_TAGS.get(section.sh_type);
  const pointers = image.dynamic?.entries.filter(entry => entry.d_tag === tag) ?? [];
  return pointers.length === 1 && pointers[0]?.d_val === section.sh_addr ? tag : undefined;
}

const TABLE_TAGS: ReadonlyMap<number, number> = new Map([
  [SHT_GNU_HASH, DT_GNU_HASH],
  [SHT_HASH, DT_HASH],
  [SHT_DYNSYM, DT_SYMTAB],
  [SHT_STRTAB, DT_STRTAB],
  [SHT_GNU_VERSYM, DT_VERSYM],
  [SHT_GNU_VERNEED, DT_VERNEED],
  [SHT_GNU_VERDEF, DT_VERDEF],
]);

/** Ranges that share a byte form a group; neighbours do not. The input is sorted by start. */
export function groupOverlapping(ranges: readonly Occupied[]): Group[] {
  const groups: Group[] = [];
  for (const range of ranges) {
    const last = groups.at(-1);
    if (last !== undefined && range.start < last.end) {
      last.members.push(range);
      last.end = Math.max(last.end, range.end);
    } else {
      groups.push({ start: range.start, end: range.end, members: [range] });
    }
  }
  return groups;
}
