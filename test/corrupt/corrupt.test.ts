/**
 * Damaged files: one field poked at a time, cut off at every border, and bytes flipped at random. Whatever the
 * damage, `buildCache` either throws an `ElfnoteError` and leaves the file as it was, or ends with a file that
 * still says the same and whose note can be read. To repeat a failed run of the random part:
 * `CORRUPT_SEED=<seed> CORRUPT_RUNS=<runs> node --import tsx --test test/corrupt/corrupt.test.ts`.
 */
import assert from 'node:assert/strict';
import { readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BufferSource } from '../../src/elf/bytes.js';
import type { ElfImage } from '../../src/elf/image.js';
import { readImage } from '../../src/elf/read.js';
import { EHDR, PHDR, SHDR } from '../../src/elf/structs.js';
import { ElfnoteError } from '../../src/errors.js';
import { FileLoaderProbe } from '../../src/loader/file-probe.js';
import { readNote } from '../../src/note-report.js';
import { buildCache, removeCache } from '../../src/pipeline.js';
import { FileSystemProbe } from '../../src/resolve/fs-probe.js';
import { pokerFor } from '../support/elf-file.js';
import { EXTENT, type Part, share } from '../support/extent.js';
import { describeInQuick } from '../support/quick.js';
import { readInProportion } from '../support/reads.js';
import { memoryDir, suiteScope } from '../support/temp.js';

const FIXTURES = join(import.meta.dirname, '..', '..', 'fixtures');

const SUBJECT = join(memoryDir(suiteScope()), 'subject');
const OPTIONS = {
  // What the machine itself has is the same for every file.
  objects: new FileLoaderProbe(),
  probe: new FileSystemProbe(join(FIXTURES, 'root')),
  storeDirs: ['/nix/store'],
  // Asking a tool for extended attributes costs more than all the rest.
  attributes: { found: new Map<string, string[]>(), knowsAll: true },
} as const;

interface Fixture {
  readonly name: string;
  readonly bytes: Buffer;
  readonly image: ElfImage;
}

function fixture(name: string, bytes = readFileSync(join(FIXTURES, name))): Fixture {
  return { name, bytes, image: readImage(new BufferSource(bytes)) };
}

function withNote(original: Fixture): Fixture {
  writeFileSync(SUBJECT, original.bytes);
  age();
  assert.equal(buildCache(SUBJECT, OPTIONS).action, 'written');
  return fixture(`${original.name} with a note`, readFileSync(SUBJECT));
}

const MIPS = 'root/nix/store/xg2ilx8gzdfh2jrx83hgswi3zcyvkcc1-hello-mips/bin/hello';
const PLAIN = [fixture('kinds/pie-bfd'), fixture(MIPS), fixture('kinds/pie-lld')];
const ANNOTATED = [...PLAIN, fixture('kinds/libuse-mold.so')].map(withNote);

/** What came of a file: an error's code, `skipped REASON`, or another action; and its line. */
interface Outcome {
  readonly result: string;
  readonly message: string;
  readonly offset: number | undefined;
}

const ABOUT_THE_INPUT = new Set(['not-elf', 'malformed', 'malformed-note', 'unsupported', 'verify']);

const said = ({ dynamic, header }: ElfImage) => ({
  needed: dynamic?.needed,
  runpath: dynamic?.runpath,
  rpath: dynamic?.rpath,
  soname: dynamic?.soname,
  tags: dynamic?.entries.map(entry => entry.d_tag),
  e_type: header.e_type,
  e_machine: header.e_machine,
});

/** Runs `buildCache` on a copy and checks what holds for every input. */
function run(bytes: Buffer): Outcome {
  writeFileSync(SUBJECT, bytes);
  const outcome = attempt();
  // A note, the parts that move for it and a section table of these fixtures are a few KiB.
  const growth = statSync(SUBJECT).size - bytes.length;
  assert.ok(growth <= 2 ** 18, `the file of ${bytes.length} bytes grows by ${growth}`);
  const now = readFileSync(SUBJECT);
  if (outcome.result !== 'written') {
    assert.ok(now.equals(bytes), `the file changed although the outcome is ${outcome.result}`);
    return outcome;
  }
  assert.deepEqual(
    said(readImage(new BufferSource(now))),
    said(readImage(new BufferSource(bytes))),
    'the file says something else now',
  );
  const again = attempt();
  // A note that may not stay is taken out, and then there may be a reason not to write another.
  assert.match(again.result, /^(up-to-date|skipped .*)$/, `then ${again.message}`);
  assert.ok(readFileSync(SUBJECT).equals(now), 'a second run changes the file');
  return outcome;
}

