import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { architectureOf } from '../../src/loader/architectures.js';
import { FileLoaderProbe } from '../../src/loader/file-probe.js';
import { processorNamed, processorOf, subdirectoriesOf } from '../../src/loader/hwcaps.js';
import { readLoader } from '../../src/loader/interpreter.js';
import { runOk } from '../support/cli.js';
import { factsOf, LoaderWorld } from '../support/loader-world.js';
import { unavailable } from '../support/tools.js';

const X86_64 = architectureOf(factsOf({}).image);
const S390X = architectureOf(factsOf({ e_machine: 22, littleEndian: false }).image);
const PATH = '/lib64/ld-linux-x86-64.so.2';

function readBytes(text: string): ReturnType<typeof readLoader> {
  return readLoader('/ld.so', new LoaderWorld({ '/ld.so': { bytes: Buffer.from(text, 'latin1') } }), X86_64);
}

describe('what a loader has compiled in, read from its file', () => {
  const isHere = existsSync(PATH) && process.arch === 'x64';
  const skip = isHere ? false : unavailable(`no ${PATH} on this machine`);

  test('is what the loader says of itself', { skip }, () => {
    const facts = readLoader(PATH, new FileLoaderProbe(), X86_64);
    const said = runOk(PATH, ['--list-diagnostics']).stdout;
    const field = (name: string) => new RegExp(`^${name}="(.*)"$`, 'm').exec(said)?.[1];
    assert.equal(`2.${facts.glibc}`, field('version\\.version'));
    const directories = [...said.matchAll(/^path\.system_dirs\[0x[0-9a-f]+\]="(.*)"$/gm)].map(
      ([, dir]) => dir,
    );
    assert.ok(directories.length > 0);
    assert.deepEqual(facts.systemDirectories, directories);
    assert.equal(facts.versionFrom, 'file');
  });

  test('a version before 2.33 is the newest that it defines', () => {
    const facts = readBytes('\0la_objsearch\0GLIBC_2.2.5\0GLIBC_2.4\0GLIBC_2.31\0/lib64/\0/usr/lib64/\0');
    assert.deepEqual(
      [facts.glibc, facts.systemDirectories, facts.lib],
      [31, ['/lib64/', '/usr/lib64/'], 'lib64'],
    );
  });

  test('one that says nothing of its version, its directories and its cache is taken for a new one', () => {
    const { path: _, ...facts } = readBytes('\0la_objsearch\0/var/tmp/\0');
    const { path: __, ...guess } = readLoader(undefined, new LoaderWorld({}), X86_64);
    assert.deepEqual(facts, guess);
    assert.equal(facts.glibc, 42);
  });

  test('of several lists of directories the longest is that of the system, wherever it is', () => {
    const [long, short] = ['\0/lib64/\0/usr/lib64/\0', '\0/var/lib/\0'];
    for (const text of [`${short}text${long}`, `${long}text${short}`]) {
      const facts = readBytes(`\0la_objsearch\0GLIBC_2.31\0text${text}`);
      assert.deepEqual(facts.systemDirectories, ['/lib64/', '/usr/lib64/']);
    }
  });

  test('in a Nix store, directories and ld.so.cache are the package’s own', () => {
    const glibc = '/nix/store/abc-glibc-2.40/';
    const facts = readBytes(
      `\0la_objsearch\0${glibc}lib/\0\0/proc/self/\0${glibc}etc/ld.so.cache\0 stable release version 2.40.\n`,
    );
    assert.deepEqual(
      [facts.glibc, facts.systemDirectories, facts.lib, facts.cachePath],
      [40, [`${glibc}lib/`], 'lib', `${glibc}etc/ld.so.cache`],
    );
  });

  test('one that has no auditing interface is no glibc, and refused by name', () => {
    assert.throws(() => readBytes('musl'), /no glibc, and searches by other rules/);
    const absent = () => readLoader('/lib/ld-musl-x86_64.so.1', new LoaderWorld({}), X86_64);
    assert.throws(absent, /no glibc/);
  });

  test('one that is not there is guessed by its architecture', () => {
    const facts = readLoader(undefined, new LoaderWorld({}), X86_64);
    assert.deepEqual([facts.versionFrom, facts.path], ['default', PATH]);
  });

  for (const [arch, e_machine, littleEndian, path] of [
    ['aarch64', 183, true, '/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1'],
    ['s390x', 22, false, '/usr/s390x-linux-gnu/lib/ld64.so.1'],
    ['powerpc64le', 21, true, '/usr/powerpc64le-linux-gnu/lib/ld64.so.2'],
  ] as const) {
    test(`of ${arch} too`, { skip: existsSync(path) ? false : unavailable(`no ${path}`) }, () => {
      const architecture = architectureOf(factsOf({ e_machine, littleEndian }).image);
      assert.equal(architecture.name, arch);
      const facts = readLoader(path, new FileLoaderProbe(), architecture);
      const triplet = `${arch}-linux-gnu`;
      assert.deepEqual(facts.systemDirectories.slice(0, 2), [`/lib/${triplet}/`, `/usr/lib/${triplet}/`]);
      assert.equal(facts.lib, `lib/${triplet}`);
      assert.equal(facts.versionFrom, 'file');
    });
  }
});

