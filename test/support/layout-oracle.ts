import assert from 'node:assert/strict';
import { Elf, INTERP, LOAD, NOTE } from './elf-reader.js';
import type { BuiltLayout, Claim } from './layout-builder.js';

/**
 * Judges an edited file against FL section 4 by its bytes and by what the builder knows of the original. It has
 * the tests' own parser and shares nothing with src/layout or src/write/verify.ts.
 */

const PHDR = 6;
const GNU_PROPERTY = 0x6474e553;
const TABLE_TAGS = new Set([4, 5, 6, 0x6ffffef5, 0x6ffffff0]);
const CACHE_SECTION = '.note.nixos.ldcache';

export interface Expected {
  /** The descriptor that the cache note must have; undefined for none. */
  readonly descriptor: Buffer | undefined;
  /** The largest page of the architecture. */
  readonly pageSize: number;
  readonly addedLoads: number;
  readonly hasSection: boolean;
}

/** Every rule of FL section 4, and that nothing else changed. */
export function judge(built: BuiltLayout, edited: Buffer, expected: Expected): void {
  const before = new Elf(built.bytes);
  const after = new Elf(edited);
  judgeEhdr(before, after);
  judgeLoads(before, after, expected);
  judgeTable(before, after);
  judgeOtherHeaders(before, after);
  judgeDynamic(built, before, after);
  judgePins(built, before, after);
  judgeNotes(before, after, expected);
  judgeSections(before, after, expected);
  judgeUntouched(built, before, after);
}

function judgeEhdr(before: Elf, after: Elf): void {
  const fixed = (elf: Elf) => {
    const head = Buffer.from(elf.slice(0, elf.is64 ? 64 : 52));
    const halves = 28 + 3 * elf.word;
    head.fill(0, 24 + 2 * elf.word, 24 + 3 * elf.word);
    head.fill(0, halves + 4, halves + 6);
    head.fill(0, halves + 8, halves + 10);
    return head;
  };
  assert.deepEqual(fixed(after), fixed(before), 'the ELF header changed beyond e_shoff, e_phnum and e_shnum');
}

function judgeLoads(before: Elf, after: Elf, expected: Expected): void {
  const old = before.loads;
  const now = after.loads;
  for (const [i, load] of now.entries()) {
    assert.ok((load.vaddr - load.offset) % Math.max(1, load.align) === 0, `PT_LOAD ${i} is not congruent`);
    assert.ok(
      load.offset + load.filesz <= after.bytes.length,
      `PT_LOAD ${i} reaches beyond the end of the file`,
    );
    const next = now[i + 1];
    if (next) assert.ok(load.vaddr + load.memsz <= next.vaddr, `PT_LOAD ${i} overlaps or descends`);
  }
  for (const [i, was] of old.entries()) {
    const is = now[i];
    assert.ok(is, 'a PT_LOAD vanished');
    const { filesz, memsz, ...rest } = is;
    const { filesz: oldFilesz, memsz: oldMemsz, ...oldRest } = was;
    assert.deepEqual(rest, oldRest, `PT_LOAD ${i} changed`);
    if (filesz === oldFilesz && memsz === oldMemsz) continue;
    assert.ok(filesz > oldFilesz && filesz === memsz, `PT_LOAD ${i} shrank`);
    assert.ok(oldFilesz === oldMemsz && (was.flags & 6) === 4, `PT_LOAD ${i} grew and is not read-only data`);
    const next = now[i + 1];
    if (next === undefined) continue;
    const largest = Math.max(...old.map(load => load.align));
    for (let page = largest; page >= 4096; page /= 2) {
      const apart = (end: number) => Math.ceil(end / page) <= Math.floor(next.vaddr / page);
      if (!apart(was.vaddr + was.memsz)) continue;
      assert.ok(
        apart(is.vaddr + is.memsz),
        `PT_LOAD ${i} grew into the next segment's page of ${page} bytes`,
      );
      break;
    }
  }
  const added = now.slice(old.length);
  assert.equal(added.length, expected.addedLoads, 'the number of new PT_LOAD entries');
  for (const load of added) {
    const top = Math.max(...old.map(p => p.vaddr + p.memsz));
    assert.equal(load.flags, 4);
    assert.equal(load.filesz, load.memsz);
    assert.equal(load.align, expected.pageSize, 'the new PT_LOAD has the wrong alignment');
    const page = Math.floor(load.vaddr / expected.pageSize);
    assert.ok(
      page >= Math.ceil(top / expected.pageSize),
      'the new PT_LOAD shares a page with the one before',
    );
    assert.ok(
      after.is64 || load.vaddr + load.memsz <= 2 ** 32,
      'the new PT_LOAD leaves the 32-bit address space',
    );
  }
}