/** The same for `removeCache`: an error or a skip and the same file, or a file that says the same without a note. */
function runRemoval(bytes: Buffer): Outcome {
  writeFileSync(SUBJECT, bytes);
  const outcome = attempt(() => removeCache(SUBJECT, OPTIONS));
  assert.ok(statSync(SUBJECT).size <= bytes.length, 'the file grew');
  const now = readFileSync(SUBJECT);
  if (outcome.result !== 'written') {
    assert.ok(now.equals(bytes), `the file changed although the outcome is ${outcome.result}`);
    return outcome;
  }
  const image = readImage(new BufferSource(now));
  assert.deepEqual(image.cacheNotes, [], 'a note is left');
  assert.deepEqual(said(image), said(readImage(new BufferSource(bytes))), 'the file says something else now');
  return outcome;
}

/** An old time stamp: elfnote waits before it works on a file that was written a moment ago. */
function age(): void {
  utimesSync(SUBJECT, 0, 0);
}

function attempt(action = () => buildCache(SUBJECT, OPTIONS)): Outcome {
  age();
  try {
    const outcome = action();
    if (outcome.action === 'skipped') {
      return { result: `skipped ${outcome.reason}`, message: outcome.detail, offset: undefined };
    }
    if (outcome.action === 'written') {
      const note = readNote(SUBJECT);
      const kept = outcome.plan.rung.note === 'removed' ? [] : (outcome.resolution?.entries ?? []);
      const entries = kept.map(({ soname, steps }) => ({ soname, steps }));
      entries.sort((a, b) => (a.soname < b.soname ? -1 : 1));
      assert.deepEqual(note?.entries ?? [], entries);
    }
    return { result: outcome.action, message: outcome.action, offset: undefined };
  } catch (error) {
    if (!(error instanceof ElfnoteError)) throw error;
    assert.ok(ABOUT_THE_INPUT.has(error.code), `${error.code}: ${error.line}`);
    assert.equal(error.path, SUBJECT);
    assert.match(error.message, /^[^\n]+$/);
    return { result: error.code, message: error.message, offset: error.offset };
  }
}

/** A copy with one field overwritten. */
function poked({ bytes, image }: Fixture, width: 1 | 2 | 4 | 'word', at: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  const { is64, littleEndian } = image.encoding;
  const put = pokerFor(copy, is64, littleEndian);
  if (width === 1) copy[at] = value;
  else if (width === 2) put.u16(at, value);
  else if (width === 4) put.u32(at, value);
  else put.word(at, value);
  return copy;
}

