import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { alignUp } from '../../../src/elf/bytes.js';
import { ElfView } from '../../../src/elf/view.js';
import { ElfnoteError } from '../../../src/errors.js';
import type { PlanOptions, TableRoom, WritePlan } from '../../../src/layout/model/plan.js';
import { planFile, planRemoval } from '../../../src/layout/plan-file.js';
import { findRecord } from '../../../src/layout/undo/find.js';
import { ownWork } from '../../../src/layout/undo/undo.js';
import type { CacheEntry } from '../../../src/note/cache.js';
import { encodeUndo } from '../../../src/note/undo.js';
import { verifyPlan } from '../../../src/write/verify-plan.js';
import { FIXTURES } from '../../support/cli.js';
import { EXTENT, OTHER_SEED } from '../../support/extent.js';
import { buildLayout, type ItemKind, PROGRAM } from '../../support/layout-builder.js';
import { applied, halfway, viewOf } from '../../support/plans.js';

fc.configureGlobal({ seed: Number(process.env.FC_SEED ?? 20261126 + OTHER_SEED) });

const entry = (length: number): readonly CacheEntry[] => [
  { soname: 'libone.so.1', steps: [{ kind: 'path', path: `/${'p'.repeat(length)}` }] },
];

function noted(bytes: Buffer, options: PlanOptions = {}, length = 60): { bytes: Buffer; plan: WritePlan } {
  const plan = planFile(viewOf(bytes), { entries: entry(length) }, options);
  if (plan.kind !== 'write') assert.fail(`got no plan but ${plan.kind}`);
  verifyPlan(viewOf(bytes), plan);
  return { bytes: applied(bytes, plan), plan };
}

function removed(bytes: Buffer): { bytes: Buffer; plan: WritePlan } {
  const plan = planRemoval(viewOf(bytes));
  if (plan.kind !== 'write') assert.fail(`got no plan but ${plan.kind}`);
  verifyPlan(viewOf(bytes), plan);
  return { bytes: applied(bytes, plan), plan };
}

/** Every fixture that can have a note: nine machines, four linkers. */
const PROGRAMS = readdirSync(FIXTURES, { withFileTypes: true, recursive: true })
  .filter(file => file.isFile())
  .map(file => join(file.parentPath, file.name))
  .map(file => ({ name: file.slice(FIXTURES.length + 1), bytes: readFileSync(file) }))
  .filter(({ bytes }) => {
    if (bytes.length < 64 || bytes.toString('latin1', 0, 4) !== '\x7fELF') return false;
    const { dynamic, debugOnly } = viewOf(bytes).image;
    return dynamic !== undefined && !debugOnly;
  });

test('there are fixtures of nine machines', () => {
  assert.ok(PROGRAMS.length >= 45, `${PROGRAMS.length} fixtures`);
  assert.ok(new Set(PROGRAMS.map(({ bytes }) => viewOf(bytes).image.header.e_machine)).size >= 9);
});

describe('a run that was stopped after any single write is finished by the next', () => {
  for (const { name, bytes } of PROGRAMS) {
    test(name, () => {
      const first = noted(bytes);
      assert.ok(first.plan.hasRecord);
      const removal = planRemoval(viewOf(first.bytes));
      assert.ok(removal.kind === 'write' && removal.exact);
      const other = planFile(viewOf(first.bytes), { entries: entry(90) });
      assert.ok(other.kind === 'write' && other.exact);
      const states = [first.plan.inPlaceIsSafe ? [...halfway(bytes, first.plan)] : []];
      if (removal.inPlaceIsSafe) states.push([...halfway(first.bytes, removal)]);
      if (other.inPlaceIsSafe) states.push([...halfway(first.bytes, other)]);
      for (const { bytes: partly, after } of states.flat()) {
        const again = planFile(viewOf(partly), { entries: entry(60) });
        const rebuilt = again.kind === 'write' ? applied(partly, again) : partly;
        assert.ok(rebuilt.equals(first.bytes), `build-cache after ${after}`);
        const out = planRemoval(viewOf(partly));
        const bare = out.kind === 'write' ? applied(partly, out) : partly;
        assert.ok(bare.equals(bytes), `remove-cache after ${after}`);
      }
    });
  }
});

test('a record that leads beyond the end of a file, which others have made shorter, is void', () => {
  const [program] = PROGRAMS.filter(({ name }) => name === 'kinds/pie-bfd');
  assert.ok(program !== undefined);
  const { bytes } = noted(program.bytes);
  const found = findRecord(viewOf(bytes));
  assert.ok(found !== undefined);
  const moved = (offset: number, from: number) =>
    [{ offset, length: 4, was: { kind: 'copy', from } }] as const;
  const writes = [moved(8, bytes.length + 100), moved(100, 0)];
  const record = { ...found.record, newSize: bytes.length + 1000, writes };
  encodeUndo(record, found.note.n_descsz).copy(bytes, found.note.descOffset);
  assert.equal(ownWork(viewOf(bytes)), undefined);
  assert.equal(removed(bytes).plan.exact, false);
});

