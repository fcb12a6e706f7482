import { alignUp, Encoding } from '../../src/elf/bytes.js';
import type { ProgramHeader, SectionHeader } from '../../src/elf/image.js';
import { DYN, EHDR, PHDR, SHDR, SYM } from '../../src/elf/structs.js';
import { type Content, type DynamicPair, encodeDynamic, makeNote, withNames, writeElf } from './elf-file.js';
import { program, section } from './image.js';

/**
 * Builds small but valid dynamic ELF files from a description of their layout, and keeps the truth about every
 * byte, so that a test can judge an edited file without believing the code under test.
 */

/** A relocation type that is of thread-local storage on none of the machines. */
const RELATIVE = 3;

export type ItemKind =
  | 'interp'
  | 'build-id'
  | 'abi-tag'
  | 'property'
  | 'gnu-hash'
  | 'hash'
  | 'dynsym'
  | 'dynstr'
  | 'versym'
  | 'relocations'
  | 'rodata';

/** What stands behind the program header table, in the first segment. */
export interface ItemSpec {
  readonly kind: ItemKind;
  /** Bytes before it that nothing describes, and what they are filled with. */
  readonly gap?: number;
  readonly fill?: number;
  /** For `rodata`, and for `interp` between 28 and 100. */
  readonly size?: number;
}

/** A further segment. Exactly one of them has to hold `.dynamic`; it is made writable. */
export interface SegmentSpec {
  readonly flags: number;
  readonly size: number;
  /** `.bss`: bytes in memory only. */
  readonly bss?: number;
  readonly dynamic?: boolean;
  /** Bytes in the file before it that nothing describes, and what their last one is. */
  readonly gap?: number;
  readonly fill?: number;
  /** Whole pages of address space left out before it. */
  readonly skip?: number;
  /** Starts at an offset that is a multiple of the alignment. */
  readonly padded?: boolean;
}

export interface Pin {
  readonly target: ItemKind;
  readonly by: 'symbol' | 'relocation' | 'relr' | 'unknown-entry';
}

export interface LayoutSpec {
  readonly is64: boolean;
  readonly littleEndian: boolean;
  readonly machine: number;
  readonly type?: number;
  readonly base?: number;
  /** `p_align` of every `PT_LOAD`. */
  readonly align: number;
  /** `p_flags` of the first segment. */
  readonly firstFlags?: number;
  /** Zero bytes that nothing describes behind the program header table. */
  readonly tableGap?: number;
  readonly tableFill?: number;
  readonly items: readonly ItemSpec[];
  readonly segments: readonly SegmentSpec[];
  readonly phdr?: boolean;
  readonly relro?: boolean;
  /** `PT_NULL` entries, in the middle of the table or at its end. */
  readonly nulls?: number;
  readonly nullsLast?: boolean;
  /** Neighbouring 4-aligned notes share one `PT_NOTE`. */
  readonly joinNotes?: boolean;
  readonly sections?: 'end' | 'middle' | 'none';
  readonly symtab?: boolean;
  readonly appended?: number;
  readonly rela?: boolean;
  readonly pins?: readonly Pin[];
}

/** A range of the file and what stands there. */
export interface Claim {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  /** Undefined for what is not loaded. */
  readonly address: number | undefined;
  /** A rung of the ladder may move it. */
  readonly movable: boolean;
  /** The dynamic tag that points at it. */
  readonly tag: number | undefined;
}

export const R = 4;
export const RX = 5;
export const RW = 6;

/** A program for x86-64 as GNU ld lays it out. */
export const PROGRAM: LayoutSpec = {
  is64: true,
  littleEndian: true,
  machine: 62,
  align: 4096,
  phdr: true,
  items: [
    { kind: 'interp' },
    { kind: 'build-id' },
    { kind: 'gnu-hash' },
    { kind: 'dynsym' },
    { kind: 'dynstr' },
    { kind: 'versym' },
    { kind: 'relocations' },
  ],
  segments: [
    { flags: RX, size: 200, gap: 2000, padded: true },
    { flags: RW, size: 400, dynamic: true, bss: 100, padded: true },
  ],
};

