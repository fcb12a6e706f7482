import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Encoding } from '../../src/elf/bytes.js';
import { ExpectedNotes, OWN_NOTES } from '../../src/loader/notes.js';
import { encodeNote } from '../../src/note/cache.js';
import { factsOf } from '../support/loader-world.js';
import { ELF, MemoryProbe } from '../support/memory-probe.js';

const PATH = { kind: 'path', path: '/s/liba.so' } as const;

test('an object’s own note has the steps of the names in it', () => {
  const bytes = encodeNote([{ soname: 'liba.so', steps: [PATH] }], new Encoding(true, true));
  const facts = factsOf({ notes: [{ bytes }] });
  assert.ok(OWN_NOTES.has(facts));
  assert.deepEqual(OWN_NOTES.steps(facts, 'liba.so'), [PATH]);
  assert.equal(OWN_NOTES.steps(facts, 'libb.so'), undefined);
  assert.ok(!OWN_NOTES.has(factsOf({})));
  assert.equal(OWN_NOTES.steps(factsOf({}), 'liba.so'), undefined);
  assert.equal(OWN_NOTES.closure(facts), undefined);
});

describe('the note that an object would get', () => {
  const probe = () => new MemoryProbe({ files: { '/s/liba.so': ELF, '/t/libb.so': ELF } });

  test('has the steps that build-cache finds over its run path', () => {
    const notes = new ExpectedNotes(probe(), undefined);
    const facts = factsOf({ needed: ['liba.so'], runpath: '/t:/s:/t' });
    assert.ok(notes.has(facts));
    assert.deepEqual(notes.steps(facts, 'liba.so'), [PATH]);
    assert.equal(notes.steps(facts, 'libno.so'), undefined);
    assert.equal(notes.closure(), undefined);
  });

  test('is none without a run path', () => {
    const notes = new ExpectedNotes(probe(), undefined);
    assert.ok(!notes.has(factsOf({ needed: ['liba.so'] })));
    assert.equal(notes.steps(factsOf({ needed: ['liba.so'] }), 'liba.so'), undefined);
  });

  test('leaves a directory that may come to hold a name to the loader, where stores are known', () => {
    const facts = factsOf({ needed: ['liba.so'], runpath: '/t:/s' });
    assert.deepEqual(new ExpectedNotes(probe(), ['/s']).steps(facts, 'liba.so'), [
      { kind: 'hint', dir: '/t' },
      PATH,
    ]);
  });

  test('looks into each directory once for all objects', () => {
    const libraries = probe();
    const notes = new ExpectedNotes(libraries, undefined);
    const objects = [factsOf({ runpath: '/s' }), factsOf({ runpath: '/s' })];
    for (const facts of [...objects, ...objects]) notes.steps(facts, 'liba.so');
    assert.equal(libraries.asked.filter(what => what === 'directory /s').length, 1);
  });
});
