/**
 * Breaks the code in many small ways and looks whether a test notices: `npm run mutation [-- [--minutes N] [--seed N]
 * [ROOM...]]`. Rooms are folders of src/: layout, write, resolve and loader when none is named. All mutants of a room
 * take hours, so pieces of it are drawn at random, the same for the same seed, until the time is over. Prints the
 * score of each room and every survivor.
 *
 * StrykerJS makes the mutants, and runs for each the test files that come by it, until one fails. What these leave is
 * tried once more on the built command line, which has all mutants too. Stryker brings 170 packages that nothing else
 * needs, so npx fetches it when it is asked for.
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
const PIECE = 4;
const PIECES = 15;

interface Tests {
  /** Those that look at a room from inside, the slow ones last: most mutants do not get that far. */
  readonly inside: readonly string[];
  /** Those that run the command line, for what the others do not notice. */
  readonly outside: readonly string[];
}

const SLOW = ['test/write/commit.test.ts', 'test/layout/layouts.property.test.ts'];
const VERIFIER = 'test/write/verify*.test.ts';
const PIPELINE = 'test/pipeline.test.ts';
const SEQUENCES = ['test/e2e/{sequence,growth}.test.ts', 'test/e2e/restore.test.ts'];
const LOOKUPS = ['test/cli/{closure,verify,trace}.test.ts'];
const TESTS: Readonly<Record<string, Tests>> = {
  layout: {
    inside: [
      'test/layout/{model,rungs,dt-audit,undo}/*.test.ts',
      'test/layout/plan-file.test.ts',
      VERIFIER,
      ...SLOW,
    ],
    outside: SEQUENCES,
  },
  write: {
    inside: [
      'test/write/{commit-change,copy,in-place}.test.ts',
      VERIFIER,
      PIPELINE,
      'test/layout/undo/*.test.ts',
      ...SLOW,
    ],
    outside: SEQUENCES,
  },
  resolve: {
    inside: ['test/resolve/*.test.ts', 'test/loader/{closure,edges}.test.ts', PIPELINE],
    outside: LOOKUPS,
  },
  loader: {
    inside: ['test/loader/*.test.ts', 'test/note/*.test.ts', 'test/e2e/trace.test.ts'],
    outside: LOOKUPS,
  },
};

/** A plugin that writes down each mutant when it is done with: Stryker's own reports come when all are. */
const REPORTER = `
import { appendFileSync } from 'node:fs';
class Lines {
  onMutantTested({ fileName, location: { start, end }, status, mutatorName, replacement }) {
    const location = [start.line, start.column, end.line, end.column];
    const mutant = { fileName, location, status, mutatorName, replacement };
    appendFileSync(process.env.ELFNOTE_MUTANTS, JSON.stringify(mutant) + '\\n');
  }
}
export const strykerPlugins = [{ kind: 'Reporter', name: 'lines', injectableClass: Lines }];
`;

/**
 * What Stryker does first with its copy, for which it takes no shell: lets tests that run elfnote as a user without
 * rights come in, and bundles the command line where it is told where packages are.
 */
const PREPARE = `
import { execFileSync } from 'node:child_process';
import { chmodSync, symlinkSync, unlinkSync } from 'node:fs';
chmodSync('.', 0o755);
const [, , packages] = process.argv;
if (packages !== undefined) {
  symlinkSync(packages, 'node_modules');
  execFileSync(process.execPath, ['--import', 'tsx', 'scripts/bundle.ts']);
  unlinkSync('node_modules');
}
`;

/**
 * The bundle runs in other processes and threads than the tests, of which nobody knows what they come by: it counts as
 * everything, so often that no loop is taken for an endless one.
 */
const EVERYWHERE = `
const all = Array.from({ length: 100_000 }, (_, id) => [id, 1e9]);
globalThis.__stryker__.mutantCoverage = { static: Object.fromEntries(all), perTest: {} };
`;

/** Of timeout(1). */
const TIMED_OUT = 124;

/** What no test has noticed. */
const LEFT: ReadonlySet<string> = new Set(['Survived', 'NoCoverage']);
/** Of the time, for tests that run the command line. */
const SHARE_OUTSIDE = 0.4;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' } },
});
const rooms = positionals.length > 0 ? positionals : Object.keys(TESTS);
const millisecondsEach = (Number(values.minutes) * 60_000) / rooms.length;

interface Mutant {
  readonly id: string;
  readonly place: string;
  /** As Stryker takes it. */
  readonly range: string;
  readonly status: string;
  readonly what: string;
}

for (const room of rooms) {
  const tests = TESTS[room];
  if (tests === undefined) throw new Error(`no room ${room}: ${Object.keys(TESTS).join(', ')}`);
  const end = Date.now() + millisecondsEach;
  const found = survey(room, filesOf(tests.inside), end - SHARE_OUTSIDE * millisecondsEach);
  const left = found.filter(({ status }) => LEFT.has(status));
  console.error(`${room}: ${left.length} of ${found.length} mutants left to the command line`);
  const outside = new Map(again(left, filesOf(tests.outside), end - Date.now()).map(one => [one.id, one]));
  report(
    room,
    found.map(one => (LEFT.has(one.status) ? (outside.get(one.id) ?? one) : one)),
  );
}