function judgeTable(before: Elf, after: Elf): void {
  assert.equal(after.phoff, before.phoff, 'the table moved');
  const size = after.tableEnd - after.phoff;
  const first = after.loads[0];
  assert.ok(first);
  const address = after.phoff - first.offset + first.vaddr;
  assert.equal(
    after.offsetOf(address, size),
    after.phoff,
    'the table is not in memory where old kernels look',
  );
  const firstLoad = after.phdrs.findIndex(p => p.type === LOAD);
  for (const [i, p] of after.phdrs.entries()) {
    if (p.type === PHDR || p.type === INTERP)
      assert.ok(i < firstLoad, 'PT_PHDR or PT_INTERP behind a PT_LOAD');
    if (p.type === PHDR) {
      assert.deepEqual(
        { offset: p.offset, vaddr: p.vaddr, filesz: p.filesz, memsz: p.memsz },
        { offset: after.phoff, vaddr: address, filesz: size, memsz: size },
        'PT_PHDR is stale',
      );
    }
  }
}

/** Everything but `PT_LOAD`, `PT_PHDR`, `PT_NULL` and the cache note's own entry. */
function judgeOtherHeaders(before: Elf, after: Elf): void {
  const others = (elf: Elf) => elf.phdrs.filter(p => ![0, LOAD, NOTE, PHDR].includes(p.type));
  const now = others(after);
  for (const [i, was] of others(before).entries()) {
    const is = now[i];
    assert.ok(is, 'a program header vanished');
    if (was.type !== INTERP && was.type !== GNU_PROPERTY)
      assert.deepEqual(is, was, 'a program header changed');
    assert.equal(is.type, was.type);
    assert.equal(is.filesz, was.filesz);
    if (was.type !== INTERP && was.type !== GNU_PROPERTY) continue;
    assert.deepEqual(after.slice(is.offset, is.filesz), before.slice(was.offset, was.filesz));
    assert.equal(after.offsetOf(is.vaddr, is.memsz), is.offset, 'PT_INTERP or PT_GNU_PROPERTY is not loaded');
    assert.equal(is.vaddr % Math.max(1, is.align), was.vaddr % Math.max(1, was.align));
  }
  assert.equal(now.length, others(before).length, 'a program header was added');
}

function claimOf(built: BuiltLayout, tag: number): Claim | undefined {
  return built.claims.find(claim => claim.tag === tag);
}

function judgeDynamic(built: BuiltLayout, before: Elf, after: Elf): void {
  const now = after.dynamic();
  const old = before.dynamic();
  assert.deepEqual(
    now.map(entry => [entry.tag, entry.at]),
    old.map(entry => [entry.tag, entry.at]),
    'the dynamic section has other entries',
  );
  for (const [i, was] of old.entries()) {
    const value = now[i]?.value ?? 0;
    if (!TABLE_TAGS.has(was.tag)) {
      assert.equal(value, was.value, `dynamic entry 0x${was.tag.toString(16)} changed`);
      continue;
    }
    const claim = claimOf(built, was.tag);
    assert.ok(claim);
    const size = claim.end - claim.start;
    const offset = after.offsetOf(value, size);
    assert.ok(offset !== undefined, `dynamic entry 0x${was.tag.toString(16)} leads outside every PT_LOAD`);
    assert.ok(
      after.slice(offset, size).equals(built.bytes.subarray(claim.start, claim.end)),
      `dynamic entry 0x${was.tag.toString(16)} leads to something else`,
    );
  }
}

/** What somebody points into stands where it stood, in memory and in the file. */
function judgePins(built: BuiltLayout, before: Elf, after: Elf): void {
  for (const claim of built.claims) {
    const mayMove = claim.movable && !built.pinned.has(claim.name);
    if (mayMove || claim.address === undefined || claim.name === '.dynamic') continue;
    const size = claim.end - claim.start;
    assert.equal(
      after.offsetOf(claim.address, size),
      claim.start,
      `${claim.name} is not loaded in its place`,
    );
    assert.ok(
      after.slice(claim.start, size).equals(before.slice(claim.start, size)),
      `${claim.name} was overwritten`,
    );
  }
}

