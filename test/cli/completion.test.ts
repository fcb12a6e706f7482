import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { runOk } from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

const scope = suiteScope();
let dir: string;
const script = (shell: string) => join(dir, `completion.${shell}`);
before(() => {
  dir = tempDir(scope);
  for (const shell of ['bash', 'zsh', 'fish']) {
    writeFileSync(script(shell), elfnoteHereOk(['completion', shell]).stdout);
  }
});

/** The commands and the long options that help names, each as the words before it and itself. */
function wordsOfHelp(): [before: string, word: string][] {
  const commands = [...elfnoteHereOk(['--help']).stdout.matchAll(/^ {2}([a-z-]+) /gm)].map(
    ([, name = '']) => name,
  );
  const options = commands
    .filter(name => name !== 'help')
    .flatMap(name => {
      const { stdout } = elfnoteHereOk([name, '--help']);
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

/** What a shell prints behind its answer for one line. */
const END = '-- end --';

function answersIn(stdout: string): string[][] {
  const answers = stdout.split(`${END}\n`).slice(0, -1);
  return answers.map(answer =>
    answer
      .split('\n')
      .filter(line => line !== '')
      .sort(),
  );
}

describe('bash', { skip: needs('bash', 'shellcheck') }, () => {
  /** What bash would offer for the last word of each line: one bash for all, each line in a subshell of its own. */
  function complete(lines: readonly (readonly string[])[]): string[][] {
    const begin = 'set -eu; source "$1"; compopt() { :; }\n';
    const asked = lines.map(
      words => `(COMP_WORDS=(elfnote ${words.map(word => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _elfnote
        ((\${#COMPREPLY[@]} == 0)) || printf '%s\\n' "\${COMPREPLY[@]}"); echo '${END}'\n`,
    );
    const { stdout } = runOk('bash', ['-c', begin + asked.join(''), 'bash', script('bash')], { cwd: dir });
    return answersIn(stdout);
  }

  test('offers every command and option that help names', () => {
    const words = wordsOfHelp();
    const found = complete(
      words.map(([command, word]) => [...(command === '' ? [] : [command]), word.slice(0, 2)]),
    );
    assert.equal(found.length, words.length);
    for (const [i, [command, word]] of words.entries()) {
      assert.ok(found[i]?.includes(word), `${command} ${word}: ${found[i]?.join(' ')}`);
    }
  });

  test('offers values, also behind =, files where files are due, and no directory but where one is', () => {
    const found = complete([
      ...VALUES.map(([words, start]) => [...words.split(' '), start]),
      ['build-cache', '--placement', '=', 't'],
      ['verify', 'completion.b'],
      ['verify', '--root', 'completion.b'],
    ]);
    const expected = VALUES.map(([, , completions]) => completions);
    assert.deepEqual(found, [...expected, ['tail'], ['completion.bash'], []]);
  });

  test('has a script that shellcheck has nothing against', () => {
    runOk('shellcheck', ['--shell', 'bash', '--exclude', 'SC2034', script('bash')]);
  });
});

describe('fish', { skip: needs('fish') }, () => {
  /** What fish would offer for each line: one fish for all. */
  function complete(lines: readonly string[]): string[][] {
    const asked = lines.map(line => `complete -C '${line}'; echo '${END}'`);
    const run = [`source ${script('fish')}`, ...asked].join('\n');
    const { stdout } = runOk('fish', ['--no-config', '-c', run], { cwd: dir, env: { HOME: dir } });
    return answersIn(stdout).map(answer => answer.map(one => one.split('\t')[0] ?? '').sort());
  }

  test('offers every command and option that help names', () => {
    const words = wordsOfHelp().map(([command, word]) => ({
      line: command === '' ? 'elfnote ' : `elfnote ${command} --`,
      word,
    }));
    const lines = [...new Set(words.map(({ line }) => line))];
    const found = complete(lines);
    assert.equal(found.length, lines.length);
    for (const { line, word } of words) {
      const offered = found[lines.indexOf(line)];
      assert.ok(offered?.includes(word), `${line} ${word}: ${offered?.join(' ')}`);
    }
  });

  test('offers values, and files where files are due', () => {
    const found = complete([
      ...VALUES.map(([words, start]) => `elfnote ${words} ${start}`),
      'elfnote verify completion.b',
    ]);
    assert.deepEqual(found, [...VALUES.map(([, , completions]) => completions), ['completion.bash']]);
  });
});

describe('zsh', { skip: needs('zsh') }, () => {
  test('takes the script for a completion of elfnote, with every command and option that help names', () => {
    runOk('zsh', ['-n', script('zsh')]);
    const run = 'autoload -U compinit; compinit -D; source "$1"; print -r -- $_comps[elfnote]';
    assert.equal(runOk('zsh', ['-f', '-c', run, 'zsh', script('zsh')]).stdout, '_elfnote\n');
    const text = readFileSync(script('zsh'), 'utf8');
    for (const [command, word] of wordsOfHelp()) {
      const found = command === '' ? `'${word}:` : `'*${word}[`;
      assert.ok(text.includes(found), `${command} ${word}`);
    }
  });
});

test('another shell is a usage error that names those there are', () => {
  const { status, stderr } = elfnoteHere(['completion', 'csh']);
  assert.equal(status, 2);
  assert.match(stderr, /^elfnote: .*'csh' is invalid.* Allowed choices are bash, zsh, fish\.\n$/);
});
