import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { alignUp } from '../../../src/elf/bytes.js';
import { PF_R, PT_LOAD } from '../../../src/elf/constants.js';
import { changed, type ElfView } from '../../../src/elf/view.js';
import { planStages, type Stages } from '../../../src/layout/dt-audit/plan.js';
import { tableEnd } from '../../../src/layout/model/occupied.js';
import { findRecord } from '../../../src/layout/undo/find.js';
import { recordOf } from '../../../src/layout/undo/make-record.js';
import { planWithRecord } from '../../../src/layout/undo/with-record.js';
import { encodeNote } from '../../../src/note/cache.js';
import { OWN_DESC_START } from '../../../src/note/own.js';
import { encodeUndo } from '../../../src/note/undo.js';
import { FIXTURES } from '../../support/cli.js';
import { buildElf } from '../../support/elf-builder.js';
import { entryOf } from '../../support/noted.js';
import { viewOf } from '../../support/plans.js';

const KINDS = join(FIXTURES, 'kinds');

/** Has slack within, and ends with a read-only segment, which may grow. */
function growing(): ElfView {
  const at = 0x3000;
  const last = {
    p_type: PT_LOAD,
    p_flags: PF_R,
    p_offset: at,
    p_vaddr: 0x20000 + at,
    p_filesz: 64,
    p_memsz: 64,
  };
  const spec = { needed: ['liba.so'], runpath: '/s', sections: false, nulls: 1 };
  const { bytes } = buildElf({ ...spec, extra: [{ ...last, p_align: 0x1000 }] });
  return viewOf(Buffer.concat([bytes], at + 64));
}

const VIEWS: readonly (readonly [name: string, view: ElfView])[] = [
  ...readdirSync(KINDS, { withFileTypes: true })
    .filter(file => file.isFile())
    .map(({ name }) => [name, readFileSync(join(KINDS, name))] as const)
    .filter(([, bytes]) => bytes.toString('latin1', 0, 4) === '\x7fELF')
    .map(([name, bytes]) => [name, viewOf(bytes)] as const)
    .filter(([, { image }]) => !image.debugOnly && image.cacheNotes.length === 0),
  ['a segment that may grow at the end', growing()],
];

const notesOf = (view: ElfView, length: number) => encodeNote(entryOf(length), view.image.encoding);

/** In bytes, about the size of a record and its header: so much shorter, notes may still have another place than with one. */
const NEAR = [1, 30, 60, 90];

/** Some, and those just below each at which notes alone get another place. */
function lengthsFor(view: ElfView): number[] {
  const lengths = [20, 60, 200, 700, 1500, 3000];
  let before: string | undefined;
  for (let length = 20; length < 5000; length += 8) {
    const stages = planStages(view, { bytes: notesOf(view, length) }, {});
    const now =
      'reason' in stages
        ? stages.reason
        : JSON.stringify([stages.note.at, stages.note.rung, stages.note.moved]);
    if (before !== undefined && now !== before)
      lengths.push(...NEAR.map(near => Math.max(20, length - near)));
    before = now;
  }
  return lengths;
}

/** Of the descriptor of a record of notes that have none, in bytes. */
function recordSize(view: ElfView, { note, commits }: Stages, size: number): number {
  const edits = commits.flatMap(commit => commit.edits);
  const after = changed(view.source, commits);
  const payload = { offset: note.at, size };
  const work = {
    before: view.source,
    after,
    edits,
    inPlaceIsSafe: true,
    payload,
    tableEnd: tableEnd(view.image),
  };
  return encodeUndo(recordOf(work)).length;
}

describe('notes with their record', () => {
  let inSlack = 0;
  let elsewhere = 0;
  for (const [name, view] of VIEWS) {
    test(`${name}: cost no more than notes alone, but for the record's own bytes`, () => {
      for (const length of lengthsFor(view)) {
        const notes = notesOf(view, length);
        const alone = planStages(view, { bytes: notes }, {});
        const both = planWithRecord(view, notes, {});
        if ('reason' in alone || 'reason' in both) {
          assert.deepEqual(both, alone);
          continue;
        }
        const what = `${length} bytes`;
        assert.equal(both.note.addedLoads, alone.note.addedLoads, what);
        assert.equal(both.note.moved.length, alone.note.moved.length, what);
        assert.equal(both.note.rung.note, alone.note.rung.note, what);
        const after = changed(view.source, both.commits);
        const found = findRecord(viewOf(Buffer.from(after.read(0, after.size))));
        assert.equal(found !== undefined, both.hasRecord, what);
        const size = found === undefined ? 0 : found.note.end - found.note.offset;
        const most = Math.max(view.source.size, ...alone.commits.map(commit => commit.size)) + size;
        assert.ok(after.size <= most + view.image.encoding.wordSize, `${what}: ${after.size}, ${most}`);
        if (found === undefined) continue;
        const unused = found.note.n_descsz - encodeUndo(found.record).length;
        assert.ok(unused <= 12, `${what}: ${unused} of the record's bytes say nothing`);
        if (both.note.rung.note === 'slack') inSlack++;
        else elsewhere++;
      }
    });
  }

  test('lose no more than with room for the record of notes alone, however tight it is behind them', () => {
    let tried = 0;
    for (const [name, view] of VIEWS) {
      const notes = notesOf(view, 200);
      const first = planStages(view, { bytes: notes }, {});
      if ('reason' in first || first.note.at + notes.length > view.source.size) continue;
      for (let left = notes.length + 40; left < notes.length + 160; left += 4) {
        const bytes = Buffer.from(view.source.read(0, view.source.size));
        if (bytes[first.note.at + left] !== 0) continue;
        bytes[first.note.at + left] = 255;
        const tight = viewOf(bytes);
        const both = planWithRecord(tight, notes, {});
        const alone = planStages(tight, { bytes: notes }, {});
        if ('reason' in both || 'reason' in alone || !both.hasRecord) continue;
        const size = alignUp(OWN_DESC_START + recordSize(tight, alone, notes.length), 4);
        const exact = planStages(tight, { bytes: Buffer.concat([notes], notes.length + size) }, {});
        if ('reason' in exact) continue;
        tried++;
        const what = `${name} ${left}: ${both.note.losses}, ${exact.note.losses}`;
        assert.ok(both.note.losses <= exact.note.losses, what);
      }
    }
    assert.ok(tried > 100, `${tried}`);
  });

  test('are in slack in some of these, and not in others', () => {
    assert.ok(inSlack > 10 && elsewhere > 10, `${inSlack}, ${elsewhere}`);
  });
});