/** Every note that a loader finds: the kernel and ld.so know the properties by a program header of their own. */
function keysOf(elf: Elf): string[] {
  return [...elf.notes(), ...elf.notes(GNU_PROPERTY)].map(note => note.key);
}

function judgeNotes(before: Elf, after: Elf, { descriptor }: Expected): void {
  const now = after.notes();
  const keys = new Set(keysOf(after));
  for (const was of before.notes()) assert.ok(keys.has(was.key), 'a note was lost');
  const loaded = after.phdrs.filter(p => p.type === NOTE);
  for (const p of loaded) assert.equal(after.offsetOf(p.vaddr, p.memsz), p.offset, 'a PT_NOTE is not loaded');
  const cache = now.filter(note => note.cache);
  assert.equal(cache.length, descriptor === undefined ? 0 : 1, 'the number of cache notes');
  const [note] = cache;
  if (note === undefined || descriptor === undefined) return;
  assert.equal(note.phdr.align, 4);
  assert.equal(note.phdr.flags & 4, 4);
  assert.equal((note.phdr.vaddr + note.at - note.phdr.offset) % 4, 0, 'the cache note is not 4-aligned');
  assert.ok(after.slice(note.descAt, note.descsz).equals(descriptor), 'the cache note says something else');
  assert.equal(note.descAt - note.at, 20);
}

function judgeSections(before: Elf, after: Elf, { descriptor, hasSection }: Expected): void {
  if (before.shdrs.length === 0) {
    assert.equal(after.shdrs.length, 0);
    return;
  }
  const moved = new Map<number, number>();
  for (const [i, was] of before.shdrs.entries()) {
    const is = successorOf(before, after, i);
    assert.ok(is, `section ${was.name} vanished`);
    if (was.name === '.shstrtab') {
      const names = after.slice(is.offset, is.size);
      assert.ok(
        names.subarray(0, was.size).equals(before.slice(was.offset, was.size)),
        'section names changed',
      );
      continue;
    }
    const { addr, offset, ...rest } = is;
    const { addr: oldAddr, offset: oldOffset, ...oldRest } = was;
    assert.deepEqual(rest, oldRest, `the header of section ${was.name} changed`);
    moved.set(i, addr - oldAddr);
    if (was.type === 0 || was.type === 8) continue;
    if (was.name !== '.dynamic' && was.name !== '.symtab') {
      assert.ok(
        after.slice(offset, is.size).equals(before.slice(oldOffset, was.size)),
        `section ${was.name} reads differently`,
      );
    }
    assert.equal(addr % Math.max(1, is.align), 0, `section ${was.name} lost its alignment`);
    if ((was.flags & 2) !== 0)
      assert.equal(after.offsetOf(addr, is.size), offset, `${was.name} is not loaded`);
    else assert.equal(addr, oldAddr);
  }
  judgeSymbols(before, after, moved);
  const own = after.shdrs.filter(s => s.name === CACHE_SECTION && s.type === 7);
  if (!hasSection) return;
  assert.equal(own.length, descriptor === undefined ? 0 : 1, 'the number of cache note sections');
  const note = after.notes().find(({ cache }) => cache);
  const [section] = own;
  if (note === undefined || section === undefined) return;
  const address = note.phdr.vaddr + note.at - note.phdr.offset;
  const size = ownEnd(after, note.at + Math.ceil((20 + note.descsz) / 4) * 4) - note.at;
  assert.deepEqual(
    {
      offset: section.offset,
      addr: section.addr,
      size: section.size,
      flags: section.flags,
      align: section.align,
    },
    { offset: note.at, addr: address, size, flags: 2, align: 4 },
  );
}

/** Where the notes of elfnote's own end that follow one another from `at` on. */
function ownEnd(elf: Elf, at: number): number {
  const isOwn = elf.bytes.toString('latin1', at + 12, at + 20) === 'elfnote\0';
  return isOwn ? ownEnd(elf, at + Math.ceil((20 + elf.u32(at + 4)) / 4) * 4) : at;
}

