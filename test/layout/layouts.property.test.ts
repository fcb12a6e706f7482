import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Plan, WritePlan } from '../../src/layout/model/plan.js';
import { planFile, planRemoval } from '../../src/layout/plan-file.js';
import { type CacheEntry, encodeDescriptor } from '../../src/note/cache.js';
import { verifyPlan } from '../../src/write/verify-plan.js';
import { Elf } from '../support/elf-reader.js';
import { EXTENT, OTHER_SEED } from '../support/extent.js';
import {
  type BuiltLayout,
  buildLayout,
  type ItemKind,
  type ItemSpec,
  type LayoutSpec,
  type Pin,
  R,
  RW,
  RX,
  type SegmentSpec,
} from '../support/layout-builder.js';
import { judge, judgePrefix } from '../support/layout-oracle.js';
import { withMovedTable } from '../support/moved-table.js';
import { applied, type Halfway, halfway, viewOf } from '../support/plans.js';

/** The same layouts every time, so that a failure is the change's own; `FC_SEED` tries others. */
fc.configureGlobal({
  seed: Number(process.env.FC_SEED ?? 20261121 + OTHER_SEED),
  includeErrorInReport: true,
});

const KIB = 1024;

/** Class, byte order, `e_machine`, largest page (each port's ELF supplement), whether it uses RELA. */
const MACHINES = [
  { is64: true, littleEndian: true, machine: 62, page: 4 * KIB, rela: true },
  { is64: true, littleEndian: true, machine: 183, page: 64 * KIB, rela: true },
  { is64: true, littleEndian: true, machine: 243, page: 4 * KIB, rela: true },
  { is64: true, littleEndian: false, machine: 22, page: 4 * KIB, rela: true },
  { is64: true, littleEndian: false, machine: 21, page: 64 * KIB, rela: true },
  { is64: true, littleEndian: true, machine: 8, page: 64 * KIB, rela: false },
  { is64: true, littleEndian: false, machine: 8, page: 64 * KIB, rela: false },
  { is64: true, littleEndian: true, machine: 258, page: 64 * KIB, rela: true },
  { is64: false, littleEndian: true, machine: 3, page: 4 * KIB, rela: false },
  { is64: false, littleEndian: true, machine: 40, page: 64 * KIB, rela: false },
  { is64: false, littleEndian: false, machine: 20, page: 64 * KIB, rela: true },
  { is64: false, littleEndian: false, machine: 8, page: 64 * KIB, rela: false },
] as const;

const pageOf = (spec: LayoutSpec) =>
  MACHINES.find(m => m.machine === spec.machine && m.is64 === spec.is64)?.page ?? 0;

const MOVABLE = [
  'interp',
  'build-id',
  'abi-tag',
  'property',
  'gnu-hash',
  'dynsym',
  'dynstr',
  'versym',
] as const;

const gapArbitrary = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  fc.integer({ min: 1, max: 8 }),
  fc.integer({ min: 40, max: 130 }),
);
const fillArbitrary = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.constant(0xee));

const itemsArbitrary: fc.Arbitrary<ItemSpec[]> = fc
  .shuffledSubarray<ItemKind>(
    ['interp', 'build-id', 'abi-tag', 'property', 'gnu-hash', 'hash', 'versym', 'relocations', 'rodata'],
    { minLength: 0 },
  )
  .chain(optional => {
    const plain = linkerOrder([...optional, 'dynsym', 'dynstr']).map(
      (kind): ItemSpec => ({ kind, size: 83 }),
    );
    // ld.so needs these two; they stand anywhere, but mostly behind the notes as with every linker.
    const kinds: ItemKind[] = [...optional, 'dynsym', 'dynstr'];
    const order = fc.oneof({ weight: 3, arbitrary: fc.constant(linkerOrder(kinds)) }, shuffled(kinds));
    const anyhow = order.chain(order =>
      fc.tuple(
        ...order.map(kind =>
          fc.record({
            kind: fc.constant(kind),
            gap: gapArbitrary,
            fill: fillArbitrary,
            size: fc.integer({ min: 1, max: 300 }),
          }),
        ),
      ),
    );
    return fc.oneof(fc.constant(plain), { weight: 2, arbitrary: anyhow });
  });