export interface BuiltLayout {
  readonly bytes: Buffer;
  readonly claims: readonly Claim[];
  /** Names of what a pointer leads into that nobody would correct. */
  readonly pinned: ReadonlySet<string>;
  readonly spec: LayoutSpec;
  readonly needed: readonly string[];
  readonly runpath: string;
}

const NAMES: Readonly<Record<ItemKind, string>> = {
  interp: '.interp',
  'build-id': '.note.gnu.build-id',
  'abi-tag': '.note.ABI-tag',
  property: '.note.gnu.property',
  'gnu-hash': '.gnu.hash',
  hash: '.hash',
  dynsym: '.dynsym',
  dynstr: '.dynstr',
  versym: '.gnu.version',
  relocations: '.rel.dyn',
  rodata: '.rodata',
};

const TYPES: Readonly<Record<ItemKind, number>> = {
  interp: 1,
  'build-id': 7,
  'abi-tag': 7,
  property: 7,
  'gnu-hash': 0x6ffffff6,
  hash: 5,
  dynsym: 11,
  dynstr: 3,
  versym: 0x6fffffff,
  relocations: 4,
  rodata: 1,
};

const TAGS: Partial<Readonly<Record<ItemKind, number>>> = {
  'gnu-hash': 0x6ffffef5,
  hash: 4,
  dynsym: 6,
  dynstr: 5,
  versym: 0x6ffffff0,
};

const NEEDED = ['libone.so.1', 'libtwo.so.2'];
const RUNPATH = '/store/one/lib:/store/two/lib';
const DYNSTR = `\0${NEEDED.join('\0')}\0${RUNPATH}\0libself.so\0`;

interface Placed {
  readonly item: ItemSpec;
  readonly offset: number;
  readonly size: number;
  readonly align: number;
}

interface PlacedSegment {
  readonly spec: SegmentSpec;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

function dynamicCount(spec: LayoutSpec): number {
  return 24 + (spec.pins?.length ?? 0);
}

function symbolCount(spec: LayoutSpec): number {
  return 4 + (spec.pins?.filter(pin => pin.by === 'symbol').length ?? 0);
}

function relocationCount(spec: LayoutSpec): number {
  return 2 + (spec.pins?.filter(pin => pin.by === 'relocation').length ?? 0);
}

function sizeOf(spec: LayoutSpec, item: ItemSpec): number {
  const w = spec.is64 ? 8 : 4;
  const symbols = symbolCount(spec);
  switch (item.kind) {
    case 'interp':
      return Math.max(28, Math.min(100, item.size ?? 0));
    case 'build-id':
      return 36;
    case 'abi-tag':
      return 32;
    case 'property':
      return spec.is64 ? 48 : 28;
    case 'gnu-hash':
      return 16 + w + 4 + (symbols - 1) * 4;
    case 'hash':
      return wideHash(spec) ? (3 + symbols) * 8 : (3 + symbols) * 4;
    case 'dynsym':
      return symbols * (spec.is64 ? 24 : 16);
    case 'dynstr':
      return DYNSTR.length;
    case 'versym':
      return symbols * 2;
    case 'relocations':
      return relocationCount(spec) * (spec.rela ? 3 * w : 2 * w);
    case 'rodata':
      return item.size ?? 64;
  }
}

const wideHash = (spec: LayoutSpec) => spec.is64 && (spec.machine === 22 || spec.machine === 0x9026);

function alignOf(spec: LayoutSpec, kind: ItemKind): number {
  const w = spec.is64 ? 8 : 4;
  if (kind === 'interp' || kind === 'dynstr') return 1;
  if (kind === 'versym') return 2;
  if (kind === 'build-id' || kind === 'abi-tag') return 4;
  return w;
}

const isNote = (kind: ItemKind) => kind === 'build-id' || kind === 'abi-tag' || kind === 'property';

export function buildLayout(spec: LayoutSpec): BuiltLayout {
  return new Builder(spec).build();
}

class Builder {
  readonly #spec: LayoutSpec;
  readonly #e: Encoding;
  readonly #w: number;
  readonly #base: number;
  readonly #placed: Placed[] = [];
  readonly #segments: PlacedSegment[] = [];
  readonly #claims: Claim[] = [];
  readonly #sections: SectionHeader[] = [];
  /** Bytes that are not zero in gaps that nothing describes. */
  readonly #fills: Content[] = [];

