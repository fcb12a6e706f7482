import { Encoding } from '../../src/elf/bytes.js';
import { EHDR, PHDR, SHDR } from '../../src/elf/structs.js';

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

export interface BuiltLayout {
  readonly bytes: Buffer;
  readonly claims: readonly Claim[];
  /** Names of what a pointer leads into that nobody would correct. */
  readonly pinned: ReadonlySet<string>;
  readonly spec: LayoutSpec;
  readonly needed: readonly string[];
  readonly runpath: string;
}

export const R = 4;
export const RX = 5;
export const RW = 6;

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

const up = (value: number, alignment: number) =>
  alignment <= 1 ? value : Math.ceil(value / alignment) * alignment;

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

interface Section {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: number;
  readonly offset: number;
  readonly size: number;
  readonly align: number;
  readonly link?: number;
  readonly entsize?: number;
}

interface Header {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly filesz: number;
  readonly memsz: number;
  readonly align: number;
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
  readonly #ehsize: number;
  readonly #phentsize: number;
  readonly #placed: Placed[] = [];
  readonly #segments: PlacedSegment[] = [];
  readonly #claims: Claim[] = [];
  readonly #sections: Section[] = [];
  readonly #fills: { at: number; byte: number }[] = [];

  constructor(spec: LayoutSpec) {
    this.#spec = spec;
    this.#e = new Encoding(spec.is64, spec.littleEndian);
    this.#w = spec.is64 ? 8 : 4;
    this.#base = spec.base ?? 0;
    this.#ehsize = spec.is64 ? 64 : 52;
    this.#phentsize = spec.is64 ? 56 : 32;
  }