function shuffled(kinds: readonly ItemKind[]): fc.Arbitrary<ItemKind[]> {
  return fc.shuffledSubarray([...kinds], { minLength: kinds.length });
}

function linkerOrder(kinds: readonly ItemKind[]): ItemKind[] {
  const order: readonly ItemKind[] = [...MOVABLE, 'hash', 'relocations', 'rodata'];
  return order.filter(kind => kinds.includes(kind));
}

const sizeArbitrary = fc.oneof(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 3000, max: 5000 }));

function segmentsArbitrary(is64: boolean): fc.Arbitrary<SegmentSpec[]> {
  const gap = fc.oneof(
    fc.integer({ min: 0, max: 64 }),
    fc.integer({ min: 200, max: 1500 }),
    fc.integer({ min: 4000, max: 9000 }),
  );
  const common = {
    gap,
    fill: fillArbitrary,
    skip: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 3 })),
    padded: fc.boolean(),
  };
  const plain: fc.Arbitrary<SegmentSpec> = fc.record({
    ...common,
    flags: fc.constantFrom(R, RX, RX),
    size: sizeArbitrary,
  });
  const withBss: fc.Arbitrary<SegmentSpec> = fc.record({
    ...common,
    flags: fc.constant(RW),
    // In words: relocations apply to the last ones.
    size: fc.integer({ min: 40, max: 250 }).map(words => 8 * words),
    dynamic: fc.constant(true),
    bss: fc.oneof(
      fc.constant(0),
      fc.integer({ min: 1, max: 9000 }),
      fc.integer({ min: 1, max: is64 ? 2 ** 34 : 2 ** 31 - 2 ** 28 }),
    ),
  });
  return fc
    .tuple(fc.array(plain, { minLength: 0, maxLength: 4 }), withBss, fc.nat())
    .map(([others, dynamic, at]) => others.toSpliced(at % (others.length + 1), 0, dynamic));
}

const pinsArbitrary: fc.Arbitrary<Pin[]> = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Pin[]>([]) },
  fc.array(
    fc.record({
      target: fc.constantFrom<ItemKind[]>(...MOVABLE),
      by: fc.constantFrom('symbol', 'relocation', 'relr', 'unknown-entry'),
    }),
    { minLength: 1, maxLength: 2 },
  ),
);

const specArbitrary: fc.Arbitrary<LayoutSpec> = fc.constantFrom(...MACHINES).chain(machine =>
  fc
    .record({
      type: fc.constantFrom(2, 3),
      items: itemsArbitrary,
      segments: segmentsArbitrary(machine.is64),
      align: fc.constantFrom(...new Set([4 * KIB, machine.page, 2048 * KIB])),
      firstFlags: fc.constantFrom(R, R, R, RX),
      tableGap: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 160 })),
      tableFill: fillArbitrary,
      phdr: fc.boolean(),
      relro: fc.boolean(),
      nulls: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 2 })),
      nullsLast: fc.boolean(),
      joinNotes: fc.boolean(),
      sections: fc.constantFrom('end', 'end', 'middle', 'none'),
      symtab: fc.boolean(),
      appended: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 300 })),
      pins: pinsArbitrary,
    })
    .map(({ pins, segments, ...spec }): LayoutSpec => {
      const { is64, littleEndian, rela } = machine;
      const padded = spec.align > 64 * KIB ? segments.map(s => ({ ...s, padded: false })) : segments;
      const phdr = spec.phdr && spec.items.some(item => item.kind === 'interp');
      const base = spec.type === 2 ? 4096 * KIB : 0;
      const own = { is64, littleEndian, machine: machine.machine, rela, phdr, base, segments: padded };
      return { ...spec, ...own, pins: validPins(pins, spec.items) };
    }),
);

/** A pointer needs something to point into, and a table to stand in; one `DT_RELR` is enough. */
function validPins(pins: readonly Pin[], items: readonly ItemSpec[]): Pin[] {
  const has = (kind: ItemKind) => items.some(item => item.kind === kind);
  const relr = pins.find(pin => pin.by === 'relr');
  return pins.filter(
    pin =>
      has(pin.target) &&
      (pin.by !== 'relr' || pin === relr) &&
      (pin.by !== 'relocation' || has('relocations')),
  );
}

