import assert from 'node:assert/strict';
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { FIXTURES, type JsonObject, ROOT, runOk } from '../support/cli.js';
import { EXTENT, share } from '../support/extent.js';
import {
  dumpAll,
  elfnoteAll,
  entriesDue,
  hashesOf,
  LATER_TOOLS,
  makeTrial,
  runTrials,
  type Trial,
  writeNotes,
} from '../support/later-tools.js';
import { matrix, mayBeQuick, numberOf, pairCells, testedMatrix } from '../support/matrix.js';
import { withMovedTable } from '../support/moved-table.js';
import { copyFixtures } from '../support/programs.js';
import { runAll } from '../support/run-all.js';
import { suiteScope, tempDir, whenAsked } from '../support/temp.js';
import { isSkipped, needs } from '../support/tools.js';
import { buildCells, type Cell, type Sample, Workshop } from '../support/workshop.js';

const PLACEMENTS = ['auto', 'slack', 'tail'] as const;

/** Every regular file below `dir`, sorted. */
function filesBelow(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .sort();
}

const sizeOf = (file: string): number => statSync(file).size;

/** What was not written was not touched either; there has to be a reason for it. */
function assertLeftAlone(outcome: JsonObject, file: string, original: string): void {
  assert.equal(outcome.action, 'skipped', JSON.stringify(outcome));
  assert.ok(readFileSync(file).equals(readFileSync(original)));
}

describe('remove-cache after build-cache gives every fixture its old bytes', () => {
  for (const placement of PLACEMENTS) {
    test(`with --placement ${placement}`, t => {
      const dir = tempDir(t);
      copyFixtures(dir);
      const files = filesBelow(dir);
      const originals = files.map(file => join(FIXTURES, relative(dir, file)));
      const built = elfnoteAll('build-cache', files, ['--root', ROOT, '--placement', placement]);
      const written = built.filter(({ action }) => action === 'written').length;
      // 39 files can have a note; lld, mold and one segment alone leave no slack.
      const least = placement === 'slack' ? 28 : 36;
      assert.ok(written >= least, `only ${written} written`);
      const changed = files.filter((file, i) => !readFileSync(file).equals(readFileSync(originals[i] ?? '')));
      assert.equal(changed.length, written);

      const removed = elfnoteAll('remove-cache', files);
      for (const [i, file] of files.entries()) {
        const original = originals[i] ?? '';
        if (built[i]?.action === 'written') assert.equal(removed[i]?.action, 'written', file);
        else assertLeftAlone(removed[i] ?? {}, file, original);
        assert.ok(readFileSync(file).equals(readFileSync(original)), `${original}: not the old bytes`);
      }
      assert.deepEqual(
        [...new Set(dumpAll(files.filter((_, i) => built[i]?.action === 'written')))],
        ['gone'],
      );
      t.diagnostic(`${written} of ${files.length} files`);
    });
  }
});

interface Placed {
  readonly outcome: JsonObject;
  readonly runs: boolean;
  /** What remove-cache says of it. */
  readonly exact: unknown;
  readonly restored: boolean;
}

const skip = needs('gcc', 'readelf');

/** Each cell has another placement than the one before it, where it does not have all. */
const placementsFor = (cell: Cell) => share(PLACEMENTS, EXTENT.placements, numberOf(cell), mayBeQuick(cell));

