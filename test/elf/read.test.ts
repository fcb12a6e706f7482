import assert from 'node:assert/strict';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import elfy from 'elfy';
import { BufferSource } from '../../src/elf/bytes.js';
import type { ElfImage } from '../../src/elf/image.js';
import { addressOfOffset, offsetOfAddress } from '../../src/elf/image.js';
import { isElf, readElfHeader, readImage } from '../../src/elf/read.js';
import { ElfnoteError } from '../../src/errors.js';
import { FileSource } from '../../src/files/source.js';
import { type BuiltElf, buildElf } from '../support/elf-builder.js';
import { ENCODINGS, makeNote } from '../support/elf-file.js';
import { Elf } from '../support/elf-reader.js';

const FIXTURES = join(import.meta.dirname, '..', '..', 'fixtures');
const read = (bytes: Buffer): ElfImage => readImage(new BufferSource(bytes, 'the/file'));

function fixtureFiles(): { name: string; bytes: Buffer }[] {
  return readdirSync(FIXTURES, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .map(path => ({ name: path.slice(FIXTURES.length + 1), bytes: readFileSync(path) }))
    .filter(({ bytes }) => isElf(bytes))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function refuses(bytes: Buffer, code: string, message: RegExp, offset: number | undefined): void {
  assert.throws(
    () => read(bytes),
    (error: unknown) => {
      assert.ok(error instanceof ElfnoteError, String(error));
      assert.deepEqual(
        { code: error.code, path: error.path, offset: error.offset },
        { code, path: 'the/file', offset },
      );
      assert.match(error.message, message);
      return true;
    },
  );
}

describe('an ELF file reads the same in every class and byte order', () => {
  for (const { name, ...encoding } of ENCODINGS) {
    test(`every table of an ${name} file is read`, () => {
      const note = makeNote('GNU', 3, Buffer.alloc(20, 7), encoding);
      const elf = buildElf({
        ...encoding,
        e_machine: 0x1234,
        e_flags: 0x80000007,
        needed: ['libb.so.2', 'liba.so.1'],
        runpath: '/one:/two',
        rpath: '/three',
        soname: 'libself.so',
        notes: [{ bytes: note }],
        nulls: 1,
      });
      const image = read(elf.bytes);
      assert.deepEqual(image.header, {
        e_type: 3,
        e_machine: 0x1234,
        e_flags: 0x80000007,
        e_phoff: elf.at.phoff,
        e_phentsize: encoding.is64 ? 56 : 32,
        e_phnum: 6,
        e_shoff: elf.at.shoff,
        e_shentsize: encoding.is64 ? 64 : 40,
        e_shnum: 5,
        e_shstrndx: 4,
        e_ehsize: encoding.is64 ? 64 : 52,
        osabi: 0,
        abiversion: 0,
      });
      assert.deepEqual([image.encoding.is64, image.encoding.littleEndian], Object.values(encoding));
      assert.deepEqual(
        image.programHeaders.map(p => p.p_type),
        [6, 1, 1, 2, 4, 0],
      );
      assert.deepEqual(image.programHeaders[4], {
        p_type: 4,
        p_flags: 4,
        p_offset: elf.at.notes[0],
        p_vaddr: elf.base + Number(elf.at.notes[0]),
        p_paddr: elf.base + Number(elf.at.notes[0]),
        p_filesz: note.length,
        p_memsz: note.length,
        p_align: 4,
      });
      assert.deepEqual(
        image.sectionHeaders.map(s => s.name),
        ['', '.note.test', '.dynstr', '.dynamic', '.shstrtab'],
      );
      assert.deepEqual(
        { ...image.sectionHeaders[3], sh_name: 0 },
        {
          name: '.dynamic',
          sh_name: 0,
          sh_type: 6,
          sh_flags: 3,
          sh_addr: elf.base + elf.at.dynamic,
          sh_offset: elf.at.dynamic,
          sh_size: 8 * 2 * (encoding.is64 ? 8 : 4),
          sh_link: 2,
          sh_info: 0,
          sh_addralign: encoding.is64 ? 8 : 4,
          sh_entsize: 0,
        },
      );
      assert.deepEqual(image.dynamic?.needed, ['libb.so.2', 'liba.so.1']);
      assert.equal(image.dynamic?.runpath, '/one:/two');
      assert.equal(image.dynamic?.rpath, '/three');
      assert.equal(image.dynamic?.soname, 'libself.so');
      assert.equal(image.sectionError, undefined);
      assert.equal(image.debugOnly, false);
      assert.equal(image.size, elf.bytes.length);
      assert.equal(image.path, 'the/file');
    });
  }

  test('the alignment and entry size of 64-bit section headers are read from their true places', () => {
    const elf = buildElf({ needed: ['a'] });
    elf.setWord(elf.shdr(1, 'sh_addralign'), 32);
    elf.setWord(elf.shdr(1, 'sh_entsize'), 24);
    elf.setU32(elf.shdr(1, 'sh_info'), 9);
    const section = read(elf.bytes).sectionHeaders[1];
    assert.deepEqual([section?.sh_addralign, section?.sh_entsize, section?.sh_info], [32, 24, 9]);
  });
});

describe('program headers are the truth', () => {
  const spec = { needed: ['liba.so'], runpath: '/x' };
  const isRead = (image: ElfImage) => {
    assert.deepEqual(image.dynamic?.needed, ['liba.so']);
    assert.deepEqual(image.sectionHeaders, []);
  };

  test('a file without section headers is read whole', () => {
    const image = read(buildElf({ ...spec, sections: false }).bytes);
    isRead(image);
    assert.equal(image.sectionError, undefined);
  });

  const broken: [string, RegExp, (elf: BuiltElf) => number][] = [
    [
      'e_shoff beyond the end of the file',
      /^section header table \(1 entries\) of 64 bytes reaches beyond the end/,
      elf => {
        elf.setWord(elf.ehdr('e_shoff'), elf.bytes.length);
        return elf.bytes.length;
      },
    ],
    [
      'a section header table that runs over the end',
      /^section header table \(200 entries\)/,
      elf => {
        elf.setU16(elf.ehdr('e_shnum'), 200);
        return elf.at.shoff;
      },
    ],
    [
      'an e_shentsize of another class',
      /^e_shentsize is 40, not 64$/,
      elf => {
        elf.setU16(elf.ehdr('e_shentsize'), 40);
        return 58;
      },
    ],
    [
      'an e_shstrndx that is no section',
      /^e_shstrndx is 77, which is no string table$/,
      elf => {
        elf.setU16(elf.ehdr('e_shstrndx'), 77);
        return elf.ehdr('e_shstrndx');
      },
    ],
    [
      'a section outside the file',
      /^section 2 of 99999 bytes reaches beyond the end/,
      elf => {
        elf.setWord(elf.shdr(2, 'sh_size'), 99_999);
        return elf.at.dynamic;
      },
    ],
    [
      'a section name outside the name table',
      /^the name of section 1 lies outside the string table$/,
      elf => {
        elf.setU32(elf.shdr(1, 'sh_name'), 5000);
        return elf.at.shstrtab + 5000;
      },
    ],
  ];
  for (const [what, message, breakIt] of broken) {
    test(`${what} makes a section error, and the dynamic section is read all the same`, () => {
      const elf = buildElf(spec);
      const offset = breakIt(elf);
      const image = read(elf.bytes);
      isRead(image);
      const { sectionError } = image;
      assert.ok(sectionError instanceof ElfnoteError);
      assert.equal(sectionError.code, 'malformed');
      assert.equal(sectionError.path, 'the/file');
      assert.equal(sectionError.offset, offset);
      assert.match(sectionError.message, message);
    });
  }

  test('a NOBITS section may reach beyond the end of the file', () => {
    const elf = buildElf(spec);
    elf.setU32(elf.shdr(1, 'sh_type'), 8);
    elf.setWord(elf.shdr(1, 'sh_size'), 2 ** 40);
    assert.equal(read(elf.bytes).sectionError, undefined);
  });

  test('a section table that ends the file inside its last entry is a section error', () => {
    const elf = buildElf(spec);
    const image = read(elf.bytes.subarray(0, elf.bytes.length - 1));
    isRead(image);
    assert.match(image.sectionError?.message ?? '', /section header table/);
  });

  test('a file without PT_DYNAMIC is static, whatever its sections say', () => {
    const elf = buildElf({ ...spec });
    elf.setU32(elf.phdr(3, 'p_type'), 0);
    const image = read(elf.bytes);
    assert.equal(image.dynamic, undefined);
    assert.equal(
      image.sectionHeaders.some(s => s.name === '.dynamic'),
      true,
    );
  });
});

describe('extended numbering', () => {
  for (const { name, ...encoding } of ENCODINGS) {
    test(`PN_XNUM, e_shnum 0 and SHN_XINDEX point to section 0 of an ${name} file`, () => {
      const spec = { ...encoding, needed: ['liba.so'], runpath: '/x' };
      const plain = read(buildElf(spec).bytes);
      const extended = read(buildElf({ ...spec, extended: true }).bytes);
      assert.equal(extended.sectionError, undefined);
      assert.deepEqual(extended.header, plain.header);
      assert.deepEqual(extended.programHeaders, plain.programHeaders);
      assert.deepEqual(
        extended.sectionHeaders.map(s => s.name),
        plain.sectionHeaders.map(s => s.name),
      );
    });
  }

  test('65,535 program headers and more, and 65,280 sections and more, are counted', () => {
    const elf = buildElf({ needed: ['liba.so'], runpath: '/x', nulls: 66_000, emptySections: 65_300 });
    assert.equal(elf.bytes.readUInt16LE(elf.ehdr('e_phnum')), 0xffff);
    assert.equal(elf.bytes.readUInt16LE(elf.ehdr('e_shnum')), 0);
    const image = read(elf.bytes);
    assert.equal(image.header.e_phnum, 66_004);
    assert.equal(image.programHeaders.length, 66_004);
    assert.equal(image.header.e_shnum, elf.shnum);
    assert.equal(image.sectionHeaders.length, elf.shnum);
    assert.equal(image.header.e_shstrndx, elf.shnum - 1);
    assert.equal(image.sectionHeaders.at(-1)?.name, '.shstrtab');
    assert.deepEqual(image.dynamic?.needed, ['liba.so']);
  });

  test('PN_XNUM without a section 0 is refused, not guessed', () => {
    const elf = buildElf({ needed: ['a'], sections: false });
    elf.setU16(elf.ehdr('e_phnum'), 0xffff);
    refuses(elf.bytes, 'malformed', /^program header table \(65535 entries\)/, elf.at.phoff);
  });

  test('a section count beyond the file is a section error, not a long wait', () => {
    const elf = buildElf({ needed: ['a'], extended: true });
    elf.setU16(elf.ehdr('e_phnum'), elf.phnum);
    elf.setWord(elf.shdr(0, 'sh_size'), 2 ** 52);
    const image = read(elf.bytes);
    assert.match(image.sectionError?.message ?? '', /^section header table \(4503599627370496 entries\)/);
    assert.deepEqual(image.dynamic?.needed, ['a']);
  });

  test('more section headers than any linked file has are a section error, and are not read', () => {
    const elf = buildElf({ needed: ['a'], extended: true });
    elf.setU16(elf.ehdr('e_phnum'), elf.phnum);
    elf.setWord(elf.shdr(0, 'sh_size'), 200_001);
    const size = elf.bytes.length + 200_001 * 64;
    const image = read(Buffer.concat([elf.bytes, Buffer.alloc(size - elf.bytes.length)]));
    assert.equal(image.sectionError?.message, 'has 200001 section headers, more than 200000');
    assert.deepEqual(image.dynamic?.needed, ['a']);
  });
});

describe('the ELF header is checked first', () => {
  const pokes: [string, number, number, RegExp][] = [
    ['an unknown class', 4, 3, /^EI_CLASS is 3$/],
    ['class 0', 4, 0, /^EI_CLASS is 0$/],
    ['an unknown byte order', 5, 3, /^EI_DATA is 3$/],
    ['another EI_VERSION', 6, 2, /^EI_VERSION is 2$/],
  ];
  for (const [what, at, value, message] of pokes) {
    test(`${what} is refused at its offset`, () => {
      const { bytes } = buildElf();
      bytes[at] = value;
      refuses(bytes, 'malformed', message, at);
    });
  }

  for (const { name, ...encoding } of ENCODINGS) {
    test(`a wrong e_ehsize or e_phentsize of an ${name} file is refused at its offset`, () => {
      const small = buildElf({ ...encoding, needed: ['a'] });
      const ehsize = small.ehdr('e_ehsize');
      small.setU16(ehsize, 20);
      refuses(small.bytes, 'malformed', /^e_ehsize is 20$/, ehsize);
      const entries = buildElf({ ...encoding, needed: ['a'] });
      const phentsize = entries.ehdr('e_phentsize');
      entries.setU16(phentsize, 17);
      refuses(entries.bytes, 'malformed', /^e_phentsize is 17, not (56|32)$/, phentsize);
    });
  }

  test('only the magic decides whether a file is ELF at all', () => {
    const { bytes } = buildElf();
    assert.equal(isElf(bytes), true);
    assert.equal(isElf(bytes.subarray(0, 3)), false);
    for (const at of [0, 1, 2, 3]) {
      const other = Buffer.from(bytes);
      other[at] = 0;
      assert.equal(isElf(other), false);
      refuses(other, 'not-elf', /^is not an ELF file$/, undefined);
    }
    refuses(Buffer.alloc(0), 'not-elf', /^is not an ELF file$/, undefined);
  });

  test('a file that ends inside e_ident or the ELF header is refused at its end', () => {
    const { bytes } = buildElf();
    for (const length of [4, 15]) {
      refuses(bytes.subarray(0, length), 'malformed', /^the file ends inside e_ident$/, length);
    }
    for (const length of [16, 63]) {
      refuses(bytes.subarray(0, length), 'malformed', /^the file ends inside the ELF header$/, length);
    }
    const small = buildElf({ is64: false });
    refuses(small.bytes.subarray(0, 51), 'malformed', /^the file ends inside the ELF header$/, 51);
  });

  test('the header of a candidate is read from its first bytes alone', () => {
    for (const { name: _, ...encoding } of ENCODINGS) {
      const { bytes } = buildElf({ ...encoding, e_machine: 0x4321, e_flags: 5, e_type: 2 });
      const head = bytes.subarray(0, encoding.is64 ? 64 : 52);
      const { header } = readElfHeader(new BufferSource(head));
      assert.deepEqual([header.e_machine, header.e_flags, header.e_type], [0x4321, 5, 2]);
    }
  });
});

describe('program headers are checked before they are believed', () => {
  const spec = { needed: ['a'], runpath: '/x' };

  test('a table beyond the end of the file is refused', () => {
    const elf = buildElf(spec);
    elf.setWord(elf.ehdr('e_phoff'), elf.bytes.length - 8);
    refuses(elf.bytes, 'malformed', /^program header table \(4 entries\)/, elf.bytes.length - 8);
  });

  test('a PT_LOAD beyond the end of the file is refused', () => {
    const elf = buildElf(spec);
    elf.setWord(elf.phdr(2, 'p_filesz'), 99_999);
    refuses(elf.bytes, 'malformed', /^PT_LOAD \(program header 2\) of 99999 bytes/, elf.at.dynamic);
  });

  test('a PT_LOAD larger in the file than in memory is refused', () => {
    const elf = buildElf(spec);
    elf.setWord(elf.phdr(2, 'p_memsz'), 1);
    refuses(
      elf.bytes,
      'malformed',
      /^PT_LOAD \(program header 2\) has p_memsz < p_filesz$/,
      elf.phdr(2, 'p_type'),
    );
  });

  for (const field of ['p_offset', 'p_vaddr', 'p_filesz', 'p_memsz', 'p_align'] as const) {
    test(`a ${field} above 2^53 is unsupported rather than rounded`, () => {
      const elf = buildElf(spec);
      elf.bytes.writeBigUInt64LE(2n ** 63n, elf.phdr(2, field));
      refuses(elf.bytes, 'unsupported', /^program header 2 has a value above 2\^53$/, elf.phdr(2, 'p_type'));
    });
  }

  test('PT_DYNAMIC must be mapped, and where its offset says', () => {
    const outside = buildElf(spec);
    outside.setWord(outside.phdr(3, 'p_vaddr'), 0x900000);
    refuses(outside.bytes, 'malformed', /^PT_DYNAMIC lies outside every PT_LOAD$/, outside.phdr(3, 'p_type'));
    const shifted = buildElf(spec);
    shifted.setWord(shifted.phdr(3, 'p_offset'), shifted.at.dynamic - 16);
    refuses(
      shifted.bytes,
      'malformed',
      /^PT_DYNAMIC has another offset than the PT_LOAD that holds its address$/,
      shifted.phdr(3, 'p_type'),
    );
    const beyond = buildElf(spec);
    beyond.setWord(beyond.phdr(3, 'p_filesz'), 99_999);
    refuses(beyond.bytes, 'malformed', /^PT_DYNAMIC of 99999 bytes/, beyond.at.dynamic);
  });

  test('a file without program headers is read', () => {
    const elf = buildElf(spec);
    elf.setU16(elf.ehdr('e_phnum'), 0);
    elf.setWord(elf.ehdr('e_phoff'), 0);
    const image = read(elf.bytes);
    assert.deepEqual(image.programHeaders, []);
    assert.equal(image.dynamic, undefined);
  });
});

describe('separate debug files', () => {
  test('a NOBITS .dynamic marks a debug file, whose program headers describe absent contents', () => {
    const elf = buildElf({ needed: ['a'], runpath: '/x' });
    elf.setU32(elf.shdr(2, 'sh_type'), 8);
    elf.setWord(elf.phdr(2, 'p_offset'), 2 ** 30);
    elf.setWord(elf.phdr(3, 'p_offset'), 2 ** 30);
    const image = read(elf.bytes);
    assert.equal(image.debugOnly, true);
    assert.equal(image.dynamic, undefined);
    assert.deepEqual(image.cacheNotes, []);
  });

  test('what objcopy --only-keep-debug leaves is a debug file', () => {
    const image = read(readFileSync(join(FIXTURES, 'kinds', 'debugonly')));
    assert.equal(image.debugOnly, true);
    assert.equal(image.dynamic, undefined);
  });
});

describe('addresses and offsets', () => {
  test('an address has an offset only where a PT_LOAD has it in the file', () => {
    const elf = buildElf({ needed: ['a'] });
    elf.setWord(elf.phdr(2, 'p_memsz'), 0x500);
    const { programHeaders } = read(elf.bytes);
    const { base, at } = elf;
    assert.equal(offsetOfAddress(programHeaders, base, 4), 0);
    assert.equal(offsetOfAddress(programHeaders, base + at.dynamic, 1), at.dynamic);
    assert.equal(offsetOfAddress(programHeaders, base + at.dynamic + 0x400, 1), undefined);
    assert.equal(offsetOfAddress(programHeaders, base - 1, 1), undefined);
    assert.equal(addressOfOffset(programHeaders, at.dynamic, 16), base + at.dynamic);
    assert.equal(addressOfOffset(programHeaders, at.dynamic - 1, 1), undefined);
    assert.equal(addressOfOffset(programHeaders, 0, 0x10000), undefined);
  });
});

describe('cost', () => {
  const directory = mkdtempSync(join(tmpdir(), 'elfnote-read-'));
  test.after(() => rmSync(directory, { recursive: true }));

  test('a file of 1 GiB costs a few dozen KiB of reads', () => {
    const path = join(directory, 'sparse');
    const elf = buildElf({ needed: ['liba.so'], runpath: '/x', soname: 'libsparse.so' });
    const size = 2 ** 30;
    const table = elf.bytes.subarray(elf.at.shoff);
    const shoff = size - table.length;
    elf.setWord(elf.ehdr('e_shoff'), shoff);
    // The second segment holds nearly all of it.
    const filesz = shoff - elf.at.dynamic;
    elf.setWord(elf.phdr(2, 'p_filesz'), filesz);
    elf.setWord(elf.phdr(2, 'p_memsz'), filesz);
    const fd = openSync(path, 'w');
    writeSync(fd, elf.bytes);
    ftruncateSync(fd, size);
    writeSync(fd, table, 0, table.length, shoff);
    closeSync(fd);
    const source = FileSource.open(path);
    try {
      const image = readImage(source);
      assert.equal(image.sectionError, undefined);
      assert.equal(image.dynamic?.soname, 'libsparse.so');
      assert.equal(image.size, size);
      assert.ok(source.bytesRead > 0 && source.bytesRead <= 48 * 1024, `${source.bytesRead} bytes`);
    } finally {
      source.close();
    }
  });
});

describe('fixtures', () => {
  const files = fixtureFiles();

  test('there are fixtures of both classes and both byte orders', () => {
    const kinds = new Set(files.map(({ bytes }) => `${bytes[4]}${bytes[5]}`));
    assert.deepEqual([...kinds].sort(), ['11', '12', '21', '22']);
    assert.ok(files.length >= 45, `${files.length} files`);
  });

  for (const { name, bytes } of files) {
    test(`elfy and a parser of the tests' own agree with the reader about ${name}`, () => {
      const image = read(bytes);
      const { header, encoding } = image;
      const { is64 } = encoding;
      const own = new Elf(bytes);
      assert.deepEqual(header, own.header);
      assert.deepEqual(
        image.programHeaders.map(p => [
          p.p_type,
          p.p_flags,
          ...[p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz, p.p_memsz, p.p_align],
        ]),
        own.phdrs.map(p => [p.type, p.flags, p.offset, p.vaddr, p.paddr, p.filesz, p.memsz, p.align]),
      );
      assert.deepEqual(
        image.sectionHeaders.map(s => [
          ...[s.name, s.sh_type, s.sh_flags, s.sh_addr, s.sh_offset, s.sh_size],
          ...[s.sh_link, s.sh_info, s.sh_addralign, s.sh_entsize],
        ]),
        own.shdrs.map(s => [
          ...[s.name, s.type, s.flags, s.addr, s.offset, s.size],
          ...[s.link, s.info, s.align, s.entsize],
        ]),
      );

      const parser = new elfy.Parser();
      const theirs = parser.parseHeader(bytes);
      assert.equal(theirs.class, is64 ? '64' : '32');
      assert.equal(theirs.endian, encoding.littleEndian ? 'lsb' : 'msb');
      assert.equal(theirs.type, elfy.constants.type[header.e_type]);
      assert.equal(theirs.machine, elfy.constants.machine[header.e_machine]);
      assert.deepEqual(
        [theirs.phoff, theirs.phnum, theirs.shoff, theirs.shnum, theirs.shstrndx, theirs.flags],
        [header.e_phoff, header.e_phnum, header.e_shoff, header.e_shnum, header.e_shstrndx, header.e_flags],
      );
      assert.deepEqual(
        image.programHeaders.map(p => elfy.constants.entryType[p.p_type]),
        parser.parsePrograms(bytes, theirs).map(p => p.type),
      );
      assert.equal(image.sectionError, undefined);
      assert.deepEqual(image.cacheNotes, []);
    });
  }
});
