import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CACHE_NOTE_OWNER } from '../../../src/elf/constants.js';
import { editsOf, type WritePlan } from '../../../src/layout/model/plan.js';
import { planFile, planRemoval } from '../../../src/layout/plan-file.js';
import { encodeNote } from '../../../src/note/cache.js';
import { verifyPlan } from '../../../src/write/verify-plan.js';
import { buildLayout, PROGRAM, R, RW, RX } from '../../support/layout-builder.js';
import { carriedOut, entryOf, noted, removed } from '../../support/noted.js';
import { applied, halfway, viewOf } from '../../support/plans.js';

const AARCH64 = 183;
const PAGE = 4096;

/** Pages are 64 KiB there, so slack has room for notes that go over several pages of 4 KiB. */
function roomy(padded: boolean, littleEndian = true): Buffer {
  return buildLayout({
    is64: true,
    littleEndian,
    machine: AARCH64,
    align: 0x10000,
    rela: true,
    tableGap: 400,
    items: [{ kind: 'gnu-hash' }, { kind: 'dynsym' }, { kind: 'dynstr' }, { kind: 'rodata', size: 64 }],
    segments: [
      { flags: RX, size: 64 },
      { flags: R, size: 64 },
      { flags: RW, size: 320, dynamic: true, padded },
    ],
  }).bytes;
}

/** What a kill within the first write leaves: the first pages of it. */
function tornAt(bytes: Buffer, plan: WritePlan, end: (offset: number) => number): Buffer {
  const [first] = editsOf(plan);
  assert.ok(first !== undefined);
  const size = end(first.offset);
  const torn = Buffer.concat([bytes, Buffer.alloc(Math.max(0, first.offset + size - bytes.length))]);
  first.bytes.copy(torn, first.offset, 0, size);
  return torn;
}

/** How many bytes there are up to the end of the page. */
const borderIn = (offset: number) => PAGE - (offset % PAGE);

/** One that lets the border be at every place of the record, and two for notes that go over three pages. */
const LENGTHS = [...Array.from({ length: 60 }, (_, i) => 3440 + 4 * i), 4000, 4090];

for (const [where, bytes] of Object.entries({
  'at the end of a file': roomy(false),
  'in slack': roomy(true),
})) {
  describe(`notes ${where} of which a run that was stopped has written, or left, the first pages alone`, () => {
    const cut = LENGTHS.map(length => ({ length, ...noted(bytes, length) })).filter(({ plan }) => {
      const [first] = editsOf(plan);
      return first !== undefined && borderIn(first.offset) < first.bytes.length;
    });

    test('are wiped by a removal, and a build is as the first', () => {
      assert.ok(cut.length > 20);
      for (const { length, plan, bytes: whole } of cut) {
        const torn = tornAt(bytes, plan, borderIn);
        const out = removed(torn);
        assert.ok(out.bytes.equals(bytes), `a path of ${length} bytes`);
        assert.ok(noted(torn, length).bytes.equals(whole));
        assert.ok(noted(torn, 20).bytes.equals(noted(bytes, 20).bytes));
        for (const state of halfway(torn, out.plan)) {
          const again = planRemoval(viewOf(state.bytes));
          assert.ok(
            again.kind === 'skip' ? state.bytes.equals(bytes) : applied(state.bytes, again).equals(bytes),
          );
        }
      }
    });

    test('and are not where other bytes come behind them', () => {
      for (const { plan } of cut) {
        const [first] = editsOf(plan);
        const torn = tornAt(bytes, plan, borderIn);
        const behind = (first?.offset ?? 0) + borderIn(first?.offset ?? 0) + 100;
        const foreign = Buffer.concat([torn, Buffer.alloc(Math.max(0, behind + 1 - torn.length))]);
        foreign[behind] = 1;
        assert.equal(planRemoval(viewOf(foreign)).kind, 'skip');
      }
    });
  });
}

test('a big-endian file is rid of such notes too, and no file of notes of another owner', () => {
  for (const littleEndian of [true, false]) {
    const bytes = roomy(true, littleEndian);
    const torn = tornAt(bytes, noted(bytes, 4000).plan, borderIn);
    assert.ok(removed(torn).bytes.equals(bytes));
    const at = torn.indexOf(CACHE_NOTE_OWNER);
    assert.ok(at > 0);
    torn.write('x', at);
    assert.equal(planRemoval(viewOf(torn)).kind, 'skip');
  }
});

test("what nothing proves is verified to be nobody else's", () => {
  const bytes = roomy(true);
  const { plan } = carriedOut(bytes, planFile(viewOf(bytes), { entries: entryOf(4000) }));
  const torn = tornAt(bytes, plan, borderIn);
  const removal = planRemoval(viewOf(torn));
  assert.ok(removal.kind === 'write');
  verifyPlan(viewOf(torn), removal);
  const [commit] = removal.commits;
  const [edit] = commit?.edits ?? [];
  assert.ok(commit !== undefined && edit !== undefined);
  const wider = { ...edit, offset: edit.offset - 8, bytes: Buffer.alloc(edit.bytes.length + 8) };
  const wrong = [
    [{ ...commit, edits: [wider] }, /what no record proves is undone: bytes \d+ to \d+ of \w+ \d+$/],
    [
      { ...commit, size: bytes.length - 1 },
      /what no record proves is cut: the file at \d+, its content ends at \d+$/,
    ],
  ] as const;
  for (const [other, message] of wrong)
    assert.throws(() => verifyPlan(viewOf(torn), { ...removal, commits: [other] }), {
      code: 'verify',
      message,
    });
});

test("without section headers nothing tells that such notes are not the program's own data", () => {
  const { bytes, claims } = buildLayout({
    ...PROGRAM,
    items: (['gnu-hash', 'dynsym', 'dynstr', 'interp', 'rodata', 'build-id'] as const).map(kind =>
      kind === 'rodata' ? { kind, size: 9000 } : { kind },
    ),
    sections: 'none',
  });
  const data = claims.find(({ name }) => name === '.rodata');
  assert.ok(data !== undefined && data.address !== undefined);
  const own = encodeNote(entryOf(PAGE - 200), viewOf(bytes).image.encoding);
  bytes.fill(0, data.start, data.end);
  own.copy(bytes, data.start, 0, borderIn(data.start));
  assert.equal(planRemoval(viewOf(bytes)).kind, 'skip');
});
