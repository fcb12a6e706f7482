import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { PROJECT, run } from '../../test/support/cli.js';
import { buildElf } from '../../test/support/elf-builder.js';
import { generation, onGeneration } from '../../test/support/generations.js';
import { PAGE } from './shim.js';

/** Small files on which earlier runs came further than on others. */
export const CORPUS = join(PROJECT, 'scripts/hardening/corpus');

/** In MiB, of which Node itself takes some 160. */
const MOST_MEMORY = 512;

/** In bytes: whole files of two pages and their tables. */
const LONGEST = 3 * PAGE;

/**
 * Lets a coverage-guided fuzzer work on reader, notes, planner and verifier. Jazzer.js is made for glibc 2.38; on an older
 * one it runs with the C library of a later Debian.
 *
 * @param found where inputs that came further are put; those that broke something are put beside it.
 * @param seconds how long it works.
 * @param slowest in seconds: an input that takes longer is one that broke something.
 * @returns what the fuzzer says last, and what broke.
 */
export function runFuzzer(
  dir: string,
  found: string,
  seconds: number,
  slowest: number,
): { said: string; broken: string[] } {
  const target = join(dir, 'fuzz-target.cjs');
  buildSync({
    entryPoints: [join(PROJECT, 'scripts/hardening/fuzz-target.ts')],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outfile: target,
    logLevel: 'error',
  });
  mkdirSync(found, { recursive: true });
  writeSeeds(found);
  cpSync(CORPUS, found, { recursive: true });
  const require = createRequire(import.meta.url);
  const jazzer = join(require.resolve('@jazzer.js/core/package.json'), '../dist/cli.js');
  const args = [
    jazzer,
    target,
    '--sync',
    `--includes=${target}`,
    found,
    '--',
    `-max_total_time=${seconds}`,
    `-timeout=${slowest}`,
    `-report_slow_units=${slowest}`,
    `-rss_limit_mb=${MOST_MEMORY}`,
    `-max_len=${LONGEST}`,
    '-seed=1',
  ];
  const [command, ...rest] = withNewLibrary([process.execPath, ...args]);
  const { status, stderr } = run(command, rest, { cwd: dir, deadline: (seconds + slowest + 60) * 1000 });
  const broken = readdirSync(dir).filter(name => /^(?:crash|timeout|oom|slow)-/.test(name));
  const lines = stderr.trim().split('\n');
  const last = lines.filter(line => /^#\d+|^Done /.test(line)).slice(-2);
  if (last.length === 0) throw new Error(`the fuzzer did not run (${status}): ${lines.slice(-5).join(' ')}`);
  if (broken.length > 0) last.push(...lines.filter(line => /Error/.test(line)).slice(0, 3));
  return { said: last.join('; '), broken };
}

function withNewLibrary([program, ...args]: readonly [string, ...string[]]): [string, ...string[]] {
  const report: unknown = process.report.getReport();
  const [, minor = '0'] = /"glibcVersionRuntime":"2\.(\d+)/.exec(JSON.stringify(report)) ?? [];
  return Number(minor) >= 38 ? [program, ...args] : onGeneration(generation('trixie'), program, ...args);
}

/** Of both classes and byte orders, with and without what the planner looks at. */
function writeSeeds(dir: string): void {
  for (const is64 of [true, false]) {
    for (const littleEndian of [true, false]) {
      for (const sections of [true, false]) {
        const needed = ['liba.so.1', 'libb.so.2'];
        const spec = { is64, littleEndian, sections, needed, runpath: '/store/a/lib', nulls: 2 };
        const { bytes } = buildElf(spec);
        writeFileSync(join(dir, `seed-${Number(is64)}${Number(littleEndian)}${Number(sections)}`), bytes);
      }
    }
  }
}