/** Where the fields of a file stand. */
function places({ image }: Fixture) {
  const { header, encoding, programHeaders, dynamic } = image;
  return {
    ehdr: (field: Parameters<typeof EHDR.at>[1]) => EHDR.at(encoding, field),
    segment: (p_type: number, n = 0) => {
      const indexes = programHeaders.flatMap((p, i) => (p.p_type === p_type ? [i] : []));
      const index = indexes[n];
      assert.ok(index !== undefined, `no program header ${n} of type ${p_type}`);
      return index;
    },
    phdr: (index: number, field: Parameters<typeof PHDR.at>[1] = 'p_type') =>
      header.e_phoff + index * header.e_phentsize + PHDR.at(encoding, field),
    shdr: (index: number, field: Parameters<typeof SHDR.at>[1]) =>
      header.e_shoff + index * header.e_shentsize + SHDR.at(encoding, field),
    /** File offset of the last dynamic entry of a tag. */
    dynamic: (d_tag: number) => {
      const entry = dynamic?.entries.findLast(({ d_tag: tag }) => tag === d_tag);
      assert.ok(entry !== undefined, `no dynamic entry ${d_tag}`);
      return entry.offset;
    },
  };
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const PT_PHDR = 6;
const BEYOND = 0x7fff0000;

type Row = readonly [
  what: string,
  width: 1 | 2 | 4 | 'word',
  at: number,
  value: number,
  result: string,
  message: RegExp,
  offset: number | undefined,
];

/** Each field with the check that it must hit. */
function rows(subject: Fixture): Row[] {
  const { ehdr, phdr, shdr, segment, dynamic } = places(subject);
  const { size, header, programHeaders, sectionHeaders, encoding } = subject.image;
  const w = encoding.wordSize;
  const [load, data, dyn] = [segment(PT_LOAD), segment(PT_LOAD, 1), segment(PT_DYNAMIC)];
  const dataOffset = programHeaders[data]?.p_offset;
  const dynamicOffset = programHeaders[dyn]?.p_offset;
  const needed = subject.image.dynamic?.entries.find(({ d_tag }) => d_tag === 1)?.offset;
  const section = sectionHeaders.findIndex(s => s.name === '.rodata');
  const sectionOffset = sectionHeaders[section]?.sh_offset;
  const symbols = sectionHeaders.findIndex(s => s.name === '.dynsym');
  const names = sectionHeaders[header.e_shstrndx]?.sh_offset ?? 0;
  const noTable = /^program header table \(\d+ entries\) of \d+ bytes reaches beyond/;
  const noSections = /^section header table \(\d+ entries\) of \d+ bytes reaches beyond/;
  const noString = /^string \d+ lies outside the dynamic string table \(\d+ bytes\)$/;
  return [
    ['EI_MAG0', 1, 0, 0x7e, 'not-elf', /^is not an ELF file$/, undefined],
    ['EI_MAG3', 1, 3, 0, 'not-elf', /^is not an ELF file$/, undefined],
    ['EI_CLASS 0', 1, 4, 0, 'malformed', /^EI_CLASS is 0$/, 4],
    ['EI_CLASS 3', 1, 4, 3, 'malformed', /^EI_CLASS is 3$/, 4],
    ['EI_DATA 0', 1, 5, 0, 'malformed', /^EI_DATA is 0$/, 5],
    ['EI_DATA 255', 1, 5, 255, 'malformed', /^EI_DATA is 255$/, 5],
    ['EI_VERSION 0', 1, 6, 0, 'malformed', /^EI_VERSION is 0$/, 6],
    ['another EI_OSABI', 1, 7, 9, 'written', /./, undefined],
    ['e_type ET_NONE', 2, ehdr('e_type'), 0, 'skipped unsupported-layout', /^has e_type 0$/, undefined],
    ['e_type ET_REL', 2, ehdr('e_type'), 1, 'skipped relocatable', /ET_REL/, undefined],
    ['e_type ET_CORE', 2, ehdr('e_type'), 4, 'skipped core', /ET_CORE/, undefined],
    ['another e_machine', 2, ehdr('e_machine'), 0xfff0, 'skipped nothing-to-record', /./, undefined],
    ['e_ehsize 0', 2, ehdr('e_ehsize'), 0, 'malformed', /^e_ehsize is 0$/, ehdr('e_ehsize')],
    ['e_phoff 0', 'word', ehdr('e_phoff'), 0, 'skipped static', /./, undefined],
    ['e_phoff at the end', 'word', ehdr('e_phoff'), size, 'malformed', noTable, size],
    ['e_phoff beyond the end', 'word', ehdr('e_phoff'), BEYOND, 'malformed', noTable, BEYOND],
    ['e_phentsize 0', 2, ehdr('e_phentsize'), 0, 'malformed', /^e_phentsize is 0, not/, ehdr('e_phentsize')],
    ['e_phentsize 64', 2, ehdr('e_phentsize'), 64, 'malformed', /^e_phentsize is 64/, ehdr('e_phentsize')],
    ['e_phnum 0', 2, ehdr('e_phnum'), 0, 'skipped static', /./, undefined],
    ['e_phnum beyond the file', 2, ehdr('e_phnum'), 0xfffe, 'malformed', noTable, header.e_phoff],
    ['e_shoff at the end', 'word', ehdr('e_shoff'), size, 'malformed', noSections, size],
    ['e_shoff beyond the end', 'word', ehdr('e_shoff'), BEYOND, 'malformed', noSections, BEYOND],
    ['e_shentsize 0', 2, ehdr('e_shentsize'), 0, 'malformed', /^e_shentsize is 0, not/, ehdr('e_shentsize')],
    ['e_shentsize 56', 2, ehdr('e_shentsize'), 56, 'malformed', /^e_shentsize is 56/, ehdr('e_shentsize')],
    ['e_shnum beyond the file', 2, ehdr('e_shnum'), 0xfe00, 'malformed', noSections, header.e_shoff],
    [
      'e_shnum without the names',
      2,
      ehdr('e_shnum'),
      3,
      'malformed',
      /^e_shstrndx is \d+, which is no string table$/,
      ehdr('e_shstrndx'),
    ],
    [
      'e_shstrndx of no section',
      2,
      ehdr('e_shstrndx'),
      999,
      'malformed',
      /^e_shstrndx is 999, which is no string table$/,
      ehdr('e_shstrndx'),
    ],
    // Without names there is no section header for the note, so no other note shares its segment, which MIPS needs.
    ['e_shstrndx 0', 2, ehdr('e_shstrndx'), 0, encoding.is64 ? 'written' : 'skipped no-room', /./, undefined],
    [
      'PT_LOAD p_offset beyond the end',
      'word',
      phdr(data, 'p_offset'),
      BEYOND,
      'malformed',
      new RegExp(`^PT_LOAD \\(program header ${data}\\) of \\d+ bytes reaches beyond`),
      BEYOND,
    ],
    [
      'PT_LOAD p_filesz beyond the end',
      'word',
      phdr(data, 'p_filesz'),
      BEYOND,
      'malformed',
      new RegExp(`^PT_LOAD \\(program header ${data}\\) of ${BEYOND} bytes reaches beyond`),
      dataOffset,
    ],
    [
      'PT_LOAD p_memsz below p_filesz',
      'word',
      phdr(data, 'p_memsz'),
      1,
      'malformed',
      new RegExp(`^PT_LOAD \\(program header ${data}\\) has p_memsz < p_filesz$`),
      phdr(data),
    ],
    [
      'PT_LOAD p_offset not congruent',
      'word',
      // In 64-bit files not that of the strings, which would then name other libraries.
      phdr(encoding.is64 ? data : load, 'p_offset'),
      encoding.is64 ? (dataOffset ?? 0) + 1 : 1,
      encoding.is64 ? 'skipped unsupported-layout' : 'malformed',
      encoding.is64 ? /not congruent to its address$/ : /^PT_DYNAMIC has another offset/,
      encoding.is64 ? undefined : phdr(dyn),
    ],
    [
      'PT_LOAD p_vaddr beyond the next segment',
      'word',
      phdr(data, 'p_vaddr'),
      0,
      'skipped unsupported-layout',
      /overlap or are not in ascending order$/,
      undefined,
    ],
    [
      'PT_LOAD p_memsz over the next segment',
      'word',
      phdr(load, 'p_memsz'),
      0x100000,
      'skipped unsupported-layout',
      /overlap or are not in ascending order$/,
      undefined,
    ],
    [
      'PT_DYNAMIC p_offset beyond the end',
      'word',
      phdr(dyn, 'p_offset'),
      BEYOND,
      'malformed',
      /^PT_DYNAMIC of \d+ bytes reaches beyond/,
      BEYOND,
    ],
    [
      'PT_DYNAMIC p_offset elsewhere',
      'word',
      phdr(dyn, 'p_offset'),
      64,
      'malformed',
      /^PT_DYNAMIC has another offset/,
      phdr(dyn),
    ],
    [
      'PT_DYNAMIC p_vaddr outside',
      'word',
      phdr(dyn, 'p_vaddr'),
      BEYOND,
      'malformed',
      /^PT_DYNAMIC lies outside every PT_LOAD$/,
      phdr(dyn),
    ],
    [
      'PT_DYNAMIC p_filesz beyond the end',
      'word',
      phdr(dyn, 'p_filesz'),
      BEYOND,
      'malformed',
      new RegExp(`^PT_DYNAMIC of ${BEYOND} bytes reaches beyond`),
      dynamicOffset,
    ],
    ['PT_DYNAMIC p_memsz', 'word', phdr(dyn, 'p_memsz'), 0, 'written', /./, undefined],
    [
      'PT_INTERP p_offset beyond the end',
      'word',
      phdr(segment(PT_INTERP), 'p_offset'),
      BEYOND,
      'malformed',
      /^PT_INTERP /,
      BEYOND,
    ],
    [
      'DT_STRTAB outside',
      'word',
      dynamic(5) + w,
      BEYOND,
      'malformed',
      /^the dynamic string table lies outside every PT_LOAD$/,
      needed,
    ],
    ['DT_STRSZ 0', 'word', dynamic(10) + w, 0, 'malformed', noString, needed],
    [
      'no DT_STRTAB',
      'word',
      dynamic(5),
      0x6ffffef0,
      'malformed',
      /^the dynamic section names a string but has no DT_STRTAB$/,
      needed,
    ],
    ['DT_NEEDED outside', 'word', dynamic(1) + w, BEYOND, 'malformed', noString, dynamic(1)],
    ['DT_RUNPATH outside', 'word', dynamic(29) + w, BEYOND, 'malformed', noString, dynamic(29)],
    ['DT_RUNPATH 0', 'word', dynamic(29) + w, 0, 'skipped no-run-path', /./, undefined],
    [
      'sh_offset beyond the end',
      'word',
      shdr(section, 'sh_offset'),
      BEYOND,
      'malformed',
      new RegExp(`^section ${section} of \\d+ bytes reaches beyond`),
      BEYOND,
    ],
    [
      'sh_offset 0 of symbols',
      'word',
      shdr(symbols, 'sh_offset'),
      0,
      'malformed',
      new RegExp(`^section ${symbols} lies over the ELF header$`),
      0,
    ],
    [
      'sh_size beyond the end',
      'word',
      shdr(section, 'sh_size'),
      BEYOND,
      'malformed',
      new RegExp(`^section ${section} of ${BEYOND} bytes reaches beyond`),
      sectionOffset,
    ],
    [
      'sh_name outside the names',
      4,
      shdr(section, 'sh_name'),
      BEYOND,
      'malformed',
      new RegExp(`^the name of section ${section} lies outside the string table$`),
      names + BEYOND,
    ],
    [
      'section names of SHT_NULL',
      4,
      shdr(header.e_shstrndx, 'sh_type'),
      0,
      'malformed',
      /^e_shstrndx is \d+, which is no string table$/,
      ehdr('e_shstrndx'),
    ],
  ];
}

for (const subject of PLAIN) {
  describeInQuick(`one poked field of ${subject.name}`, {}, () => {
    test('without damage the file gets its note', () => {
      assert.equal(run(subject.bytes).result, 'written');
    });

    for (const [what, width, at, value, result, message, offset] of rows(subject)) {
      test(`${what}: ${result}`, () => {
        const outcome = run(poked(subject, width, at, value));
        assert.equal(outcome.result, result, outcome.message);
        assert.match(outcome.message, message);
        assert.equal(outcome.offset, offset);
      });
    }

    if (subject.image.encoding.is64) {
      test('a 64-bit field above 2^53 is named, never rounded', () => {
        const { phdr, segment } = places(subject);
        for (const field of ['p_offset', 'p_vaddr', 'p_filesz', 'p_memsz', 'p_align'] as const) {
          for (const index of [segment(PT_LOAD), segment(PT_DYNAMIC), segment(PT_PHDR)]) {
            const outcome = run(poked(subject, 'word', phdr(index, field), 2 ** 63));
            assert.equal(outcome.result, 'unsupported');
            assert.equal(outcome.message, `program header ${index} has a value above 2^53`);
            assert.equal(outcome.offset, phdr(index));
          }
        }
      });
    }

    test('a PT_PHDR that lies is never built upon', () => {
      const { phdr, segment } = places(subject);
      const index = segment(PT_PHDR);
      for (const field of ['p_offset', 'p_vaddr'] as const) {
        for (const value of [0, 1, 4096, subject.image.size, BEYOND]) {
          const { result } = run(poked(subject, 'word', phdr(index, field), value));
          assert.notEqual(result, 'written', `${field} ${value}`);
        }
      }
    });
  });
}

describeInQuick('removal without damage', {}, () => {
  for (const [i, subject] of ANNOTATED.entries()) {
    test(`${subject.name}: the file as it was`, () => {
      assert.equal(runRemoval(subject.bytes).result, 'written');
      assert.ok(readFileSync(SUBJECT).equals((PLAIN[i] ?? fixture('kinds/libuse-mold.so')).bytes));
    });
  }
});

/** Values that are wrong in one way or another for any field. */
const wrongValues = (is: number, size: number, is64: boolean) =>
  [0, 1, is + 1, is * 2, size, BEYOND, is64 ? 2 ** 63 : 0xffffffff].filter(value => is64 || value < 2 ** 32);

for (const [number, subject] of [
  ...PLAIN,
  ...ANNOTATED.filter(({ name }) => !name.includes('lld')),
].entries()) {
  describe(`every field of ${subject.name}, wrong in every way`, () => {
    const { header, encoding, programHeaders, sectionHeaders, dynamic, size } = subject.image;
    const { phdr, shdr } = places(subject);
    let turn = 3 * number;
    const sweep = (part: Part, width: 4 | 'word', at: number, is: number, what: string) => {
      const values = wrongValues(is, size, encoding.is64 && width === 'word');
      for (const value of share(values, part, turn++)) {
        try {
          const bytes = poked(subject, width, at, value);
          run(bytes);
          if (subject.image.cacheNotes.length > 0) runRemoval(bytes);
        } catch (error) {
          throw new Error(`${what} at ${at}: ${is} made ${value}: ${error}`, { cause: error });
        }
      }
    };

    for (const [i, p] of programHeaders.entries()) {
      test(`program header ${i} (type 0x${p.p_type.toString(16)}): an error or a sound file`, () => {
        for (const field of ['p_offset', 'p_vaddr', 'p_filesz', 'p_memsz', 'p_align'] as const) {
          sweep(EXTENT.wrongValues, 'word', phdr(i, field), p[field], field);
        }
        for (const field of ['p_type', 'p_flags'] as const)
          sweep(EXTENT.wrongValues, 4, phdr(i, field), p[field], field);
      });
    }

    test('each dynamic entry: an error or a sound file', () => {
      for (const { d_tag, d_val, offset } of dynamic?.entries ?? []) {
        sweep(
          EXTENT.wrongValues,
          'word',
          offset + encoding.wordSize,
          d_val,
          `d_val of 0x${d_tag.toString(16)}`,
        );
        sweep(EXTENT.wrongValues, 'word', offset, d_tag, 'd_tag');
      }
    });

    test('each section header: an error or a sound file', () => {
      for (const [i, s] of sectionHeaders.entries()) {
        for (const field of ['sh_offset', 'sh_size', 'sh_addr', 'sh_addralign'] as const) {
          sweep(EXTENT.wrongInSections, 'word', shdr(i, field), s[field], `${field} of ${s.name}`);
        }
        for (const field of ['sh_name', 'sh_type', 'sh_link', 'sh_info'] as const) {
          sweep(EXTENT.wrongInSections, 4, shdr(i, field), s[field], `${field} of ${s.name}`);
        }
      }
    });

    test('each byte of the ELF header: an error or a sound file', () => {
      for (let at = 0; at < header.e_ehsize; at++) {
        for (const value of share([0, 1, 0x7f, 0xff], EXTENT.wrongValues, at)) {
          run(poked(subject, 1, at, value));
        }
      }
    });

    test('cut off at any border: an error, and no write', () => {
      const { e_phoff, e_phentsize, e_shoff, e_shentsize } = header;
      const borders = [
        0,
        4,
        16,
        header.e_ehsize,
        e_phoff,
        ...programHeaders.map((_, i) => e_phoff + (i + 1) * e_phentsize),
        ...programHeaders.flatMap(p => [p.p_offset, p.p_offset + p.p_filesz]),
        ...sectionHeaders.flatMap(s => [s.sh_offset, s.sh_offset + (s.sh_type === 8 ? 0 : s.sh_size)]),
        ...sectionHeaders.map((_, i) => e_shoff + (i + 1) * e_shentsize),
        ...(dynamic?.entries.map(entry => entry.offset) ?? []),
        ...subject.image.cacheNotes.flatMap(note => [note.offset, note.descOffset, note.end]),
        size,
      ];
      const near = [...new Set(borders.flatMap(border => [border - 1, border, border + 1]))];
      const lengths = share(near, EXTENT.wrongValues);
      for (const length of lengths.filter(n => n >= 0 && n < size)) {
        const { result } = run(subject.bytes.subarray(0, length));
        assert.match(result, /^(not-elf|malformed|malformed-note)$/, `cut off at ${length}`);
      }
    });
  });
}

/** mulberry32: the same numbers for the same seed, on every machine. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return below => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Ranges worth hitting: hardly anything in a file but its headers is ever looked at. */
function targets({ image, bytes }: Fixture): [start: number, end: number][] {
  const { header, programHeaders, sectionHeaders, dynamic, cacheNotes, encoding } = image;
  const table = (at: number, count: number, size: number): [number, number] => [at, at + count * size];
  const sections = [...sectionHeaders].filter(s => [3, 5, 7, 11, 0x6ffffff6].includes(s.sh_type));
  return [
    [0, header.e_ehsize],
    table(header.e_phoff, programHeaders.length, header.e_phentsize),
    table(header.e_shoff, sectionHeaders.length, header.e_shentsize),
    table(dynamic?.entries[0]?.offset ?? 0, dynamic?.entries.length ?? 1, 2 * encoding.wordSize),
    ...sections.map((s): [number, number] => [s.sh_offset, s.sh_offset + s.sh_size]),
    ...cacheNotes.map((note): [number, number] => [note.offset, note.end]),
    [0, bytes.length],
  ];
}

const SEED = Number(process.env.CORRUPT_SEED ?? 20240607);
const RUNS = Number(process.env.CORRUPT_RUNS ?? EXTENT.flippedFiles);

describe('bytes flipped at random', () => {
  for (const subject of [...PLAIN, ...ANNOTATED]) {
    test(`${subject.name}: an error or a sound file, which is not read over and over`, () => {
      const next = random(SEED);
      const ranges = targets(subject);
      const results = new Set<string>();
      for (let i = 0; i < RUNS; i++) {
        const bytes = Buffer.from(subject.bytes);
        const flips = Array.from({ length: 1 + next(4) }, () => {
          const [start, end] = ranges[next(ranges.length)] ?? [0, bytes.length];
          const at = start + next(Math.max(1, end - start));
          // Whole bytes of 0 and 255 and single bits: the mistakes that matter.
          const value = [0, 0xff, (bytes[at] ?? 0) ^ (1 << next(8)), next(256)][next(4)] ?? 0;
          bytes[at] = value;
          return `${at}=${value}`;
        });
        const repeat = `CORRUPT_SEED=${SEED} CORRUPT_RUNS=${i + 1}, run ${i} (${flips.join(' ')})`;
        try {
          readInProportion(bytes.length, () => {
            results.add(run(bytes).result);
            if (subject.image.cacheNotes.length > 0) runRemoval(bytes);
          });
        } catch (error) {
          throw new Error(`${repeat}: ${error}`, { cause: error });
        }
      }
      // Flips that never hit anything would prove nothing.
      if (RUNS >= 50) assert.ok(results.has('written') || results.has('up-to-date'));
      if (RUNS >= 50) assert.ok(results.has('malformed'));
    });
  }
});