test('bytes that look like a record are none where no note may start', () => {
  const plain = buildLayout(PROGRAM).bytes;
  const { bytes } = noted(plain);
  const note = findRecord(viewOf(bytes))?.note;
  assert.ok(note !== undefined);
  const offset = alignUp(plain.length, 4);
  const at = [0, 1, 2, 3, 4].filter(shift => {
    const behind = Buffer.concat([
      Buffer.alloc(shift),
      bytes.subarray(note.offset, note.end),
      Buffer.alloc(4),
    ]);
    const file = Buffer.concat([plain, Buffer.alloc(offset - plain.length), behind]);
    return findRecord(viewOf(file), [{ offset, size: behind.length }]) !== undefined;
  });
  assert.deepEqual(at, [0, 4]);
});

describe('a note section that ends the segment which grows', () => {
  // As binutils 2.44 has .note.ABI-tag, and musl's old linkers .note.gnu.property.
  for (const last of ['abi-tag', 'build-id', 'property'] as const) {
    test(`${last}: each round is exact, and none makes the file grow`, () => {
      const kinds: readonly ItemKind[] = ['interp', 'gnu-hash', 'dynsym', 'dynstr', last];
      const { bytes } = buildLayout({ ...PROGRAM, items: kinds.map(kind => ({ kind })) });
      let now = bytes;
      const sizes = new Set<number>();
      for (let round = 0; round < 6; round++) {
        const { bytes: written } = noted(now, {}, round % 2 === 0 ? 60 : 200);
        sizes.add(written.length);
        const back = removed(written);
        assert.ok(back.plan.exact);
        assert.deepEqual(back.bytes, bytes);
        now = back.bytes;
      }
      assert.equal(sizes.size, 1);
    });
  }
});

describe('a file that a planner with other preferences has noted', () => {
  const rungs: readonly TableRoom[] = ['free', 'reuse-note', 'property', 'move-notes', 'move-tables'];
  test('is restored, and updated to what this one would have written', () => {
    let different = 0;
    const preferences = fc.record({
      avoid: fc.subarray([...rungs], { maxLength: rungs.length - 1 }),
      placement: fc.constantFrom('auto' as const, 'tail' as const),
      moveTable: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.constantFrom(...PROGRAMS), preferences, ({ bytes }, options) => {
        const plan = planFile(viewOf(bytes), { entries: entry(60) }, options);
        if (plan.kind !== 'write') return;
        const written = applied(bytes, plan);
        const { bytes: own } = noted(bytes, {}, 70);
        if (plan.hasRecord) assert.deepEqual(removed(written).bytes, bytes);
        const update = planFile(viewOf(written), { entries: entry(70) });
        assert.ok(update.kind === 'write');
        verifyPlan(viewOf(written), update);
        assert.equal(update.exact, plan.hasRecord);
        if (!plan.hasRecord) return;
        assert.ok(applied(written, update).equals(own));
        if (!written.equals(noted(bytes).bytes)) different++;
      }),
      { numRuns: EXTENT.preferences },
    );
    assert.ok(different > 25, `only ${different} were noted in another way`);
  });
});

describe('what another tool changes', () => {
  test('in what elfnote wrote makes removal say so; elsewhere it stays as it is, and the rest is exact', () => {
    const kinds = PROGRAMS.filter(({ name }) => /kinds\/(?:pie|nopie|libuse)-/.test(name)).map(
      ({ bytes }) => ({
        bytes,
        wrote: noted(bytes).bytes,
      }),
    );
    let kept = 0;
    let released = 0;
    const where = fc.oneof(fc.nat(), fc.nat({ max: 2500 }));
    fc.assert(
      fc.property(
        fc.constantFrom(...kinds),
        where,
        fc.integer({ min: 1, max: 255 }),
        ({ bytes, wrote }, at, flip) => {
          const written = Buffer.from(wrote);
          const offset = at % written.length;
          written[offset] = (written[offset] ?? 0) ^ flip;
          const work = attempt(() => ownWork(viewOf(written)));
          if (work === undefined) {
            released++;
            return;
          }
          const due = Buffer.from(bytes);
          if (offset < due.length) due[offset] = (due[offset] ?? 0) ^ flip;
          assert.ok(work.isWhole);
          const { source } = work.original;
          assert.ok(source.read(0, source.size).equals(due), `byte ${offset}`);
          kept++;
        },
      ),
      { numRuns: EXTENT.flips },
    );
    assert.ok(kept > 100 && released > 50, `${kept} kept, ${released} released`);
  });
});

/** A byte may be one without which the file is no ELF file. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

test('a file that cannot be read for the moment is not taken for one that another tool has changed', () => {
  const written = noted(readFileSync(join(FIXTURES, 'kinds/pie-bfd'))).bytes;
  const view = viewOf(written);
  let reads = 0;
  let failures = 0;
  const failing = (at: number): ElfView => {
    const read = (offset: number, length: number) => {
      if (reads++ === at) throw new ElfnoteError('unreadable', 'cannot read: EIO');
      return view.source.read(offset, length);
    };
    reads = 0;
    return new ElfView(view.image, { path: view.source.path, size: view.source.size, read });
  };
  ownWork(failing(Number.NaN));
  for (let at = 0, count = reads; at < count; at++) {
    assert.throws(() => ownWork(failing(at)), { code: 'unreadable' }, `read ${at}`);
    failures++;
  }
  assert.ok(failures > 10, `${failures} reads`);
});
