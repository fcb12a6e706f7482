import { BufferSource } from '../../src/elf/bytes.js';
import { readImage } from '../../src/elf/read.js';

/** A field of a struct in a file. */
export interface Field {
  readonly name: string;
  /** File offset in bytes. */
  readonly at: number;
  readonly width: 1 | 2 | 4 | 8;
  readonly littleEndian: boolean;
}

type Shape = readonly (readonly [name: string, width: 1 | 2 | 4 | 'word'])[];

const EHDR: Shape = [
  ...Array.from({ length: 16 }, (_, i) => [`e_ident[${i}]`, 1] as const),
  ['e_type', 2],
  ['e_machine', 2],
  ['e_version', 4],
  ['e_entry', 'word'],
  ['e_phoff', 'word'],
  ['e_shoff', 'word'],
  ['e_flags', 4],
  ['e_ehsize', 2],
  ['e_phentsize', 2],
  ['e_phnum', 2],
  ['e_shentsize', 2],
  ['e_shnum', 2],
  ['e_shstrndx', 2],
];

const PLACES: Shape = [
  ['p_offset', 'word'],
  ['p_vaddr', 'word'],
  ['p_paddr', 'word'],
  ['p_filesz', 'word'],
  ['p_memsz', 'word'],
];
const PHDR_64: Shape = [['p_type', 4], ['p_flags', 4], ...PLACES, ['p_align', 'word']];
const PHDR_32: Shape = [['p_type', 4], ...PLACES, ['p_flags', 4], ['p_align', 'word']];

const SHDR: Shape = [
  ['sh_name', 4],
  ['sh_type', 4],
  ['sh_flags', 'word'],
  ['sh_addr', 'word'],
  ['sh_offset', 'word'],
  ['sh_size', 'word'],
  ['sh_link', 4],
  ['sh_info', 4],
  ['sh_addralign', 'word'],
  ['sh_entsize', 'word'],
];

const DYN: Shape = [
  ['d_tag', 'word'],
  ['d_un', 'word'],
];

const NHDR: Shape = [
  ['n_namesz', 4],
  ['n_descsz', 4],
  ['n_type', 4],
];

/** Every field of every header, program header, section header, dynamic entry and cache note of a file. */
export function fieldsOf(bytes: Buffer): Field[] {
  const image = readImage(new BufferSource(bytes));
  const { header, encoding, programHeaders, sectionHeaders, dynamic, cacheNotes } = image;
  const { littleEndian, wordSize } = encoding;
  const word = wordSize === 8 ? 8 : 4;
  const fields: Field[] = [];
  const add = (struct: string, shape: Shape, start: number) => {
    let at = start;
    for (const [name, kind] of shape) {
      const width = kind === 'word' ? word : kind;
      fields.push({ name: `${struct}${name}`, at, width, littleEndian });
      at += width;
    }
  };
  add('', EHDR, 0);
  const phdr = encoding.is64 ? PHDR_64 : PHDR_32;
  for (const [i] of programHeaders.entries()) {
    add(`program header ${i}: `, phdr, header.e_phoff + i * header.e_phentsize);
  }
  for (const [i] of sectionHeaders.entries()) {
    add(`section ${i}: `, SHDR, header.e_shoff + i * header.e_shentsize);
  }
  for (const [i, { offset }] of (dynamic?.entries ?? []).entries()) add(`dynamic entry ${i}: `, DYN, offset);
  for (const { offset } of cacheNotes) add('cache note: ', NHDR, offset);
  return fields;
}

/** Values that break something: the least and the greatest, the neighbours of what is there, the file's size. */
export function pokesOf(bytes: Buffer, field: Field): bigint[] {
  const now = read(bytes, field);
  const most = (1n << BigInt(8 * field.width)) - 1n;
  const size = BigInt(bytes.length);
  const values = [
    0n,
    1n,
    now + 1n,
    now - 1n,
    now * 2n,
    now ^ 8n,
    size,
    size - 1n,
    most >> 1n,
    most,
    most - 0xfffn,
  ];
  return [...new Set(values.map(value => value & most))].filter(value => value !== now);
}

function read(bytes: Buffer, { at, width, littleEndian }: Field): bigint {
  const order = [...bytes.subarray(at, at + width)];
  if (littleEndian) order.reverse();
  return order.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

export function poked(bytes: Buffer, { at, width, littleEndian }: Field, value: bigint): Buffer {
  const copy = Buffer.from(bytes);
  for (let i = 0; i < width; i++) {
    const shift = BigInt(8 * (littleEndian ? i : width - 1 - i));
    copy[at + i] = Number((value >> shift) & 0xffn);
  }
  return copy;
}
