import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BufferSource, Encoding } from '../../src/elf/bytes.js';
import type { CacheNoteLocation } from '../../src/elf/image.js';
import { endOfNotes } from '../../src/elf/notes.js';
import { readImage } from '../../src/elf/read.js';
import { type BuiltElf, buildElf } from '../support/elf-builder.js';
import { ENCODINGS, makeNote } from '../support/elf-file.js';

const TYPE = 0x63a86cb6;
const DESC = Buffer.from('liba.so\0=/x/liba.so\0\0', 'latin1');
const SECTION = '.note.nixos.ldcache';

const cacheNote = (options: { littleEndian?: boolean; align?: number } = {}) =>
  makeNote('NixOS', TYPE, DESC, options);
const buildId = (options: { littleEndian?: boolean; align?: number } = {}) =>
  makeNote('GNU', 3, Buffer.alloc(20, 9), options);
const property = () => makeNote('GNU', 5, Buffer.alloc(12, 1), { align: 8 });

function notesOf(elf: BuiltElf): readonly CacheNoteLocation[] {
  return readImage(new BufferSource(elf.bytes, 'the/file')).cacheNotes;
}

function at(elf: BuiltElf, note: number): number {
  const offset = elf.at.notes[note];
  assert.ok(offset !== undefined);
  return offset;
}

describe('where a cache note is found', () => {
  for (const { name, ...encoding } of ENCODINGS) {
    test(`in a PT_NOTE of its own, in an ${name} file`, () => {
      const elf = buildElf({
        ...encoding,
        notes: [{ bytes: buildId(encoding) }, { bytes: cacheNote(encoding), section: SECTION }],
      });
      const offset = at(elf, 1);
      assert.deepEqual(notesOf(elf), [
        {
          offset,
          descOffset: offset + 20,
          n_descsz: DESC.length,
          end: offset + 20 + 24,
          segment: 5,
          section: 2,
          address: elf.base + offset,
        },
      ]);
    });
  }

  test('behind other notes of the same PT_NOTE', () => {
    const before = [buildId(), makeNote('', 1, Buffer.alloc(0)), makeNote('GNU', 1, Buffer.alloc(16))];
    const elf = buildElf({ notes: [{ bytes: Buffer.concat([...before, cacheNote()]) }] });
    const offset = at(elf, 0) + Buffer.concat(before).length;
    assert.deepEqual(
      notesOf(elf).map(note => [note.offset, note.segment, note.section]),
      [[offset, 4, 1]],
    );
  });

  test('before other notes of the same PT_NOTE, where its end is its own', () => {
    const elf = buildElf({ notes: [{ bytes: Buffer.concat([cacheNote(), buildId()]) }] });
    assert.deepEqual(
      notesOf(elf).map(note => note.end),
      [at(elf, 0) + cacheNote().length],
    );
  });

  test('in an 8-aligned segment, with its descriptor at 24, where ld.so looks for it', () => {
    const note = cacheNote({ align: 8 });
    const elf = buildElf({ notes: [{ bytes: Buffer.concat([property(), note]), align: 8 }] });
    const offset = at(elf, 0) + property().length;
    assert.deepEqual(
      notesOf(elf).map(found => [found.offset, found.descOffset, found.end]),
      [[offset, offset + 24, offset + 24 + 24]],
    );
  });

  test('in a segment of any other alignment notes are padded to 4', () => {
    for (const align of [0, 1, 2, 16]) {
      const elf = buildElf({ notes: [{ bytes: Buffer.concat([buildId(), cacheNote()]) }] });
      elf.setWord(elf.phdr(4, 'p_align'), align);
      assert.deepEqual(
        notesOf(elf).map(note => note.descOffset),
        [at(elf, 0) + 36 + 20],
      );
    }
  });

  test('in a file without section headers', () => {
    const elf = buildElf({ sections: false, notes: [{ bytes: cacheNote() }] });
    assert.deepEqual(
      notesOf(elf).map(note => [note.segment, note.section]),
      [[4, undefined]],
    );
  });

  test('by its section, where no PT_NOTE covers it', () => {
    const elf = buildElf({ notes: [{ bytes: cacheNote(), section: SECTION, segment: false }] });
    assert.deepEqual(
      notesOf(elf).map(note => [note.offset, note.address, note.segment, note.section]),
      [[at(elf, 0), elf.base + at(elf, 0), undefined, 1]],
    );
  });

  test('not by the section’s name alone when the note in it is another', () => {
    const elf = buildElf({ notes: [{ bytes: buildId(), section: SECTION, segment: false }] });
    assert.deepEqual(notesOf(elf), []);
  });

  test('not in a section of another name', () => {
    const elf = buildElf({ notes: [{ bytes: cacheNote(), section: '.note.other', segment: false }] });
    assert.deepEqual(notesOf(elf), []);
  });

  test('once, when segment and section both cover it, or two segments do', () => {
    const both = buildElf({ notes: [{ bytes: cacheNote(), section: SECTION }] });
    assert.equal(notesOf(both).length, 1);
    const offset = at(both, 0);
    const twice = buildElf({
      notes: [{ bytes: cacheNote(), section: SECTION }],
      extra: [{ p_type: 4, p_offset: offset, p_filesz: 44, p_memsz: 44, p_align: 4 }],
    });
    // The extra entry shifts the note by the size of a program header.
    const shifted = at(twice, 0);
    twice.setWord(twice.phdr(5, 'p_offset'), shifted);
    assert.deepEqual(
      notesOf(twice).map(note => [note.offset, note.segment]),
      [[shifted, 4]],
    );
  });

  test('every one of several, in the order of the program headers', () => {
    const elf = buildElf({ notes: [{ bytes: cacheNote() }, { bytes: buildId() }, { bytes: cacheNote() }] });
    assert.deepEqual(
      notesOf(elf).map(note => note.segment),
      [4, 6],
    );
  });
});

