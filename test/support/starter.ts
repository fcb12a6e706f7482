import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { Socket } from 'node:net';
import os from 'node:os';
import { join } from 'node:path';
import { inMemory, isRunnable, toolPath } from './tools.js';

/**
 * Starts programs for a test's process, which is so large that to start one takes 14 ms or more: by a shell that stays it
 * takes 6. A command goes there in a file, what it says comes back in two others, and pipes say when.
 */
export interface Started {
  /** `null` for a program that was killed. */
  readonly status: number | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export interface Start {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string | undefined;
  /** After so many milliseconds it is killed, and that is an error. */
  readonly deadline: number | undefined;
}

/** One that cannot be started is an error, as with `spawnSync`. */
export function start(what: Start): Started {
  const started = startOrKill(what);
  if (started === undefined) throw new Error(`hangs: ${what.command} ${what.args.join(' ')}`);
  return started;
}

/** `undefined` for one that had to be killed. */
export function startOrKill(what: Start): Started | undefined {
  if (!isRunnable(what.command, what.cwd)) return startAlone(what);
  const shell = theShell();
  if (shell === undefined) return startAlone(what);
  const { dir, out, err, env, cwd } = shell;
  const { deadline } = what;
  const pid = deadline === undefined ? undefined : join(dir, 'pid');
  const line = `${lineOf(what, env, cwd, pid)} ${shell.redirected}`;
  const status = deadline === undefined ? ask(shell, line) : askInTime(shell, line, deadline);
  if (status === undefined) return undefined;
  const stderr = readFileSync(err);
  // The shell's own word: the kernel has not taken it, and says why.
  if ((status === 126 || status === 127) && stderr.toString('latin1').startsWith(dir))
    return startAlone(what);
  return { status: isOfSignal(status) ? null : status, stdout: readFileSync(out), stderr };
}

/** Without the shell, which has nothing to read. */
export function startAlone({ command, args, env, cwd, deadline }: Start, input?: string | Buffer): Started {
  const result = spawnSync(command, args, {
    cwd,
    env,
    maxBuffer: 1 << 28,
    timeout: deadline,
    killSignal: 'SIGKILL',
    ...(input === undefined ? {} : { input }),
  });
  if (result.error !== undefined) throw result.error;
  return result;
}

/** Whether a shell means by a status that its program was killed. */
export const isOfSignal = (status: number): boolean => SIGNALS.has(status - 128);

const SIGNALS = new Set<number>(Object.values(os.constants.signals));

/** A word for a shell. */
export const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

export interface Shell {
  readonly dir: string;
  /** What stands behind a command. */
  readonly redirected: string;
  readonly out: string;
  readonly err: string;
  readonly to: number;
  readonly from: number;
  /** The same, for one who does not wait. */
  readonly fromNow: number;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

let known: Shell | undefined;

/** `undefined` where there is no `mkfifo`, and programs are started one by one. */
export function theShell(): Shell | undefined {
  if (toolPath('mkfifo') === undefined) return undefined;
  known ??= startShell();
  return known;
}

/**
 * The shell leads a group of its own, with all that it starts. When the test's process has ended, however that ends, fd 3
 * does, and who waits for that ends the group, also where the shell still waits for the process to open the pipes. No
 * program has one of the pipes open.
 */
const LOOP = `{ read -r _ <&3; rm -rf "$0"; kill -KILL 0; } &
exec 3<&-; mkfifo "$0/to" "$0/from"; exec <"$0/to" 9>"$0/from"
while read -r _; do . "$0/command"; echo $? >&9; done`;

const START_DEADLINE = 30_000;

function startShell(): Shell {
  // Pipes and files of no more than some kilobytes.
  const dir = mkdtempSync(join(inMemory(), 'elfnote-starter-'));
  const env = environment();
  const child = spawn('/bin/sh', ['-c', LOOP, dir], {
    env,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    detached: true,
  });
  child.unref();
  const [, , , life] = child.stdio;
  if (life instanceof Socket) life.unref();
  const [toShell, fromShell] = [join(dir, 'to'), join(dir, 'from')];
  for (const since = Date.now(); !existsSync(fromShell); pause(1)) {
    if (Date.now() - since > START_DEADLINE) throw new Error('no shell that starts programs');
  }
  const to = openSync(toShell, 'w');
  const from = openSync(fromShell, 'r');
  const fromNow = openSync(fromShell, constants.O_RDONLY | constants.O_NONBLOCK);
  endWithProcess(child, to, dir);
  const [out, err] = [join(dir, 'out'), join(dir, 'err')];
  const redirected = `>${out} 2>${err} </dev/null 9>&-`;
  return { dir, out, err, redirected, to, from, fromNow, env, cwd: process.cwd() };
}

/** Waits for it, so that its time is counted as this process's. */
function endWithProcess(child: ChildProcess, to: number, dir: string): void {
  process.once('beforeExit', () => {
    known = undefined;
    closeSync(to);
    child.ref();
  });
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
}

/** What the machine's own settings must not change. */
const FIXED = {
  LC_ALL: 'C',
  NIX_STORE: undefined,
  NODE_OPTIONS: undefined,
  LD_LIBRARY_PATH: undefined,
  LD_PRELOAD: undefined,
  LD_AUDIT: undefined,
  FORCE_COLOR: undefined,
};

/** The environment of what is run, with changes of its own; undefined takes a variable out. */
export function environment(
  changes: Readonly<Record<string, string | undefined>> = {},
): Record<string, string> {
  const all = Object.entries({ ...process.env, ...FIXED, ...changes });
  return Object.fromEntries(all.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/**
 * A simple command, or one behind what prepares a subshell for it. Its number goes to a file if there is one: a shell says
 * that only of what is in the background, which would not hear a Ctrl-C.
 */
function lineOf(
  { command, args, env, cwd }: Start,
  shells: Shell['env'],
  shellsCwd: string,
  pid: string | undefined,
): string {
  const set = Object.keys(env).filter(name => env[name] !== shells[name]);
  const unset = Object.keys(shells).filter(name => !(name in env));
  const words = set.map(name => `${name}=${quoted(env[name] ?? '')}`);
  const exec = pid === undefined ? [] : ['exec'];
  const line = [...words, ...exec, ...[command, ...args].map(quoted)].join(' ');
  const place = cwd ?? process.cwd();
  const prepare = [
    ...(unset.length === 0 ? [] : [`unset ${unset.join(' ')}`]),
    ...(place === shellsCwd ? [] : [`cd ${quoted(place)}`]),
    ...(pid === undefined ? [] : [`read -r own _ </proc/self/stat && echo $own >${pid}`]),
  ];
  return prepare.length === 0 ? line : `(${[...prepare, line].join(' && ')})`;
}

function ask(to: Shell, line: string): number {
  tell(to, line);
  return answerIn(to.from) ?? 0;
}

function tell({ dir, to }: Shell, line: string): void {
  writeFileSync(join(dir, 'command'), `${line}\n`);
  writeSync(to, '\n');
}

const ANSWER = Buffer.alloc(16);

/** `undefined` while there is none. */
function answerIn(fd: number): number | undefined {
  try {
    const length = readSync(fd, ANSWER);
    if (length === 0) throw new Error('the shell that starts programs has ended');
    return Number(ANSWER.toString('latin1', 0, length));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return undefined;
    throw error;
  }
}

/** `undefined` if it had to be killed. */
function askInTime(to: Shell, line: string, deadline: number): number | undefined {
  const pid = join(to.dir, 'pid');
  rmSync(pid, { force: true });
  tell(to, line);
  let wasKilled = false;
  for (const since = Date.now(); ; ) {
    const answer = answerIn(to.fromNow);
    if (answer !== undefined) return wasKilled && answer === KILLED ? undefined : answer;
    const passed = Date.now() - since;
    if (passed > deadline && !wasKilled) wasKilled = kill(pid);
    // A fifth longer than it has taken so far.
    pause(Math.min(20, 1 + passed / 5));
  }
}

const KILLED = 128 + os.constants.signals.SIGKILL;

/** False for one that has not said its number yet, or has ended. */
function kill(pid: string): boolean {
  try {
    const number = Number(readFileSync(pid, 'utf8'));
    // 0 is this process and all that has started it.
    return number > 0 && process.kill(number, 'SIGKILL');
  } catch (error) {
    if (error instanceof Error && 'code' in error && /^(?:ENOENT|ESRCH)$/.test(String(error.code)))
      return false;
    throw error;
  }
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
