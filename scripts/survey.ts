/**
 * Writes a note into a copy of every dynamic object of the machine, runs the loader over each, takes the note out
 * again and compares: `npm run survey [-- DIRECTORY...]`. Prints how many took which rung and what it cost.
 *
 * The objects of a distribution have no run path, and giving them one with patchelf would change the very layouts
 * that are measured. So each soname gets an entry as long as a store path makes it, without being resolved.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fastGlob from 'fast-glob';
import type { ElfImage } from '../src/elf/image.js';
import { readImage } from '../src/elf/read.js';
import { ElfnoteError } from '../src/errors.js';
import { FileSource } from '../src/files/source.js';
import type { Plan, WritePlan } from '../src/layout/model/plan.js';
import { planFile } from '../src/layout/plan-file.js';
import type { CacheEntry } from '../src/note/cache.js';
import { removeCache } from '../src/pipeline.js';
import { commitChange } from '../src/write/commit.js';
import { verifyPlan } from '../src/write/verify.js';

const DEFAULT_DIRECTORIES = ['/usr/bin', '/usr/sbin', '/usr/lib', '/usr/libexec'];
const LARGEST = 512 << 20;

interface Result {
  readonly path: string;
  readonly plan: Plan;
  readonly size: number;
  readonly linker: string;
  readonly bytesAdded: number;
}

const directories = process.argv.length > 2 ? process.argv.slice(2) : DEFAULT_DIRECTORIES;
const machine = hostMachine();
const work = mkdtempSync(join(tmpdir(), 'elfnote-survey-'));
const results: Result[] = [];
const wrong: string[] = [];
try {
  for (const path of findObjects(directories)) survey(path);
} finally {
  rmSync(work, { recursive: true });
}
report();

function* findObjects(from: readonly string[]): Generator<string> {
  const seen = new Set<string>();
  const pattern = from.map(directory => `${fastGlob.escapePath(directory)}/**`);
  const files = fastGlob.sync(pattern, {
    followSymbolicLinks: false,
    ignore: ['**/.build-id/**', '**/debug/**'],
    stats: true,
  });
  for (const { path, stats } of files) {
    if (stats === undefined || stats.size > LARGEST || stats.size < 64) continue;
    const inode = `${stats.dev}:${stats.ino}`;
    if (seen.has(inode)) continue;
    seen.add(inode);
    yield path;
  }
}

function survey(path: string): void {
  const image = readDynamic(path);
  if (image === undefined) return;
  const copy = join(work, 'object');
  copyFileSync(path, copy);
  const before = loads(copy);
  try {
    const result = { path, ...write(copy, image) };
    results.push(result);
    if (result.plan.kind !== 'write') return;
    if (loads(copy) !== before) wrong.push(`${path}: the loader says something else`);
    removeCache(copy, { attributes: { found: undefined, knowsAll: true } });
    if (!readFileSync(copy).equals(readFileSync(path))) wrong.push(`${path}: not restored`);
  } catch (error) {
    wrong.push(`${path}: ${error instanceof ElfnoteError ? error.line : String(error)}`);
  } finally {
    rmSync(copy);
  }
}

function readDynamic(path: string): ElfImage | undefined {
  let source: FileSource | undefined;
  try {
    source = FileSource.open(path);
    const image = readImage(source);
    const usable = image.dynamic !== undefined && image.dynamic.needed.length > 0 && !image.debugOnly;
    return usable && image.header.e_machine === machine ? image : undefined;
  } catch (error) {
    if (error instanceof ElfnoteError) {
      if (error.code !== 'not-elf' && error.code !== 'unreadable') wrong.push(error.line);
      return undefined;
    }
    throw error;
  } finally {
    source?.close();
  }
}

function hostMachine(): number {
  const source = FileSource.open(process.execPath);
  try {
    return readImage(source).header.e_machine;
  } finally {
    source.close();
  }
}

function write(copy: string, image: ElfImage): Omit<Result, 'path'> {
  const source = FileSource.open(copy);
  try {
    const current = readImage(source);
    const plan = planFile(current, source, storeEntries(image));
    if (plan.kind === 'write') {
      verifyPlan(current, source, plan);
      commitChange(copy, source, plan, { fast: true });
    }
    const bytesAdded = plan.kind === 'write' ? plan.size - source.size : 0;
    return { plan, size: source.size, linker: linkerOf(current, source), bytesAdded };
  } finally {
    source.close();
  }
}

function storeEntries(image: ElfImage): CacheEntry[] {
  return [...new Set(image.dynamic?.needed ?? [])]
    .filter(soname => !soname.includes('/'))
    .map(soname => {
      const hash = createHash('sha256').update(soname).digest('hex').slice(0, 32);
      const name = soname.replace(/\.so.*/, '');
      return { soname, steps: [{ kind: 'path', path: `/nix/store/${hash}-${name}-1.2.3/lib/${soname}` }] };
    });
}

