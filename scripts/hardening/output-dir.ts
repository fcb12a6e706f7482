import {
  chmodSync,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Job } from '../../src/batch/job.js';
import { runOver } from '../../src/batch/run.js';
import { findFiles } from '../../src/batch/walk.js';
import { Target } from '../../src/cli/target.js';
import { ElfnoteError } from '../../src/errors.js';
import type { FileOutcome } from '../../src/outcome.js';
import { type Counts, faultsOf } from './faults.js';
import type { Kind } from './kinds.js';
import { type Call, type Fault, Killed, type Rule, withFaultsLater } from './shim.js';
import { passTime } from './state.js';

/** What a name is: of a file its bytes, mode and the other names of it, of a link what it says. */
interface Entry {
  readonly kind: 'file' | 'link' | 'directory';
  readonly bytes: Buffer;
  readonly mode: number;
  readonly links: number;
}

type Layout = ReadonlyMap<string, Entry>;

interface Shop {
  readonly tree: string;
  readonly out: string;
}

/**
 * Every fault at every call of building and of removing with `--output-dir`, over a tree with what a package may hold.
 * The originals stay as they are, and each copy is whole or is not there, whatever happens; what is missing is told of.
 *
 * @param kinds are put into the tree. @param stride every n-th call, for a short run.
 * @param sabotage takes away what is guarded.
 */
export async function tryOutputDir(
  kinds: readonly Kind[],
  dir: string,
  fast: boolean,
  counts: Counts,
  { stride = 1, sabotage = () => undefined }: { readonly stride?: number; readonly sabotage?: Rule } = {},
): Promise<void> {
  for (const kind of ['build', 'remove'] as const) {
    const shop = fill(join(dir, kind), kinds);
    if (kind === 'remove') for await (const _ of runOver(await findFiles([shop.tree]), jobOf('build', true)));
    const before = layoutOf(shop.tree);
    const job = jobOf(kind, fast);
    const calls: Call[] = [];
    const note: Rule = call => {
      calls.push(call);
      return undefined;
    };
    // Its own calls are taken from node:fs when it is called first, and would stay the watched ones.
    rmSync(shop.out, { recursive: true, force: true });
    const { error } = await attempt(shop, job, note, dir);
    if (error !== undefined) throw error;
    const expected = layoutOf(shop.out);
    const trial = { shop, job, before, expected, counts, sabotage, dir };
    for (let i = 0; i < calls.length; i += stride) {
      const call = calls[i];
      for (const fault of call === undefined ? [] : faultsOf(call)) await tryFault(trial, i, fault);
    }
    rmSync(join(dir, kind), { recursive: true });
  }
}

function jobOf(kind: Job['kind'], fast: boolean): Job {
  return { kind, options: { fast } };
}

/** Two names of one program, a library that may be read alone, links, what is no ELF file, and directories. */
function fill(dir: string, kinds: readonly Kind[]): Shop {
  const tree = join(dir, 'tree');
  mkdirSync(join(tree, 'bin'), { recursive: true });
  mkdirSync(join(tree, 'empty'), { mode: 0o700 });
  for (const { name, file } of kinds) {
    copyFileSync(file, join(tree, 'bin', name));
    linkSync(join(tree, 'bin', name), join(tree, `${name}.link`));
  }
  symlinkSync('bin', join(tree, 'link'));
  writeFileSync(join(tree, 'text'), 'no ELF file'.repeat(1000), { mode: 0o640 });
  for (const name of readdirSync(join(tree, 'bin'))) {
    chmodSync(join(tree, 'bin', name), 0o555);
    utimesSync(join(tree, 'bin', name), 1e9, 1e9);
  }
  return { tree, out: join(dir, 'out') };
}

interface Done {
  readonly outcomes: readonly FileOutcome[];
  readonly notCopied: readonly ElfnoteError[];
}

/** As the command does it. */
function attempt(
  { tree, out }: Shop,
  job: Job,
  rule: Rule,
  below: string,
): Promise<{ readonly result?: Done; readonly error?: unknown }> {
  passTime();
  return withFaultsLater(below, rule, async () => {
    const target = new Target([tree], await findFiles([tree]), { ...FLAGS, outputDir: out });
    const outcomes: FileOutcome[] = [];
    const notCopied: ElfnoteError[] = [];
    for await (const { outcome } of runOver(target.files(), job)) outcomes.push(outcome);
    for await (const error of target.complete()) notCopied.push(error);
    return { outcomes, notCopied };
  });
}

const FLAGS = { logFormat: 'pretty', preserveRoot: true, progress: false } as const;

interface Trial {
  readonly shop: Shop;
  readonly job: Job;
  readonly before: Layout;
  readonly expected: Layout;
  readonly counts: Counts;
  readonly sabotage: Rule;
  readonly dir: string;
}