for (const { name, cells } of testedMatrix()) {
  describe(`${name}: remove-cache after build-cache gives the old bytes`, { skip }, () => {
    const scope = suiteScope();
    let built = new Map<Cell, Sample>();
    let failures = new Map<Cell, string>();
    const placed = new Map<string, Placed>();
    const ready = whenAsked(async () => {
      const shop = new Workshop(tempDir(scope));
      const wanted = cells.filter(cell => placementsFor(cell).length > 0);
      ({ samples: built, failures } = buildCells(shop, wanted));
      const samples = [...built.values()];
      for (const placement of PLACEMENTS) {
        const noted = writeNotes(
          samples.filter(({ cell }) => placementsFor(cell).includes(placement)),
          ['--placement', placement],
        );
        const ran = await runAll(noted.map(({ sample, file }) => [shop.command(sample.cell, file)]));
        const files = noted.map(({ file }) => file);
        const removed = elfnoteAll('remove-cache', files);
        const now = hashesOf(files);
        const old = hashesOf(noted.map(({ sample }) => sample.file));
        for (const [i, { sample, outcome }] of noted.entries()) {
          placed.set(`${sample.cell.name} ${placement}`, {
            outcome,
            runs: ran[i]?.status === 0 && ran[i]?.stdout === sample.said,
            exact: removed[i]?.exact,
            restored: now[i] === old[i],
          });
        }
      }
    });

    for (const cell of cells) {
      for (const placement of placementsFor(cell)) {
        test(`${cell.name}, --placement ${placement}: runs with its note, and is the old file without it`, {
          skip: cell.skip,
        }, async t => {
          await ready();
          assert.equal(failures.get(cell), undefined);
          const found = placed.get(`${cell.name} ${placement}`);
          assert.ok(found !== undefined, 'the cell was not built');
          const { action, reason } = found.outcome;
          assert.ok(found.runs, 'does not run');
          // Where there is room for the note, and for the record only at a higher price.
          const mayDiffer = found.outcome.hasRecord === false;
          assert.ok(found.restored || (mayDiffer && found.exact === false), 'is another file');
          if (action === 'written') return;
          assert.equal(reason, 'no-room', JSON.stringify(found.outcome));
          t.skip(`no note, so nothing to take back: ${String(found.outcome.detail)}`);
        });
      }
    }
  });
}

/** The fixtures' store, where each directory holds the libraries of all others too. */
function crowdedRoot(dir: string): string {
  const root = join(dir, 'crowded');
  cpSync(ROOT, root, { recursive: true, verbatimSymlinks: true });
  const libraries = filesBelow(root).filter(file => /\.so\.\d$/.test(file));
  for (const library of libraries) {
    const arch = library.slice(0, library.lastIndexOf('/lib/')).split('-').at(-1) ?? '';
    const others = libraries.map(dirname).filter(place => place.endsWith(`-${arch}/lib`));
    for (const place of others) {
      const to = join(place, library.slice(library.lastIndexOf('/') + 1));
      if (to !== library) copyFileSync(library, to);
    }
  }
  return root;
}

