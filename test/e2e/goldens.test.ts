import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { PROJECT } from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { architecture, copyFixtures } from '../support/programs.js';
import { suiteScope, tempDir } from '../support/temp.js';

/** What a person reads of these is kept word for word in test/goldens. */
const SUBJECTS = [
  'kinds/appended',
  'kinds/bin/origin',
  'kinds/libuse-bfd.so',
  'kinds/libuse-nobuildid.so',
  'kinds/maxpage2m-bfd',
  'kinds/nopie-lld',
  'kinds/nosections',
  'kinds/null-entries',
  'kinds/pie-bfd',
  'kinds/pie-gold',
  'kinds/pie-mold',
  'kinds/rpath',
  'kinds/runtime-dirs',
  ...['aarch64', 'mips', 's390x'].map(arch => `root/${architecture(arch).program}`),
];

/** Also with every element that patchelf --build-resolution-cache writes. */
const LIKE_PATCHELF: ReadonlySet<string> = new Set(['kinds/bin/origin', 'kinds/runtime-dirs']);

const GOLDENS = join(PROJECT, 'test/goldens');
const UPDATE = process.env.UPDATE_GOLDENS === '1';

/** `kinds/bin/origin` is kept in kinds-bin-origin.txt, a store file under its store name without hash. */
function goldenName(subject: string): string {
  return `${subject.replace(/nix\/store\/[0-9a-z]+-/, '').replaceAll('/', '-')}.txt`;
}

describe('what a person reads of a fixture', () => {
  const scope = suiteScope();
  let dir = '';

  before(() => {
    dir = tempDir(scope);
    copyFixtures(dir);
    if (UPDATE) mkdirSync(GOLDENS, { recursive: true });
  });

  for (const subject of SUBJECTS) {
    test(`${goldenName(subject)}: plan and dump are as they were`, () => {
      const said = (args: readonly string[]) => {
        const { status, stdout, stderr } = elfnoteHere(args, { cwd: dir });
        return `$ elfnote ${args.join(' ')}\n${stderr}${stdout}exit ${status}\n`;
      };
      const planAndDump = (...flags: readonly string[]) => {
        const args = [...flags, '--root', 'root'];
        const plan = said(['build-cache', '-n', '-v', ...args, subject]);
        elfnoteHereOk(['build-cache', ...args, '-q', subject], { cwd: dir });
        return `${plan}\n${said(['dump', '--root', 'root', subject])}`;
      };
      const usual = planAndDump();
      const found = LIKE_PATCHELF.has(subject) ? `${usual}\n${planAndDump('--like-patchelf')}` : usual;
      const golden = join(GOLDENS, goldenName(subject));
      if (UPDATE) writeFileSync(golden, found);
      const hint = `${golden} says otherwise; if this is what it should be, run: npm run goldens`;
      assert.equal(found, readGolden(golden), hint);
    });
  }

  test('is kept for nothing that is not compared', () => {
    const kept = readdirSync(GOLDENS).filter(name => name.endsWith('.txt'));
    assert.deepEqual(kept.sort(), SUBJECTS.map(goldenName).sort());
  });
});

function readGolden(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return `no such file; run: npm run goldens\n`;
  }
}
