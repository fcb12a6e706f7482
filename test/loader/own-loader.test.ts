import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { architectureOf, isOwn, runsHere } from '../../src/loader/architectures.js';
import { processorNamed, processorSaid } from '../../src/loader/hwcaps.js';
import { askOwnLoader } from '../../src/loader/own-loader.js';
import { runOk } from '../support/cli.js';
import { factsOf } from '../support/loader-world.js';
import { unavailable } from '../support/tools.js';

const X86_64 = architectureOf(factsOf({}).image);
const LEAST = processorNamed('none', X86_64);

const LEVELS = `Subdirectories of glibc-hwcaps directories, in priority order:
  x86-64-v4
  x86-64-v3 (supported, searched)
  x86-64-v2 (supported, masked)
`;
const LEGACY = `
Legacy HWCAP subdirectories under library search path directories:
  haswell (AT_PLATFORM; supported, searched)
  tls (supported, searched)
  avx512_1 (supported, searched)
  x86_64 (supported, searched)
`;

describe('what a loader says of the processor', () => {
  test('levels, capabilities and platform are those that it supports, whether or not it searches them', () => {
    assert.deepEqual(processorSaid(LEVELS + LEGACY, LEAST, X86_64), {
      levels: ['x86-64-v3', 'x86-64-v2'],
      capabilities: ['x86_64', 'avx512_1'],
      platform: 'haswell',
    });
  });

  test('what it does not support is none', () => {
    const less = LEGACY.replace('avx512_1 (supported, searched)', 'avx512_1').replace(
      /.*AT_PLATFORM.*\n/,
      '',
    );
    const all = processorNamed('x86-64-v4,avx512_1,haswell', X86_64);
    assert.deepEqual(processorSaid(LEVELS.replace(/ \(.*\)/g, '') + less, all, X86_64), {
      levels: [],
      capabilities: ['x86_64'],
      platform: undefined,
    });
  });

  test('of what it says nothing, the kernel’s description counts', () => {
    const described = processorNamed('x86-64-v2,avx512_1,haswell', X86_64);
    assert.deepEqual(processorSaid('', described, X86_64), described);
    assert.deepEqual(processorSaid(LEVELS, described, X86_64), {
      ...described,
      levels: ['x86-64-v3', 'x86-64-v2'],
    });
  });

  const PATH = '/lib64/ld-linux-x86-64.so.2';
  const isHere = existsSync(PATH) && process.arch === 'x64';
  test('the one that has started Node is asked', {
    skip: isHere ? false : unavailable(`no ${PATH} on this machine`),
  }, () => {
    assert.equal(askOwnLoader(), runOk(PATH, ['--help']).stdout);
  });

  test('only for programs of Node’s own architecture', () => {
    const i386 = architectureOf(factsOf({ is64: false, e_machine: 3 }).image);
    assert.deepEqual(
      [
        isOwn(X86_64, 'x64'),
        isOwn(i386, 'x64'),
        isOwn(i386, 'ia32'),
        isOwn(X86_64, 'arm64'),
        isOwn(X86_64, 'mips'),
      ],
      [true, false, true, false, false],
    );
  });

  test('what the kernel says is of programs that it runs, of its own machine and of the smaller one', () => {
    const machine = (e_machine: number, is64 = true, littleEndian = true) =>
      architectureOf(factsOf({ is64, littleEndian, e_machine }).image);
    const architectures = [
      X86_64,
      machine(3, false),
      machine(183),
      machine(40, false),
      machine(21),
      machine(243),
      machine(22, true, false),
      machine(258),
    ];
    const run = (node: string) => architectures.filter(one => runsHere(one, node)).map(({ name }) => name);
    assert.deepEqual(
      Object.fromEntries(
        ['x64', 'ia32', 'arm64', 'arm', 'ppc64', 'riscv64', 's390x', 'loong64', 'mips'].map(node => [
          node,
          run(node).join(),
        ]),
      ),
      {
        x64: 'x86_64,i386',
        ia32: 'i386',
        arm64: 'aarch64,arm',
        arm: 'arm',
        ppc64: 'powerpc64le',
        riscv64: 'riscv64',
        s390x: 's390x',
        loong64: 'loongarch64',
        mips: '',
      },
    );
  });
});
