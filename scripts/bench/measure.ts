import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ELFNOTE = fileURLToPath(new URL('../../bin/elfnote.js', import.meta.url));

export interface Cost {
  readonly seconds: number;
  /** The largest resident set, in bytes. */
  readonly memory: number;
  /** What the process asked of read and write calls, in bytes (`/proc/self/io`). */
  readonly read: number;
  readonly written: number;
}

const AT_EXIT = `import { readFileSync, writeFileSync } from 'node:fs';
process.on('exit', () => {
  const said = ['status', 'io'].map(name => readFileSync('/proc/self/' + name, 'utf8'));
  writeFileSync(process.env.ELFNOTE_BENCH, said.join(''));
});
`;

/** Runs elfnote; a status of 1 (findings) is as good as 0. */
export function elfnote(...args: string[]): Cost {
  const work = mkdtempSync(join(tmpdir(), 'elfnote-bench-'));
  try {
    const hook = join(work, 'hook.mjs');
    const said = join(work, 'said');
    writeFileSync(hook, AT_EXIT);
    const env = { ...process.env, ELFNOTE_BENCH: said };
    const seconds = time(process.execPath, ['--import', hook, ELFNOTE, ...args], env);
    const text = readFileSync(said, 'utf8');
    return {
      seconds,
      // Not ru_maxrss, which starts with that of the process that started this one.
      memory: numberAfter(text, 'VmHWM:') * 1024,
      read: numberAfter(text, 'rchar: '),
      written: numberAfter(text, 'wchar: '),
    };
  } finally {
    rmSync(work, { recursive: true });
  }
}

function numberAfter(text: string, label: string): number {
  return Number.parseInt(text.slice(text.indexOf(label) + label.length), 10);
}

/** Seconds that a command takes. @throws Error when it cannot run or fails by more than findings. */
export function time(command: string, args: readonly string[], env = process.env): number {
  const start = performance.now();
  const { status, stderr, error } = spawnSync(command, args, {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const seconds = (performance.now() - start) / 1000;
  if (error !== undefined || status === null || status > 1) {
    throw error ?? new Error(`${command} ${args[0] ?? ''}: ${stderr.slice(-1000)}`);
  }
  return seconds;
}

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
