import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { Encoding } from '../../src/elf/bytes.js';
import { architectureOf } from '../../src/loader/architectures.js';
import { processorNamed } from '../../src/loader/hwcaps.js';
import { LdCache } from '../../src/loader/ld-cache.js';
import { runOk } from '../support/cli.js';
import { compileOnce } from '../support/compile-once.js';
import { factsOf, load, outcomes } from '../support/loader-world.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

const X86_64 = architectureOf(factsOf({}).image);
const LITTLE = new Encoding(true, true);
const read = (bytes: Buffer, hwcaps = 'none') =>
  LdCache.read(bytes, LITTLE, X86_64, processorNamed(hwcaps, X86_64));

/** Libraries in `lib`, of which one is also in subdirectories for v2 and v3. */
function makeLibraries(dir: string): void {
  for (const sub of ['lib', 'lib/glibc-hwcaps/x86-64-v2', 'lib/glibc-hwcaps/x86-64-v3']) {
    mkdirSync(join(dir, sub), { recursive: true });
    const names = sub === 'lib' ? ['one', 'two'] : ['two'];
    for (const name of names) {
      writeFileSync(join(dir, `${name}.c`), `int ${name};\n`);
      const soname = `-Wl,-soname,lib${name}.so.1`;
      const file = join(dir, sub, `lib${name}.so.1`);
      // Without a need of the C library, ldconfig takes it for one of no known kind.
      const args = ['-shared', '-fPIC', '-Wl,--no-as-needed', soname, join(dir, `${name}.c`), '-lc'];
      compileOnce('gcc', args, file, dir);
    }
  }
  writeFileSync(join(dir, 'conf'), `${join(dir, 'lib')}\n`);
}

describe('ld.so.cache as ldconfig writes it', { skip: needs('ldconfig', 'gcc') }, () => {
  const scope = suiteScope();
  let dir: string;
  before(() => {
    dir = tempDir(scope);
    makeLibraries(dir);
  });

  /** ldconfig looks at all that the machine has, so it runs once for each format. */
  function makeCache(format: 'new' | 'old' | 'compat'): Buffer {
    const cache = join(dir, `cache-${format}`);
    if (!existsSync(cache)) runOk('ldconfig', ['-X', '-C', cache, '-f', join(dir, 'conf'), '-c', format]);
    return readFileSync(cache);
  }

  for (const format of ['new', 'old', 'compat'] as const) {
    test(`in the ${format} format`, () => {
      const cache = read(makeCache(format));
      assert.ok(cache !== undefined);
      assert.equal(cache.find('libone.so.1'), join(dir, 'lib/libone.so.1'));
      assert.equal(cache.find('libnone.so.1'), undefined);
    });
  }

  test('an entry of a subdirectory counts for a processor that has the level', () => {
    const bytes = makeCache('new');
    const found = (hwcaps: string) => read(bytes, hwcaps)?.find('libtwo.so.1');
    assert.equal(found('none'), join(dir, 'lib/libtwo.so.1'));
    assert.equal(found('x86-64-v2'), join(dir, 'lib/glibc-hwcaps/x86-64-v2/libtwo.so.1'));
    assert.equal(found('x86-64-v4'), join(dir, 'lib/glibc-hwcaps/x86-64-v3/libtwo.so.1'));
  });

  // ld.so 2.36 takes the same: ldconfig counts the offset of the levels' names from the start of the file.
  test('in the compat format it is read, and its level is one that no processor has', () => {
    const cache = read(makeCache('compat'), 'x86-64-v4');
    assert.equal(cache?.find('libtwo.so.1'), join(dir, 'lib/libtwo.so.1'));
    assert.equal(cache?.findPlain('libtwo.so.1'), 'depends');
    assert.equal(cache?.findPlain('libone.so.1'), join(dir, 'lib/libone.so.1'));
  });

  test('every name of this machine’s cache is found as ldconfig lists it', () => {
    const cache = read(readFileSync('/etc/ld.so.cache'));
    const listed = runOk('ldconfig', ['-p']).stdout.matchAll(/^\t(\S+) \(libc6,x86-64\) => (\S+)$/gm);
    const first = new Map<string, string>();
    for (const [, name = '', path = ''] of listed) if (!first.has(name)) first.set(name, path);
    assert.ok(first.size > 10);
    for (const [name, path] of first) assert.equal(cache?.find(name), path, name);
  });

  test('cut off at any length it is read without an error, or not at all', () => {
    const bytes = makeCache('compat');
    // The headers at every length; ldconfig adds all that the machine has, so the rest by steps.
    for (let length = 0; length < bytes.length; length += length < 256 ? 1 : 4093) {
      const cache = read(bytes.subarray(0, length));
      assert.ok(cache === undefined || cache.find('libone.so.1') !== '');
    }
  });

  test('a path that has gone is a failing open, and the search goes on', () => {
    const bytes = makeCache('new');
    const closure = load(
      { needed: ['libone.so.1'] },
      { '/etc/ld.so.cache': { bytes }, '/usr/lib/libone.so.1': {} },
    );
    assert.deepEqual(outcomes(closure), ['libone.so.1 loaded /usr/lib/libone.so.1']);
    const failed = closure.lookups[0]?.steps.filter(({ result }) => result === 'failed');
    assert.deepEqual(
      failed?.map(({ call, place }) => [call, place.how]),
      [
        ['open', 'ld.so.cache'],
        ['open', 'default'],
        ['stat', 'default'],
      ],
    );
  });

  test('of a byte order that it does not say, as older ones, it is of the machine’s', () => {
    const bytes = makeCache('new');
    bytes.writeUInt8(bytes.readUInt8(28) & ~3, 28);
    assert.equal(read(bytes)?.find('libone.so.1'), join(dir, 'lib/libone.so.1'));
  });

  test('of the other byte order it counts for nothing', () => {
    const bytes = makeCache('new');
    const big = new Encoding(true, false);
    assert.equal(LdCache.read(bytes, big, X86_64, processorNamed('none', X86_64)), undefined);
  });
});

test('other bytes are no cache', () => {
  assert.equal(read(Buffer.alloc(0)), undefined);
  assert.equal(read(Buffer.alloc(4096)), undefined);
});
