import { describe, test } from 'node:test';
import { EXTENT, share } from '../support/extent.js';
import { TOOL_PAIRS } from '../support/later-tools.js';
import { pairCells } from '../support/matrix.js';
import { MATRIX_SKIP, Round } from '../support/matrix-round.js';
import { suiteScope, tempDir, whenAsked } from '../support/temp.js';

for (const [i, cell] of pairCells().entries()) {
  const pairs = share(TOOL_PAIRS, EXTENT.pairs, i);
  describe(`${cell.name}: two tools, one after the other`, { skip: MATRIX_SKIP || cell.skip }, () => {
    const round = new Round([cell], () => pairs, false);
    const scope = suiteScope();
    const ready = whenAsked(() => round.prepare(tempDir(scope)));

    for (const tools of pairs) {
      const names = tools.map(tool => tool.name).join(', then ');
      test(`${cell.name}, then ${names}: runs, with a right note or none`, async t => {
        await ready();
        const trial = round.trial(t, cell, tools);
        if (trial !== undefined) await round.judge(t, trial);
      });
    }
  });
}
