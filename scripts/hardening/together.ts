import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Job } from '../../src/batch/job.js';
import { runOver } from '../../src/batch/run.js';
import { findFiles } from '../../src/batch/walk.js';
import { ElfnoteError } from '../../src/errors.js';
import type { FileOutcome } from '../../src/outcome.js';
import { type Counts, faultsOf, isProved } from './faults.js';
import type { Kind } from './kinds.js';
import { type Call, diceFrom, type Fault, Killed, type Rule, withFaultsLater } from './shim.js';
import { die, passTime } from './state.js';

/** Two directories, so that the end of one file's work is not that of another's. */
const NAMES = ['one/a', 'one/b', 'one/c', 'two/a', 'two/b'];

interface Shop {
  readonly tree: string;
  readonly original: Buffer;
  readonly built: Buffer;
}

interface Bytes {
  readonly before: Buffer;
  readonly after: Buffer;
}

/**
 * Every fault at every call of a run over several files whose slow calls are under way at once, each run with another
 * order of these. Each file is the old one or the new one; what is reported is what is there; whatever is begun is
 * finished, and nothing is left but by a dead run, which the next one sweeps.
 *
 * @param stride every n-th call, for a short run. @param sabotage takes away what is guarded.
 */
export async function tryTogether(
  kind: Kind,
  dir: string,
  counts: Counts,
  { stride = 1, sabotage = () => undefined }: { readonly stride?: number; readonly sabotage?: Rule } = {},
): Promise<void> {
  const shop = await fill(join(dir, 'together'), readFileSync(kind.file));
  for (const operation of ['build', 'remove'] as const) {
    const [before, after] = operation === 'build' ? [shop.original, shop.built] : [shop.built, shop.original];
    const trial = { shop, operation, before, after, counts, sabotage };
    let calls = 0;
    put(shop, before);
    await attempt(trial, () => void calls++, 0);
    // One more than there were: another order may have some more.
    for (let index = 0; index < calls && !isProved(counts); index += stride) {
      for (let which = 0; which < MOST_FAULTS; which++) await tryFault(trial, index, which);
    }
  }
  rmSync(shop.tree, { recursive: true });
}

const MOST_FAULTS = 5;

async function fill(tree: string, original: Buffer): Promise<Shop> {
  for (const name of ['one', 'two']) mkdirSync(join(tree, name), { recursive: true });
  const first = { tree, original, built: original };
  put(first, original);
  for await (const _ of runOver(await findFiles([tree]), { kind: 'build', options: {} }));
  return { ...first, built: readFileSync(join(tree, NAMES[0] ?? '')) };
}

/** Nothing else is there, and all is old enough that nobody waits for a tick of the clock to pass. */
function put({ tree }: Shop, bytes: Buffer): void {
  for (const name of leftIn(tree)) rmSync(join(tree, name));
  for (const name of NAMES) {
    const path = join(tree, name);
    rmSync(path, { force: true });
    writeFileSync(path, bytes, { mode: 0o755 });
    utimesSync(path, 1e9, 1e9);
  }
}

function leftIn(tree: string): string[] {
  const found = ['one', 'two'].flatMap(dir => readdirSync(join(tree, dir)).map(name => `${dir}/${name}`));
  return found.filter(name => !NAMES.includes(name));
}

interface Trial extends Bytes {
  readonly shop: Shop;
  readonly operation: Job['kind'];
  readonly counts: Counts;
  readonly sabotage: Rule;
}

async function attempt({ shop, operation }: Trial, rule: Rule, start: number) {
  passTime();
  const outcomes: FileOutcome[] = [];
  const { error } = await withFaultsLater(
    shop.tree,
    rule,
    async () => {
      const found = await findFiles([shop.tree]);
      for await (const { outcome } of runOver(found, { kind: operation, options: {} }))
        outcomes.push(outcome);
    },
    undefined,
    diceFrom(start),
  );
  return { outcomes, error };
}

