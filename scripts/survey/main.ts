/**
 * Writes a note into a copy of every dynamic object of the machine, asks the loader what it loads, takes the note out
 * again and compares: `npm run survey [-- [--patchelf PATCHELF]... [--sample N] [DIRECTORY...]]`. Prints how many took
 * which rung and what it cost, as README shows it.
 *
 * The objects of a distribution have no run path. Without `--patchelf` they get none, and each soname gets an entry as
 * long as a store path makes it, without being resolved. With it each copy first gets a run path by that patchelf: one
 * directory for each library, as in a store of packages. Each patchelf is a round of its own; `--sample N` takes every
 * N-th object.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { ElfView } from '../../src/elf/view.js';
import { ElfnoteError } from '../../src/errors.js';
import { FileSource } from '../../src/files/source.js';
import { runNow } from '../../src/files/steps.js';
import { buildCache, removeCache } from '../../src/index.js';
import { planFile } from '../../src/layout/plan-file.js';
import type { CacheEntry } from '../../src/note/cache.js';
import { commitChange } from '../../src/write/commit.js';
import { verifyPlan } from '../../src/write/verify-plan.js';
import { type Found, findObjects, loads, storeDirectory } from './objects.js';
import { type Result, report } from './report.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    patchelf: { type: 'string', multiple: true, default: [] },
    sample: { type: 'string', default: '1' },
  },
});
const directories =
  positionals.length > 0 ? positionals : ['/usr/bin', '/usr/sbin', '/usr/lib', '/usr/libexec'];

const work = mkdtempSync(join(tmpdir(), 'elfnote-survey-'));
const copy = join(work, 'object');
const original = join(work, 'original');

/** What becomes of the copy, which the loader loads as it is. */
type Treatment = (object: Found) => Omit<Result, keyof Found>;

try {
  if (values.patchelf.length === 0) round('without run paths', () => true, byHand);
  for (const patchelf of values.patchelf) {
    const { stdout } = spawnSync(patchelf, ['--version'], { encoding: 'utf8' });
    const give = (object: Found) => giveRunPath(object, patchelf);
    round(`run paths by ${stdout.trim()}`, give, resolved);
  }
} finally {
  rmSync(work, { recursive: true });
}

function round(title: string, prepare: (object: Found) => boolean | string, treat: Treatment): void {
  const results: Result[] = [];
  const wrong: string[] = [];
  const unfit: string[] = [];
  const complain = (line: string) => void wrong.push(line);
  for (const object of findObjects(directories, Number(values.sample), complain)) {
    copyFileSync(object.path, copy);
    try {
      const ready = prepare(object);
      if (ready === true) results.push({ ...object, ...survey(treat, object, complain) });
      else if (ready !== false) unfit.push(`${object.path}: ${ready}`);
    } catch (error) {
      complain(`${object.path}: ${error instanceof ElfnoteError ? error.line : String(error)}`);
    } finally {
      rmSync(copy);
    }
  }
  report(title, results, wrong);
  if (unfit.length > 0) console.log(`not taken, for another reason than elfnote: ${unfit.length}`);
  for (const line of unfit) console.log(`  ${line}`);
  if (wrong.length > 0) process.exitCode = 1;
}

function survey(
  treat: Treatment,
  object: Found,
  complain: (line: string) => void,
): Omit<Result, keyof Found> {
  copyFileSync(copy, original);
  const before = loads(copy).text;
  const result = treat(object);
  if (result.written === undefined) return result;
  if (loads(copy).text !== before) complain(`${object.path}: the loader says something else`);
  removeCache(copy);
  if (!readFileSync(copy).equals(readFileSync(original))) complain(`${object.path}: not restored`);
  return result;
}

/**
 * Makes a directory for each library and has patchelf name them all. A file that patchelf does not take, or that loads
 * something else then, says nothing about elfnote: that is the answer.
 */
function giveRunPath(object: Found, patchelf: string): boolean | string {
  const plain = loads(object.path);
  const dirs = object.sonames.flatMap(soname => {
    const place = plain.found.get(soname);
    return place === undefined ? [] : [libraryDirectory(soname, place)];
  });
  if (dirs.length === 0) return false;
  const { status, stderr } = spawnSync(patchelf, ['--set-rpath', dirs.join(':'), copy], { encoding: 'utf8' });
  if (status !== 0) return `patchelf: ${stderr.trim().split('\n')[0]}`;
  const after = loads(copy).found;
  const lost = [...plain.found.keys()].filter(soname => !after.has(soname));
  return lost.length === 0 || `after patchelf the loader does not find ${lost.join(', ')}`;
}

function libraryDirectory(soname: string, place: string): string {
  const file = join(work, 'store', storeDirectory(soname), soname);
  mkdirSync(dirname(file), { recursive: true });
  // Where a soname is found does not depend on who needs it, as long as nobody has a run path.
  rmSync(file, { force: true });
  symlinkSync(place, file);
  return dirname(file);
}

function resolved(): Omit<Result, keyof Found> {
  const outcome = buildCache(copy);
  if (outcome.action === 'skipped') return { skipped: `${outcome.reason}: ${outcome.detail}` };
  if (outcome.action !== 'written') throw new Error(`is ${outcome.action}`);
  const { plan, bytesAdded } = outcome;
  return { written: { rung: plan.rung, addedLoads: plan.addedLoads, bytesAdded } };
}

function byHand({ sonames }: Found): Omit<Result, keyof Found> {
  const source = FileSource.open(copy);
  try {
    const view = ElfView.of(source);
    const plan = planFile(view, { entries: sonames.map(storeEntry) });
    if (plan.kind === 'skip') return { skipped: `${plan.reason}: ${plan.detail}` };
    if (plan.kind !== 'write') throw new Error(`is ${plan.kind}`);
    verifyPlan(view, plan);
    runNow(commitChange(copy, source, plan, { fast: true }));
    const { rung, addedLoads } = plan;
    return { written: { rung, addedLoads, bytesAdded: plan.size - source.size } };
  } finally {
    source.close();
  }
}

function storeEntry(soname: string): CacheEntry {
  return { soname, steps: [{ kind: 'path', path: `/nix/store/${storeDirectory(soname)}/${soname}` }] };
}
