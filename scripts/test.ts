/**
 * Runs tests with Node's runner: `npm test`, `npm test -- test/elf/notes.test.ts`, `npm test -- test/cli`,
 * `npm test -- --test-name-pattern=hwcaps`. Without a file, directory or pattern of files it runs every file, but for
 * those that test/support/extent.ts leaves to `npm run test:all`; `npm run test:rest` runs what `npm test` leaves out of
 * that.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join, normalize, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type PluginBuild } from 'esbuild';
import fastGlob from 'fast-glob';
import { IN_PARTS, ONLY_IN_ALL, RUN } from '../test/support/extent.js';
import {
  newRun,
  removeRun,
  removeThoseOf,
  removeTree,
  runPrefix,
  runVariables,
} from '../test/support/run-files.js';

const TESTS = '**/*.test.ts';
const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Directories whose tests take longer than a process takes to start, or ask how much memory theirs takes. */
const LARGE = ['audit', 'batch', 'cli', 'docs', 'hardening', 'layout'];

/** Files that take more than a few seconds, the longest first: what is left to the end keeps one processor alone. */
const LONG = [
  'e2e/matrix',
  'e2e/matrix-machines',
  'e2e/matrix-pairs',
  'e2e/restore',
  'e2e/reader',
  'e2e/fixtures',
  'e2e/trace',
  'e2e/programs',
  'e2e/system',
  'audit/hostile',
  'e2e/trees',
  'audit/closure',
  'package/package',
  'cli/closure',
  'hardening/killed',
  'audit/module',
  'e2e/patchelf-generations',
  'cli/exec',
  'hardening/faults',
  'e2e/gcc',
  'nix/hook',
  'e2e/startup',
  'corrupt/corrupt',
  'e2e/growth',
  'nix/store',
  'e2e/sequence',
  'write/commit',
  'cli/tree',
  'layout/layouts.property',
].map(name => `test/${name}.test.ts`);

const HOUR = 3_600_000;

/** The runner's options whose value may be the next word. */
const WITH_VALUE = [
  '--test-concurrency',
  '--test-name-pattern',
  '--test-reporter',
  '--test-reporter-destination',
  '--test-shard',
  '--test-skip-pattern',
  '--test-timeout',
];

// Where it is set, Node 20 reads certificates whenever a test starts it: as long again as it needs to start.
delete process.env.NODE_EXTRA_CA_CERTS;
const given = process.argv.slice(2);
const isOption = (arg: string, i: number) => arg.startsWith('-') || WITH_VALUE.includes(given[i - 1] ?? '');
const options = given.filter(isOption);
const places = given.filter((arg, i) => !isOption(arg, i));
if (options.includes('--watch'))
  refuse('no --watch: what is watched would be what was compiled, not its sources');
refuseTemporaryDirectory();
const groups =
  places.length > 0
    ? [...new Set(places.flatMap(filesIn))].map(alone)
    : groupsOf(filesIn('test').filter(isWanted));

// Left to itself the runner keeps one processor for itself, which is half of two. Tests wait for the disk, and for what
// they have started.
const concurrency = `--test-concurrency=${2 * availableParallelism()}`;
// A test ends before early optimizing has gained anything, as the command line does.
const bin: { readonly LATE: string } = createRequire(import.meta.url)('../bin/elfnote.js');
const budget = process.versions.v8.startsWith('11.') ? bin.LATE.split(' ') : [];
let nodeRunner: ChildProcess | undefined;
let isEnded = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, end);
const OWN = newRun();
const RUN_DIRECTORY = makeRunDirectory();
/** Where the files that the runner is given are. */
const ENTRIES = makeEntries();
/** There once a test has run. */
const RAN = join(ENTRIES, 'ran');
/** Only some tests of a file are asked for, which may be none. */
const isSelection = options.some(option => /^--test-(?:name-pattern|skip-pattern|only)\b/.test(option));
const runner = [...budget, '--enable-source-maps', '--test', concurrency, ...options];
try {
  const compiled = await compile(groups);
  // Not ended before it has compiled, which would still write there.
  const status = isEnded ? 1 : await runNode([...runner, ...compiled]);
  process.exitCode = status;
  if (status === 0 && isSelection && !existsSync(RAN))
    fail('no test has run: none is like that, or all are skipped');
} catch (error) {
  // esbuild has said what it does not understand, and where.
  if (!isEnded && !(error instanceof Error && 'errors' in error)) throw error;
  process.exitCode = 1;
}

async function runNode(args: readonly string[]): Promise<number> {
  nodeRunner = spawn(process.execPath, args, {
    stdio: 'inherit',
    env: { ...process.env, ...runVariables(OWN, RUN_DIRECTORY) },
  });
  const [status]: unknown[] = await once(nodeRunner, 'exit');
  return typeof status === 'number' ? status : 1;
}

/** Node's runner ends its test files when it is told to end; left to itself it goes on without this process. */
function end(signal: NodeJS.Signals): void {
  isEnded = true;
  nodeRunner?.kill(signal);
}