async function tryFault(trial: Trial, index: number, fault: Fault): Promise<void> {
  const { shop, job, before, expected, counts, dir } = trial;
  rmSync(shop.out, { recursive: true, force: true });
  let at = '';
  const rule = (call: Call) => {
    if (call.index !== index) return trial.sabotage(call);
    at = `${call.name} ${call.path.slice(dir.length)}`;
    return fault;
  };
  const { result, error } = await attempt(shop, job, rule, dir);
  counts.faults++;
  const what = fault.kind === 'fail' ? fault.code : fault.kind;
  const wrong = (text: string) =>
    counts.wrong.push(`output-dir: ${job.kind}: ${what} at call ${index} (${at}): ${text}`);
  const isKilled = fault.kind === 'kill' || fault.kind === 'kill-midway';
  const failures = isKilled ? [] : failuresOf(result, error);
  for (const text of failures.flatMap(badReportOf)) wrong(text);
  if (isSame(layoutOf(shop.tree), before) !== undefined) wrong('an original is not what it was');
  const now = layoutOf(shop.out);
  for (const text of thirdStates(now, trial)) wrong(text);
  const missing = isSame(now, expected);
  if (missing === undefined) counts.new++;
  else if (now.size === 0) counts.old++;
  else counts.unfinished++;
  if (missing !== undefined && !isKilled && failures.length === 0) wrong(`nobody says so, and ${missing}`);
  if (!isKilled) return;
  rmSync(shop.out, { recursive: true, force: true });
  await attempt(shop, job, trial.sabotage, dir);
  const again = isSame(layoutOf(shop.out), expected);
  if (again !== undefined) wrong(`the next run, into a new directory, does not bring it: ${again}`);
}

function failuresOf(result: Done | undefined, error: unknown): unknown[] {
  const failed = (result?.outcomes ?? []).flatMap(one => (one.action === 'failed' ? [one.error] : []));
  return [...(error === undefined ? [] : [error]), ...failed, ...(result?.notCopied ?? [])];
}

function badReportOf(error: unknown): string[] {
  if (error instanceof Killed) return [];
  if (!(error instanceof ElfnoteError)) return [`a raw exception: ${String(error)}`];
  const isBad = error.code === 'internal' || error.code === 'verify' || error.message.includes('\n');
  return isBad ? [error.line] : [];
}

/**
 * A copy that is there and is neither whole nor under a name that tells what it is. Where the work on a file failed, its
 * copy is what the original is.
 */
function* thirdStates(now: Layout, { before, expected, counts }: Trial): Generator<string> {
  for (const [name, entry] of now) {
    const original = before.get(name.slice(name.indexOf('/') + 1));
    const wholes = [expected.get(name), original].filter(one => one !== undefined);
    if (!expected.has(name) && /\.elfnote-/.test(name)) counts.leftovers++;
    else if (!expected.has(name)) yield `${name} is there, and nobody knows why`;
    else if (!wholes.some(one => one.kind === entry.kind && one.bytes.equals(entry.bytes)))
      yield `${name} is not whole`;
  }
}

/** What one has and the other has not, or has otherwise; undefined for nothing. */
function isSame(now: Layout, expected: Layout): string | undefined {
  for (const [name, one] of expected) {
    const other = now.get(name);
    if (other === undefined) return `${name} is missing`;
    if (one.kind !== other.kind || !one.bytes.equals(other.bytes)) return `${name} is another`;
    if (one.mode !== other.mode) return `${name} has mode ${other.mode.toString(8)}`;
    if (one.links !== other.links) return `${name} has ${other.links} names`;
  }
  for (const name of now.keys()) if (!expected.has(name)) return `${name} is left`;
  return undefined;
}

function layoutOf(top: string): Layout {
  if (lstatSync(top, { throwIfNoEntry: false }) === undefined) return new Map();
  const names = readdirSync(top, { recursive: true, encoding: 'utf8' });
  return new Map(names.map(name => [name, entryOf(join(top, name))]));
}

function entryOf(path: string): Entry {
  const stats = lstatSync(path);
  const rest = { mode: stats.mode & 0o7777, links: stats.isFile() ? stats.nlink : 0 };
  if (stats.isSymbolicLink()) return { kind: 'link', bytes: Buffer.from(readlinkSync(path)), ...rest };
  if (stats.isDirectory()) return { kind: 'directory', bytes: Buffer.alloc(0), ...rest };
  return { kind: 'file', bytes: readFileSync(path), ...rest };
}

export function sayCopies({ faults, old, new: all, unfinished, leftovers, wrong }: Counts): string {
  return `${faults} faults: ${old} times nothing is copied, ${all} times all, ${unfinished} times some, each whole; ${leftovers} leftovers; ${wrong.length} wrong`;
}
