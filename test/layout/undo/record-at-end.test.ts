import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { editsOf, type WritePlan } from '../../../src/layout/model/plan.js';
import { planFile, planRemoval } from '../../../src/layout/plan-file.js';
import { ownWork } from '../../../src/layout/undo/undo.js';
import { FIXTURES } from '../../support/cli.js';
import { carriedOut, entryOf, noted, removed } from '../../support/noted.js';
import { halfway, viewOf } from '../../support/plans.js';

const KINDS = join(FIXTURES, 'kinds');

const isAtEnd = (plan: WritePlan) => editsOf(plan).some(({ why }) => why === 'the undo record');

/** The longest note that has its record behind it in slack, and one that is longer by less than a record. */
function fillingLength(bytes: Buffer): number | undefined {
  let [fits, tooLong] = [20, 5000];
  const isInSlack = (length: number) => {
    const plan = planFile(viewOf(bytes), { entries: entryOf(length) });
    return plan.kind === 'write' && plan.rung.note === 'slack' && !isAtEnd(plan);
  };
  if (!isInSlack(fits)) return undefined;
  while (tooLong - fits > 1) {
    const middle = Math.floor((fits + tooLong) / 2);
    if (isInSlack(middle)) fits = middle;
    else tooLong = middle;
  }
  return fits + 24;
}

const TIGHT = readdirSync(KINDS, { withFileTypes: true })
  .filter(file => file.isFile())
  .map(({ name }) => ({ name, bytes: readFileSync(join(KINDS, name)) }))
  .filter(({ bytes }) => bytes.toString('latin1', 0, 4) === '\x7fELF')
  .flatMap(({ name, bytes }) => {
    const length = viewOf(bytes).image.debugOnly ? undefined : fillingLength(bytes);
    if (length === undefined) return [];
    const plan = planFile(viewOf(bytes), { entries: entryOf(length) });
    return plan.kind === 'write' && isAtEnd(plan) ? [{ name, bytes, length }] : [];
  });

test('there are fixtures whose slack is filled by a note alone', t => {
  t.diagnostic(TIGHT.map(({ name }) => name).join(' '));
  assert.ok(TIGHT.length >= 10, `only ${TIGHT.length}`);
});

describe('where slack has no room for the undo record, it comes to the end of the file', () => {
  for (const { name, bytes, length } of TIGHT) {
    test(`${name}: removal is exact, and a hundred updates with removals between give the same bytes`, () => {
      const first = noted(bytes, length);
      assert.ok(first.plan.hasRecord && first.plan.rung.note === 'slack');
      const other = noted(bytes, 60);
      let now = first;
      for (let update = 0; update < 100; update++) {
        const due = update % 2 === 0 ? other : first;
        if (update % 7 === 6) now = removed(now.bytes);
        if (update % 7 === 6) assert.ok(now.plan.exact === true && now.bytes.equals(bytes));
        now = noted(now.bytes, due === other ? 60 : length);
        assert.ok(now.bytes.equals(due.bytes), `update ${update}`);
      }
    });

    test(`${name}: a run that was stopped after any single write is finished by the next`, () => {
      const first = noted(bytes, length);
      const removal = planRemoval(viewOf(first.bytes));
      assert.ok(removal.kind === 'write' && removal.exact);
      const states = first.plan.inPlaceIsSafe
        ? [...halfway(bytes, first.plan), ...halfway(first.bytes, removal)]
        : [];
      for (const { bytes: partly, after } of states) {
        const again = planFile(viewOf(partly), { entries: entryOf(length) });
        const rebuilt = again.kind === 'write' ? carriedOut(partly, again).bytes : partly;
        assert.ok(rebuilt.equals(first.bytes), `build-cache after ${after}`);
        const out = planRemoval(viewOf(partly));
        const bare = out.kind === 'write' ? carriedOut(partly, out).bytes : partly;
        assert.ok(bare.equals(bytes), `remove-cache after ${after}`);
      }
    });

    test(`${name}: a record that does not count goes with the note, and no round makes the file grow`, () => {
      const first = noted(bytes, length);
      const broken = Buffer.from(first.bytes);
      const last = broken.length - 20;
      broken[last] = (broken[last] ?? 0) ^ 1;
      assert.equal(ownWork(viewOf(broken)), undefined);
      const released = removed(broken);
      assert.equal(released.plan.exact, false);
      assert.equal(released.bytes.indexOf('elfnote\0'), -1, 'the record is still there');
      const sizes = new Set<number>();
      let now: Buffer = broken;
      for (let round = 0; round < 6; round++) {
        now = noted(now, round % 2 === 0 ? length + 1 : length).bytes;
        if (round > 1) sizes.add(now.length);
      }
      assert.ok(sizes.size <= 2, [...sizes].join(' '));
    });

    test(`${name}: another program that appends to the file keeps what it has appended`, () => {
      const appended = Buffer.from('an archive that is found from the end of the file');
      const first = Buffer.concat([noted(bytes, length).bytes, appended]);
      const { plan, bytes: bare } = removed(first);
      assert.ok(plan.exact === false && bare.subarray(-appended.length).equals(appended));
    });
  }

  test('behind the data of another program there is no record, and nothing is appended', () => {
    const bytes = readFileSync(join(KINDS, 'appended'));
    const length = fillingLength(bytes);
    assert.ok(length !== undefined);
    // The longest that fits, so without a record.
    const { plan } = noted(bytes, length - 24);
    assert.ok(!plan.hasRecord && plan.size === bytes.length);
  });
});