  build(): BuiltLayout {
    const spec = this.#spec;
    // The number of program headers does not depend on where things stand.
    const count = this.#noteRuns().length + this.#otherHeaders();
    const tableEnd = this.#ehsize + count * this.#phentsize;
    const firstEnd = this.#placeItems(tableEnd);
    const loadedEnd = this.#placeSegments(firstEnd);
    const headers = this.#programHeaders(firstEnd, count);

    const parts: { at: number; bytes: Buffer }[] = [];
    for (const placed of this.#placed) parts.push({ at: placed.offset, bytes: this.#itemBytes(placed) });
    for (const segment of this.#segments)
      parts.push({ at: segment.offset, bytes: this.#segmentBytes(segment) });
    let end = loadedEnd;
    let shoff = 0;
    if ((spec.sections ?? 'end') !== 'none') {
      const tail = this.#unloaded(end);
      parts.push(...tail.parts);
      shoff = tail.shoff;
      end = tail.end;
    }
    const appended = spec.appended ?? 0;
    if (appended > 0) {
      parts.push({ at: end, bytes: Buffer.alloc(appended, 0x5a) });
      this.#claims.push({
        name: 'appended',
        start: end,
        end: end + appended,
        address: undefined,
        movable: false,
        tag: undefined,
      });
      end += appended;
    }
    parts.push({ at: 0, bytes: this.#ehdr(count, shoff) });
    parts.push({ at: this.#ehsize, bytes: this.#encodeHeaders(headers) });
    const bytes = Buffer.alloc(end);
    for (const { at, byte } of this.#fills) bytes[at] = byte;
    for (const part of parts) part.bytes.copy(bytes, part.at);
    const pinned = new Set((spec.pins ?? []).map(pin => NAMES[pin.target]));
    return { bytes, claims: this.#claims, pinned, spec, needed: NEEDED, runpath: RUNPATH };
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
    if (byte !== undefined && byte !== 0 && end > start) this.#fills.push({ at: end - 1, byte });
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
      const offset = up(at, align);
      const size = sizeOf(spec, item);
      this.#placed.push({ item, offset, size, align });
      const name = NAMES[item.kind];
      const tag = TAGS[item.kind];
      this.#claims.push({
        name,
        start: offset,
        end: offset + size,
        address: this.#base + offset,
        movable: tag !== undefined || isNote(item.kind) || item.kind === 'interp',
        tag,
      });
      this.#sections.push({
        name,
        type: item.kind === 'relocations' && !spec.rela ? 9 : TYPES[item.kind],
        flags: 2,
        address: this.#base + offset,
        offset,
        size,
        align,
        entsize: item.kind === 'dynsym' ? (spec.is64 ? 24 : 16) : 0,
      });
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
      offset = up(offset, spec.padded ? align : this.#w);
      address = up(address, align) + (spec.skip ?? 0) * align + (offset % align);
      const head = spec.dynamic ? dynamicCount(this.#spec) * 2 * this.#w : 0;
      const size = head + spec.size;
      this.#segments.push({ spec, offset, address, size });
      const claim = (name: string, from: number, to: number, type: number, flags: number) => {
        if (from >= to) return;
        const where = { address: address + from, align: this.#w };
        this.#claims.push({
          name,
          start: offset + from,
          end: offset + to,
          address: where.address,
          movable: false,
          tag: undefined,
        });
        this.#sections.push({ name, type, flags, offset: offset + from, size: to - from, ...where });
      };
      const writable = (spec.flags & 2) === 0 ? 0 : 1;
      claim('.dynamic', 0, head, 6, 2 | writable);
      claim(`.content${i}`, head, size, 1, 2 | writable | ((spec.flags & 1) === 0 ? 0 : 4));
      const bss = spec.bss ?? 0;
      if (bss > 0) {
        this.#sections.push({
          name: `.bss${i}`,
          type: 8,
          flags: 3,
          address: address + size,
          offset: offset + size,
          size: bss,
          align: 1,
        });
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

  #programHeaders(firstEnd: number, count: number): Header[] {
    const spec = this.#spec;
    const base = this.#base;
    const plain = (type: number, placed: { offset: number; size: number; align: number }): Header => ({
      type,
      flags: R,
      offset: placed.offset,
      address: base + placed.offset,
      filesz: placed.size,
      memsz: placed.size,
      align: placed.align,
    });
    const headers: Header[] = [];
    if (spec.phdr) {
      headers.push(plain(6, { offset: this.#ehsize, size: count * this.#phentsize, align: this.#w }));
    }
    const interp = this.#placedOf('interp');
    if (interp !== undefined) headers.push(plain(3, interp));
    const first = plain(1, { offset: 0, size: firstEnd, align: spec.align });
    headers.push({ ...first, flags: spec.firstFlags ?? R });
    for (const { spec: segment, offset, address, size } of this.#segments) {
      headers.push({
        type: 1,
        flags: segment.flags,
        offset,
        address,
        filesz: size,
        memsz: size + (segment.bss ?? 0),
        align: spec.align,
      });
    }
    const dynamic = this.#dynamicSegment();
    const dynamicSize = dynamicCount(spec) * 2 * this.#w;
    headers.push({
      type: 2,
      flags: dynamic.spec.flags,
      offset: dynamic.offset,
      address: dynamic.address,
      filesz: dynamicSize,
      memsz: dynamicSize,
      align: this.#w,
    });
    const empty = { type: 0, flags: 0, offset: 0, address: 0, filesz: 0, memsz: 0, align: 0 };
    const nulls = Array.from({ length: spec.nulls ?? 0 }, () => empty);
    if (!spec.nullsLast) headers.push(...nulls);
    for (const run of this.#noteRuns()) {
      const parts = run.map(i => this.#placed[i]).filter(part => part !== undefined);
      const from = Math.min(...parts.map(part => part.offset));
      const to = Math.max(...parts.map(part => part.offset + part.size));
      headers.push(plain(4, { offset: from, size: to - from, align: parts[0]?.align ?? 4 }));
    }
    const property = this.#placedOf('property');
    if (property !== undefined) headers.push(plain(0x6474e553, property));
    headers.push({ type: 0x6474e551, flags: RW, offset: 0, address: 0, filesz: 0, memsz: 0, align: 16 });
    if (spec.relro) {
      headers.push({
        type: 0x6474e552,
        flags: R,
        offset: dynamic.offset,
        address: dynamic.address,
        filesz: dynamicSize,
        memsz: dynamicSize,
        align: 1,
      });
    }
    if (spec.nullsLast) headers.push(...nulls);
    return headers;
  }

  #encodeHeaders(headers: readonly Header[]): Buffer {
    const e = this.#e;
    const bytes = Buffer.alloc(headers.length * this.#phentsize);
    for (const [i, h] of headers.entries()) {
      PHDR.put(e, bytes, i * this.#phentsize, {
        p_type: h.type,
        p_flags: h.flags,
        p_offset: h.offset,
        p_vaddr: h.address,
        p_paddr: h.address,
        p_filesz: h.filesz,
        p_memsz: h.memsz,
        p_align: h.align,
      });
    }
    return bytes;
  }

  #ehdr(phnum: number, shoff: number): Buffer {
    const { is64, littleEndian, machine, type } = this.#spec;
    const e = this.#e;
    const b = Buffer.alloc(this.#ehsize);
    b.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, littleEndian ? 1 : 2, 1]);
    const shnum = shoff === 0 ? 0 : this.#sections.length + 1;
    EHDR.put(e, b, 0, {
      e_type: type ?? 3,
      e_machine: machine,
      e_version: 1,
      e_phoff: this.#ehsize,
      e_shoff: shoff,
      e_ehsize: this.#ehsize,
      e_phentsize: this.#phentsize,
      e_phnum: phnum,
      e_shentsize: shoff === 0 ? 0 : SHDR.size(e),
      e_shnum: shnum,
      e_shstrndx: shnum === 0 ? 0 : shnum - 1,
    });
    return b;
  }

  #pinAddress(kind: ItemKind): number {
    const placed = this.#placedOf(kind);
    return placed === undefined ? 0 : this.#base + placed.offset + Math.min(4, placed.size - 1);
  }

  #itemBytes({ item, size }: Placed): Buffer {
    const spec = this.#spec;
    const e = this.#e;
    const b = Buffer.alloc(size);
    const words32 = (values: readonly number[]) => {
      for (const [i, value] of values.entries()) e.putU32(b, i * 4, value);
    };
    switch (item.kind) {
      case 'interp':
        b.write(`/lib/${'l'.repeat(size - 24)}ayouts/ld-elf.so.1`);
        break;
      case 'build-id':
        words32([4, 20, 3]);
        b.write('GNU\0', 12);
        b.fill(0xab, 16);
        break;
      case 'abi-tag':
        words32([4, 16, 1]);
        b.write('GNU\0', 12);
        e.putU32(b, 20, 3);
        break;
      case 'property':
        words32([4, size - 16, 5]);
        b.write('GNU\0', 12);
        b.fill(0xcd, 16);
        break;
      case 'gnu-hash': {
        const symbols = symbolCount(spec);
        words32([1, 1, 1, 6]);
        b.fill(0xff, 16, 16 + this.#w);
        e.putU32(b, 16 + this.#w, 1);
        for (let i = 1; i < symbols; i++) {
          e.putU32(b, 20 + this.#w + (i - 1) * 4, 0x1000 + 2 * i + (i === symbols - 1 ? 1 : 0));
        }
        break;
      }
      case 'hash': {
        const values = [1, symbolCount(spec), 1];
        for (const [i, value] of values.entries()) {
          if (wideHash(spec)) e.putU64(b, i * 8, value);
          else e.putU32(b, i * 4, value);
        }
        break;
      }
      case 'dynsym':
        this.#dynsym(b);
        break;
      case 'dynstr':
        b.write(DYNSTR, 'latin1');
        break;
      case 'versym':
        b.fill(1);
        break;
      case 'relocations':
        this.#relocations(b);
        break;
      case 'rodata':
        b.fill(0x11);
        break;
    }
    return b;
  }

  #dynsym(b: Buffer): void {
    const spec = this.#spec;
    const size = spec.is64 ? 24 : 16;
    const text = this.#segments[0]?.address ?? 0;
    const pins = (spec.pins ?? []).filter(pin => pin.by === 'symbol');
    const symbols = [
      { value: 0, shndx: 0 },
      { value: 0, shndx: 0 },
      { value: text, shndx: 1 },
      ...pins.map(pin => ({ value: this.#pinAddress(pin.target), shndx: 1 })),
      { value: text + 4, shndx: 1 },
    ];
    for (const [i, { value, shndx }] of symbols.entries()) {
      this.#e.putU32(b, i * size, i === 0 ? 0 : 1);
      this.#e.putWord(b, i * size + (spec.is64 ? 8 : 4), value);
      this.#e.putU16(b, i * size + (spec.is64 ? 6 : 14), shndx);
    }
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

  #relocations(b: Buffer): void {
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
    this.#dynamic(bytes);
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

  #dynamic(bytes: Buffer): void {
    const spec = this.#spec;
    const address = (kind: ItemKind) => {
      const placed = this.#placedOf(kind);
      return placed === undefined ? undefined : this.#base + placed.offset;
    };
    const entries: [number, number][] = [];
    const put = (tag: number, value: number | undefined) => {
      if (value !== undefined) entries.push([tag, value]);
    };
    for (const needed of NEEDED) put(1, DYNSTR.indexOf(`\0${needed}\0`) + 1);
    put(29, DYNSTR.indexOf(`\0${RUNPATH}\0`) + 1);
    put(12, this.#segments[0]?.address);
    for (const kind of ['gnu-hash', 'hash', 'dynstr', 'dynsym', 'versym'] as const) {
      put(TAGS[kind] ?? 0, address(kind));
    }
    put(10, DYNSTR.length);
    put(11, spec.is64 ? 24 : 16);
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
    // What no entry takes is DT_NULL, as linkers leave it.
    bytes.fill(0, 0, dynamicCount(spec) * 2 * this.#w);
    for (const [i, [tag, value]] of entries.entries()) {
      this.#e.putWord(bytes, 2 * i * this.#w, tag);
      this.#e.putWord(bytes, (2 * i + 1) * this.#w, value);
    }
  }

  #unloaded(from: number): { parts: { at: number; bytes: Buffer }[]; shoff: number; end: number } {
    const spec = this.#spec;
    const parts: { at: number; bytes: Buffer }[] = [];
    let at = from;
    const add = (name: string, type: number, bytes: Buffer, more: Partial<Section> = {}) => {
      at = up(at, more.align ?? 1);
      parts.push({ at, bytes });
      this.#claims.push({
        name,
        start: at,
        end: at + bytes.length,
        address: undefined,
        movable: false,
        tag: undefined,
      });
      const section = { name, type, flags: 0, address: 0, offset: at, size: bytes.length, align: 1 };
      this.#sections.push({ ...section, ...more });
      at += bytes.length;
    };
    if (spec.symtab) {
      const symbols = this.#symtab();
      const own = this.#sections.length + 1;
      const entsize = spec.is64 ? 24 : 16;
      add('.symtab', 2, symbols, { align: this.#w, link: own + 1, entsize });
      add('.strtab', 3, Buffer.from('\0symbol\0'));
    }
    const comment = Buffer.from('made by a test\0');
    const size = spec.is64 ? 64 : 40;
    const total = this.#sections.length + 3;
    let shoff = 0;
    const table = () => {
      shoff = up(at, this.#w);
      at = shoff + total * size;
      this.#claims.push({
        name: 'section headers',
        start: shoff,
        end: at,
        address: undefined,
        movable: false,
        tag: undefined,
      });
    };
    if (spec.sections === 'middle') table();
    add('.comment', 1, comment);
    const names = ['', ...this.#sections.map(section => section.name), '.shstrtab'];
    const strings = Buffer.from(`${names.join('\0')}\0`);
    add('.shstrtab', 3, strings);
    if (spec.sections !== 'middle') table();
    const bytes = Buffer.alloc(total * size);
    for (const [i, section] of this.#sections.entries())
      this.#section(bytes, (i + 1) * size, section, strings);
    parts.push({ at: shoff, bytes });
    return { parts, shoff, end: at };
  }

  #section(b: Buffer, at: number, s: Section, strings: Buffer): void {
    SHDR.put(this.#e, b, at, {
      sh_name: strings.indexOf(`\0${s.name}\0`) + 1,
      sh_type: s.type,
      sh_flags: s.flags,
      sh_addr: s.address,
      sh_offset: s.offset,
      sh_size: s.size,
      sh_link: s.link ?? 0,
      sh_addralign: s.align,
      sh_entsize: s.entsize ?? 0,
    });
  }

  /** A section symbol for each section so far, and one in the middle of each. */
  #symtab(): Buffer {
    const { is64 } = this.#spec;
    const size = is64 ? 24 : 16;
    const b = Buffer.alloc((1 + 2 * this.#sections.length) * size);
    for (const [i, section] of this.#sections.entries()) {
      for (const [j, value] of [section.address, section.address + Math.min(2, section.size)].entries()) {
        const at = (1 + 2 * i + j) * size;
        this.#e.putU32(b, at, j);
        this.#e.putWord(b, at + (is64 ? 8 : 4), value);
        this.#e.putU16(b, at + (is64 ? 6 : 14), i + 1);
      }
    }
    return b;
  }
}
