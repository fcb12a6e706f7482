import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { answersLost, areOfSystem, hasTrusted } from '../../src/loader/renewal.js';
import { SystemLibraries } from '../../src/loader/system-libraries.js';
import type { ClosureNote, ClosureStep } from '../../src/note/closure.js';
import { factsOf, LoaderWorld } from '../support/loader-world.js';

/** A note in which each object answers its names by the paths. */
function note(
  objects: Readonly<Record<string, Readonly<Record<string, string>>>>,
  trusted = false,
): ClosureNote {
  return {
    objects: Object.entries(objects).map(([path, answers]) => ({
      path,
      check: 0,
      size: trusted ? 'trusted' : 1,
      answers: Object.entries(answers).map(([soname, target]) => ({
        soname,
        steps: [
          { kind: 'hint', dir: '/h', beforeLibraryPath: false },
          { kind: 'path', path: target, beforeLibraryPath: false },
        ],
      })),
    })),
  };
}

describe('what a newer closure note no longer answers', () => {
  test('is told by the name of the file that asks, wherever it is now, and by the soname', () => {
    const older = note({
      '': { 'liba.so': '/1/liba.so' },
      '/1/liba.so': { 'libb.so': '/1/libb.so', 'libc.so': '/1/libc.so' },
    });
    const newer = note({ '': { 'liba.so': '/2/liba.so' }, '/2/liba.so': { 'libb.so': '/2/libb.so' } });
    assert.deepEqual(
      answersLost(older, newer).map(({ soname, path }) => `${soname} ${path}`),
      ['libc.so /1/libc.so'],
    );
    assert.deepEqual(answersLost(older, older), []);
    const swapped = note({ '': { 'libb.so': '/1/libb.so' }, '/1/libx.so': { 'liba.so': '/1/liba.so' } });
    assert.equal(answersLost(older, swapped).length, 3);
  });

  test('is told by the last path of the answer, and by none where that is a directory', () => {
    const path = (target: string) => ({ kind: 'path', path: target, beforeLibraryPath: false }) as const;
    const hint = { kind: 'hint', dir: '/h', beforeLibraryPath: false } as const;
    const pathOf = (...steps: ClosureStep[]) => {
      const older = { objects: [{ path: '', check: 0, size: 1, answers: [{ soname: 'liba.so', steps }] }] };
      return answersLost(older, { objects: [] })[0]?.path;
    };
    assert.equal(pathOf(path('/1/liba.so'), path('/2/liba.so'), path('/3/liba.so')), '/3/liba.so');
    assert.equal(pathOf(path('/1/liba.so')), '/1/liba.so');
    assert.equal(pathOf(path('/1/liba.so'), hint), '');
    assert.equal(pathOf(), '');
  });

  test('is of the system where a loader finds that very file without a run path', () => {
    const { image } = factsOf({});
    const system = new SystemLibraries(new LoaderWorld({ '/lib64/liba.so': {} }));
    const of = (path: string) => areOfSystem([{ soname: 'liba.so', path }], system, image);
    assert.ok(of('/lib64/liba.so'));
    assert.ok(!of('/s/liba.so'));
    assert.ok(!areOfSystem([{ soname: 'libb.so', path: '' }], system, image));
    assert.ok(!areOfSystem([], system, image));
  });
});

test('a note trusts where some library of it is answered without a look', () => {
  assert.ok(hasTrusted(note({ '': {} }, true)));
  assert.ok(!hasTrusted(note({ '': {} })));
  assert.ok(!hasTrusted({ objects: [] }));
});