/** A note's header may have moved behind the others, with its name; what it leaves is `SHT_NULL` and says where it was. */
function successorOf(before: Elf, after: Elf, index: number) {
  const was = before.shdrs[index];
  const is = after.shdrs[index];
  if (was?.type !== 7 || is?.type !== 0) return is;
  assert.deepEqual({ ...is, type: 7, name: was.name }, was, 'what a note left behind says something else');
  assert.equal(is.name, was.name.slice(1), 'two sections share a name');
  return after.shdrs.slice(before.shdrs.length).find(s => s.name === was.name);
}

function judgeSymbols(before: Elf, after: Elf, moved: ReadonlyMap<number, number>): void {
  const table = before.shdrs.find(s => s.type === 2);
  const now = after.shdrs.find(s => s.type === 2);
  if (table === undefined || now === undefined) return;
  const size = before.is64 ? 24 : 16;
  const value = before.is64 ? 8 : 4;
  for (let at = 0; at < table.size; at += size) {
    const shndx = before.u16(table.offset + at + (before.is64 ? 6 : 14));
    const distance = moved.get(shndx) ?? 0;
    const follower: { name: string } | undefined =
      after.shdrs[after.u16(now.offset + at + (before.is64 ? 6 : 14))];
    if (shndx < before.shdrs.length)
      assert.equal(follower?.name, before.shdrs[shndx]?.name, 'a symbol is of another section');
    assert.equal(
      after.uword(now.offset + at + value),
      before.uword(table.offset + at + value) + distance,
      `a symbol of section ${shndx} did not follow it`,
    );
  }
}

/** Byte for byte: what differs is a header, a pointer that follows, an old place given up, or was free. */
function judgeUntouched(built: BuiltLayout, before: Elf, after: Elf): void {
  const status = new Uint8Array(before.bytes.length);
  for (const claim of built.claims) {
    const gone = claim.movable && !built.pinned.has(claim.name);
    const follows = claim.name === '.dynamic' || claim.name === '.symtab' || claim.name === 'section headers';
    status.fill(gone ? 2 : follows ? 3 : 1, claim.start, claim.end);
  }
  const head = before.is64 ? 64 : 52;
  status.fill(3, 0, head);
  status.fill(3, before.phoff, before.tableEnd);
  // A released note gives its entries back as zero bytes.
  const grown = before.tableEnd + 2 * before.phentsize;
  for (let at = 0; at < before.bytes.length; at++) {
    const was = before.bytes[at];
    const is = after.bytes[at];
    if (was === is || status[at] === 3) continue;
    const where = `byte ${at} changed from ${was} to ${is}`;
    assert.notEqual(is, undefined, `the file was cut at byte ${at}`);
    if (status[at] === 1) assert.fail(`${where}, which belongs to something`);
    if (status[at] === 0) assert.equal(was, 0, `${where}, which is free but not zero`);
    if (status[at] === 2)
      assert.ok(is === 0 || at < grown, `${where}, the old place of something that moved`);
  }
}

/** Why a crash after some of the edits is harmless: everything the loader follows is as good as before. */
export function judgePrefix(built: BuiltLayout, partly: Buffer): void {
  const before = new Elf(built.bytes);
  const after = new Elf(partly);
  for (const was of before.dynamic()) {
    const claim = claimOf(built, was.tag);
    if (!TABLE_TAGS.has(was.tag) || claim === undefined) continue;
    const value = after.dynamic().find(entry => entry.tag === was.tag)?.value ?? 0;
    const size = claim.end - claim.start;
    const offset = after.offsetOfMapped(value, size);
    assert.ok(
      offset !== undefined && offset + size <= partly.length,
      `halfway, dynamic entry 0x${was.tag.toString(16)} leads to an address that is not mapped`,
    );
    assert.ok(
      after.slice(offset, size).equals(built.bytes.subarray(claim.start, claim.end)),
      `halfway, dynamic entry 0x${was.tag.toString(16)} leads to something else`,
    );
  }
  judgeTable(before, after);
  judgeOtherHeaders(before, after);
  const keys = new Set(keysOf(after));
  for (const was of before.notes()) assert.ok(keys.has(was.key), 'halfway, a note is lost');
  for (const p of after.phdrs.filter(({ type }) => type === NOTE)) {
    assert.equal(after.offsetOf(p.vaddr, p.memsz), p.offset, 'halfway, a PT_NOTE is not loaded');
  }
  judgePins(built, before, after);
}