const nameArbitrary = fc.stringMatching(/^[a-z]{1,12}$/);

function entriesArbitrary(max: number): fc.Arbitrary<CacheEntry[]> {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('path' as const), path: nameArbitrary.map(name => `/store/${name}.so`) }),
    fc.record({ kind: fc.constant('hint' as const), dir: fc.oneof(nameArbitrary, fc.constant('')) }),
    fc.integer({ min: 1, max }).map(n => ({ kind: 'path' as const, path: `/${'p'.repeat(n)}` })),
  );
  const entry = fc.record({ soname: nameArbitrary, steps: fc.array(step, { minLength: 1, maxLength: 3 }) });
  return fc.uniqueArray(entry, { minLength: 1, maxLength: 4, selector: ({ soname }) => soname });
}

function planFor(bytes: Buffer, entries: readonly CacheEntry[]): Plan {
  return planFile(viewOf(bytes), { entries });
}

function verified(bytes: Buffer, plan: WritePlan): Buffer {
  verifyPlan(viewOf(bytes), plan);
  return applied(bytes, plan);
}

function judgePlan(built: BuiltLayout, bytes: Buffer, plan: WritePlan): void {
  const { entries } = plan.wanted;
  const descriptor = entries.length === 0 ? undefined : encodeDescriptor(entries);
  const hasSection = plan.hasSection && built.spec.sections !== 'none';
  judge(built, bytes, { descriptor, pageSize: pageOf(built.spec), addedLoads: plan.addedLoads, hasSection });
}

const RUNS = EXTENT.layouts;

test('a plan keeps every rule of the kernel, ld.so and binutils, and touches nothing else', () => {
  const rungs = new Map<string, number>();
  fc.assert(
    fc.property(specArbitrary, entriesArbitrary(2500), (spec, entries) => {
      const built = buildLayout(spec);
      const plan = planFor(built.bytes, entries);
      const kind = plan.kind === 'write' ? `${plan.rung.note} ${plan.rung.table}` : plan.kind;
      rungs.set(kind, (rungs.get(kind) ?? 0) + 1);
      if (plan.kind !== 'write') {
        assert.ok(plan.kind === 'skip' && plan.reason === 'no-room', `an unexpected ${plan.kind}`);
        return;
      }
      assert.deepEqual(plan.wanted.entries, entries);
      const edited = applied(built.bytes, plan);
      assert.equal(edited.length, plan.size);
      judgePlan(built, edited, plan);
      assert.deepEqual(verified(built.bytes, plan), edited);
      if (spec.appended) assert.equal(plan.size, built.bytes.length, 'something was appended');
      assert.equal(planFor(edited, entries).kind, 'keep', 'a second run changes the file again');
    }),
    { numRuns: RUNS },
  );
  // The layouts are random enough only if they lead to every rung.
  for (const rung of [
    'slack free',
    'slack property',
    'slack reuse-note',
    'slack move-notes',
    'slack move-tables',
    'tail free',
    'tail reuse-note',
    'tail move-notes',
    'tail move-tables',
    'skip',
  ]) {
    assert.ok((rungs.get(rung) ?? 0) > 0, `no layout led to ${rung}: ${JSON.stringify([...rungs])}`);
  }
});

test('the same file and entries give the same edits, whatever else was planned before', () => {
  fc.assert(
    fc.property(specArbitrary, entriesArbitrary(1000), (spec, entries) => {
      const { bytes } = buildLayout(spec);
      const first = planFor(Buffer.from(bytes), entries);
      const second = planFor(Buffer.from(bytes), entries.toReversed());
      if (first.kind !== 'write' || second.kind !== 'write') assert.deepEqual(second, first);
      else assert.deepEqual({ ...second, wanted: first.wanted }, first);
    }),
    { numRuns: Math.ceil(RUNS / 4) },
  );
});

test('a crash after any of the writes leaves a file that loads as before', () => {
  fc.assert(
    fc.property(specArbitrary, entriesArbitrary(2500), (spec, entries) => {
      const built = buildLayout(spec);
      const plan = planFor(built.bytes, entries);
      if (plan.kind === 'write') checkCrashes(built, built.bytes, plan);
    }),
    { numRuns: RUNS },
  );
});

