import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Encoding } from '../../src/elf/bytes.js';
import { programHeaderSize, sectionHeaderSize } from '../../src/elf/image.js';
import { DYN, EHDR, NHDR, PHDR, SHDR, type Struct, SYM } from '../../src/elf/structs.js';
import { runOk } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

const [ELF32, ELF64] = [new Encoding(false, false), new Encoding(true, true)];

/** What the compiler is asked, and what elfnote has. */
type Row = readonly [expression: string, ours: number];

function rowsOf<Name extends string>(name: string, struct: Struct<Name>, fields: readonly Name[]): Row[] {
  return [ELF32, ELF64].flatMap(e => {
    const type = `${e.is64 ? 'Elf64' : 'Elf32'}_${name}`;
    const places = fields.map((field): Row => {
      const member = name === 'Dyn' && field === 'd_val' ? 'd_un.d_val' : field;
      return [`offsetof(${type}, ${member})`, struct.at(e, field)];
    });
    return [[`sizeof(${type})`, struct.size(e)], ...places] satisfies Row[];
  });
}

test('structs have the sizes, and their fields the places, that elf.h has, in both classes', {
  skip: needs('gcc'),
}, t => {
  const ehdr = ['e_type', 'e_machine', 'e_version', 'e_entry', 'e_phoff', 'e_shoff', 'e_flags'] as const;
  const counts = ['e_ehsize', 'e_phentsize', 'e_phnum', 'e_shentsize', 'e_shnum', 'e_shstrndx'] as const;
  const phdr = [
    'p_type',
    'p_flags',
    'p_offset',
    'p_vaddr',
    'p_paddr',
    'p_filesz',
    'p_memsz',
    'p_align',
  ] as const;
  const shdr = ['sh_name', 'sh_type', 'sh_flags', 'sh_addr', 'sh_offset', 'sh_size'] as const;
  const links = ['sh_link', 'sh_info', 'sh_addralign', 'sh_entsize'] as const;
  const rows = [
    ...rowsOf('Ehdr', EHDR, [...ehdr, ...counts]),
    ...rowsOf('Phdr', PHDR, phdr),
    ...rowsOf('Shdr', SHDR, [...shdr, ...links]),
    ...rowsOf('Sym', SYM, ['st_name', 'st_info', 'st_other', 'st_shndx', 'st_value', 'st_size']),
    ...rowsOf('Dyn', DYN, ['d_tag', 'd_val']),
    ...rowsOf('Nhdr', NHDR, ['n_namesz', 'n_descsz', 'n_type']),
  ];
  const dir = tempDir(t);
  const prints = rows.map(([expression]) => `printf("%zu\\n", ${expression});`);
  const head = ['elf', 'stddef', 'stdio'].map(name => `#include <${name}.h>\n`).join('');
  writeFileSync(join(dir, 'a.c'), `${head}int main(void) { ${prints.join('\n')} }\n`);
  runOk('gcc', [join(dir, 'a.c'), '-o', join(dir, 'a')]);
  const said = runOk(join(dir, 'a')).stdout.trimEnd().split('\n');
  assert.deepEqual(
    rows.map(([expression, ours]) => `${expression} ${ours}`),
    rows.map(([expression], i) => `${expression} ${said[i]}`),
  );
});

test('what is put reads back, in the byte order of the file, and other fields stay', () => {
  const bytes = Buffer.alloc(80, 0xff);
  SHDR.put(ELF64, bytes, 8, { sh_type: 7, sh_size: 0x1234 });
  assert.equal(SHDR.get(ELF64, bytes, 8, 'sh_size'), 0x1234);
  assert.equal(bytes.readUInt32LE(12), 7);
  assert.equal(SHDR.get(ELF64, bytes, 8, 'sh_name'), 0xffffffff);
  SYM.put(ELF32, bytes, 0, { st_info: 0x12, st_shndx: 0xfff1 });
  assert.deepEqual([bytes[12], bytes.readUInt16BE(14)], [0x12, 0xfff1]);
  assert.throws(() => PHDR.put(ELF32, bytes, 0, { p_offset: 2 ** 32 }), { code: 'unsupported' });
});

test('a struct says where all its fields are as it says of each', () => {
  for (const encoding of [ELF32, ELF64]) {
    assert.deepEqual(
      [PHDR.offsets(encoding).p_flags, SHDR.offsets(encoding).sh_entsize, SYM.offsets(encoding).st_value],
      [PHDR.at(encoding, 'p_flags'), SHDR.at(encoding, 'sh_entsize'), SYM.at(encoding, 'st_value')],
    );
  }
});

test('the entries of the two tables have the sizes of their structs', () => {
  for (const e of [ELF32, ELF64]) {
    assert.deepEqual([programHeaderSize(e), sectionHeaderSize(e)], [PHDR.size(e), SHDR.size(e)]);
  }
});
