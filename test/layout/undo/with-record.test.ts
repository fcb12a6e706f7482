import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PF_R, PT_LOAD } from '../../../src/elf/constants.js';
import { changed, type ElfView } from '../../../src/elf/view.js';
import { planStages } from '../../../src/layout/dt-audit/plan.js';
import { findRecord } from '../../../src/layout/undo/find.js';
import { planWithRecord } from '../../../src/layout/undo/with-record.js';
import { encodeNote } from '../../../src/note/cache.js';
import { encodeUndo } from '../../../src/note/undo.js';
import { FIXTURES, runOk } from '../../support/cli.js';
import { buildElf } from '../../support/elf-builder.js';
import { entryOf } from '../../support/noted.js';
import { viewOf } from '../../support/plans.js';
import { tempDir } from '../../support/temp.js';
import { isSkipped, needs, unavailable } from '../../support/tools.js';

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

  test('move a note rather than make the loader read once more, where just their own record fits', {
    skip: needs('gcc', 'patchelf'),
  }, t => {
    const dir = tempDir(t);
    const [source, file] = [join(dir, 'a.c'), join(dir, 'a')];
    writeFileSync(source, 'int puts(const char *); int main(void) { return puts("x"); }');
    runOk('gcc', ['-Wl,-z,noseparate-code,-rpath,/x', '-o', file, source]);
    runOk('patchelf', ['--set-rpath', `/${'a'.repeat(40)}:/${'b'.repeat(40)}`, file]);
    const bytes = readFileSync(file);
    const notes = notesOf(viewOf(bytes), 200);
    const roomy = planWithRecord(viewOf(bytes), notes, {});
    if ('reason' in roomy) assert.fail(roomy.detail);
    const isAsMeant = roomy.note.rung.table === 'reuse-note';
    if (isSkipped(t, isAsMeant ? false : unavailable('this linker and patchelf leave another layout')))
      return;
    for (let left = 60; left < 76; left += 4) {
      const tight = Buffer.from(bytes);
      tight[roomy.note.at + notes.length + left] = 255;
      const plan = planWithRecord(viewOf(tight), notes, {});
      if ('reason' in plan) assert.fail(plan.detail);
      assert.equal(plan.note.losses, 0, `${left}`);
    }
  });

  test('are in slack in some of these, and not in others', () => {
    assert.ok(inSlack > 10 && elsewhere > 10, `${inSlack}, ${elsewhere}`);
  });
});