describe('subdirectories for processors', () => {
  test('glibc 2.36: glibc-hwcaps, then every combination of the older ones, the largest first', () => {
    const processor = processorNamed('x86-64-v2,haswell', X86_64);
    assert.deepEqual(subdirectoriesOf(processor, 36), [
      'glibc-hwcaps/x86-64-v2/',
      'tls/haswell/x86_64/',
      'tls/haswell/',
      'tls/x86_64/',
      'tls/',
      'haswell/x86_64/',
      'haswell/',
      'x86_64/',
      '',
    ]);
  });

  test('glibc 2.37 has dropped the older ones, 2.33 is the first that knows glibc-hwcaps', () => {
    const processor = processorNamed('x86-64-v3', X86_64);
    assert.deepEqual(subdirectoriesOf(processor, 37), [
      'glibc-hwcaps/x86-64-v3/',
      'glibc-hwcaps/x86-64-v2/',
      '',
    ]);
    const knows = (glibc: number) =>
      subdirectoriesOf(processor, glibc).some(name => name.startsWith('glibc-hwcaps'));
    assert.deepEqual([knows(32), knows(33)], [false, true]);
  });

  test('of s390x, the capabilities come in the order of their bits', () => {
    const names = subdirectoriesOf(processorNamed('z13,vx,dfp', S390X), 36);
    assert.deepEqual(names.slice(0, 3), ['glibc-hwcaps/z13/', 'tls/z13/vx/dfp/zarch/', 'tls/z13/vx/dfp/']);
    assert.equal(names.length, 1 + 2 ** 5);
  });

  test('of s390x, each level needs those below it (dl-hwcaps_subdirs.c)', () => {
    const levels = (features: string) => processorOf(`features\t: esan3 zarch ${features}\n`, S390X).levels;
    assert.deepEqual(levels('vx vxd vxe gs vxe2 vxp vxp2'), ['z16', 'z15', 'z14', 'z13']);
    assert.deepEqual(levels('vx vxd vxe gs vxe2 vxp'), ['z15', 'z14', 'z13']);
    assert.deepEqual(levels('vx vxd vxe gs vxe2'), ['z14', 'z13']);
    assert.deepEqual(levels('vx vxd vxe vxe2 vxp vxp2'), ['z13']);
    assert.deepEqual(levels('dfp'), []);
  });

  test('an unknown name is refused, and the known ones are told', () => {
    assert.throws(() => processorNamed('avx1024', X86_64), /'avx1024' is no processor capability of x86_64/);
  });

  test('an AMD processor keeps the kernel’s platform, an old Intel too', () => {
    const flags = 'cx16 lahf_lm popcnt pni ssse3 sse4_1 sse4_2 avx avx2 f16c fma abm movbe bmi1 bmi2';
    const amd = processorOf(`vendor_id\t: AuthenticAMD\nflags\t\t: ${flags}\n`, X86_64);
    assert.deepEqual(amd, {
      levels: ['x86-64-v3', 'x86-64-v2'],
      capabilities: ['x86_64'],
      platform: 'x86_64',
    });
    const old = processorOf('vendor_id\t: GenuineIntel\nflags\t\t: cx16 lahf_lm pni\n', X86_64);
    assert.deepEqual(old, { levels: [], capabilities: ['x86_64'], platform: 'x86_64' });
  });

  test('an Intel processor gets a platform by its features, each of which counts (sysdeps/x86/cpu-features.c)', () => {
    const intel = (flags: readonly string[]) =>
      processorOf(`vendor_id\t: GenuineIntel\nflags\t\t: ${flags.join(' ')}\n`, X86_64);
    const KINDS = {
      haswell: ['avx2', 'bmi1', 'bmi2', 'abm', 'movbe', 'popcnt', 'fma'],
      xeon_phi: ['avx512cd', 'avx512er', 'avx512pf'],
    };
    for (const [kind, flags] of Object.entries(KINDS)) {
      assert.equal(intel(flags).platform, kind);
      for (const flag of flags)
        assert.equal(intel(flags.filter(other => other !== flag)).platform, 'x86_64', flag);
    }
    assert.equal(intel([...KINDS.haswell, ...KINDS.xeon_phi]).platform, 'xeon_phi');
  });

  test('a wide Intel processor that is no Xeon Phi has avx512_1', () => {
    const wide = ['avx512cd', 'avx512bw', 'avx512dq', 'avx512vl'];
    const has = (flags: readonly string[], vendor = 'GenuineIntel') =>
      processorOf(`vendor_id\t: ${vendor}\nflags\t\t: ${flags.join(' ')}\n`, X86_64).capabilities.includes(
        'avx512_1',
      );
    assert.ok(has(wide));
    for (const flag of wide) assert.ok(!has(wide.filter(other => other !== flag)), flag);
    assert.ok(!has([...wide, 'avx512er']));
    assert.ok(!has(wide, 'AuthenticAMD'));
  });
});
