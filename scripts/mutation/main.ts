/**
 * Breaks the code in many small ways and looks whether a test notices: `npm run mutation [-- [--minutes N] [--seed N]
 * [ROOM...]]`. Rooms are folders of src/: layout, write, resolve and loader when none is named. All mutants of a room
 * take hours, so pieces of it are drawn at random, the same for the same seed, until the time is over. Prints the
 * score of each room and every survivor.
 *
 * StrykerJS makes the mutants, and runs for each the test files that come by it, until one fails. It brings 170 packages
 * that nothing else needs, so npx fetches it when it is asked for.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import fastGlob from 'fast-glob';

const VERSION = '9.6.1';
const PACKAGES = ['core', 'tap-runner'].map(name => `--package=@stryker-mutator/${name}@${VERSION}`);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Lines of a piece, and pieces of one run of Stryker, which first runs all tests once. */
const PIECE = 8;
const PIECES = 16;

/**
 * The tests that look at a room from inside, the slow ones last: most mutants do not get that far. Those of the
 * command line would need a build for each mutant.
 */
const SLOW = ['test/write/commit.test.ts', 'test/layout/layouts.property.test.ts'];
const TESTS: Readonly<Record<string, readonly string[]>> = {
  layout: ['test/layout/{model,rungs,dt-audit,undo}/*.test.ts', 'test/write/verify*.test.ts', ...SLOW],
  write: ['test/write/verify*.test.ts', 'test/pipeline.test.ts', 'test/layout/undo/*.test.ts', ...SLOW],
  resolve: ['test/resolve/*.test.ts', 'test/loader/{closure,edges}.test.ts', 'test/pipeline.test.ts'],
  loader: ['test/loader/*.test.ts', 'test/note/*.test.ts', 'test/e2e/trace.test.ts'],
};

/** A plugin that writes down each mutant when it is done with: Stryker's own reports come when all are. */
const REPORTER = `
import { appendFileSync } from 'node:fs';
class Lines {
  onMutantTested({ fileName, location, status, mutatorName, replacement }) {
    const mutant = { fileName, ...location.start, status, mutatorName, replacement };
    appendFileSync(process.env.ELFNOTE_MUTANTS, JSON.stringify(mutant) + '\\n');
  }
}
export const strykerPlugins = [{ kind: 'Reporter', name: 'lines', injectableClass: Lines }];
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' } },
});
const rooms = positionals.length > 0 ? positionals : Object.keys(TESTS);
const millisecondsEach = (Number(values.minutes) * 60_000) / rooms.length;

interface Mutant {
  readonly place: string;
  readonly status: string;
  readonly what: string;
}

for (const room of rooms) {
  const tests = TESTS[room];
  if (tests === undefined) throw new Error(`no room ${room}: ${Object.keys(TESTS).join(', ')}`);
  const files = tests.flatMap(glob => fastGlob.globSync(glob, { cwd: ROOT }).sort());
  report(room, survey(room, files, Date.now() + millisecondsEach));
}

function survey(room: string, tests: readonly string[], deadline: number): Mutant[] {
  const found: Mutant[] = [];
  const pieces = shuffled(piecesOf(room), Number(values.seed));
  while (pieces.length > 0 && Date.now() < deadline) {
    found.push(...runStryker(pieces.splice(0, PIECES), tests, deadline - Date.now()));
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

function runStryker(mutate: readonly string[], tests: readonly string[], milliseconds: number): Mutant[] {
  const dir = mkdtempSync(join(tmpdir(), 'elfnote-mutation-'));
  // Some tests run elfnote as a user who has no rights.
  chmodSync(dir, 0o755);
  try {
    const config = join(dir, 'stryker.config.json');
    const plugin = join(dir, 'lines.mjs');
    const lines = join(dir, 'mutants');
    writeFileSync(plugin, REPORTER);
    const settings = {
      testRunner: 'tap',
      tap: { testFiles: tests, nodeArgs: ['--import', 'tsx', '--test-reporter=tap'] },
      plugins: ['@stryker-mutator/*', plugin],
      reporters: ['lines'],
      mutate,
      concurrency: 1,
      timeoutMS: 20_000,
      allowEmpty: true,
      tempDirName: join(dir, 'work'),
      // Stryker would rewrite it by TypeScript's interface of JavaScript, which 7 has no more; tsx does without.
      tsconfigFile: 'none',
      ignorePatterns: ['test-artifacts', 'audit/build'],
    };
    writeFileSync(config, JSON.stringify(settings));
    const args = ['--yes', ...PACKAGES, 'stryker', 'run', config, '--logLevel', 'error'];
    const env = { ...process.env, LAYOUT_RUNS: '150', ELFNOTE_MUTANTS: lines };
    const { status, stdout, error } = spawnSync('npx', args, {
      cwd: ROOT,
      env,
      encoding: 'utf8',
      timeout: milliseconds,
    });
    if (error === undefined && status !== 0) throw new Error(`stryker: exit ${status}\n${stdout}`);
    if (!existsSync(lines)) return [];
    return readFileSync(lines, 'utf8').trimEnd().split('\n').map(mutantOf);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function mutantOf(line: string): Mutant {
  const found: unknown = JSON.parse(line);
  if (!isObject(found)) throw new Error(`stryker told of no mutant: ${line}`);
  const { fileName, line: at, column, status, mutatorName, replacement } = found;
  const what = `${String(mutatorName)}: ${String(replacement).replaceAll(/\s+/g, ' ').slice(0, 90)}`;
  return {
    place: `${relative(ROOT, String(fileName))}:${String(at)}:${String(column)}`,
    status: String(status),
    what,
  };
}

function report(room: string, mutants: readonly Mutant[]): void {
  const of = (status: string) => mutants.filter(mutant => mutant.status === status);
  const [killed, late] = [of('Killed').length, of('Timeout').length];
  const survivors = [...of('Survived'), ...of('NoCoverage')];
  const all = killed + late + survivors.length;
  const score = ((100 * (killed + late)) / Math.max(1, all)).toFixed(1);
  console.log(
    `${room}: ${score} % of ${all} mutants: ${killed} killed, ${late} too late, ${survivors.length} survive`,
  );
  for (const { place, status, what } of survivors)
    console.log(`  ${place}  ${what}${status === 'NoCoverage' ? ' (no test comes by)' : ''}`);
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
