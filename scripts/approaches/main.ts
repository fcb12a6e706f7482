/**
 * Five ways of telling a program where its libraries are, side by side: `npm run approaches -- PROGRAM...`. Everything
 * is done on copies. Without programs it measures those of docs/approaches.md and writes the document's tables.
 * Needs gcc, g++, patchelf, strace and ldconfig; `--loader PATH` adds a loader that reads notes.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { arch, release, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runOk } from '../../test/support/cli.js';
import { buildReader } from '../../test/support/reader.js';
import { counts, NOTHING, type Runnable, sizeOf, starts, times } from './cost.js';
import { DELAYS } from './delays.js';
import { tryPromises } from './promises.js';
import { type Results, tables, withTables } from './report.js';
import { layOut, makeProgram, type Store } from './store.js';
import { staticMusl, type Variant, variants } from './variants.js';

const DOCS = fileURLToPath(new URL('../../docs', import.meta.url));

interface Known {
  /** For programs that do something else without. */
  readonly args: readonly string[];
  /** What the program looks for beside the directory that it is in, by path; a wildcard for the version. */
  readonly beside?: readonly string[];
}

const EMACS: Known = { args: ['--version'], beside: ['/usr/lib/emacs/*/native-lisp'] };

const KNOWN: Readonly<Record<string, Known>> = {
  '/usr/bin/ffmpeg': { args: ['-version'] },
  '/usr/bin/emacs-gtk': EMACS,
  '/usr/bin/emacs-nox': EMACS,
  '/usr/bin/gdb': { args: ['--version'] },
  '/usr/bin/convert-im6.q16': { args: ['--version'] },
};

const { values, positionals } = parseArgs({
  options: {
    loader: { type: 'string' },
    json: { type: 'string' },
    promises: { type: 'boolean', default: true },
  },
  allowNegative: true,
  allowPositionals: true,
});
const isForDocs = positionals.length === 0;
const work = mkdtempSync(join(tmpdir(), 'elfnote-approaches-'));
try {
  const results = measureAll();
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
  if (isForDocs) writeDocs(results);
  console.log(tables(results));
} finally {
  rmSync(work, { recursive: true });
}

function measureAll(): Results {
  const launch = join(work, 'launch');
  runOk('gcc', ['-O1', join(import.meta.dirname, '../bench/launch.c'), '-o', launch]);
  const ways = variants(buildReader(work), values.loader);
  const programs = isForDocs ? Object.keys(KNOWN).filter(existsSync) : positionals;
  const measured = programs.map(path =>
    measure(basename(path), ways, launch, dir => {
      const { args, beside = [] } = KNOWN[path] ?? { args: ['--version'] };
      return layOut(dir, path, args, beside);
    }),
  );
  const made = isForDocs ? [measureMade(ways, launch)] : [];
  const promises = values.promises
    ? Object.fromEntries(ways.map((way, i) => [way.name, tryPromises(way, join(work, `promises-${i}`))]))
    : {};
  const date = new Date().toISOString().slice(0, 10);
  const machine = `Linux ${release().replace(/[^0-9.].*/, '')} ${arch()}, ${runOk('ldd', ['--version']).stdout.split('\n')[0]}`;
  return { date, machine, programs: [...measured, ...made], promises };
}

function measureMade(ways: readonly Variant[], launch: string): Results['programs'][number] {
  const program = makeProgram(join(work, 'build'));
  const measured = measure('a made C++ program', ways, launch, dir => layOut(dir, program, []));
  return { ...measured, rows: [...measured.rows, musl(launch)] };
}

function measure(
  name: string,
  ways: readonly Variant[],
  launch: string,
  build: (dir: string) => Store,
): Results['programs'][number] {
  const prepared = ways.map((way, i) => {
    const store = build(join(work, `${name}-${i}`));
    const before = sizeOf(store);
    return { way, store, before, runnable: { ...store, prepared: way.prepare(store) } satisfies Runnable };
  });
  const isSimulated = ({ runnable }: (typeof prepared)[number]) =>
    runnable.prepared.simulatedCache !== undefined;
  const runs = prepared.filter(one => !isSimulated(one) && starts(one.runnable));
  const timed = new Map(
    [0, ...DELAYS].map(delay => [
      delay,
      times(
        runs.map(({ runnable }) => runnable),
        launch,
        delay,
      ),
    ]),
  );
  const rows = prepared.map(one => {
    const at = runs.indexOf(one);
    const after = sizeOf(one.store);
    const delayed = Object.fromEntries(DELAYS.map(delay => [delay, timed.get(delay)?.[at]]));
    return {
      approach: isSimulated(one) || at >= 0 ? one.way.name : `${one.way.name}: does not start`,
      ...(isSimulated(one) || at >= 0 ? counts(one.runnable, work) : NOTHING),
      warm: timed.get(0)?.[at],
      delayed,
      addedBytes: after.bytes - one.before.bytes,
      addedInodes: after.inodes - one.before.inodes,
    };
  });
  for (const { store } of prepared) rmSync(store.dir, { recursive: true });
  return { name, libraries: prepared[0]?.store.libraries.length ?? 0, rows };
}

/** A C program of one line: what static linking comes to where a program can be linked anew. */
function musl(launch: string): Results['programs'][number]['rows'][number] {
  const dir = join(work, 'musl');
  mkdirSync(dir);
  const { program, bytes } = staticMusl(dir);
  const runnable = { program, args: [], prepared: {} };
  const delayed = Object.fromEntries(DELAYS.map(delay => [delay, times([runnable], launch, delay)[0]]));
  const of = counts(runnable, work);
  return {
    approach: 'static musl, another program of one line',
    ...of,
    warm: times([runnable], launch, 0)[0],
    delayed,
    addedBytes: bytes,
    addedInodes: 0,
  };
}

function writeDocs(results: Results): void {
  const path = join(DOCS, 'approaches.md');
  writeFileSync(join(DOCS, 'approaches.json'), `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(path, withTables(readFileSync(path, 'utf8'), results));
}
