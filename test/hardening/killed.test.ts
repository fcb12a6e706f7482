/** The real thing for a sample: strace kills the command at its n-th writing call. */
import assert from 'node:assert/strict';
import { copyFileSync, linkSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BIN, FIXTURES, ROOT, runMany, runOk } from '../support/cli.js';
import { elfnoteHereOk } from '../support/cli-here.js';
import { EXTENT } from '../support/extent.js';
import { needsTracing } from '../support/reader.js';
import { tempDir } from '../support/temp.js';

const CALLS = ['symlink', 'copy_file_range', 'pwrite64', 'ftruncate', 'fchmod', 'fsync', 'rename', 'unlink'];
const BUILD = ['build-cache', '--root', ROOT];
/** The first of a call, the second. */
const NUMBERS = [1, 2];
const DEADLINE = 60_000;

describe('a run that is killed at a writing call', { skip: needsTracing() }, () => {
  test('leaves each of several files old or new that it has under way, and the next run sweeps all of it', async t => {
    const original = join(FIXTURES, 'kinds/pie-bfd');
    const made = join(tempDir(t), 'file');
    copyFileSync(original, made);
    elfnoteHereOk([...BUILD, made]);
    const [before, after] = [readFileSync(original), readFileSync(made)];
    const names = Array.from({ length: 12 }, (_, i) => `file-${String(i).padStart(2, '0')}`);
    // Each thread of its own counts its calls.
    const runs = ['copy_file_range', 'fsync', 'fchmod', 'rename'].flatMap(call =>
      EXTENT.killedAt.map(n => {
        const tree = tempDir(t);
        for (const name of names) {
          copyFileSync(original, join(tree, name));
          utimesSync(join(tree, name), 1e9, 1e9);
        }
        const inject = `inject=${call}:signal=KILL:when=${n}`;
        const traced = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject];
        const command = [...traced, process.execPath, BIN, ...BUILD, tree];
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
      elfnoteHereOk([...BUILD, tree]);
      assert.deepEqual(readdirSync(tree).sort(), names);
      for (const name of names) assert.ok(readFileSync(join(tree, name)).equals(after), name);
    }
    assert.ok(left > 4, `at most ${left} copies and locks were left`);
  });

  for (const [way, ...args] of [['by a copy'], ['in place', '--fast'], ['with a hard link']] as const) {
    test(`leaves the old file or the new one ${way}, and the next run leaves the new one alone`, async t => {
      const fileIn = (dir: string) => {
        const file = join(dir, 'file');
        copyFileSync(join(FIXTURES, 'kinds/pie-bfd'), file);
        if (way === 'with a hard link') linkSync(file, `${file}.link`);
        utimesSync(file, 1e9, 1e9);
        return file;
      };
      const command = (file: string, ...tracing: readonly string[]) =>
        ['strace', '-f', '-qq', ...tracing, process.execPath, BIN, ...BUILD, ...args, file] as const;
      const made = fileIn(tempDir(t));
      const log = join(tempDir(t), 'log');
      const [strace, ...whole] = command(made, '-o', log, '-e', `trace=${CALLS.join()}`);
      runOk(strace, whole);
      const counts = countsIn(readFileSync(log, 'utf8'));
      const runs = [...counts].flatMap(([call, count]) =>
        NUMBERS.filter(n => n <= count).map(n => {
          const file = fileIn(tempDir(t));
          const inject = `inject=${call}:signal=KILL:when=${n}`;
          const tracing = ['-o', '/dev/null', '-e', `trace=${call}`, '-e', inject];
          return { call, n, file, command: command(file, ...tracing) };
        }),
      );
      const results = await runMany(
        runs.map(run => run.command),
        DEADLINE,
      );
      let left = 0;
      for (const [i, { file, call, n }] of runs.entries()) {
        // A second one may be another thread's, which counts its own.
        if (n === 1 || call === 'pwrite64')
          assert.notEqual(results[i]?.status, 0, `${call} ${n}: it is killed`);
        left += readdirSync(join(file, '..')).filter(name => name.startsWith('.')).length;
        elfnoteHereOk([...BUILD, ...args, file]);
        assert.ok(readFileSync(file).equals(readFileSync(made)), `${call}: the next run does not finish it`);
        const names = way === 'with a hard link' ? ['file', 'file.link'] : ['file'];
        assert.deepEqual(readdirSync(join(file, '..')).sort(), names, call);
      }
      assert.ok(runs.length >= 4 && left >= 2, `${runs.length} killed, ${left} left`);
    });
  }
});

/** How often each of the calls is made by one thread. */
function countsIn(log: string): Map<string, number> {
  const ofThread = new Map<string, number>();
  const counts = new Map<string, number>();
  for (const [of, name = ''] of log.matchAll(/^\d+ +(\w+)\(/gm)) {
    const count = (ofThread.get(of) ?? 0) + 1;
    ofThread.set(of, count);
    counts.set(name, Math.max(counts.get(name) ?? 0, count));
  }
  return counts;
}
