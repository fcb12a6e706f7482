import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OutsideDirectories } from '../../src/cli/outside.js';
import type { Attempt } from '../../src/resolve/resolve.js';

/** Lines for files whose only soname was looked up in this way; the store is /store. */
function linesFor(...files: readonly (readonly Attempt[])[]): string[] {
  const outside = new OutsideDirectories(['/store']);
  for (const [i, attempts] of files.entries()) {
    const resolution = {
      source: 'DT_RUNPATH' as const,
      components: [],
      entries: [{ soname: 'libx.so', steps: [], attempts }],
      unresolved: [],
    };
    outside.add({ path: `file${i}`, action: 'up-to-date', warnings: [], resolution });
  }
  return outside.lines().map(({ directory, message }) => `${directory}: ${message.split(': ')[1]}`);
}

const hint = (component: string, why: string): Attempt => ({ component, outcome: 'hint', why });
const found: Attempt = { component: '/store/a/lib', outcome: 'recorded', why: '' };

describe('OutsideDirectories', () => {
  const rules: [rule: string, files: Attempt[][], lines: string[]][] = [
    [
      'a directory before the exact path is searched at every start',
      [[hint('/opt/lib', 'mutable'), found]],
      ['/opt/lib: 1 file searches it at every start, for 1 library'],
    ],
    [
      'a directory behind the exact path costs nothing while that is there',
      [[found, hint('/opt/lib', 'mutable')]],
      ['/opt/lib: 1 file searches it when an exact path before it is gone'],
    ],
    [
      'files that differ are added up',
      [
        [hint('/opt/lib', 'missing'), found],
        [found, hint('/opt/lib', 'missing')],
      ],
      ['/opt/lib: 2 files search it at every start, for 1 library'],
    ],
    ['a directory of the store is not outside', [[hint('/store/b/lib', 'missing')]], []],
    [
      'one whose name begins like the store is',
      [[hint('/store2/lib', 'missing')]],
      ['/store2/lib: 1 file searches it at every start, for 1 library'],
    ],
    ['what only the loader can expand may be in the store', [[hint('$ORIGIN/lib', 'token')]], []],
    ['glibc-hwcaps is a hint wherever it is', [[hint('/opt/lib', 'hwcaps')]], []],
    ['a directory outside that has the library is exact', [[{ ...found, component: '/opt/lib' }]], []],
  ];
  for (const [rule, files, lines] of rules) {
    test(rule, () => assert.deepEqual(linesFor(...files), lines));
  }
});
