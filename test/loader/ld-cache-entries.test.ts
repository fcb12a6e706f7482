import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Encoding } from '../../src/elf/bytes.js';
import { architectureOf } from '../../src/loader/architectures.js';
import { processorNamed } from '../../src/loader/hwcaps.js';
import { LdCache } from '../../src/loader/ld-cache.js';
import { buildLdCache, type CacheLine } from '../support/ld-cache-builder.js';
import { factsOf } from '../support/loader-world.js';

const X86_64 = architectureOf(factsOf({}).image);
const I386 = architectureOf(factsOf({ is64: false, e_machine: 3 }).image);
const NAME = 'liba.so';

function read(bytes: Buffer, hwcaps = 'none', architecture = X86_64): LdCache | undefined {
  const encoding = new Encoding(architecture.is64, true);
  return LdCache.read(bytes, encoding, architecture, processorNamed(hwcaps, architecture));
}

const line = (path: string, more: Partial<CacheLine> = {}): CacheLine => ({ name: NAME, path, ...more });
const find = (lines: readonly CacheLine[], hwcaps?: string, architecture = X86_64) =>
  read(buildLdCache(lines), hwcaps, architecture)?.find(NAME);
const findPlain = (...lines: readonly CacheLine[]) => read(buildLdCache(lines))?.findPlain(NAME);

/** `FLAG_*` of glibc's ldconfig.h, each with `FLAG_ELF_LIBC6`. */
const MARKED = [
  ['x86_64', { e_machine: 62 }, 0x303],
  ['i386', { is64: false, e_machine: 3 }, 0x3],
  ['aarch64', { e_machine: 183 }, 0xa03],
  ['arm', { is64: false, e_machine: 40 }, 0x903],
  ['riscv64', { e_machine: 243 }, 0x1003],
  ['loongarch64', { e_machine: 258 }, 0x1203],
  ['powerpc64le', { e_machine: 21 }, 0x503],
  ['s390x', { littleEndian: false, e_machine: 22 }, 0x403],
] as const;

describe('of several entries of one name in ld.so.cache', () => {
  test('the first of the best level of the processor counts, wherever it is', () => {
    const [v2, v3] = [line('/v2', { level: 'x86-64-v2' }), line('/v3', { level: 'x86-64-v3' })];
    for (const lines of [
      [v2, v3],
      [v3, v2],
    ]) {
      assert.equal(find([...lines, line('/plain')], 'x86-64-v4'), '/v3');
      assert.equal(find([...lines, line('/plain')], 'x86-64-v2'), '/v2');
      assert.equal(find([...lines, line('/plain')]), '/plain');
      assert.equal(find(lines), undefined);
    }
    assert.equal(find([v2, line('/other', { level: 'x86-64-v2' })], 'x86-64-v2'), '/v2');
    assert.equal(find([v2, v3], 'x86-64-v3'), '/v3');
  });

  test('one that asks for a capability or a platform of the older kind counts for nobody', () => {
    for (const hwcap of [1n, 1n << 32n, 1n << 63n]) {
      assert.equal(find([line('/old', { hwcap }), line('/plain')]), '/plain', `${hwcap}`);
      assert.equal(find([line('/old', { hwcap })]), undefined);
    }
  });

  test('only those for libraries of the machine count, the usual kind before another', () => {
    assert.equal(find([line('/other', { flags: 0x3 }), line('/plain')]), '/plain');
    assert.equal(find([line('/other', { flags: 0x803 })]), undefined);
    const [libc5, libc6] = [line('/libc5', { flags: 0x1 }), line('/libc6', { flags: 0x3 })];
    assert.equal(find([libc5, libc6], 'none', I386), '/libc6');
    assert.equal(find([libc6, libc5, line('/last', { flags: 0x3 })], 'none', I386), '/libc6');
    assert.equal(find([libc5], 'none', I386), '/libc5');
    assert.equal(find([libc5, line('/last', { flags: 0x1 })], 'none', I386), '/last');
  });

  test('each machine takes those that its ldconfig marks', () => {
    for (const [machine, spec, flags] of MARKED) {
      const architecture = architectureOf(factsOf(spec).image);
      const others = MARKED.filter(other => other[2] !== flags).map(([name, , flags]) =>
        line(name, { flags }),
      );
      assert.equal(architecture.name, machine);
      assert.equal(find([...others, line('/own', { flags })], 'none', architecture), '/own', machine);
    }
  });

  test('a machine that is not known takes those without a mark of a machine', () => {
    const unknown = architectureOf(factsOf({ e_machine: 9999 }).image);
    assert.equal(
      find([line('/other', { flags: 0x303 }), line('/own', { flags: 0x3 })], 'none', unknown),
      '/own',
    );
  });

  test('whatever the processor, a path is told where no entry is for some processors alone', () => {
    assert.equal(findPlain(line('/plain')), '/plain');
    assert.equal(findPlain(line('/plain'), line('/v2', { level: 'x86-64-v2' })), 'depends');
    assert.equal(findPlain(line('/plain'), line('/old', { hwcap: 1n })), 'depends');
    assert.equal(findPlain(line('/plain'), line('/old', { hwcap: 1n, flags: 0x3 })), '/plain');
    assert.equal(findPlain(line('/plain', { name: 'libb.so' })), undefined);
  });
});