  constructor(spec: LayoutSpec) {
    this.#spec = spec;
    this.#e = new Encoding(spec.is64, spec.littleEndian);
    this.#w = this.#e.wordSize;
    this.#base = spec.base ?? 0;
  }

  build(): BuiltLayout {
    const spec = this.#spec;
    // The number of program headers does not depend on where things are.
    const tableSize = (this.#noteRuns().length + this.#otherHeaders()) * PHDR.size(this.#e);
    const firstEnd = this.#placeItems(EHDR.size(this.#e) + tableSize);
    let end = this.#placeSegments(firstEnd);
    const contents = [
      ...this.#fills,
      ...this.#placed.map(placed => ({ at: placed.offset, bytes: this.#itemBytes(placed) })),
      ...this.#segments.map(segment => ({ at: segment.offset, bytes: this.#segmentBytes(segment) })),
    ];
    const tail = (spec.sections ?? 'end') === 'none' ? undefined : this.#unloaded(end);
    if (tail !== undefined) {
      contents.push(...tail.contents);
      end = tail.end;
    }
    if (spec.appended !== undefined && spec.appended > 0) {
      contents.push({ at: end, bytes: Buffer.alloc(spec.appended, 0x5a) });
      this.#claim('appended', end, spec.appended);
    }
    const bytes = writeElf({
      encoding: this.#e,
      header: {
        e_type: spec.type ?? 3,
        e_machine: spec.machine,
        ...(tail === undefined ? { e_shentsize: 0 } : { e_shoff: tail.e_shoff }),
      },
      programHeaders: this.#programHeaders(firstEnd, tableSize),
      contents,
      ...(tail === undefined ? {} : { sectionHeaders: tail.sectionHeaders }),
    });
    const pinned = new Set((spec.pins ?? []).map(pin => NAMES[pin.target]));
    return { bytes, claims: this.#claims, pinned, spec, needed: NEEDED, runpath: RUNPATH };
  }

  #claim(name: string, start: number, size: number, more: Partial<Claim> = {}): void {
    const plain = { address: undefined, movable: false, tag: undefined };
    this.#claims.push({ name, start, end: start + size, ...plain, ...more });
  }

  #otherHeaders(): number {
    const { phdr, relro, nulls, items, segments } = this.#spec;
    const interp = items.some(item => item.kind === 'interp') ? 1 : 0;
    const property = items.some(item => item.kind === 'property') ? 1 : 0;
    return (phdr ? 1 : 0) + interp + 1 + segments.length + 1 + property + 1 + (relro ? 1 : 0) + (nulls ?? 0);
  }

  /** Notes that share a `PT_NOTE`, as indexes into the items. */
  #noteRuns(): number[][] {
    const runs: number[][] = [];
    const { items, joinNotes } = this.#spec;
    for (const [i, item] of items.entries()) {
      if (!isNote(item.kind)) continue;
      const last = runs.at(-1);
      const before = items[i - 1];
      const same =
        joinNotes === true &&
        (item.gap ?? 0) === 0 &&
        before !== undefined &&
        isNote(before.kind) &&
        alignOf(this.#spec, before.kind) === 4 &&
        alignOf(this.#spec, item.kind) === 4;
      if (last !== undefined && same) last.push(i);
      else runs.push([i]);
    }
    return runs;
  }

  #fill(start: number, end: number, byte: number | undefined): void {
    if (byte !== undefined && end > start) this.#fills.push({ at: end - 1, bytes: Buffer.of(byte) });
  }

