import type { Encoding } from './bytes.js';
import { Table } from './table.js';

/** `half` has 2 bytes, `word` 4, `size` (an address, an offset, a size) 4 or 8 by the file's class; `byte` 1. */
type FieldType = 'byte' | 'half' | 'word' | 'size';

/** Bytes of a field by class. */
const WIDTHS: Readonly<Record<FieldType, readonly [is32: number, is64: number]>> = {
  byte: [1, 1],
  half: [2, 2],
  word: [4, 4],
  size: [4, 8],
};

type Fields<Name extends string> = readonly (readonly [Name, FieldType])[];

interface Place {
  readonly at: number;
  readonly type: FieldType;
}

interface Field<Name extends string> extends Place {
  readonly name: Name;
}

/** The offset of each field within a struct, in bytes. */
export type Offsets<Name extends string> = Readonly<Record<Name, number>>;

/** Of a struct in the files of one class. */
interface Layout<Name extends string> {
  readonly places: ReadonlyMap<Name, Place>;
  readonly fields: readonly Field<Name>[];
  readonly offsets: Offsets<Name>;
  readonly size: number;
}

/** One struct of the ELF specification (gABI, chapters 4 and 5), in both classes. Nothing in it is padded. */
export class Struct<Name extends string> {
  readonly #in32: Fields<Name>;
  readonly #in64: Fields<Name>;
  /** Made when they are first asked for: of both classes, and of all structs, a run needs few. */
  #layout32: Layout<Name> | undefined;
  #layout64: Layout<Name> | undefined;

  /** @param in32 the order of the fields in 32-bit files, where it is another. */
  constructor(in64: Fields<Name>, in32: Fields<Name> = in64) {
    this.#in32 = in32;
    this.#in64 = in64;
  }

  #layout({ is64 }: Encoding): Layout<Name> {
    if (is64) {
      this.#layout64 ??= layOut(this.#in64, 1);
      return this.#layout64;
    }
    this.#layout32 ??= layOut(this.#in32, 0);
    return this.#layout32;
  }

  /** Of the struct, in bytes. */
  size(encoding: Encoding): number {
    return this.#layout(encoding).size;
  }

  /** Offset of a field within the struct, in bytes. */
  at(encoding: Encoding, name: Name): number {
    return this.#place(encoding, name).at;
  }

  /** Of all fields: who decodes a table looks a name up once, not for every entry. */
  offsets(encoding: Encoding): Offsets<Name> {
    return this.#layout(encoding).offsets;
  }

  /** The value of a field of the struct at `start`. */
  get(encoding: Encoding, bytes: Buffer, start: number, name: Name): number {
    const { at, type } = this.#place(encoding, name);
    if (type === 'size') return encoding.word(bytes, start + at);
    if (type === 'word') return encoding.u32(bytes, start + at);
    return type === 'half' ? encoding.u16(bytes, start + at) : bytes.readUInt8(start + at);
  }

  /** @throws ElfnoteError `unsupported` for a value that does not fit. */
  put(encoding: Encoding, bytes: Buffer, start: number, values: Partial<Record<Name, number>>): void {
    const table = new Table(encoding, bytes);
    for (const { name, at, type } of this.#layout(encoding).fields) {
      const value = values[name];
      if (value === undefined) continue;
      if (type === 'size') table.putWord(start + at, value);
      else if (type === 'word') table.putU32(start + at, value);
      else if (type === 'half') table.putU16(start + at, value);
      else bytes.writeUInt8(value, start + at);
    }
  }

  #place(encoding: Encoding, name: Name): Place {
    const place = this.#layout(encoding).places.get(name);
    if (place === undefined) throw new RangeError(`no field ${name}`);
    return place;
  }
}

function fieldsOf<Name extends string>(places: ReadonlyMap<Name, Place>): Field<Name>[] {
  return [...places].map(([name, place]) => ({ name, ...place }));
}

function layOut<Name extends string>(fields: Fields<Name>, width: 0 | 1): Layout<Name> {
  const places = new Map<Name, Place>();
  let at = 0;
  for (const [name, type] of fields) {
    places.set(name, { at, type });
    at += WIDTHS[type][width];
  }
  return { places, fields: fieldsOf(places), offsets: offsetsOf(places), size: at };
}

function offsetsOf<Name extends string>(places: ReadonlyMap<Name, Place>): Offsets<Name> {
  const offsets: Partial<Record<Name, number>> = {};
  for (const [name, { at }] of places) offsets[name] = at;
  if (!hasAll(offsets, places)) throw new RangeError('a field has no place');
  return offsets;
}

function hasAll<Name extends string>(
  offsets: Partial<Record<Name, number>>,
  places: ReadonlyMap<Name, Place>,
): offsets is Record<Name, number> {
  return [...places.keys()].every(name => offsets[name] !== undefined);
}

/** Behind `e_ident`, which is the same in both classes. */
const IDENT = Array.from({ length: 16 }, (_, i) => [`ident${i}`, 'byte'] as const);

export const EHDR = new Struct([
  ...IDENT,
  ['e_type', 'half'],
  ['e_machine', 'half'],
  ['e_version', 'word'],
  ['e_entry', 'size'],
  ['e_phoff', 'size'],
  ['e_shoff', 'size'],
  ['e_flags', 'word'],
  ['e_ehsize', 'half'],
  ['e_phentsize', 'half'],
  ['e_phnum', 'half'],
  ['e_shentsize', 'half'],
  ['e_shnum', 'half'],
  ['e_shstrndx', 'half'],
]);

export const PHDR = new Struct(
  [
    ['p_type', 'word'],
    ['p_flags', 'word'],
    ['p_offset', 'size'],
    ['p_vaddr', 'size'],
    ['p_paddr', 'size'],
    ['p_filesz', 'size'],
    ['p_memsz', 'size'],
    ['p_align', 'size'],
  ],
  [
    ['p_type', 'word'],
    ['p_offset', 'size'],
    ['p_vaddr', 'size'],
    ['p_paddr', 'size'],
    ['p_filesz', 'size'],
    ['p_memsz', 'size'],
    ['p_flags', 'word'],
    ['p_align', 'size'],
  ],
);

export const SHDR = new Struct([
  ['sh_name', 'word'],
  ['sh_type', 'word'],
  ['sh_flags', 'size'],
  ['sh_addr', 'size'],
  ['sh_offset', 'size'],
  ['sh_size', 'size'],
  ['sh_link', 'word'],
  ['sh_info', 'word'],
  ['sh_addralign', 'size'],
  ['sh_entsize', 'size'],
]);

export const SYM = new Struct(
  [
    ['st_name', 'word'],
    ['st_info', 'byte'],
    ['st_other', 'byte'],
    ['st_shndx', 'half'],
    ['st_value', 'size'],
    ['st_size', 'size'],
  ],
  [
    ['st_name', 'word'],
    ['st_value', 'size'],
    ['st_size', 'size'],
    ['st_info', 'byte'],
    ['st_other', 'byte'],
    ['st_shndx', 'half'],
  ],
);

export const DYN = new Struct([
  ['d_tag', 'size'],
  ['d_val', 'size'],
]);

/** Three words in both classes (gABI, "Note Section"). */
export const NHDR = new Struct([
  ['n_namesz', 'word'],
  ['n_descsz', 'word'],
  ['n_type', 'word'],
]);
