import type { Encoding } from './bytes.js';
import { Table } from './table.js';

/** `half` has 2 bytes, `word` 4, `size` (an address, an offset, a size) 4 or 8 by the file's class; `byte` 1, `ident` 16. */
type FieldType = 'byte' | 'half' | 'word' | 'size' | 'ident';

/** Bytes of a field by class. */
const WIDTHS: Readonly<Record<FieldType, readonly [is32: number, is64: number]>> = {
  byte: [1, 1],
  half: [2, 2],
  word: [4, 4],
  size: [4, 8],
  ident: [16, 16],
};

type Fields<Name extends string> = readonly (readonly [Name, FieldType])[];

interface Field<Name extends string> {
  readonly name: Name;
  readonly type: FieldType;
  /** Offset within the struct, in bytes. */
  readonly at: number;
}

/** The offset of each field within a struct, in bytes. */
export type Offsets<Name extends string> = Readonly<Record<Name, number>>;

/** Of a struct in the files of one class. */
interface Layout<Name extends string> {
  readonly offsets: Offsets<Name>;
  readonly size: number;
  /** Made when they are first asked for: who reads needs none. */
  fields: readonly Field<Name>[] | undefined;
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

  #fields(encoding: Encoding): readonly Field<Name>[] {
    const layout = this.#layout(encoding);
    const names = encoding.is64 ? this.#in64 : this.#in32;
    layout.fields ??= names.map(([name, type]) => ({ name, type, at: layout.offsets[name] }));
    return layout.fields;
  }

  /** Of the struct, in bytes. */
  size(encoding: Encoding): number {
    return this.#layout(encoding).size;
  }

  /** Offset of a field within the struct, in bytes. */
  at(encoding: Encoding, name: Name): number {
    return this.offsets(encoding)[name];
  }

  /** Of all fields: who decodes a table looks a name up once, not for every entry. */
  offsets(encoding: Encoding): Offsets<Name> {
    return this.#layout(encoding).offsets;
  }

  /** The value of a field of the struct at `start`. */
  get(encoding: Encoding, bytes: Buffer, start: number, name: Name): number {
    const field = this.#fields(encoding).find(field => field.name === name);
    if (field === undefined) throw new RangeError(`no field ${name}`);
    const { at, type } = field;
    if (type === 'size') return encoding.word(bytes, start + at);
    if (type === 'word') return encoding.u32(bytes, start + at);
    return type === 'half' ? encoding.u16(bytes, start + at) : bytes.readUInt8(start + at);
  }

  /** @throws ElfnoteError `unsupported` for a value that does not fit. */
  put(encoding: Encoding, bytes: Buffer, start: number, values: Partial<Record<Name, number>>): void {
    const table = new Table(encoding, bytes);
    for (const { name, at, type } of this.#fields(encoding)) {
      const value = values[name];
      if (value === undefined) continue;
      if (type === 'size') table.putWord(start + at, value);
      else if (type === 'word') table.putU32(start + at, value);
      else if (type === 'half') table.putU16(start + at, value);
      else bytes.writeUInt8(value, start + at);
    }
  }
}

/** @param width index into `WIDTHS`. */
function layOut<Name extends string>(names: Fields<Name>, width: 0 | 1): Layout<Name> {
  const offsets: Partial<Record<Name, number>> = {};
  let size = 0;
  // A short run pays for all that is done once, and to take an array apart for most.
  for (const field of names) {
    offsets[field[0]] = size;
    size += WIDTHS[field[1]][width];
  }
  if (!hasAll(offsets, names)) throw new RangeError('two fields have one name');
  return { offsets, size, fields: undefined };
}

function hasAll<Name extends string>(
  offsets: Partial<Record<Name, number>>,
  { length }: Fields<Name>,
): offsets is Record<Name, number> {
  return Object.keys(offsets).length === length;
}

export const EHDR = new Struct([
  ['e_ident', 'ident'],
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