async function tryFault(trial: Trial, index: number, which: number): Promise<void> {
  const { shop, operation, before, after, counts, sabotage } = trial;
  let at: Call | undefined;
  let fault: Fault | undefined;
  const rule = (call: Call) => {
    if (call.index !== index) return sabotage(call);
    at = call;
    fault = faultsOf(call)[which];
    return fault;
  };
  put(shop, before);
  const { outcomes, error } = await attempt(trial, rule, index * MOST_FAULTS + which);
  if (at === undefined || fault === undefined) return;
  counts.faults++;
  const what = fault.kind === 'fail' ? fault.code : fault.kind;
  const where = `${at.name} ${at.path.slice(shop.tree.length)}`;
  const wrong = (text: string) =>
    counts.wrong.push(`together: ${operation}: ${what} at call ${index} (${where}): ${text}`);
  const now = new Map(NAMES.map(name => [join(shop.tree, name), readFileSync(join(shop.tree, name))]));
  for (const [path, bytes] of now) {
    if (bytes.equals(after)) counts.new++;
    else if (bytes.equals(before)) counts.old++;
    else wrong(`${path} is a third one`);
  }
  const left = leftIn(shop.tree);
  counts.leftovers += left.length;
  const isKilled = fault.kind === 'kill' || fault.kind === 'kill-midway';
  if (!isKilled) {
    for (const text of badReports(shop, outcomes, error, path => now.get(path)?.equals(after) === true)) {
      wrong(text);
    }
    if (left.length > 0 && at.name !== 'unlinkSync') wrong(`it leaves ${left.join(', ')}`);
  }
  await checkNext(trial, wrong);
}

function* badReports(
  { tree }: Shop,
  outcomes: readonly FileOutcome[],
  error: unknown,
  isNew: (path: string) => boolean,
): Generator<string> {
  if (error instanceof Killed) return;
  if (error !== undefined) yield `the run ends with ${String(error)}`;
  const told = outcomes.map(({ path }) => path);
  const files = told.filter(path => NAMES.includes(path.slice(tree.length + 1)));
  if ([...files].sort().join() !== files.join()) yield `the order is ${files.join(', ')}`;
  for (const name of NAMES) {
    const path = join(tree, name);
    const [outcome, ...more] = outcomes.filter(one => one.path === path);
    // A directory that cannot be listed is told of instead.
    if (outcome === undefined && !isNew(path) && outcomes.some(one => path.startsWith(`${one.path}/`)))
      continue;
    if (outcome === undefined || more.length > 0) yield `${name} has ${more.length} more outcomes than one`;
    else if (outcome.action === 'written' && !isNew(path)) yield `${name} is reported as written, and is not`;
    else if (outcome.action !== 'written' && outcome.action !== 'failed')
      yield `${name} is ${outcome.action}`;
  }
  for (const one of outcomes) {
    if (one.action !== 'failed') continue;
    const isBad = !(one.error instanceof ElfnoteError) || ['internal', 'verify'].includes(one.error.code);
    if (isBad || one.error.message.includes('\n')) yield `not one line of its file: ${String(one.error)}`;
    if (one.error.code === 'changed' && one.error.cause === undefined)
      yield `it tells of others, and there are none: ${String(one.error)}`;
  }
}

/** What a dead run has left is gone, and every file is finished. */
async function checkNext(trial: Trial, wrong: (text: string) => void): Promise<void> {
  const { shop, after, sabotage } = trial;
  for (const name of NAMES) die(join(shop.tree, name));
  const { error } = await attempt(trial, sabotage, 0);
  if (error !== undefined) wrong(`the next run ends with ${String(error)}`);
  const unfinished = NAMES.filter(name => !readFileSync(join(shop.tree, name)).equals(after));
  if (unfinished.length > 0) wrong(`the next run does not finish ${unfinished.join(', ')}`);
  const left = leftIn(shop.tree);
  if (left.length > 0) wrong(`the next run leaves ${left.join(', ')}`);
}

export function sayTogether({ faults, old, new: finished, leftovers, wrong }: Counts): string {
  return `${faults} faults: ${old} files old, ${finished} new; ${leftovers} leftovers; ${wrong.length} wrong`;
}
