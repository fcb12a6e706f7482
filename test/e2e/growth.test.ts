import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { before, describe, test } from 'node:test';
import { jsonLines, objectIn, runOk } from '../support/cli.js';
import { elfnoteHereOk } from '../support/cli-here.js';
import { entriesIn } from '../support/dump.js';
import { allNewComplaints } from '../support/readelf.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs, type Skip } from '../support/tools.js';
import { type Built, build, expectedEntries, output } from '../support/twelve.js';

const skip = needs('gcc', 'readelf', 'eu-readelf', 'strip');

interface Linker {
  readonly name: string;
  readonly options: readonly string[];
  readonly skip: Skip;
}

const LINKERS: readonly Linker[] = [
  { name: 'ld.bfd', options: [], skip: false },
  { name: 'ld.bfd -z noseparate-code', options: ['-Wl,-z,noseparate-code'], skip: false },
  { name: 'ld.bfd, no PIE', options: ['-no-pie'], skip: false },
  { name: 'ld.bfd, no build id', options: ['-Wl,--build-id=none'], skip: false },
  { name: 'ld.bfd, stripped, 2 MiB pages', options: ['-s', '-Wl,-z,max-page-size=0x200000'], skip: false },
  { name: 'gold', options: ['-fuse-ld=gold'], skip: needs('ld.gold') },
  { name: 'lld', options: ['-fuse-ld=lld'], skip: needs('ld.lld') },
  { name: 'mold', options: ['-fuse-ld=mold'], skip: needs('mold') },
];

/** Names that make a note of a library some 250 bytes long, and the note of all of them 3 KB. */
function longName(n: number): string {
  return `${'long-directory-name-'.repeat(10)}${n}`;
}

/** Amounts of read-only data, to leave more or less slack in its segment. */
const BALLASTS = [0, 1700, 3500];

describe('a note that outgrows its place', { skip }, () => {
  const scope = suiteScope();
  let built: Built;
  let objects: readonly string[];
  before(() => {
    built = build(tempDir(scope), { nameOf: longName });
    objects = compileBallasts(built, tempDir(scope));
  });

  for (const linker of LINKERS) {
    test(`${linker.name}: from one entry to twelve and back, the program runs and the file stays sound`, {
      skip: linker.skip,
    }, t => {
      const programs = objects.map(object => relink(built, tempDir(t), linker.options, object));
      const rungs = growAndShrink(built, programs);
      t.diagnostic(rungs.join(', '));
    });
  }
});

/** One library is found, then all twelve, then one again, and all over again. */
function growAndShrink({ libraries, output: expected }: Built, programs: readonly string[]): string[] {
  const rungs: string[] = [];
  const update = () => {
    const outcomes = jsonLines(elfnoteHereOk(['build-cache', '--json', ...programs]).stdout).slice(0, -1);
    assert.equal(outcomes.length, programs.length);
    for (const outcome of outcomes) {
      assert.equal(outcome.action, 'written', JSON.stringify(outcome));
      const { note, table } = objectIn(outcome, 'rung');
      rungs.push(`${String(note)}/${String(table)}`);
    }
  };
  const check = (found: readonly string[]) => {
    const dumped = jsonLines(elfnoteHereOk(['dump', '--json', ...programs]).stdout);
    assert.equal(dumped.length, programs.length);
    for (const one of dumped) assert.deepEqual(entriesIn(one), expectedEntries(found));
  };
  for (const program of programs) copyFileSync(program, `${program}.plain`);
  for (let round = 0; round < 2; round++) {
    for (const path of libraries.slice(1)) renameSync(path, `${path}.hidden`);
    update();
    check(libraries.slice(0, 1));
    for (const path of libraries.slice(1)) renameSync(`${path}.hidden`, path);
    update();
    check(libraries);
    for (const program of programs) assert.equal(output(program), expected);
    assert.deepEqual(allNewComplaints(programs.map(program => [`${program}.plain`, program])), []);
  }
  // Whatever stood in a file before, it becomes what a first run would have made of it.
  const fresh = programs.map(program => `${program}.fresh`);
  for (const [i, program] of programs.entries()) copyFileSync(`${program}.plain`, fresh[i] ?? '');
  elfnoteHereOk(['build-cache', ...fresh]);
  for (const [i, program] of programs.entries()) {
    assert.ok(readFileSync(program).equals(readFileSync(fresh[i] ?? '')), program);
  }
  runOk('strip', programs);
  check(libraries);
  for (const program of programs) assert.equal(output(program), expected);
  return [...new Set(rungs)].map(rung => `${rung} ${rungs.filter(other => other === rung).length}`);
}

/** The program's object with ballast, one of each amount. */
function compileBallasts(built: Built, dir: string): string[] {
  const text = readFileSync(join(built.dir, 'main.c'), 'utf8');
  const names = BALLASTS.map(ballast => {
    const extra = `__attribute__((used)) static const char ballast[${ballast + 1}] = "b";\n`;
    writeFileSync(join(dir, `main-${ballast}.c`), text.replace('int main', `${extra}int main`));
    return `main-${ballast}`;
  });
  runOk('gcc', ['-c', ...names.map(name => `${name}.c`)], { cwd: dir });
  return names.map(name => join(dir, `${name}.o`));
}

/** Links the program once more; its libraries are there already. */
function relink(built: Built, dir: string, link: readonly string[], object: string): string {
  const program = join(dir, basename(object, '.o'));
  const runPath = built.libraries.map(path => join(path, '..')).join(':');
  const tags = '-Wl,--enable-new-dtags,--no-as-needed';
  runOk('gcc', [object, '-o', program, ...built.libraries, `-Wl,-rpath,${runPath}`, tags, ...link]);
  return program;
}
