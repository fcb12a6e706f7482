import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PROJECT, runOk } from './support/cli.js';
import { EXTENT, share } from './support/extent.js';
import { generation, onGeneration, SUITES } from './support/generations.js';
import { tempDir } from './support/temp.js';
import { needs } from './support/tools.js';

/** The release of this machine. */
const OWN = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];

const atLeast = (version: string, least: string): boolean => {
  const numbers = (text: string) => text.split('.').map(Number);
  const [[major = 0, minor = 0], [leastMajor = 0, leastMinor = 0]] = [numbers(version), numbers(least)];
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
};

for (const suite of share(SUITES, EXTENT.suites)) {
  const later = generation(suite);
  describe(`the tools of Debian ${suite}`, { skip: later.skip }, () => {
    for (const [tool, pattern, least] of [
      ['patchelf', /^patchelf (\d+\.\d+)/, '0.18'],
      ['strip', /^GNU strip .* (\d+\.\d+)/, '2.44'],
      ['objcopy', /^GNU objcopy .* (\d+\.\d+)/, '2.44'],
      ['ld.bfd', /^GNU ld .* (\d+\.\d+)/, '2.44'],
    ] as const) {
      test(`${tool} runs without any variable, and is ${least} or later`, () => {
        const [, version = ''] =
          pattern.exec(runOk(later.tool(tool), ['--version'], { env: {} }).stdout) ?? [];
        assert.ok(atLeast(version, least), version);
      });
    }

    test('its C library is 2.41 or later, and runs programs of this machine', { skip: needs('gcc') }, t => {
      const dir = tempDir(t);
      const source = join(dir, 'main.c');
      writeFileSync(
        source,
        '#include <gnu/libc-version.h>\n#include <stdio.h>\nint main(void) { puts(gnu_get_libc_version()); }\n',
      );
      runOk('gcc', [source, '-o', join(dir, 'main')]);
      const [loader, ...args] = onGeneration(later, join(dir, 'main'));
      assert.ok(atLeast(runOk(loader, args).stdout.trim(), '2.41'));
      assert.notEqual(
        runOk(loader, args).stdout,
        runOk(join(dir, 'main')).stdout,
        "the machine's own was taken",
      );
    });

    test('a tool changes a file as the tool of the machine does', { skip: needs('readelf') }, t => {
      const file = join(tempDir(t), 'program');
      copyFileSync(join(PROJECT, 'fixtures/kinds/pie-bfd'), file);
      runOk(later.tool('patchelf'), ['--set-rpath', '/one:/two', file]);
      assert.match(runOk('readelf', ['-dW', file]).stdout, /RUNPATH.*\[\/one:\/two\]/);
    });
  });
}

test('nothing is unpacked for tests that could use a later tool, and do not', t => {
  const dir = tempDir(t);
  const code = `import { LATER_TOOLS, TOOL_PAIRS } from './test/support/later-tools.js';
    const names = [LATER_TOOLS, TOOL_PAIRS.flat()].map(tools => tools.map(({ name }) => name).join());
    if (!names.every(all => all.includes('trixie'))) throw new Error('these have none');`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', code];
  runOk(process.execPath, args, { cwd: PROJECT, env: { TMPDIR: dir, ELFNOTE_TESTS_KEPT: dir } });
  const unpacked = readdirSync(dir).filter(name => name.startsWith('elfnote-'));
  assert.deepEqual(unpacked, []);
});

test("the machine's own apt knows no suite that it did not know", { skip: needs('apt-get') }, () => {
  const known = runOk('apt-get', ['update', '--print-uris']).stdout;
  for (const suite of share(SUITES, EXTENT.suites).filter(name => name !== OWN)) {
    assert.ok(!known.includes(`/dists/${suite}/`), suite);
  }
});