describe('alternating updates', () => {
  /** Two sets of options that make two different notes of one file. */
  const WAYS: readonly {
    readonly name: string;
    readonly updates: number;
    readonly options: (dir: string) => readonly (readonly string[])[];
  }[] = [
    {
      name: 'between a store and one with more libraries',
      updates: EXTENT.manyUpdates,
      options: dir => [
        ['--root', ROOT],
        ['--root', crowdedRoot(dir)],
      ],
    },
    {
      name: 'between a store that may change and one that may not',
      updates: EXTENT.updates,
      options: () => [
        ['--root', ROOT, '--store-dir', '/nix/store'],
        ['--root', ROOT, '--store-dir', '/elsewhere'],
      ],
    },
  ];

  for (const way of WAYS.slice(0, EXTENT.ways)) {
    test(`${way.updates} ${way.name}: each gives the bytes of a first run, and none makes a file grow`, t => {
      const dir = tempDir(t);
      copyFixtures(dir);
      const all = filesBelow(dir);
      const originals = new Map(all.map(file => [file, join(FIXTURES, relative(dir, file))]));
      const options = way.options(dir);
      const first = options.map(args => {
        const outcomes = elfnoteAll('build-cache', all, args);
        const hashes = hashesOf(all);
        const sizes = all.map(sizeOf);
        for (const [file, original] of originals) copyFileSync(original, file);
        return { outcomes, hashes, sizes };
      });
      // Only files whose notes differ between the two.
      const chosen = all.flatMap((file, i) => {
        const isWritten = first.every(({ outcomes }) => outcomes[i]?.action === 'written');
        return isWritten && first[0]?.hashes[i] !== first[1]?.hashes[i] ? [{ file, i }] : [];
      });
      assert.ok(chosen.length >= 25, `only ${chosen.length} files have two notes`);
      const updated = chosen.filter((_, i) => i % EXTENT.updatedFiles === 0);
      const files = updated.map(({ file }) => file);
      for (let round = 0; round < way.updates / 2; round++) {
        for (const [turn, args] of options.entries()) {
          const outcomes = elfnoteAll('build-cache', files, args);
          for (const outcome of outcomes) assert.equal(outcome.action, 'written', JSON.stringify(outcome));
          const due = updated.map(({ file, i }) => `${first[turn]?.hashes[i]} ${file}`);
          const hashes = hashesOf(files).map((hash, i) => `${hash} ${files[i]}`);
          assert.deepEqual(hashes, due, `update ${2 * round + turn + 1}`);
        }
      }
      for (const file of files) {
        const largest = Math.max(...first.map(({ sizes }) => sizes[all.indexOf(file)] ?? 0));
        assert.ok(sizeOf(file) <= largest, `${file} grew`);
      }
      elfnoteAll('remove-cache', files);
      for (const file of files) {
        const original = originals.get(file) ?? '';
        assert.ok(readFileSync(file).equals(readFileSync(original)), `${original}: not the old bytes`);
      }
      t.diagnostic(`${files.length} files`);
    });
  }

  const cellsNamed = (pattern: RegExp) =>
    matrix().flatMap(({ cells }) => cells.filter(({ name }) => pattern.test(name)));

  test(`${EXTENT.updates} between a long and a short note give the same bytes every time`, { skip }, t => {
    toAndFro(t, [...pairCells(), ...cellsNamed(/^x86_64 bfd pie patched$/)]);
  });

  // Whose undo record comes to the end of the file, or fits since it tells what was wiped in a few bytes.
  test(`${EXTENT.updatesWithRemovals} of files whose slack has no room for an undo record, with removals between`, {
    skip,
  }, t => {
    const cells = cellsNamed(
      /^(?:x86_64 (?:gold nopie|gold shared no-build-id|(?:gold shared|lld pie|lld shared|mold pie|mold shared) patched)|(?:riscv64|s390x) bfd nopie)$/,
    );
    toAndFro(t, cells, EXTENT.updatesWithRemovals, 5);
  });

  /** @param removals one after so many updates. */
  function toAndFro(
    t: TestContext,
    cells: readonly Cell[],
    updates: number = EXTENT.updates,
    removals = Number.POSITIVE_INFINITY,
  ): void {
    const shop = new Workshop(tempDir(t));
    const { samples, failures } = buildCells(shop, cells);
    assert.deepEqual([...failures.values()], []);
    const files = [...samples.values()].map(({ file }) => file);
    const originals = hashesOf(files);
    // Below this root nothing is there, so that every soname gets every directory.
    const empty = join(shop.dir, 'empty');
    mkdirSync(empty);
    const seen = [new Set<string>(), new Set<string>()];
    for (let update = 0; update < updates; update++) {
      const outcomes = elfnoteAll(
        'build-cache',
        files,
        update % 2 === 0 ? [] : ['--like-patchelf', '--root', empty],
      );
      for (const outcome of outcomes) assert.equal(outcome.action, 'written', JSON.stringify(outcome));
      seen[update % 2]?.add(hashesOf(files).join(' '));
      if (update < 2) {
        for (const { cell, file, said } of samples.values())
          assert.equal(shop.start(cell, file).stdout, said);
      }
      if (update % removals === removals - 1) {
        elfnoteAll('remove-cache', files);
        assert.deepEqual(hashesOf(files), originals);
      }
    }
    assert.deepEqual(
      seen.map(({ size }) => size),
      [1, 1],
    );
    assert.notDeepEqual(seen[0], seen[1]);
    elfnoteAll('remove-cache', files);
    assert.deepEqual(hashesOf(files), originals);
  }
});

test('a file whose notes patchelf has put far behind the start of its segment gets its old bytes', {
  skip: skip || needs('patchelf'),
}, t => {
  const shop = new Workshop(tempDir(t));
  const [sample] = buildCells(shop, pairCells().slice(0, 1)).samples.values();
  assert.ok(sample !== undefined);
  const { dir } = shop.kit(sample.cell.target);
  const spare = join(dir, 'spare');
  // Behind more than 64 KiB, and less than one argument may have.
  const count = Math.ceil(100_000 / spare.length);
  const far = [...Array.from({ length: count }, () => spare), join(dir, 'both')].join(':');
  runOk('patchelf', ['--set-rpath', far, sample.file]);
  const original = readFileSync(sample.file);
  assert.equal(elfnoteAll('build-cache', [sample.file])[0]?.action, 'written');
  assert.ok(!readFileSync(sample.file).equals(original));
  elfnoteAll('remove-cache', [sample.file]);
  assert.ok(readFileSync(sample.file).equals(original));
});