describe('what is no cache note', () => {
  const others: [string, Buffer][] = [
    ['another type', makeNote('NixOS', TYPE + 1, DESC)],
    ['another owner of the same length', makeNote('NixOs', TYPE, DESC)],
    ['an owner that only starts the same', makeNote('NixOS2', TYPE, DESC)],
    ['a shorter owner', makeNote('NixO', TYPE, DESC)],
  ];
  for (const [what, bytes] of others) {
    test(`a note of ${what}`, () => {
      assert.deepEqual(notesOf(buildElf({ notes: [{ bytes }] })), []);
    });
  }

  test('a cache note in the other byte order', () => {
    assert.deepEqual(notesOf(buildElf({ notes: [{ bytes: cacheNote({ littleEndian: false }) }] })), []);
  });

  test('a cache note in a segment that is no PT_NOTE', () => {
    assert.deepEqual(notesOf(buildElf({ notes: [{ bytes: cacheNote(), segment: false }] })), []);
  });

  test('a PT_NOTE that leaves the file is passed over, as ld.so never reads it', () => {
    const elf = buildElf({ notes: [{ bytes: cacheNote() }] });
    elf.setWord(elf.phdr(4, 'p_filesz'), 2 ** 30);
    assert.deepEqual(notesOf(elf), []);
  });

  test('less than a note header', () => {
    assert.deepEqual(notesOf(buildElf({ notes: [{ bytes: Buffer.alloc(11) }] })), []);
    assert.deepEqual(notesOf(buildElf({ notes: [{ bytes: Buffer.alloc(0) }] })), []);
  });

  test('a foreign note whose sizes lead out of its segment ends the walk', () => {
    const foreign = buildId();
    foreign.writeUInt32LE(0xfffffff0, 4);
    assert.deepEqual(notesOf(buildElf({ notes: [{ bytes: Buffer.concat([foreign, cacheNote()]) }] })), []);
  });
});

describe('malformed cache notes', () => {
  test('a descriptor that leaves its segment is refused at its n_descsz', () => {
    const note = cacheNote();
    note.writeUInt32LE(DESC.length + 100, 4);
    const elf = buildElf({ notes: [{ bytes: Buffer.concat([buildId(), note]) }] });
    assert.throws(() => notesOf(elf), {
      code: 'malformed-note',
      path: 'the/file',
      offset: at(elf, 0) + buildId().length + 4,
      message: `the cache note's descriptor of ${DESC.length + 100} bytes reaches beyond its segment`,
    });
  });

  test('a descriptor may end its segment without padding', () => {
    const bytes = cacheNote().subarray(0, 20 + DESC.length);
    const elf = buildElf({ notes: [{ bytes }] });
    assert.deepEqual(
      notesOf(elf).map(note => note.end),
      [at(elf, 0) + bytes.length],
    );
  });
});

test('notes end where nothing but zeros follows, and a range of anything else has no end', () => {
  const note = makeNote('GNU', 3, Buffer.alloc(20, 0));
  const end = (behind: Buffer) => {
    const bytes = Buffer.concat([note, behind]);
    return endOfNotes(new BufferSource(bytes), new Encoding(true, true), 0, bytes.length);
  };
  assert.equal(end(Buffer.alloc(0)), note.length);
  assert.equal(end(note), 2 * note.length);
  for (const zeros of [12, 40, 200]) assert.equal(end(Buffer.alloc(zeros)), note.length, `${zeros}`);
  assert.equal(end(Buffer.alloc(40).fill(1, 30, 31)), undefined);
  assert.equal(endOfNotes(new BufferSource(Buffer.alloc(64)), new Encoding(true, true), 0, 64), undefined);
});