function filesOf(globs: readonly string[]): string[] {
  return globs.flatMap(glob => fastGlob.globSync(glob, { cwd: ROOT }).sort());
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

/** The same mutants, and others that are within them, in the built command line. */
function again(mutants: readonly Mutant[], tests: readonly string[], milliseconds: number): Mutant[] {
  if (mutants.length === 0 || milliseconds <= 0) return [];
  const ranges = shuffled([...new Set(mutants.map(({ range }) => range))], Number(values.seed));
  try {
    return runStryker(ranges, tests, milliseconds, true);
  } catch (error) {
    console.error(error);
    return [];
  }
}

function piecesOf(room: string): string[] {
  return fastGlob.globSync(`src/${room}/**/*.ts`, { cwd: ROOT }).flatMap(file => {
    const lines = readFileSync(join(ROOT, file), 'utf8').split('\n').length;
    const starts = Array.from({ length: Math.ceil(lines / PIECE) }, (_, i) => i * PIECE + 1);
    return starts.map(start => `${file}:${start}-${start + PIECE - 1}`);
  });
}

function runStryker(
  mutate: readonly string[],
  tests: readonly string[],
  milliseconds: number,
  isBundled = false,
): Mutant[] {
  const dir = mkdtempSync(join(tmpdir(), 'elfnote-mutation-'));
  chmodSync(dir, 0o755);
  try {
    const config = join(dir, 'stryker.config.json');
    const plugin = join(dir, 'lines.mjs');
    const lines = join(dir, 'mutants');
    const prepare = join(dir, 'prepare.mjs');
    writeFileSync(plugin, REPORTER);
    writeFileSync(prepare, PREPARE);
    const everywhere = join(dir, 'everywhere.cjs');
    writeFileSync(everywhere, EVERYWHERE);
    const settings = {
      testRunner: 'tap',
      tap: {
        testFiles: tests,
        nodeArgs: [
          ...['-r', '{{hookFile}}', ...(isBundled ? ['-r', everywhere] : [])],
          ...['--import', 'tsx', '--test-reporter=tap'],
        ],
      },
      plugins: ['@stryker-mutator/*', plugin],
      reporters: ['lines'],
      mutate,
      concurrency: 1,
      timeoutMS: 20_000,
      allowEmpty: true,
      tempDirName: join(dir, 'work'),
      // Stryker would rewrite it by TypeScript's interface of JavaScript, which 7 has no more; tsx does without.
      tsconfigFile: 'none',
      ignorePatterns: ['test-artifacts'],
      buildCommand: ['node', prepare, ...(isBundled ? [join(ROOT, 'node_modules')] : [])].join(' '),
    };
    writeFileSync(config, JSON.stringify(settings));
    const args = ['--yes', ...PACKAGES, 'stryker', 'run', config, '--logLevel', 'error'];
    const env = { ...process.env, LAYOUT_RUNS: '150', ELFNOTE_MUTANTS: lines };
    // It ends all that Stryker has started.
    const limited = ['--kill-after=10', String(Math.ceil(milliseconds / 1000)), 'npx', ...args];
    const { status, stdout } = spawnSync('timeout', limited, { cwd: ROOT, env, encoding: 'utf8' });
    if (status !== 0 && status !== TIMED_OUT) throw new Error(`stryker: exit ${status}\n${stdout}`);
    if (!existsSync(lines)) return [];
    return readFileSync(lines, 'utf8').trimEnd().split('\n').map(mutantOf);
  } finally {
    remove(dir);
  }
}

/** What was ended may still write into it: then it stays, and the score counts all the same. */
function remove(dir: string): void {
  try {
    rmSync(dir, { recursive: true, maxRetries: 5, retryDelay: 1000 });
  } catch (error) {
    console.error(`${dir} is not removed: ${error}`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function mutantOf(line: string): Mutant {
  const found: unknown = JSON.parse(line);
  if (!isObject(found)) throw new Error(`stryker told of no mutant: ${line}`);
  const { fileName, location, status, mutatorName, replacement } = found;
  if (!Array.isArray(location)) throw new Error(`stryker tells no place: ${line}`);
  const [fromLine, fromColumn, toLine, toColumn] = location.map(Number);
  const file = relative(ROOT, String(fileName));
  const what = `${String(mutatorName)}: ${String(replacement).replaceAll(/\s+/g, ' ').slice(0, 90)}`;
  // Stryker tells columns from 1 and takes them from 0.
  const range = `${file}:${fromLine}:${Number(fromColumn) - 1}-${toLine}:${Number(toColumn) - 1}`;
  return {
    id: `${range} ${what}`,
    place: `${file}:${fromLine}:${fromColumn}`,
    range,
    status: String(status),
    what,
  };
}

function report(room: string, mutants: readonly Mutant[]): void {
  const of = (status: string) => mutants.filter(mutant => mutant.status === status);
  const [killed, late] = [of('Killed').length, of('Timeout').length];
  const survivors = mutants.filter(({ status }) => LEFT.has(status));
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