function linkerOf(image: ElfImage, source: FileSource): string {
  const comment = image.sectionHeaders.find(s => s.name === '.comment');
  if (image.sectionHeaders.some(s => s.name === '.relro_padding')) return 'mold or lld';
  if (comment !== undefined) {
    const text = source.read(comment.sh_offset, Math.min(comment.sh_size, 4096)).toString('latin1');
    if (text.includes('Linker: LLD')) return 'lld';
    if (text.includes('mold')) return 'mold';
  }
  if (image.sectionHeaders.some(s => s.name === '.note.gnu.gold-version')) return 'gold';
  if (image.sectionHeaders.some(s => s.name === '.note.go.buildid')) return 'go';
  return 'GNU ld';
}

/** What the loader would load, without addresses. */
function loads(path: string): string {
  const result = spawnSync('/usr/bin/ldd', [path], { encoding: 'utf8' });
  return `${result.status}\n${result.stdout}`.replace(/ \(0x[0-9a-f]+\)/g, '').replaceAll(path, 'PATH');
}

function report(): void {
  const written = results.flatMap(({ plan, ...rest }) => (plan.kind === 'write' ? [{ plan, ...rest }] : []));
  console.log(`${results.length} dynamic objects with DT_NEEDED, ${megabytes(results.map(r => r.size))} MB`);
  for (const linker of [...new Set(results.map(r => r.linker))].sort()) {
    const own = results.filter(result => result.linker === linker);
    console.log(`\n${linker}: ${own.length}`);
    const rungs = count(
      own.map(({ plan }) =>
        plan.kind === 'write'
          ? rungName(plan)
          : `${plan.kind}${plan.kind === 'skip' ? `: ${plan.detail}` : ''}`,
      ),
    );
    for (const [rung, n] of rungs)
      console.log(
        `  ${String(n).padStart(6)}  ${((100 * n) / own.length).toFixed(1).padStart(5)} %  ${rung}`,
      );
  }
  const added = written.map(({ bytesAdded }) => bytesAdded).sort((a, b) => a - b);
  const mean = added.reduce((a, b) => a + b, 0) / added.length;
  console.log(
    `\nbytes added: mean ${mean.toFixed(0)}, median ${added[added.length >> 1]}, max ${added.at(-1)}`,
  );
  const loads = written.filter(({ plan }) => plan.addedLoads > 0).length;
  console.log(
    `files with an added PT_LOAD: ${loads} (${((100 * loads) / written.length).toFixed(1)} %); tables moved: 0`,
  );
  const tails = written
    .filter(({ plan }) => plan.rung.note === 'tail')
    .sort((a, b) => b.bytesAdded - a.bytesAdded);
  if (process.env.SURVEY_TAILS) {
    for (const { path, bytesAdded, plan, linker } of tails) {
      console.log(`  ${linker} ${path}: +${bytesAdded}, moved ${plan.moved.join(' ')}`);
    }
  }
  console.log(`wrong: ${wrong.length}`);
  for (const line of wrong) console.log(`  ${line}`);
  if (wrong.length > 0) process.exitCode = 1;
}

function rungName({ rung }: WritePlan): string {
  return `${rung.note}, table ${rung.table}`;
}

function count(names: readonly string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

function megabytes(sizes: readonly number[]): string {
  return (sizes.reduce((a, b) => a + b, 0) / 1e6).toFixed(0);
}