function checkCrashes(built: BuiltLayout, from: Buffer, plan: WritePlan): void {
  if (!plan.inPlaceIsSafe) return;
  for (const state of halfway(from, plan)) checkPartly(built, plan, state);
}

function checkPartly(built: BuiltLayout, plan: WritePlan, { bytes, after }: Halfway): void {
  try {
    judgePrefix(built, bytes);
    const { dynamic, sectionError } = viewOf(bytes).image;
    assert.deepEqual(dynamic?.needed, built.needed);
    assert.equal(dynamic?.runpath, built.runpath);
    assert.equal(sectionError, undefined);
  } catch (error) {
    const rung = `${plan.rung.note} ${plan.rung.table}`;
    const what = error instanceof Error ? error.message : String(error);
    throw new Error(`${rung}, after ${after}: ${what}`);
  }
}

/** A released tail may stay, for what moved there. */
function judgeUpdate(built: BuiltLayout, bytes: Buffer, plan: WritePlan): void {
  const addedLoads = new Elf(bytes).loads.length - new Elf(built.bytes).loads.length;
  assert.ok(addedLoads <= 1, 'the update added a second segment');
  judgePlan(built, bytes, { ...plan, addedLoads });
}

test('an update gives the bytes of a first run, and every write on the way is harmless', () => {
  let exact = 0;
  fc.assert(
    fc.property(specArbitrary, entriesArbitrary(800), entriesArbitrary(2500), (spec, entries, others) => {
      const built = buildLayout(spec);
      const first = planFor(built.bytes, entries);
      if (first.kind !== 'write') return;
      const bytes = applied(built.bytes, first);
      const next = planFor(bytes, others);
      if (next.kind === 'keep') {
        assert.deepEqual(encodeDescriptor(others), encodeDescriptor(entries));
        return;
      }
      assert.equal(next.kind, 'write', 'a stale note stays in the file');
      if (next.kind !== 'write') return;
      assert.equal(next.exact, first.hasRecord);
      const edited = verified(bytes, next);
      const fresh = planFor(built.bytes, others);
      if (next.exact) {
        assert.deepEqual(edited, fresh.kind === 'write' ? applied(built.bytes, fresh) : built.bytes);
        exact++;
      }
      if (next.rung.note === 'removed') assert.equal(planFor(edited, others).kind, 'skip');
      else judgeUpdate(built, edited, next);
      checkCrashes(built, bytes, next);
    }),
    { numRuns: RUNS },
  );
  assert.ok(exact > RUNS / 3, `only ${exact} updates were exact`);
});

test('a removed note leaves the file as it was, byte for byte, or says that it does not', () => {
  let exact = 0;
  fc.assert(
    fc.property(specArbitrary, entriesArbitrary(2500), (spec, entries) => {
      const built = buildLayout(spec);
      const first = planFor(built.bytes, entries);
      if (first.kind !== 'write') return;
      const bytes = applied(built.bytes, first);
      const removal = planRemoval(viewOf(bytes));
      assert.ok(removal.kind === 'write' && removal.rung.note === 'removed');
      const edited = verified(bytes, removal);
      assert.equal(removal.exact, first.hasRecord);
      if (removal.exact) {
        assert.deepEqual(edited, built.bytes);
        exact++;
      }
      judgeUpdate(built, edited, removal);
      checkCrashes(built, bytes, removal);
    }),
    { numRuns: RUNS },
  );
  assert.ok(exact > RUNS / 2, `only ${exact} layouts were restored exactly`);
});

/** As the tools that move the table leave it; nothing else about the layout changes. */
const movedArbitrary = fc.tuple(specArbitrary, fc.boolean()).filter(([spec]) => {
  const bss = spec.segments.reduce((sum, segment) => sum + (segment.bss ?? 0), 0);
  return bss < 65_536 && spec.appended === 0;
});

test('where another tool has moved the program header table, removal is exact or says that it is not', () => {
  let exact = 0;
  fc.assert(
    fc.property(movedArbitrary, entriesArbitrary(800), ([spec, keepsDistance], entries) => {
      const bytes = withMovedTable(buildLayout(spec).bytes, pageOf(spec), keepsDistance);
      const plan = planFor(bytes, entries);
      if (plan.kind !== 'write') return;
      const noted = verified(bytes, plan);
      const removal = planRemoval(viewOf(noted));
      assert.ok(removal.kind === 'write');
      assert.equal(removal.exact, plan.hasRecord);
      const bare = verified(noted, removal);
      if (!removal.exact) return;
      assert.ok(bare.equals(bytes), 'exact, with other bytes');
      exact++;
    }),
    { numRuns: RUNS / 2 },
  );
  assert.ok(exact > RUNS / 8, `only ${exact} layouts were restored exactly`);
});