  #placeItems(tableEnd: number): number {
    const spec = this.#spec;
    let at = tableEnd + (spec.tableGap ?? 0);
    this.#fill(tableEnd, at, spec.tableFill);
    for (const item of spec.items) {
      const gapStart = at;
      at += item.gap ?? 0;
      this.#fill(gapStart, at, item.fill);
      const align = alignOf(spec, item.kind);
      const offset = alignUp(at, align);
      const size = sizeOf(spec, item);
      this.#placed.push({ item, offset, size, align });
      const name = NAMES[item.kind];
      const tag = TAGS[item.kind];
      const address = this.#base + offset;
      const movable = tag !== undefined || isNote(item.kind) || item.kind === 'interp';
      this.#claim(name, offset, size, { address, movable, tag });
      this.#sections.push(
        section({
          name,
          sh_type: item.kind === 'relocations' && !spec.rela ? 9 : TYPES[item.kind],
          sh_addr: address,
          sh_offset: offset,
          sh_size: size,
          sh_addralign: align,
          sh_entsize: item.kind === 'dynsym' ? SYM.size(this.#e) : 0,
        }),
      );
      at = offset + size;
    }
    return at;
  }

  #placeSegments(firstEnd: number): number {
    const { segments, align } = this.#spec;
    let offset = firstEnd;
    let address = this.#base + firstEnd;
    for (const [i, spec] of segments.entries()) {
      const gapStart = offset;
      offset += spec.gap ?? 0;
      this.#fill(gapStart, offset, spec.fill);
      offset = alignUp(offset, spec.padded ? align : this.#w);
      address = alignUp(address, align) + (spec.skip ?? 0) * align + (offset % align);
      const head = spec.dynamic ? this.#dynamicSize() : 0;
      const size = head + spec.size;
      this.#segments.push({ spec, offset, address, size });
      const part = (name: string, from: number, to: number, sh_type: number, sh_flags: number) => {
        if (from >= to) return;
        const [start, length] = [offset + from, to - from];
        this.#claim(name, start, length, { address: address + from });
        const place = { sh_addr: address + from, sh_offset: start, sh_size: length, sh_addralign: this.#w };
        this.#sections.push(section({ name, sh_type, sh_flags, ...place }));
      };
      const writable = (spec.flags & 2) === 0 ? 0 : 1;
      part('.dynamic', 0, head, 6, 2 | writable);
      part(`.content${i}`, head, size, 1, 2 | writable | ((spec.flags & 1) === 0 ? 0 : 4));
      const bss = spec.bss ?? 0;
      if (bss > 0) {
        const place = { sh_addr: address + size, sh_offset: offset + size, sh_size: bss, sh_addralign: 1 };
        this.#sections.push(section({ name: `.bss${i}`, sh_type: 8, sh_flags: 3, ...place }));
      }
      offset += size;
      address += size + bss;
    }
    return offset;
  }

  #placedOf(kind: ItemKind): Placed | undefined {
    return this.#placed.find(placed => placed.item.kind === kind);
  }

