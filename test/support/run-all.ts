import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunResult } from './cli.js';
import { environment, isOfSignal, quoted, startOrKill } from './starter.js';
import { toolPath } from './tools.js';

export type Command = readonly [string, ...string[]];

/** Commands one behind the other, until one fails. */
export type Chain = readonly Command[];

/**
 * Runs many chains, as many at once as there are processors; the results keep the order. A chain whose program was
 * killed has no status, nor has one that has not ended when all should have.
 */
export async function runAll(chains: readonly Chain[]): Promise<RunResult[]> {
  const dir = mkdtempSync(join(tmpdir(), 'elfnote-test-'));
  try {
    const shells = availableParallelism();
    const numbered = chains.map((chain, i) => ({ chain, at: join(dir, String(i)) }));
    const shares = Array.from({ length: shells }, (_, n) => numbered.filter((_, i) => i % shells === n));
    const script = join(dir, 'script');
    const lines = shares.map(share => `(\n${share.map(lineOf).join('')}) &\n`);
    writeFileSync(script, `${lines.filter((_, n) => shares[n]?.length !== 0).join('')}wait\n`);
    const deadline = DEADLINE + chains.length * 1000;
    startOrKill({ command: '/bin/sh', args: [script], env: environment(), cwd: undefined, deadline });
    return numbered.map(({ at }) => resultAt(at));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

interface Numbered {
  readonly chain: Chain;
  /** Where its output goes. */
  readonly at: string;
}

const DEADLINE = 60_000;

function lineOf({ chain, at }: Numbered): string {
  const commands = chain.map(([command, ...args]) =>
    [toolPath(command) ?? command, ...args].map(quoted).join(' '),
  );
  return `{ ${commands.join(' && ') || ':'}; } >${at}.out 2>${at}.err </dev/null; echo $? >${at}.status\n`;
}

function resultAt(at: string): RunResult {
  const status = Number(textAt(`${at}.status`).toString() || NaN);
  const output = textAt(`${at}.out`);
  return {
    status: Number.isNaN(status) || isOfSignal(status) ? null : status,
    stdout: output.toString(),
    stderr: textAt(`${at}.err`).toString(),
    output,
  };
}

function textAt(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}
