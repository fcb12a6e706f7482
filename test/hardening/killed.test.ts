/** The real thing for a sample: strace kills the command at its n-th writing call. */
import assert from 'node:assert/strict';
import { copyFileSync, linkSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BIN, elfnoteOk, FIXTURES, ROOT, runMany } from '../support/cli.js';
import { needsTracing } from '../support/reader.js';
import { tempDir } from '../support/temp.js';

const CALLS = ['symlink', 'copy_file_range', 'pwrite64', 'ftruncate', 'fchmod', 'fsync', 'rename', 'unlink'];
const DEADLINE = 60_000;

describe('a run that is killed at a writing call', { skip: needsTracing() }, () => {
  test('leaves each of several files old or new that it has under way, and the next run sweeps all of it', async t => {
    const original = join(FIXTURES, 'kinds/pie-bfd');
    const made = join(tempDir(t), 'file');
    copyFileSync(original, made);
    elfnoteOk(['build-cache', '--root', ROOT, made]);
    const [before, after] = [readFileSync(original), readFileSync(made)];
    const names = Array.from({ length: 12 }, (_, i) => `file-${String(i).padStart(2, '0')}`);
    // Each thread of its own counts its calls.
    const runs = ['copy_file_range', 'fsync', 'fchmod', 'rename'].flatMap(call =>
      [1, 2, 3].map(n => {
        const tree = tempDir(t);
        for (const name of names) {
          copyFileSync(original, join(tree, name));
          utimesSync(join(tree, name), 1e9, 1e9);
        }
        const inject = `inject=${call}:signal=KILL:when=${n}`;
        const traced = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject];
        const command = [...traced, process.execPath, BIN, 'build-cache', '--root', ROOT, tree];
        return { tree, command };
      }),
    );
    const results = await runMany(
      runs.map(({ command }) => ['strace', ...command]),
      DEADLINE,
    );
    let left = 0;
    for (const [i, { tree }] of runs.entries()) {
      assert.notEqual(results[i]?.status, 0, 'it is killed');
      for (const name of names) {
        const bytes = readFileSync(join(tree, name));
        assert.ok(bytes.equals(before) || bytes.equals(after), `${name} is a third one`);
      }
      left = Math.max(left, readdirSync(tree).filter(name => name.startsWith('.')).length);
      elfnoteOk(['build-cache', '--root', ROOT, tree]);
      assert.deepEqual(readdirSync(tree).sort(), names);
      for (const name of names) assert.ok(readFileSync(join(tree, name)).equals(after), name);
    }
    assert.ok(left > 4, `at most ${left} copies and locks were left`);
  });

  for (const [way, ...args] of [['by a copy'], ['in place', '--fast'], ['with a hard link']] as const) {
    test(`leaves the old file or the new one ${way}, and the next run leaves the new one alone`, async t => {
      const original = join(FIXTURES, 'kinds/pie-bfd');
      const made = join(tempDir(t), 'file');
      copyFileSync(original, made);
      elfnoteOk(['build-cache', '--root', ROOT, made]);
      const runs = CALLS.flatMap(call =>
        [1, 2].map(n => {
          const file = join(tempDir(t), 'file');
          copyFileSync(original, file);
          if (way === 'with a hard link') linkSync(file, `${file}.link`);
          utimesSync(file, 1e9, 1e9);
          const inject = `inject=${call}:signal=KILL:when=${n}`;
          const traced = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject];
          return {
            call,
            file,
            command: [
              'strace',
              ...traced,
              process.execPath,
              BIN,
              'build-cache',
              '--root',
              ROOT,
              ...args,
              file,
            ] as const,
          };
        }),
      );
      const results = await runMany(
        runs.map(({ command: [program, ...rest] }) => [program, ...rest]),
        DEADLINE,
      );
      let killed = 0;
      let left = 0;
      for (const [i, { file, call }] of runs.entries()) {
        if (results[i]?.status === 0) continue;
        killed++;
        left += readdirSync(join(file, '..')).filter(name => name.startsWith('.')).length;
        elfnoteOk(['build-cache', '--root', ROOT, ...args, file]);
        assert.ok(readFileSync(file).equals(readFileSync(made)), `${call}: the next run does not finish it`);
        const names = way === 'with a hard link' ? ['file', 'file.link'] : ['file'];
        assert.deepEqual(readdirSync(join(file, '..')).sort(), names, call);
      }
      assert.ok(killed >= 4 && left >= 2, `${killed} killed, ${left} left`);
    });
  }
});
