/**
 * Keeps what V8 compiles of the bundled command line when a command runs, for bin/elfnote.js to start from. Each command
 * is run on copies of fixtures in a process of its own: `compile.ts COMMAND`. V8 compiles a function when it is first
 * called, so that what a command does not call is not kept for it.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Script } from 'node:vm';

const ELFNOTE = fileURLToPath(new URL('../bin/elfnote.js', import.meta.url));

const bin: {
  readonly COMPILED: string;
  bundleFor(command: string): string;
  load(bundle: string): { readonly scripts: ReadonlyMap<string, Script>; main(): Promise<void> };
} = createRequire(import.meta.url)(ELFNOTE);

const plain: { whyNot(isBuilt: boolean): string | undefined } = createRequire(ELFNOTE)('./plain.js');

const FIXTURES = fileURLToPath(new URL('../fixtures', import.meta.url));
const ROOT = join(FIXTURES, 'root');
const KINDS = join(FIXTURES, 'kinds');

type Runs = readonly (readonly string[])[];

const BUILD = ['build-cache', '--root', ROOT];
const PREPARED = ['build-cache', '--root', ROOT, '--fast', 'tree'];

/** For each command what is run before it, and what is run of it. `tree` is a copy of fixtures. */
const COMMANDS: Readonly<Record<string, { readonly before?: Runs; readonly runs: Runs }>> = {
  'build-cache': {
    runs: [
      [...BUILD, 'tree/pie-bfd'],
      [...BUILD, 'tree'],
      [...BUILD, 'tree'],
      ['remove-cache', 'tree'],
      [...BUILD, '--fast', 'tree'],
    ],
  },
  'remove-cache': {
    before: [PREPARED],
    runs: [
      ['remove-cache', 'tree/pie-bfd'],
      ['remove-cache', '--fast', 'tree'],
    ],
  },
  dump: { before: [PREPARED], runs: [['dump', '--root', ROOT, 'tree/pie-bfd', 'tree/norunpath']] },
  verify: { before: [PREPARED], runs: [['verify', '--root', ROOT, 'tree']] },
  trace: { before: [PREPARED], runs: [['trace', '--root', ROOT, 'tree/pie-bfd']] },
  // The audit module, without which a program is not run, is built later.
  exec: {
    runs: [
      ['exec', '--print-env', 'tree/pie-bfd'],
      ['exec', 'tree/static'],
    ],
  },
  other: { runs: [['--version']] },
  '--version': { runs: [['--version']] },
};

function compileAll(): void {
  // What is kept for a Node is what it starts from, whether it is new enough or not.
  if (plain.whyNot(true) !== undefined) return;
  for (const [command, { before = [] }] of Object.entries(COMMANDS)) {
    // A copy of the sources may have no fixtures.
    if (!['--version', 'other'].includes(command) && !existsSync(KINDS)) continue;
    const cwd = mkdtempSync(join(tmpdir(), 'elfnote-compile-'));
    try {
      if (existsSync(KINDS)) cpSync(KINDS, join(cwd, 'tree'), { recursive: true });
      for (const args of before) node(cwd, [ELFNOTE, ...args]);
      // With a seed the same source gives the same bytes, but for a bit now and then.
      node(cwd, [
        '--random-seed=1',
        '--import',
        import.meta.resolve('tsx'),
        fileURLToPath(import.meta.url),
        command,
      ]);
    } finally {
      rmSync(cwd, { recursive: true });
    }
  }
}

/** What is printed is of no interest, and some of what is run has findings. */
function node(cwd: string, args: readonly string[]): void {
  // V8 takes what was compiled with the flags that it has itself: here those that users have.
  const env = { ...process.env, NODE_OPTIONS: '' };
  const { error, status, stderr } = spawnSync(process.execPath, args, { cwd, env, encoding: 'utf8' });
  if (error !== undefined || status === null || status > 1)
    throw error ?? new Error(`${args.join(' ')}: ${stderr}`);
}

async function compile(command: string): Promise<void> {
  const { scripts, main } = bin.load(bin.bundleFor(command));
  for (const args of COMMANDS[command]?.runs ?? []) {
    process.argv = [process.execPath, ELFNOTE, ...args];
    await main();
  }
  process.exitCode = 0;
  for (const [file, script] of scripts) {
    // No command: as for any other that this bundle is for.
    const directory = join(bin.COMPILED, command.startsWith('-') ? 'other' : command);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, file), script.createCachedData());
  }
}

const [, , command] = process.argv;
if (command === undefined) compileAll();
else await compile(command);
