import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { escapeControls } from '../../src/elf/bytes.js';
import { BIN, elfnoteOk, ROOT, runOk } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import { completeOf, copies, IN_PLACE, malformed } from '../support/tree.js';

const BAR = /[=-]{20} (\d+)\/(\d+) files, \d+\/s, \w+ left {2}([\w.\\[]*)/g;
const BUILD = ['build-cache', '--root', ROOT, '.'];

interface Slow {
  readonly cwd: string;
  readonly files: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** A walk that takes longer than the half second after which the bar appears: the attribute tool is slow. */
function slowTree(t: TestContext, count: number): Slow {
  const dir = tempDir(t);
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'getfattr'), '#!/bin/sh\nsleep 0.7\n');
  chmodSync(join(bin, 'getfattr'), 0o755);
  const cwd = join(dir, 'tree');
  const env = {
    PATH: `${bin}${delimiter}${process.env.PATH}`,
    TERM: 'xterm',
    NO_COLOR: '1',
    LC_ALL: 'C.UTF-8',
  };
  return { cwd, files: copies(cwd, count), env };
}

function shell(args: readonly string[]): string {
  return [process.execPath, BIN, ...args].map(word => `'${word}'`).join(' ');
}

/** Everything that comes to a terminal of 100 columns. */
function onTerminal(script: string, { cwd, env }: Slow): string {
  return runOk('script', ['-qec', `stty cols 100 rows 24; ${script}`, '/dev/null'], { cwd, env, input: '' })
    .stdout;
}

function barsIn(output: string): string[] {
  return [...output.matchAll(BAR)].map(([, done, total, path]) => `${done}/${total} ${path}`);
}

describe('the progress bar', { skip: needs('script', 'stty') }, () => {
  test('comes after half a second, with count and path, and goes at the end', t => {
    const slow = slowTree(t, 8);
    const output = onTerminal(shell([...BUILD, '-v']), slow);
    const bars = barsIn(output);
    assert.ok(bars.includes('3/8 0002') && bars.includes('8/8 0007'), output);
    const [, afterLast = ''] = output.split('0007: note written');
    assert.match(
      afterLast,
      /\[2K[^=]*8 files, 8 ELF; 8 written\r?\n/,
      'its line is erased before the summary',
    );
    assert.deepEqual(completeOf(slow.cwd, slow.files), slow.files);
  });

  test('comes on standard error, also when standard output is a file, which gets the text alone', t => {
    const slow = slowTree(t, 4);
    const output = onTerminal(`${shell([...BUILD, '-v'])} > ../out; cat ../out >&2`, slow);
    assert.ok(barsIn(output).includes('4/4 0003'), output);
    const text = runOk('cat', ['../out'], { cwd: slow.cwd }).stdout;
    assert.equal(escapeControls(text).match(/\\x1b/), null);
    assert.match(text, /^(000\d: note written .*\n){4}4 files, .*\n {2}libraries .*\n {2}size .*\n$/);
  });

  test('keeps control characters of a name from the terminal', t => {
    const slow = slowTree(t, 0);
    writeFileSync(join(slow.cwd, 'red\u001b[31m'), IN_PLACE.original);
    const output = onTerminal(`${shell(BUILD)} > ../out`, slow);
    assert.deepEqual([...new Set(barsIn(output))].slice(-1), ['1/1 red\\x1b[31m']);
    assert.ok(!output.includes('\u001b[31m'));
  });

  const NONE: Readonly<Record<string, (slow: Slow) => string>> = {
    'with --no-progress': slow => onTerminal(shell([...BUILD, '--no-progress']), slow),
    'when standard error is no terminal': slow => onTerminal(`${shell(BUILD)} 2> ../err; cat ../err`, slow),
    'of a run with nothing to wait for': slow =>
      onTerminal(shell([...BUILD, '-n', '--include', '0000']), slow),
    'without any terminal': ({ cwd, env }) => {
      const { stdout, stderr } = elfnoteOk(BUILD, { cwd, env });
      return stdout + stderr;
    },
  };
  for (const [when, outputOf] of Object.entries(NONE)) {
    test(`does not come ${when}`, t => {
      const output = outputOf(slowTree(t, 2));
      assert.match(output, /\d files?, \d ELF; /);
      assert.deepEqual(barsIn(output), []);
      assert.ok(!output.includes('\u001b'), 'nor anything else that only a terminal understands');
    });
  }
});

test('a line of text that comes while there is a bar goes over as many lines of the terminal as it needs', {
  skip: needs('script', 'stty'),
}, t => {
  const output = onTerminal(shell([...BUILD, '-v']), slowTree(t, 4));
  assert.ok(barsIn(output).includes('4/4 0003'), output);
  // DECAWM, without which a terminal cuts it.
  assert.ok(!output.includes('\u001b[?7l'), output);
});

test('a terminal shows, in the end, each line of text once and in order, and no bar', {
  skip: needs('tmux'),
}, t => {
  const slow = slowTree(t, 40);
  writeFileSync(slow.files[20] ?? '', malformed(IN_PLACE.original));
  const socket = join(slow.cwd, '../socket');
  const tmux = (...args: string[]) =>
    runOk('tmux', ['-S', socket, '-f', '/dev/null', ...args], {
      cwd: slow.cwd,
      env: { ...slow.env, TMUX: undefined },
    });
  // Fewer rows than lines, so that the terminal scrolls.
  const script = `${shell([...BUILD, '-v'])}; echo end; tmux -S '${socket}' wait-for -S over; sleep 100`;
  tmux('new-session', '-d', '-x', '200', '-y', '15', script);
  tmux('wait-for', 'over');
  const lines = tmux('capture-pane', '-p', '-S', '-').stdout.trimEnd().split('\n');
  tmux('kill-server');
  assert.deepEqual(
    lines.map(line => line.replace(/^(\d{4}|elfnote: \d{4}|\d+ files| {2}\w+|end).*/, '$1')),
    [
      ...slow.files.map((_, i) => `${i === 20 ? 'elfnote: ' : ''}${String(i).padStart(4, '0')}`),
      '40 files',
      '  libraries',
      '  size',
      '  to',
      'end',
    ],
  );
});
