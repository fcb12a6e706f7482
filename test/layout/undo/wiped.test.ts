import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { editsOf } from '../../../src/layout/model/plan.js';
import { planFile, planRemoval } from '../../../src/layout/plan-file.js';
import { ownWork } from '../../../src/layout/undo/undo.js';
import { buildLayout, R, RW, RX } from '../../support/layout-builder.js';
import { entryOf, noted, removed } from '../../support/noted.js';
import { applied, halfway, viewOf } from '../../support/plans.js';

const X86_64 = 62;

/** As patchelf leaves it: free room behind the table, and where a section was, `X`, in a file without slack. */
function wiped(size: number): Buffer {
  const { bytes } = buildLayout({
    is64: true,
    littleEndian: true,
    machine: X86_64,
    align: 0x1000,
    rela: true,
    tableGap: 400,
    items: [
      { kind: 'gnu-hash' },
      { kind: 'dynsym' },
      { kind: 'dynstr' },
      { kind: 'rodata', size: 64, gap: size },
    ],
    segments: [
      { flags: RX, size: 64 },
      { flags: R, size: 64 },
      { flags: RW, size: 320, dynamic: true },
    ],
  });
  const sections = viewOf(bytes).image.sectionHeaders;
  const before = sections.find(({ name }) => name === '.dynstr');
  const behind = sections.find(({ name }) => name === '.rodata');
  assert.ok(before && behind);
  bytes.fill('X', before.sh_offset + before.sh_size, behind.sh_offset);
  return bytes;
}

const recordSize = (bytes: Buffer) => {
  const [note] = viewOf(bytes).image.cacheNotes;
  const segment = viewOf(bytes).image.programHeaders[note?.segment ?? -1];
  return (segment?.p_filesz ?? 0) - ((note?.end ?? 0) - (note?.offset ?? 0));
};

describe('a note in bytes that patchelf has wiped', () => {
  // Where less is left than the notes take up, the record leads to it more than once.
  for (const [gap, length] of [
    [4000, 60],
    [4000, 1500],
    [1000, 500],
    [1000, 600],
  ] as const) {
    test(`${length} of ${gap} bytes: has its record behind it, which takes no more for it; removal is exact`, () => {
      const bytes = wiped(gap);
      const first = noted(bytes, length);
      assert.deepEqual(first.plan.rung, { note: 'slack', table: 'free' });
      assert.ok(first.plan.hasRecord && first.plan.inPlaceIsSafe);
      assert.ok(
        editsOf(first.plan).every(({ why }) => why !== 'the undo record'),
        'the record is at the end',
      );
      assert.ok(recordSize(first.bytes) < 160, `${recordSize(first.bytes)} bytes`);
      const out = removed(first.bytes);
      assert.equal(out.plan.exact, true);
      assert.ok(out.bytes.equals(bytes));
    });
  }

  test('whichever write a run is stopped after, the next finishes it', () => {
    const bytes = wiped(1000);
    const first = noted(bytes, 500);
    const out = removed(first.bytes);
    for (const { bytes: partly, after } of [
      ...halfway(bytes, first.plan),
      ...halfway(first.bytes, out.plan),
    ]) {
      const again = planFile(viewOf(partly), { entries: entryOf(500) });
      const built = again.kind === 'write' ? applied(partly, again) : partly;
      assert.ok(built.equals(first.bytes), `build-cache after ${after}`);
      const back = planRemoval(viewOf(partly));
      const bare = back.kind === 'write' ? applied(partly, back) : partly;
      assert.ok(bare.equals(bytes), `remove-cache after ${after}`);
    }
  });

  test('where another tool has used the rest, the record does not count', () => {
    const { bytes } = noted(wiped(1000), 500);
    const [note] = viewOf(bytes).image.cacheNotes;
    const segment = viewOf(bytes).image.programHeaders[note?.segment ?? -1];
    assert.ok(segment);
    bytes[segment.p_offset + segment.p_filesz + 8] = 1;
    assert.equal(ownWork(viewOf(bytes)), undefined);
  });
});
