import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { elfnote, elfnoteOk, runOk } from '../support/cli.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

const scope = suiteScope();
let dir: string;
const script = (shell: string) => join(dir, `completion.${shell}`);
before(() => {
  dir = tempDir(scope);
  for (const shell of ['bash', 'zsh', 'fish']) {
    writeFileSync(script(shell), elfnoteOk(['completion', shell]).stdout);
  }
});

/** The commands and the long options that help names, each as the words before it and itself. */
function wordsOfHelp(): [before: string, word: string][] {
  const commands = [...elfnoteOk(['--help']).stdout.matchAll(/^ {2}([a-z-]+) /gm)].map(
    ([, name = '']) => name,
  );
  const options = commands
    .filter(name => name !== 'help')
    .flatMap(name => {
      const { stdout } = elfnoteOk([name, '--help']);
      return [...stdout.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, option = '']): [string, string] => [
        name,
        option,
      ]);
    });
  assert.ok(commands.length >= 9 && options.length > 60);
  return [...commands.map((name): [string, string] => ['', name]), ...options];
}

const VALUES: readonly [before: string, start: string, completions: string[]][] = [
  ['build-cache --placement', '', ['auto', 'slack', 'tail']],
  ['build-cache --color', 'a', ['always', 'auto']],
  ['completion', '', ['bash', 'fish', 'zsh']],
  ['help', 'ver', ['verify']],
];

describe('bash', { skip: needs('bash', 'shellcheck') }, () => {
  /** What bash would offer for the last word. */
  function complete(...words: readonly string[]): string[] {
    const run = `source "$1"; shift; compopt() { :; }; COMP_WORDS=(elfnote "$@"); COMP_CWORD=$#; _elfnote
      ((\${#COMPREPLY[@]} == 0)) || printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = runOk('bash', ['-euc', run, 'bash', script('bash'), ...words], { cwd: dir });
    return stdout
      .split('\n')
      .filter(line => line !== '')
      .sort();
  }

  test('offers every command and option that help names', () => {
    for (const [command, word] of wordsOfHelp()) {
      const found = complete(...(command === '' ? [] : [command]), word.slice(0, 2));
      assert.ok(found.includes(word), `${command} ${word}: ${found.join(' ')}`);
    }
  });

  test('offers values, also behind =, files where files are due, and no directory but where one is', () => {
    for (const [words, start, expected] of VALUES) {
      assert.deepEqual(complete(...words.split(' '), start), expected);
    }
    assert.deepEqual(complete('build-cache', '--placement', '=', 't'), ['tail']);
    assert.deepEqual(complete('verify', 'completion.b'), ['completion.bash']);
    assert.deepEqual(complete('verify', '--root', 'completion.b'), []);
  });

  test('has a script that shellcheck has nothing against', () => {
    runOk('shellcheck', ['--shell', 'bash', '--exclude', 'SC2034', script('bash')]);
  });
});

describe('fish', { skip: needs('fish') }, () => {
  function complete(line: string): string[] {
    const run = `source ${script('fish')}; complete -C '${line}'`;
    const { stdout } = runOk('fish', ['--no-config', '-c', run], { cwd: dir, env: { HOME: dir } });
    return stdout
      .split('\n')
      .flatMap(one => (one === '' ? [] : [one.split('\t')[0] ?? '']))
      .sort();
  }

  test('offers every command and option that help names', () => {
    const lines = new Map<string, string[]>();
    for (const [command, word] of wordsOfHelp()) {
      const line = command === '' ? 'elfnote ' : `elfnote ${command} --`;
      if (!lines.has(line)) lines.set(line, complete(line));
      assert.ok(lines.get(line)?.includes(word), `${line} ${word}: ${lines.get(line)?.join(' ')}`);
    }
  });

  test('offers values, and files where files are due', () => {
    for (const [words, start, expected] of VALUES) {
      assert.deepEqual(complete(`elfnote ${words} ${start}`), expected);
    }
    assert.deepEqual(complete('elfnote verify completion.b'), ['completion.bash']);
  });
});

describe('zsh', { skip: needs('zsh') }, () => {
  test('takes the script for a completion of elfnote, with every command and option that help names', () => {
    runOk('zsh', ['-n', script('zsh')]);
    const run = 'autoload -U compinit; compinit -D; source "$1"; print -r -- $_comps[elfnote]';
    assert.equal(runOk('zsh', ['-f', '-c', run, 'zsh', script('zsh')]).stdout, '_elfnote\n');
    const { stdout } = runOk('cat', [script('zsh')]);
    for (const [command, word] of wordsOfHelp()) {
      const found = command === '' ? `'${word}:` : `'*${word}[`;
      assert.ok(stdout.includes(found), `${command} ${word}`);
    }
  });
});

test('another shell is a usage error that names those there are', () => {
  const { status, stderr } = elfnote(['completion', 'csh']);
  assert.equal(status, 2);
  assert.match(stderr, /^elfnote: .*'csh' is invalid.* Allowed choices are bash, zsh, fish\.\n$/);
});