test('a program whose program header table another tool has moved runs with its note, and gets its old bytes', {
  skip,
}, t => {
  const shop = new Workshop(tempDir(t));
  const { samples } = buildCells(shop, pairCells());
  let noted = 0;
  for (const [cell, { file, said }] of samples) {
    // As patchelf up to 0.9 and postject leave it, and where old kernels look.
    for (const keepsDistance of [true, false]) {
      const moved = withMovedTable(readFileSync(file), 0x10000, keepsDistance);
      const copy = `${file}.moved-${keepsDistance}`;
      writeFileSync(copy, moved, { mode: 0o755 });
      const bare = shop.start(cell, copy);
      const [outcome] = elfnoteAll('build-cache', [copy]);
      if (outcome?.action !== 'written') assertLeftAlone(outcome ?? {}, copy, copy);
      else noted++;
      const { status, stdout } = shop.start(cell, copy);
      assert.deepEqual({ status, stdout }, { status: bare.status, stdout: bare.stdout });
      if (keepsDistance) assert.equal(stdout, said);
      elfnoteAll('remove-cache', [copy]);
      assert.ok(readFileSync(copy).equals(moved), `${cell.name} ${keepsDistance}: not the old bytes`);
    }
  }
  assert.ok(noted >= samples.size, `only ${noted} got a note`);
});

test('build, strip, then remove and build in turn does not make a file grow', {
  skip: skip || needs('strip'),
}, t => {
  const shop = new Workshop(tempDir(t));
  const { samples } = buildCells(shop, pairCells());
  const files = writeNotes([...samples.values()]).map(({ file }) => file);
  for (const file of files) runOk('strip', [file]);
  const sizes: number[][] = [];
  for (let round = 0; round < 4; round++) {
    elfnoteAll('remove-cache', files);
    for (const { action } of elfnoteAll('build-cache', files)) assert.equal(action, 'written');
    sizes.push(files.map(sizeOf));
  }
  for (const later of sizes.slice(1)) assert.deepEqual(later, sizes[0]);
});

test('a separate debug file has no note, though objcopy copies the section, and is left alone', {
  skip: skip || needs('objcopy'),
}, t => {
  const shop = new Workshop(tempDir(t));
  const { samples } = buildCells(shop, pairCells());
  const debugFiles = writeNotes([...samples.values()]).map(({ file, outcome }) => {
    assert.equal(outcome.action, 'written', JSON.stringify(outcome));
    runOk('objcopy', ['--only-keep-debug', file, `${file}.debug`]);
    return `${file}.debug`;
  });
  const before = hashesOf(debugFiles);
  assert.deepEqual(new Set(dumpAll(debugFiles)), new Set(['gone']));
  for (const [command, due] of [
    ['build-cache', 'debug-only'],
    ['remove-cache', 'no-note'],
  ] as const) {
    for (const { reason } of elfnoteAll(command, debugFiles)) assert.equal(reason, due);
  }
  assert.deepEqual(hashesOf(debugFiles), before);
});

/** Tools that keep a note which has a section. */
const KEEPING = LATER_TOOLS.filter(({ name }) =>
  /^(?:trixie )?(?:strip|objcopy|eu-strip|llvm-strip)/.test(name),
);

const keepingFor = (cell: Cell) => share(KEEPING, EXTENT.keepingTools, numberOf(cell));

describe('remove-cache after another tool has rewritten the file', { skip }, () => {
  const scope = suiteScope();
  const trials = new Map<string, Trial>();
  const ready = whenAsked(async () => {
    const shop = new Workshop(tempDir(scope));
    const { samples } = buildCells(shop, pairCells());
    let number = 0;
    for (const noted of writeNotes([...samples.values()])) {
      for (const tool of keepingFor(noted.sample.cell).filter(tool => tool.skip() === false)) {
        trials.set(`${noted.sample.cell.name} ${tool.name}`, makeTrial(noted, [tool], number++));
      }
    }
    await runTrials(shop, [...trials.values()], true);
  });

  for (const cell of pairCells()) {
    for (const tool of keepingFor(cell)) {
      test(`${cell.name}, after ${tool.name}: finds the note, takes it out, and the file works`, {
        skip: cell.skip,
      }, async t => {
        if (isSkipped(t, tool.skip())) return;
        await ready();
        const trial = trials.get(`${cell.name} ${tool.name}`);
        assert.ok(trial !== undefined, 'the cell was not built');
        const { after, removed } = trial.found;
        assert.deepEqual(after?.dump, entriesDue(trial.sample.file), 'the note did not survive the tool');
        assert.equal(removed?.outcome?.action, 'written');
        assert.equal(removed?.dump, 'gone');
        assert.equal(removed?.run.stdout, trial.sample.said);
        assert.equal(removed?.run.status, 0);
        assert.deepEqual(removed?.complaints, []);
      });
    }
  }
});