  #dynamicSegment(): PlacedSegment {
    const found = this.#segments.find(segment => segment.spec.dynamic);
    if (found === undefined) throw new Error('a layout needs a segment with .dynamic');
    return found;
  }

  #dynamicSize(): number {
    return dynamicCount(this.#spec) * DYN.size(this.#e);
  }

  #programHeaders(firstEnd: number, tableSize: number): ProgramHeader[] {
    const spec = this.#spec;
    const inFirst = (p_type: number, p_offset: number, p_filesz: number, p_align: number): ProgramHeader =>
      program({ p_type, p_offset, p_vaddr: this.#base + p_offset, p_filesz, p_align });
    const ofItem = (p_type: number, placed: Placed | undefined): ProgramHeader[] =>
      placed === undefined ? [] : [inFirst(p_type, placed.offset, placed.size, placed.align)];
    const dynamic = this.#dynamicSegment();
    const ofDynamic = (fields: Partial<ProgramHeader>): ProgramHeader =>
      program({
        p_offset: dynamic.offset,
        p_vaddr: dynamic.address,
        p_filesz: this.#dynamicSize(),
        ...fields,
      });
    const nulls = Array.from({ length: spec.nulls ?? 0 }, () =>
      program({ p_type: 0, p_flags: 0, p_align: 0 }),
    );
    return [
      ...(spec.phdr ? [inFirst(6, EHDR.size(this.#e), tableSize, this.#w)] : []),
      ...ofItem(3, this.#placedOf('interp')),
      { ...inFirst(1, 0, firstEnd, spec.align), p_flags: spec.firstFlags ?? R },
      ...this.#segments.map(({ spec: { flags, bss = 0 }, offset, address, size }) =>
        program({
          p_flags: flags,
          p_offset: offset,
          p_vaddr: address,
          p_filesz: size,
          p_memsz: size + bss,
          p_align: spec.align,
        }),
      ),
      ofDynamic({ p_type: 2, p_flags: dynamic.spec.flags, p_align: this.#w }),
      ...(spec.nullsLast ? [] : nulls),
      ...this.#noteRuns().map(run => {
        const parts = run.map(i => this.#placed[i]).filter(part => part !== undefined);
        const from = Math.min(...parts.map(part => part.offset));
        const to = Math.max(...parts.map(part => part.offset + part.size));
        return inFirst(4, from, to - from, parts[0]?.align ?? 4);
      }),
      ...ofItem(0x6474e553, this.#placedOf('property')),
      program({ p_type: 0x6474e551, p_flags: RW, p_align: 16 }),
      ...(spec.relro ? [ofDynamic({ p_type: 0x6474e552, p_align: 1 })] : []),
      ...(spec.nullsLast ? nulls : []),
    ];
  }

  #pinAddress(kind: ItemKind): number {
    const placed = this.#placedOf(kind);
    return placed === undefined ? 0 : this.#base + placed.offset + Math.min(4, placed.size - 1);
  }

  #itemBytes({ item, size }: Placed): Buffer {
    const spec = this.#spec;
    const { littleEndian } = spec;
    switch (item.kind) {
      case 'interp':
        return Buffer.from(`/lib/${'l'.repeat(size - 24)}ayouts/ld-elf.so.1\0`);
      case 'build-id':
        return makeNote('GNU', 3, Buffer.alloc(20, 0xab), { littleEndian });
      case 'abi-tag':
        return makeNote('GNU', 1, Buffer.concat([Buffer.alloc(4), this.#words([3, 0, 0])]), { littleEndian });
      case 'property':
        return makeNote('GNU', 5, Buffer.alloc(size - 16, 0xcd), { littleEndian, align: this.#w });
      case 'gnu-hash': {
        const symbols = symbolCount(spec);
        const chain = Array.from(
          { length: symbols - 1 },
          (_, i) => 0x1002 + 2 * i + (i === symbols - 2 ? 1 : 0),
        );
        return Buffer.concat([
          this.#words([1, 1, 1, 6]),
          Buffer.alloc(this.#w, 0xff),
          this.#words([1, ...chain]),
        ]);
      }
      case 'hash': {
        const b = Buffer.alloc(size);
        for (const [i, value] of [1, symbolCount(spec), 1].entries()) {
          if (wideHash(spec)) this.#e.putU64(b, i * 8, value);
          else this.#e.putU32(b, i * 4, value);
        }
        return b;
      }
      case 'dynsym':
        return this.#dynsym();
      case 'dynstr':
        return Buffer.from(DYNSTR, 'latin1');
      case 'versym':
        return Buffer.alloc(size, 1);
      case 'relocations':
        return this.#relocations(size);
      case 'rodata':
        return Buffer.alloc(size, 0x11);
    }
  }

  /** Words of 4 bytes. */
  #words(values: readonly number[]): Buffer {
    const bytes = Buffer.alloc(values.length * 4);
    for (const [i, value] of values.entries()) this.#e.putU32(bytes, i * 4, value);
    return bytes;
  }

  #dynsym(): Buffer {
    const text = this.#segments[0]?.address ?? 0;
    const pins = (this.#spec.pins ?? []).filter(pin => pin.by === 'symbol');
    return this.#symbols([
      {},
      { st_name: 1 },
      { st_name: 1, st_value: text, st_shndx: 1 },
      ...pins.map(pin => ({ st_name: 1, st_value: this.#pinAddress(pin.target), st_shndx: 1 })),
      { st_name: 1, st_value: text + 4, st_shndx: 1 },
    ]);
  }

  #symbols(symbols: readonly Parameters<typeof SYM.put>[3][]): Buffer {
    const bytes = Buffer.alloc(symbols.length * SYM.size(this.#e));
    for (const [i, symbol] of symbols.entries()) SYM.put(this.#e, bytes, i * SYM.size(this.#e), symbol);
    return bytes;
  }

  /** Where each relocation applies: words at the end of the segment that holds `.dynamic`. */
  #relocationPlace(i: number): number {
    const segment = this.#dynamicSegment();
    return segment.address + segment.size - (i + 1) * this.#w;
  }

  #relocationTargets(): number[] {
    const pins = (this.#spec.pins ?? []).filter(pin => pin.by === 'relocation');
    const text = this.#segments[0]?.address ?? 0;
    return [text, ...pins.map(pin => this.#pinAddress(pin.target))];
  }

  #relocations(size: number): Buffer {
    const b = Buffer.alloc(size);
    const { rela } = this.#spec;
    const step = (rela ? 3 : 2) * this.#w;
    const targets = this.#relocationTargets();
    for (const [i, target] of targets.entries()) {
      this.#e.putWord(b, i * step, this.#relocationPlace(i));
      this.#putInfo(b, i * step + this.#w, 0);
      if (rela) this.#e.putWord(b, i * step + 2 * this.#w, target);
    }
    // The last one has a symbol; its addend is a number, not an address.
    const last = targets.length;
    this.#e.putWord(b, last * step, this.#relocationPlace(last));
    this.#putInfo(b, last * step + this.#w, 1);
    return b;
  }

  #putInfo(b: Buffer, at: number, symbol: number): void {
    const { is64, littleEndian, machine } = this.#spec;
    if (!is64) this.#e.putU32(b, at, symbol * 256 + RELATIVE);
    else if (machine === 8) {
      this.#e.putU32(b, at, symbol);
      b.set([0, 0, 0, 3], at + 4);
    } else {
      this.#e.putU32(b, at + (littleEndian ? 4 : 0), symbol);
      this.#e.putU32(b, at + (littleEndian ? 0 : 4), RELATIVE);
    }
  }

  #segmentBytes(segment: PlacedSegment): Buffer {
    const bytes = Buffer.alloc(segment.size, (segment.spec.flags & 1) === 0 ? 0x22 : 0x90);
    if (!segment.spec.dynamic) return bytes;
    // What no entry takes is DT_NULL, as linkers leave it.
    bytes.fill(0, 0, this.#dynamicSize());
    this.#dynamic().copy(bytes);
    if (!this.#spec.rela && this.#placedOf('relocations') !== undefined) {
      for (const [i, target] of this.#relocationTargets().entries()) {
        this.#e.putWord(bytes, bytes.length - (i + 1) * this.#w, target);
      }
    }
    const relr = (this.#spec.pins ?? []).find(pin => pin.by === 'relr');
    if (relr !== undefined) {
      // The `DT_RELR` table stands at the end of the segment's content, behind the word that it relocates.
      const at = bytes.length - 16 * this.#w;
      this.#e.putWord(bytes, at, this.#pinAddress(relr.target));
      this.#e.putWord(bytes, at + this.#w, segment.address + at);
    }
    return bytes;
  }

  #dynamic(): Buffer {
    const spec = this.#spec;
    const entries: DynamicPair[] = [];
    const put = (tag: number, value: number | undefined) => {
      if (value !== undefined) entries.push([tag, value]);
    };
    for (const needed of NEEDED) put(1, DYNSTR.indexOf(`\0${needed}\0`) + 1);
    put(29, DYNSTR.indexOf(`\0${RUNPATH}\0`) + 1);
    put(12, this.#segments[0]?.address);
    for (const kind of ['gnu-hash', 'hash', 'dynstr', 'dynsym', 'versym'] as const) {
      const placed = this.#placedOf(kind);
      if (placed !== undefined) put(TAGS[kind] ?? 0, this.#base + placed.offset);
    }
    put(10, DYNSTR.length);
    put(11, SYM.size(this.#e));
    put(21, 0);
    const relocations = this.#placedOf('relocations');
    if (relocations !== undefined) {
      put(spec.rela ? 7 : 17, this.#base + relocations.offset);
      put(spec.rela ? 8 : 18, relocations.size);
      put(spec.rela ? 9 : 19, (spec.rela ? 3 : 2) * this.#w);
    }
    for (const pin of spec.pins ?? []) {
      if (pin.by === 'unknown-entry') put(0x6000_0f00, this.#pinAddress(pin.target));
      if (pin.by === 'relr') {
        const segment = this.#dynamicSegment();
        put(36, segment.address + segment.size - 15 * this.#w);
        put(35, this.#w);
        put(37, this.#w);
      }
    }
    return encodeDynamic(this.#e, entries);
  }

  /** What no segment holds: symbols, a comment, the sections' names and their headers. */
  #unloaded(from: number) {
    const contents: Content[] = [];
    let at = from;
    const add = (name: string, sh_type: number, bytes: Buffer, more: Partial<SectionHeader> = {}) => {
      at = alignUp(at, more.sh_addralign ?? 1);
      contents.push({ at, bytes });
      this.#claim(name, at, bytes.length);
      const plain = { sh_type, sh_flags: 0, sh_addr: 0, sh_addralign: 1 };
      this.#sections.push(section({ name, ...plain, sh_offset: at, sh_size: bytes.length, ...more }));
      at += bytes.length;
    };
    if (this.#spec.symtab) {
      const sh_link = this.#sections.length + 2;
      add('.symtab', 2, this.#symtab(), { sh_addralign: this.#w, sh_link, sh_entsize: SYM.size(this.#e) });
      add('.strtab', 3, Buffer.from('\0symbol\0'));
    }
    let e_shoff = 0;
    const table = () => {
      // Besides those so far: the null section, the names, and the comment where it is still to come.
      const count = this.#sections.length + (this.#spec.sections === 'middle' ? 3 : 2);
      e_shoff = alignUp(at, this.#w);
      this.#claim('section headers', e_shoff, count * SHDR.size(this.#e));
      at = e_shoff + count * SHDR.size(this.#e);
    };
    if (this.#spec.sections === 'middle') table();
    add('.comment', 1, Buffer.from('made by a test\0'));
    const { sectionHeaders, names } = withNames(this.#sections, at);
    contents.push(names);
    this.#claim('.shstrtab', at, names.bytes.length);
    at += names.bytes.length;
    if (this.#spec.sections !== 'middle') table();
    return { contents, sectionHeaders, e_shoff, end: at };
  }

  /** A section symbol for each section so far, and one in the middle of each. */
  #symtab(): Buffer {
    const symbols = this.#sections.flatMap(({ sh_addr, sh_size }, i) =>
      [sh_addr, sh_addr + Math.min(2, sh_size)].map((st_value, j) => ({
        st_name: j,
        st_value,
        st_shndx: i + 1,
      })),
    );
    return this.#symbols([{}, ...symbols]);
  }
}
