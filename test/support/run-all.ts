import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { environment, type RunResult } from './cli.js';
import { toolPath } from './tools.js';

export type Command = readonly [string, ...string[]];

/** Commands one behind the other, until one fails. */
export type Chain = readonly Command[];

/**
 * Runs many chains, as many at once as there are processors; the results keep the order. A chain whose program was
 * killed, or runs for longer than a minute, has no status. A shell starts them: a large process like that of a test
 * takes ten times as long for it.
 */
export async function runAll(chains: readonly Chain[]): Promise<RunResult[]> {
  const dir = mkdtempSync(join(tmpdir(), 'elfnote-test-'));
  try {
    const shells = availableParallelism();
    const numbered = chains.map((chain, i) => ({ chain, at: join(dir, String(i)) }));
    const shares = Array.from({ length: shells }, (_, n) => numbered.filter((_, i) => i % shells === n));
    await Promise.all(shares.filter(share => share.length > 0).map(runShare));
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

function runShare(share: readonly Numbered[]): Promise<void> {
  const script = `${share[0]?.at}.sh`;
  const deadline = DEADLINE + share.length * 1000;
  writeFileSync(script, share.map(lineOf).join(''));
  return new Promise(resolve => {
    execFile('sh', [script], { env: environment(), timeout: deadline, killSignal: 'SIGKILL' }, () =>
      resolve(),
    );
  });
}

function lineOf({ chain, at }: Numbered): string {
  const commands = chain.map(([command, ...args]) =>
    [toolPath(command) ?? command, ...args].map(quoted).join(' '),
  );
  return `{ ${commands.join(' && ') || ':'}; } >${at}.out 2>${at}.err </dev/null; echo $? >${at}.status\n`;
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

function resultAt(at: string): RunResult {
  const status = Number(textAt(`${at}.status`).toString() || NaN);
  const output = textAt(`${at}.out`);
  // A shell gives a signal so.
  const wasKilled =
    Number.isNaN(status) || Object.values(constants.signals).some(signal => signal === status - 128);
  return {
    status: wasKilled ? null : status,
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
