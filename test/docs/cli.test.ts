import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cliMarkdown, manPage } from '../../scripts/cli-docs.js';
import { createProgram } from '../../src/cli/program.js';
import { PROJECT, run, runOk } from '../support/cli.js';
import { needs } from '../support/tools.js';

const MADE = { 'docs/cli.md': cliMarkdown, 'man/elfnote.1': manPage } as const;

for (const [file, make] of Object.entries(MADE)) {
  test(`${file} says what the command line is (\`npm run docs\` writes it)`, () => {
    assert.equal(readFileSync(join(PROJECT, file), 'utf8'), make());
  });
}

test('man shows each command and option', { skip: needs('man', 'mandoc') }, () => {
  const page = join(PROJECT, 'man/elfnote.1');
  // A page that is made anew has no date of its own.
  const { stdout: faults } = run('mandoc', ['-T', 'lint', '-W', 'warning', page]);
  assert.match(faults, /^mandoc: .+: WARNING: missing date, using "": TH\n$/);
  const { stdout } = runOk('man', ['-l', page], { env: { MANWIDTH: '200', MANPAGER: 'cat', PAGER: 'cat' } });
  for (const command of createProgram().commands) {
    assert.ok(stdout.includes(`elfnote ${command.name()}`), command.name());
    for (const { long } of command.options) assert.ok(stdout.includes(String(long)), String(long));
  }
});

test('every option of a command is in a group of its help', () => {
  for (const command of createProgram().commands) {
    const without = command.options.filter(({ helpGroupHeading }) => helpGroupHeading === undefined);
    assert.deepEqual(
      without.map(({ flags }) => flags),
      [],
      command.name(),
    );
  }
});
