import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { runOk } from '../support/cli.js';
import { EXTENT } from '../support/extent.js';
import { buildReader, needsTracing } from '../support/reader.js';
import { suiteScope, tempDir } from '../support/temp.js';
import {
  makeTree,
  NOTED_WAYS,
  noteTree,
  type StartCost,
  startCost,
  TREE_KINDS,
  type Tree,
} from '../support/trees.js';

for (const kind of TREE_KINDS) {
  describe(`a tree like that of ${kind}`, { skip: needsTracing('gcc', 'g++') }, () => {
    const scope = suiteScope();
    let tree: Tree;
    let cost: (way: (typeof NOTED_WAYS)[number]) => StartCost;
    before(() => {
      tree = makeTree(tempDir(scope), kind, EXTENT.treeLibraries);
      const reader = buildReader(tempDir(scope));
      const plain = tree.libraries.map(path => readFileSync(path));
      const costs = new Map(
        NOTED_WAYS.map(way => {
          noteTree(tree, way);
          if (way !== 'everywhere')
            for (const [i, path] of tree.libraries.entries())
              assert.ok(plain[i]?.equals(readFileSync(path)), path);
          return [way, startCost(tree, way === 'none' ? undefined : reader)];
        }),
      );
      cost = way => costs.get(way) ?? assert.fail(way);
    });
    const own = (missed: readonly string[]) => missed.filter(path => /\/libpart\d+\.so\.1$/.test(path));
    const others = (missed: readonly string[]) => missed.filter(path => /\/lib(?!part)[^/]*$/.test(path));

    test('is of the kind that it is to be', () => {
      const dynamic = runOk('readelf', ['-dW', tree.program]).stdout;
      assert.match(dynamic, kind === 'distribution' ? /\(RUNPATH\)/ : /\(RPATH\)/);
      assert.equal(/\$ORIGIN\/\.\.\/lib/.test(dynamic), kind === 'conda');
      assert.equal(/libstdc\+\+/.test(dynamic), kind === 'distribution');
    });

    test('searches without notes: for its own libraries, and for those of the system', () => {
      const { missed } = cost('none');
      // All of conda's are in the one directory that is searched, but for subdirectories for some processors.
      if (kind !== 'conda') assert.ok(own(missed).length > EXTENT.treeLibraries, `${own(missed).length}`);
      assert.ok(others(missed).some(path => path.endsWith('/libc.so.6')));
    });

    const ways = ['everywhere', 'closure', 'closure and system'] as const;
    // Of a run path that is $ORIGIN, a cache note could only have hints, so build-cache writes none.
    for (const way of kind === 'conda' ? ways.slice(1) : ways) {
      test(`${way}: none of its own libraries is looked for in vain`, () => {
        assert.deepEqual(own(cost(way).missed), []);
        if (kind !== 'conda') assert.ok(cost(way).calls < cost('none').calls);
      });
    }

    test('with --system-libraries nothing is looked for in vain at all', () => {
      assert.deepEqual(cost('closure and system').missed, []);
      assert.ok(others(cost('closure').missed).length > 0);
    });
  });
}
