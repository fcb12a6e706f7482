import { linkSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BIN, elfnote, isObject, jsonLines, type RunResult, run, runMany } from '../../test/support/cli.js';
import { EXPECTED, type Kind } from './kinds.js';

export interface CrowdCounts {
  rounds: number;
  /** By all processes together: what became of a file, or an error's code. */
  readonly outcomes: Map<string, number>;
  readonly wrong: string[];
}

const DEADLINE = 120_000;
const FILES = 12;

/** Four at once, two of each kind; `--fast` writes in place. */
const COMMANDS = [
  ['build-cache', '--json'],
  ['remove-cache', '--json'],
  ['build-cache', '--json', '--fast'],
  ['remove-cache', '--json', '--fast'],
] as const;

/**
 * Four processes build and remove on one tree at the same time, again and again. After each round every file is the one
 * with its note or the one without; in the end nothing of anybody is left.
 */
export async function tryCrowd(kind: Kind, dir: string, rounds: number, counts: CrowdCounts): Promise<void> {
  const tree = join(dir, 'tree');
  mkdirSync(tree);
  const original = readFileSync(kind.file);
  elfnote(['build-cache', kind.file]);
  const built = readFileSync(kind.file);
  const files = fill(tree, original);
  const wrong = (round: number, text: string) => counts.wrong.push(`round ${round}: ${text}`);
  for (let round = 1; round <= rounds; round++) {
    counts.rounds++;
    for (const file of files) utimesSync(file, 1e9, 1e9);
    const commands = COMMANDS.map((args): [string, ...string[]] => [process.execPath, BIN, ...args, tree]);
    const results = await atOnce(commands);
    for (const result of results) count(result, counts, text => wrong(round, text));
    for (const file of files) {
      const now = readFileSync(file);
      if (now.equals(original) || now.equals(built)) continue;
      const runs = run(file).stdout.replace(/ notes=\d+/, '') === EXPECTED;
      wrong(round, `${file} is neither, and ${runs ? 'runs' : 'does not run'}`);
    }
  }
  if (elfnote(['remove-cache', tree]).status !== 0) wrong(rounds, 'the last removal fails');
  const isOne = (file: string) => !file.endsWith('.link') || statSync(file).nlink === 2;
  if (!files.every(isOne)) wrong(rounds, 'two names are not one file any more');
  if (files.some(file => !readFileSync(file).equals(original))) wrong(rounds, 'a file is not what it was');
  const left = readdirSync(tree).filter(name => !files.includes(join(tree, name)));
  if (left.length > 0) wrong(rounds, `left: ${left.join(', ')}`);
}

/** Every third file has two names, which have to stay one file. */
function fill(tree: string, original: Buffer): string[] {
  const files: string[] = [];
  for (let i = 0; i < FILES; i++) {
    const file = join(tree, `file-${i}`);
    writeFileSync(file, original, { mode: 0o755 });
    files.push(file);
    if (i % 3 !== 0) continue;
    linkSync(file, `${file}.link`);
    files.push(`${file}.link`);
  }
  return files;
}

/** More at once than there are processors. */
async function atOnce(commands: readonly (readonly [string, ...string[]])[]): Promise<RunResult[]> {
  const each = await Promise.all(commands.map(command => runMany([command], DEADLINE)));
  return each.flat();
}

const EXPECTED_OUTCOMES = new Set(['written', 'up-to-date', 'skipped', 'changed']);

function count(
  { status, stdout, stderr }: RunResult,
  counts: CrowdCounts,
  wrong: (text: string) => void,
): void {
  if (status === null) wrong(`a process was killed: ${stderr}`);
  for (const line of jsonLines(stdout)) {
    if (line.type !== 'file') continue;
    const code = isObject(line.error) ? String(line.error.code) : String(line.action);
    counts.outcomes.set(code, (counts.outcomes.get(code) ?? 0) + 1);
    if (!EXPECTED_OUTCOMES.has(code)) wrong(`${String(line.path)}: ${code}: ${stderr.split('\n')[0]}`);
  }
}

export function sayCrowd({ rounds, outcomes, wrong }: CrowdCounts): string {
  const list = [...outcomes].map(([name, count]) => `${count} ${name}`).join(', ');
  return `${rounds} rounds of four processes: ${list}; ${wrong.length} wrong`;
}