/** What the section header of `.interp` said comes to be in the program headers too, but only with the last write. */
const WITH_A_COPY_TO_COME: LayoutSpec = {
  is64: false,
  littleEndian: true,
  machine: 40,
  align: 65536,
  firstFlags: R,
  joinNotes: true,
  appended: 1,
  items: [
    { kind: 'interp', size: 97 },
    { kind: 'build-id' },
    { kind: 'abi-tag', gap: 40 },
    { kind: 'property' },
    { kind: 'gnu-hash' },
    { kind: 'dynsym', gap: 1, fill: 238 },
    { kind: 'dynstr', fill: 238 },
    { kind: 'versym', gap: 1 },
    { kind: 'hash', gap: 1 },
    { kind: 'relocations', gap: 1 },
    { kind: 'rodata', size: 1 },
  ],
  segments: [
    { flags: RW, size: 320, dynamic: true, bss: 1, skip: 1 },
    { flags: R, size: 69, padded: true, fill: 238 },
    { flags: R, size: 1, gap: 4000, fill: 238, skip: 1, padded: true },
  ],
};
const SHORT: readonly CacheEntry[] = [
  { soname: 'aa', steps: [{ kind: 'path', path: '/store/aaaaaaa.so' }] },
  {
    soname: 'ab',
    steps: [
      { kind: 'hint', dir: 'aaaaaaaaaa' },
      { kind: 'path', path: '/store/aaa.so' },
    ],
  },
  { soname: 'aaaaaaa', steps: [{ kind: 'path', path: '/store/aaaa.so' }] },
];

test('a run that was stopped after any write is finished by the next, whichever it is', () => {
  fc.assert(
    fc.property(specArbitrary, entriesArbitrary(800), (spec, entries) => {
      const { bytes } = buildLayout(spec);
      const plan = planFor(bytes, entries);
      if (plan.kind !== 'write' || !plan.inPlaceIsSafe || !plan.hasRecord) return;
      const noted = applied(bytes, plan);
      const removal = planRemoval(viewOf(noted));
      assert.ok(removal.kind === 'write');
      for (const state of [...halfway(bytes, plan), ...halfway(noted, removal)]) {
        const again = planFor(state.bytes, entries);
        const built = again.kind === 'write' ? verified(state.bytes, again) : state.bytes;
        assert.ok(built.equals(noted), `build-cache after ${state.after}: not the bytes of a first run`);
        const out = planRemoval(viewOf(state.bytes));
        const bare = out.kind === 'write' ? verified(state.bytes, out) : state.bytes;
        assert.ok(bare.equals(bytes), `remove-cache after ${state.after}: not the old bytes`);
      }
    }),
    { numRuns: RUNS, examples: [[WITH_A_COPY_TO_COME, SHORT]] },
  );
});

test('updates to and fro do not make the file larger once it has settled', () => {
  fc.assert(
    fc.property(specArbitrary, entriesArbitrary(300), entriesArbitrary(3000), (spec, some, others) => {
      const built = buildLayout(spec);
      let bytes = built.bytes;
      const sizes: number[] = [];
      let isExact = true;
      for (let i = 0; i < 14; i++) {
        const plan = planFor(bytes, i % 2 === 0 ? some : others);
        if (plan.kind === 'skip') break;
        if (plan.kind === 'write') bytes = verified(bytes, plan);
        if (plan.kind === 'write') isExact &&= plan.hasRecord || plan.rung.note === 'removed';
        sizes.push(bytes.length);
      }
      // Without a record what moved stays, and the space is used again.
      const settled = sizes.slice(0, isExact ? 2 : 8);
      assert.ok(sizes.length === 0 || Math.max(...sizes) <= Math.max(...settled), sizes.join(' '));
    }),
    { numRuns: Math.ceil(RUNS / 4) },
  );
});
