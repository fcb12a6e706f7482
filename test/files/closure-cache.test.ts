import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { withFaults } from '../../scripts/hardening/shim.js';
import { ClosureCache } from '../../src/files/closure-cache.js';
import { tempDir } from '../support/temp.js';

/** As large as its descriptor size says. */
const NOTE = Buffer.alloc(24);
NOTE.writeUInt32LE(4, 4);

for (const call of ['writeSync', 'closeSync', 'renameSync']) {
  test(`a note that is not kept, since ${call} fails, leaves no file in the cache`, t => {
    const dir = tempDir(t);
    const program = join(dir, 'program');
    writeFileSync(program, 'x');
    const cache = new ClosureCache(join(dir, 'cache'));
    const keep = () => cache.fileFor(program, false, '', () => NOTE);
    let isDone = false;
    const rule = ({ name }: { readonly name: string }) => {
      if (name !== call || isDone) return undefined;
      isDone = true;
      return { kind: 'fail', code: 'EIO' } as const;
    };
    const { error } = withFaults(dir, rule, keep);
    assert.match(String(error), /input\/output error/);
    assert.deepEqual(readdirSync(join(dir, 'cache')), []);
    assert.deepEqual(readFileSync(keep() ?? ''), NOTE, 'the next one is kept');
  });
}