function fail(why: string): void {
  console.error(`npm test: ${why}`);
  process.exitCode = 1;
}

function refuse(why: string): never {
  fail(why);
  process.exit();
}

/** Its name is in variables of the loader, which blanks and colons divide, and in commands, lists and patterns. */
function refuseTemporaryDirectory(): void {
  const dir = tmpdir();
  if (!/^\/[\w./+~-]*$/.test(dir)) refuse(`TMPDIR has to be a whole path in letters and digits: ${dir}`);
}

/** Is the temporary directory of the tests, and other users may reach what is in it if they may here. */
function makeRunDirectory(): string {
  // Another container that has this directory too has processes of its own.
  const before = Date.now() - HOUR;
  removeThoseOf((pid, changed) => pid !== process.pid && changed < before && !isRunning(pid));
  const dir = realpathSync(mkdtempSync(join(tmpdir(), runPrefix(OWN))));
  process.on('exit', () => {
    removeTree(dir);
    removeRun(OWN);
  });
  chmodSync(dir, 0o755);
  return dir;
}

/** The packages are beside the files that need them, and the project may belong to someone else. */
function makeEntries(): string {
  const dir = join(RUN_DIRECTORY, 'compiled');
  mkdirSync(dir);
  symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
  return dir;
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Of a file, a directory or a pattern. */
function filesIn(place: string): string[] {
  const stats = statSync(place, { throwIfNoEntry: false });
  const found = stats?.isDirectory()
    ? fastGlob.globSync(TESTS, { cwd: place }).map(name => join(place, name))
    : (stats === undefined ? fastGlob.globSync(place) : [place]).map(name => normalize(name));
  if (found.length === 0) refuse(`no such test: ${place}`);
  for (const file of found) if (!file.endsWith('.test.ts')) refuse(`no test: ${file}`);
  return found;
}

function isWanted(file: string): boolean {
  if (RUN === 'quick') return !ONLY_IN_ALL.includes(file);
  return RUN !== 'rest' || ONLY_IN_ALL.includes(file) || IN_PARTS.includes(file);
}

/** Test files that run in one process. */
interface Group {
  readonly name: string;
  readonly files: readonly string[];
}

function alone(file: string): Group {
  return { name: file, files: [file] };
}

/**
 * One for each test file that takes long, one for all others of each large directory, and one for what is left, since
 * most of these are done before their process has started.
 */
function groupsOf(wanted: readonly string[]): Group[] {
  const groups = new Map(LONG.filter(file => wanted.includes(file)).map(file => [file, [file]]));
  for (const file of wanted.filter(one => !LONG.includes(one)).sort()) {
    const directory = file.split('/')[1] ?? '';
    const name = hasHooks(file) ? file : LARGE.includes(directory) ? directory : 'others';
    groups.set(name, [...(groups.get(name) ?? []), file]);
  }
  return [...groups].map(([name, files]) => ({ name, files }));
}

/** A file for the runner for each group, named in their order. */
async function compile(groups: readonly Group[]): Promise<string[]> {
  const entries = groups.map(({ name, files }, i) => {
    const entry = `${String(i).padStart(3, '0')}-${name.replaceAll('/', '-')}`;
    writeFileSync(join(ENTRIES, `${entry}.mjs`), entryFor(files));
    return entry;
  });
  const outdir = join(ENTRIES, 'compiled');
  await build({
    entryPoints: entries.map(entry => join(ENTRIES, `${entry}.mjs`)),
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    sourcemap: true,
    sourcesContent: false,
    logLevel: 'error',
    plugins: [{ name: 'in-place', setup: inPlace }],
  });
  return entries.map(entry => join(outdir, `${entry}.mjs`));
}

/** A module still says that it is where its source is. */
function inPlace({ onLoad }: PluginBuild): void {
  onLoad({ filter: /\.ts$/ }, async ({ path }) => {
    const source = await readFile(path, 'utf8');
    const contents = source
      .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href))
      .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)));
    return { contents, loader: 'ts' };
  });
}

/** Hooks outside of a `describe` are for every test of the process. */
function hasHooks(file: string): boolean {
  return /^(?:before|after)(?:Each)?\(/m.test(readFileSync(file, 'utf8'));
}

/**
 * A file that cannot be loaded is a test that fails, and the others run. Node passes where there is nothing to run, so
 * what runs says so.
 */
function entryFor(group: readonly string[]): string {
  const lines = group.map(file => {
    const path = JSON.stringify(resolve(file));
    return `await import(${path}).catch(error => test(${JSON.stringify(file)}, () => { throw error; }));`;
  });
  const says = `beforeEach(() => writeFileSync(${JSON.stringify(RAN)}, ''));`;
  const imports = "import { writeFileSync } from 'node:fs';\nimport { beforeEach, test } from 'node:test';";
  return [imports, ...(isSelection ? [says] : []), ...lines, ''].join('\n');
}