describe('what in ld.so.cache leads out of it', () => {
  const lines = [line('/v2', { level: 'x86-64-v2' }), line('/plain')];

  /** Of the file with another word at an offset. */
  const changed = (at: number, value: number) => {
    const bytes = buildLdCache(lines);
    bytes.writeUInt32LE(value, at);
    return bytes;
  };
  const size = buildLdCache(lines).length;

  test('an entry is passed over', () => {
    for (const field of [4, 8]) assert.equal(read(changed(72 + field, size))?.find(NAME), undefined);
    const two = buildLdCache([line('/gone'), line('/plain')]);
    two.writeUInt32LE(1 << 20, 48 + 8);
    assert.equal(read(two)?.find(NAME), '/plain', 'another of its name counts');
    const bytes = buildLdCache([line('/plain')]);
    const end = bytes.lastIndexOf('/plain') + '/plain'.length;
    assert.equal(read(bytes.subarray(0, end))?.find(NAME), undefined, 'no NUL ends it');
    assert.equal(read(bytes.subarray(0, end + 1))?.find(NAME), '/plain');
  });

  test('the names of levels are none, and their entries are no processor’s', () => {
    const extension = buildLdCache(lines).readUInt32LE(32);
    for (const [at, value] of [
      [32, 0],
      [32, extension + 1],
      [32, Math.ceil(size / 4) * 4],
      [extension, 7],
      [extension + 4, 0],
      [extension + 8, 2],
      [extension + 16, size],
      [extension + 20, 8],
    ] as const)
      assert.equal(read(changed(at, value), 'x86-64-v2')?.find(NAME), '/plain', `${at} ${value}`);
    assert.equal(read(buildLdCache(lines), 'x86-64-v2')?.find(NAME), '/v2');
    assert.equal(read(buildLdCache(lines).subarray(0, extension + 20), 'x86-64-v2')?.find(NAME), '/plain');
    const moved = changed(32, extension + 1);
    moved.writeUInt32LE(extension + 25, extension + 16);
    const shifted = Buffer.concat([moved.subarray(0, extension), Buffer.alloc(1), moved.subarray(extension)]);
    assert.equal(read(shifted, 'x86-64-v2')?.find(NAME), '/plain', 'not aligned to 4');
  });

  test('the count of entries makes it no cache', () => {
    const bytes = buildLdCache([line('/plain')]);
    const most = Math.floor((bytes.length - 48) / 24);
    bytes.writeUInt32LE(most + 1, 20);
    assert.equal(read(bytes), undefined);
    bytes.writeUInt32LE(1, 20);
    assert.equal(read(bytes)?.find(NAME), '/plain');
  });
});

describe('the older format of ld.so.cache', () => {
  /** One entry, and what is behind it. */
  function old(behind: Buffer, flags = 0x303): Buffer {
    const head = Buffer.alloc(16 + 12);
    head.write('ld.so-1.7.0');
    head.writeUInt32LE(1, 12);
    head.writeUInt32LE(flags, 16);
    head.writeUInt32LE(0, 20);
    head.writeUInt32LE(NAME.length + 1, 24);
    return Buffer.concat([head, behind]);
  }
  const strings = Buffer.from(`${NAME}\0/old\0`);

  test('has its strings behind its entries', () => {
    assert.equal(read(old(strings))?.find(NAME), '/old');
    assert.equal(read(old(strings, 0x3))?.find(NAME), undefined);
    assert.equal(read(old(strings).subarray(0, 27)), undefined);
  });

  test('with the new one behind it, aligned to 8, only that counts', () => {
    const both = old(Buffer.concat([Buffer.alloc(4), buildLdCache([line('/new')])]));
    assert.equal(read(both)?.find(NAME), '/new');
    both[32] = 0;
    assert.equal(read(both)?.find('/new'), undefined);
  });
});
