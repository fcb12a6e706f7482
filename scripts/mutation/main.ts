/**
 * Breaks the code in many small ways and looks whether a test notices: `npm run mutation [-- [--minutes N] [--seed N]
 * [ROOM...]]`. Rooms are folders of src/: layout, write, resolve and loader when none is named. All mutants of a room
 * take hours, so pieces of it are drawn at random, the same for the same seed, until the time is over. Prints the
 * score of each room and every survivor.
 *
 * StrykerJS makes the mutants. It brings 160 packages that nothing else needs, so npx fetches it when it is asked for.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import fastGlob from 'fast-glob';

const STRYKER = '@stryker-mutator/core@9.6.1';
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/**
 * Lines of a piece, and pieces of one run of Stryker, which takes a quarter of a minute before its first mutant, says
 * nothing before its last, and is not ended when the time is over.
 */
const PIECE = 8;
const PIECES = 2;

/**
 * The tests that look at a room from inside, the slow ones last: most mutants do not get that far. Those of the
 * command line would need a build for each mutant.
 */
const SLOW = ['test/layout/layouts.property.test.ts'];
const TESTS: Readonly<Record<string, readonly string[]>> = {
  layout: ['test/layout/{model,rungs,dt-audit}/*.test.ts', 'test/layout/undo/release.test.ts', ...SLOW],
  write: ['test/write/verify*.test.ts', ...SLOW],
  resolve: ['test/resolve/*.test.ts', 'test/note/*.test.ts'],
  loader: ['test/loader/{closure,edges,interpreter,note-answer}.test.ts'],
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' } },
});
const rooms = positionals.length > 0 ? positionals : Object.keys(TESTS);
const secondsEach = (Number(values.minutes) * 60) / rooms.length;

interface Mutant {
  readonly place: string;
  readonly status: string;
  readonly what: string;
}

for (const room of rooms) {
  const tests = TESTS[room];
  if (tests === undefined) throw new Error(`no room ${room}: ${Object.keys(TESTS).join(', ')}`);
  report(
    room,
    survey(
      room,
      tests.flatMap(glob => fastGlob.globSync(glob, { cwd: ROOT })),
      Date.now() + secondsEach * 1000,
    ),
  );
}

function survey(room: string, tests: readonly string[], deadline: number): Mutant[] {
  const found: Mutant[] = [];
  const pieces = shuffled(piecesOf(room), Number(values.seed));
  while (pieces.length > 0 && Date.now() < deadline) {
    found.push(...runStryker(pieces.splice(0, PIECES), tests));
    console.error(`${room}: ${found.length} mutants`);
  }
  return found;
}

function piecesOf(room: string): string[] {
  return fastGlob.globSync(`src/${room}/**/*.ts`, { cwd: ROOT }).flatMap(file => {
    const lines = readFileSync(join(ROOT, file), 'utf8').split('\n').length;
    const starts = Array.from({ length: Math.ceil(lines / PIECE) }, (_, i) => i * PIECE + 1);
    return starts.map(start => `${file}:${start}-${start + PIECE - 1}`);
  });
}

function runStryker(mutate: readonly string[], tests: readonly string[]): Mutant[] {
  const dir = mkdtempSync(join(tmpdir(), 'elfnote-mutation-'));
  try {
    const config = join(dir, 'stryker.config.json');
    const fileName = join(dir, 'mutation.json');
    const command = `LAYOUT_RUNS=150 node --import tsx scripts/mutation/until-failure.ts ${tests.join(' ')}`;
    const settings = {
      testRunner: 'command',
      commandRunner: { command },
      mutate,
      reporters: ['json'],
      jsonReporter: { fileName },
      concurrency: availableParallelism(),
      timeoutMS: 30_000,
      allowEmpty: true,
      // Stryker would rewrite it by TypeScript's interface of JavaScript, which 7 has no more; tsx does without.
      tsconfigFile: 'none',
      ignorePatterns: ['test-artifacts', 'audit/build'],
    };
    writeFileSync(config, JSON.stringify(settings));
    const args = ['--yes', `--package=${STRYKER}`, 'stryker', 'run', config, '--logLevel', 'error'];
    const { status, stdout } = spawnSync('npx', args, { cwd: ROOT, encoding: 'utf8' });
    if (status !== 0) throw new Error(`stryker: exit ${status}\n${stdout}`);
    return existsSync(fileName) ? mutantsIn(JSON.parse(readFileSync(fileName, 'utf8'))) : [];
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** The mutants of a report in Stryker's mutation-testing-elements format. */
function mutantsIn(text: unknown): Mutant[] {
  if (!isObject(text) || !isObject(text.files)) throw new Error('stryker wrote another report');
  return Object.entries(text.files).flatMap(([name, file]) => {
    if (!isObject(file) || !Array.isArray(file.mutants)) throw new Error(`no mutants of ${name}`);
    return file.mutants.filter(isObject).map(({ location, status, mutatorName, replacement }): Mutant => {
      const start = isObject(location) && isObject(location.start) ? location.start : {};
      const what = `${String(mutatorName)}: ${String(replacement).replaceAll(/\s+/g, ' ').slice(0, 90)}`;
      return { place: `${name}:${String(start.line)}:${String(start.column)}`, status: String(status), what };
    });
  });
}

function report(room: string, mutants: readonly Mutant[]): void {
  const counted = mutants.filter(({ status }) => ['Killed', 'Timeout', 'Survived'].includes(status));
  const survivors = counted.filter(({ status }) => status === 'Survived');
  const score = ((100 * (counted.length - survivors.length)) / Math.max(1, counted.length)).toFixed(1);
  console.log(`${room}: ${score} % of ${counted.length} mutants killed, ${survivors.length} survive`);
  for (const { place, what } of survivors) console.log(`  ${place}  ${what}`);
}

/** mulberry32, and the shuffle of Fisher and Yates. */
function shuffled<T>(items: readonly T[], seed: number): T[] {
  const left = [...items];
  let state = seed >>> 0;
  const next = (below: number) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
  return items.flatMap(() => left.splice(next(left.length), 1));
}
