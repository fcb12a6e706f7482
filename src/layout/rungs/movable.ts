import type { ByteSource } from '../../elf/bytes.js';
import {
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
  SHT_NOTE,
  SHT_STRTAB,
  SHT_SYMTAB_SHNDX,
} from '../../elf/constants.js';
import { addressOfOffset, type ElfImage, type SectionHeader } from '../../elf/image.js';
import { noteOwners } from '../../elf/notes.js';
import { hasSections, type Occupied } from '../model/occupied.js';
import { type Reference, referencesInto } from './references.js';
import type { Block } from './room.js';

/** A block keeps its alignment, which must not blow the file up. */
function isSaneAlignment(align: number): boolean {
  return align <= 1 || (align <= 4096 && Number.isInteger(Math.log2(align)));
}

/**
 * Owners of notes that may move. Their readers go through `PT_NOTE` or sections, and no code holds their addresses.
 * Code may reach any other note by its address, which no table of the file shows, so those stay where they are.
 */
const MOVABLE_OWNERS: ReadonlySet<string> = new Set([
  // Build-id, ABI tag, properties: ld.so, the kernel, binutils.
  'GNU',
  // bionic: `__find_elf_note` (libc/bionic/elf_note.cpp) and `ReadPadSegmentNote` (linker/linker_phdr.cpp).
  'Android',
  // `__elfN(parse_notes)` (sys/kern/imgact_elf.c) and `digest_notes` (libexec/rtld-elf/rtld.c).
  'FreeBSD',
  // `elf_os_pt_note` (sys/kern/exec_elf.c).
  'OpenBSD',
  // `netbsd_elf_signature` (sys/kern/exec_elf.c), for both.
  'NetBSD',
  'PaX',
  // The kernel's check of an executable; OpenHarmony's musl defines it in an object with no global symbol.
  'OHOS',
  // Package metadata (uapi-group.org): systemd-coredump, through `PT_NOTE` of the core's objects.
  'FDO',
]);

/** What stands at the same bytes: a section, its program header, ... */
export interface Group {
  start: number;
  end: number;
  readonly members: Occupied[];
}

/** What may move in one file, and why not; asks for references once. */
export class Movable {
  readonly #image: ElfImage;
  readonly #source: ByteSource;
  readonly #groups: readonly Group[];
  #references: Reference[] | undefined | 'not-asked' = 'not-asked';

  constructor(image: ElfImage, source: ByteSource, groups: readonly Group[]) {
    this.#image = image;
    this.#source = source;
    this.#groups = groups;
  }

  mayMove(group: Group, tables: boolean): boolean {
    const { programHeaders, sectionHeaders } = this.#image;
    if (sectionHeaders.some(s => s.sh_type === SHT_SYMTAB_SHNDX)) return false;
    const address = addressOfOffset(programHeaders, group.start, group.end - group.start);
    if (address === undefined) return false;
    const tags = group.members.map(m => this.tableTag(m)).filter(tag => tag !== undefined);
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
      if (type === PT_NOTE && !hasSections(this.#image)) return this.#isMovableNote(member);
      return type === PT_INTERP || type === PT_NOTE || type === PT_GNU_PROPERTY;
    }
    if (member.kind !== 'section') return false;
    const section = this.#image.sectionHeaders[member.index];
    if (section === undefined || (section.sh_flags & SHF_ALLOC) === 0) return false;
    if (section.sh_type === SHT_NOTE) return this.#isMovableNote(member);
    return group.members.some(
      m =>
        m.kind === 'segment' &&
        this.#image.programHeaders[m.index]?.p_type === PT_INTERP &&
        m.start <= member.start &&
        member.end <= m.end,
    );
  }

  /** Whether all notes of a range are of owners whose readers look for them through `PT_NOTE`. */
  #isMovableNote({ start, end }: Occupied): boolean {
    const owners = noteOwners(this.#source, this.#image.encoding, start, end - start);
    return owners?.every(owner => MOVABLE_OWNERS.has(owner)) ?? false;
  }

  tableTag(member: Occupied): number | undefined {
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
      group.members.every(m => this.#isNoteOrInterp(m, group) || this.tableTag(m) !== undefined),
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

  block(groups: readonly Group[]): Block | undefined {
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
      tags: members.map(m => this.tableTag(m)).filter(tag => tag !== undefined),
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

/** What is loaded holds the others, and the table is what they make way for. */
export function isGrouped({ kind }: Occupied): boolean {
  return kind !== 'load' && kind !== 'program-headers';
}

/** Ranges that share a byte form a group; neighbours do not. The input is sorted by start. */
export function groupOverlapping(ranges: readonly Occupied[]): Group[] {
  const groups: Group[] = [];
  let last: Group | undefined;
  for (const range of ranges) {
    if (!isGrouped(range)) continue;
    if (last !== undefined && range.start < last.end) {
      last.members.push(range);
      last.end = Math.max(last.end, range.end);
    } else {
      last = { start: range.start, end: range.end, members: [range] };
      groups.push(last);
    }
  }
  return groups;
}
