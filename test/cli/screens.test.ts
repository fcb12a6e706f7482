import assert from 'node:assert/strict';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { BIN, FIXTURES, PROJECT, ROOT, runOk } from '../support/cli.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';
import { IN_PLACE, malformed } from '../support/tree.js';

const GOLDENS = join(PROJECT, 'test/goldens/screens');

/** What a person types, one after the other, in a directory with a small tree and its store. */
const COMMANDS: Readonly<Record<string, string>> = {
  help: 'elfnote --help',
  'help-build-cache': 'elfnote build-cache --help',
  'verify-before': 'elfnote verify --root root tree',
  'build-cache': 'elfnote build-cache --root root tree',
  verify: 'rm -r root/nix/store/*-libgreet-x86_64; elfnote verify --root root tree',
  'remove-cache': 'elfnote remove-cache tree',
};

describe('what a person sees in a terminal', { skip: needs('tmux') }, () => {
  for (const columns of [80, 120]) {
    describe(`of ${columns} columns`, () => {
      const scope = suiteScope();
      let screens: ReadonlyMap<string, string>;
      before(() => {
        screens = screensOf(tempDir(scope), columns);
      });
      for (const name of Object.keys(COMMANDS)) {
        test(name, () => {
          const golden = join(GOLDENS, `${name}-${columns}.txt`);
          const screen = screens.get(name) ?? '';
          if (process.env.UPDATE_GOLDENS !== undefined) writeFileSync(golden, screen);
          assert.ok(existsSync(golden), 'UPDATE_GOLDENS=1 writes it');
          assert.equal(screen, readFileSync(golden, 'utf8'));
        });
      }
    });
  }
});

/** Colours are in the screens as the terminal got them. */
function screensOf(dir: string, columns: number): Map<string, string> {
  const tree = join(dir, 'tree');
  mkdirSync(tree);
  for (const kind of ['pie-gold', 'pie-lld', 'rpath', 'static', 'norunpath']) {
    copyFileSync(join(FIXTURES, 'kinds', kind), join(tree, kind));
  }
  writeFileSync(join(tree, 'broken'), malformed(IN_PLACE.original));
  writeFileSync(join(tree, 'text'), 'text');
  cpSync(ROOT, join(dir, 'root'), { recursive: true, verbatimSymlinks: true });
  const env = {
    TMUX: undefined,
    TERM: 'xterm',
    LC_ALL: 'C.UTF-8',
    NO_COLOR: undefined,
    FORCE_COLOR: undefined,
  };
  const tmux = (...args: string[]) =>
    runOk('tmux', ['-S', join(dir, 'socket'), '-f', '/dev/null', ...args], { cwd: dir, env }).stdout;
  const elfnote = `elfnote() { '${process.execPath}' '${BIN}' "$@"; }`;
  const screens = new Map<string, string>();
  for (const [name, command] of Object.entries(COMMANDS)) {
    const done = `tmux -S '${join(dir, 'socket')}' wait-for -S ${name}`;
    const script = `${elfnote}; ${command}; ${done}; sleep 100`;
    tmux('new-session', '-d', '-s', name, '-x', String(columns), '-y', '100', 'sh', '-c', script);
    tmux('wait-for', name);
    screens.set(name, `$ ${command}\n${tmux('capture-pane', '-e', '-p', '-t', name).trimEnd()}\n`);
  }
  tmux('kill-server');
  return screens;
}
