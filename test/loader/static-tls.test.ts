import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  joinTunable,
  type StaticTls,
  staticTlsOf,
  tooLargeFor,
  tunableFor,
} from '../../src/loader/static-tls.js';
import type { ElfSpec } from '../support/elf-builder.js';
import { factsOf } from '../support/loader-world.js';

const PT_TLS = 7;
const DT_FLAGS = 30;
const DF_STATIC_TLS = 0x10;
const AARCH64 = 183;

/** An object with thread-local storage. */
function object(index: number, size: number, more: { flags?: number; align?: number; vaddr?: number } = {}) {
  const { flags = DF_STATIC_TLS, align = 8, vaddr = 0x11000 } = more;
  const tls = { p_type: PT_TLS, p_memsz: size, p_align: align, p_vaddr: vaddr };
  return { spec: { extra: [tls], more: [[DT_FLAGS, flags]] } satisfies ElfSpec, index };
}

function tlsOf(objects: readonly { spec: ElfSpec; index: number }[], e_machine?: number): StaticTls {
  return staticTlsOf({
    objects: objects.map(({ spec, index }) => ({
      index,
      kind: 'library',
      name: `lib${index}.so`,
      path: `/s/lib${index}.so`,
      place: undefined,
      requester: undefined,
      facts: factsOf(e_machine === undefined ? spec : { ...spec, e_machine }),
    })),
  });
}

const tls = (
  parts: readonly Partial<StaticTls['parts'][number]>[],
  more: Partial<StaticTls> = {},
): StaticTls => ({
  parts: parts.map((part, i) => ({ path: `/${i}`, size: 0, align: 1, firstByte: 0, ...part })),
  program: 0,
  optional: 0,
  isBelow: true,
  ...more,
});

describe('static TLS of a closure', () => {
  test('is that of libraries with DF_STATIC_TLS, apart from the program’s', () => {
    const found = tlsOf([
      object(0, 10, { align: 16 }),
      object(3, 20, { vaddr: 0x11004 }),
      object(4, 30, { flags: 0x8 }),
      object(5, 40, { flags: 0x18, align: 0 }),
      object(6, 0),
      { index: 7, spec: {} },
    ]);
    assert.deepEqual(found, {
      parts: [
        { path: '/s/lib3.so', size: 20, align: 8, firstByte: 4 },
        { path: '/s/lib5.so', size: 40, align: 1, firstByte: 0 },
      ],
      program: 16,
      optional: 0,
      isBelow: true,
    });
  });

  test('where it stands above, libraries without the flag may have some too', () => {
    const found = tlsOf([object(0, 10), object(3, 20, { flags: 0, vaddr: 0x11004 }), object(4, 8)], AARCH64);
    assert.deepEqual([found.optional, found.isBelow, found.parts.length], [24, false, 1]);
  });

  test('loader and vDSO have none', () => {
    const vdso = {
      index: 1,
      kind: 'vdso',
      name: '',
      path: '',
      place: undefined,
      requester: undefined,
    } as const;
    assert.deepEqual(staticTlsOf({ objects: [{ ...vdso, facts: undefined }] }).parts, []);
  });
});

describe('the surplus with an auditor', () => {
  const fits = (one: StaticTls, auditors = 1) => tooLargeFor(one, auditors) === undefined;

  test('is 1664 bytes and 288 for each auditor, up to the alignment of the block', () => {
    assert.ok(fits(tls([{ size: 1984 }])));
    assert.ok(!fits(tls([{ size: 1985 }])));
    assert.ok(fits(tls([{ size: 1664 }]), 0));
    assert.ok(!fits(tls([{ size: 1665 }]), 0));
    assert.ok(fits(tls([{ size: 1954 }], { program: 30 })));
    assert.ok(!fits(tls([{ size: 1955 }], { program: 30 })));
  });

  test('above the thread’s block it is not rounded', () => {
    const above = { isBelow: false };
    assert.ok(fits(tls([{ size: 1952 }], above)));
    assert.ok(!fits(tls([{ size: 1953 }], above)));
    assert.ok(fits(tls([{ size: 1440 }], { ...above, optional: 4000 })));
    assert.ok(!fits(tls([{ size: 1441 }], { ...above, optional: 4000 })));
    assert.ok(fits(tls([{ size: 1932 }], { ...above, optional: 20 })));
  });

  test('each part is aligned behind the one that was loaded after it', () => {
    const below = (size: number) => tls([{ size }, { size: 10, align: 64, firstByte: 8 }]);
    assert.ok(fits(below(1928)));
    assert.ok(!fits(below(1929)));
    const above = (size: number) =>
      tls([{ size, align: 64, firstByte: 8 }, { size: 10 }], { isBelow: false });
    assert.ok(fits(above(1952 - 72)));
    assert.ok(!fits(above(1952 - 71)));
  });

  test('where it is too small, the largest library is told', () => {
    const found = tooLargeFor(tls([{ size: 900 }, { size: 1200 }, { size: 300 }]), 1);
    assert.equal(found?.path, '/1');
  });
});

describe('the tunable', () => {
  test('makes up for what the auditors do not bring', () => {
    assert.equal(tunableFor(tls([]), 1), undefined);
    assert.equal(tunableFor(tls([{ size: 287 }]), 1), undefined);
    assert.equal(tunableFor(tls([{ size: 288 }]), 1), 512 + 64);
    assert.equal(tunableFor(tls([{ size: 288 }]), 2), undefined);
    assert.equal(tunableFor(tls([{ size: 280, align: 16, firstByte: 4 }], { optional: 16 }), 1), 512 + 64);
    assert.equal(tunableFor(tls([{ size: 280, align: 16, firstByte: 4 }], { optional: 50 }), 1), 512 + 128);
    assert.equal(tunableFor(tls([{ size: 287, align: 16, firstByte: 4 }], { optional: 40 }), 1), 512 + 128);
  });

  test('is joined to others, and a larger value of it stays', () => {
    const name = 'glibc.rtld.optional_static_tls';
    assert.equal(joinTunable(undefined, 576), `${name}=576`);
    assert.equal(joinTunable('', 576), `${name}=576`);
    assert.equal(joinTunable('a=1:b=2', 576), `a=1:b=2:${name}=576`);
    assert.equal(joinTunable(`${name}=640:a=1`, 576), `a=1:${name}=640`);
    assert.equal(joinTunable(`${name}=512:${name}=x`, 576), `${name}=576`);
  });
});
