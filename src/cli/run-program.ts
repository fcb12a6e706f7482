import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { fromSystemError, systemCode } from '../errors.js';
import { printError } from './output.js';

/** What another process, or a service manager, sends to have a program do something. */
const FORWARDED = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGCONT',
  'SIGWINCH',
  'SIGIO',
  'SIGPWR',
] as const satisfies readonly NodeJS.Signals[];

/** A terminal sends these to the program itself too, where it is in the foreground with elfnote. */
const FROM_TERMINAL: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT', 'SIGWINCH']);

/** As env(1), nice(1) and nohup(1) have it. */
const EXIT_NOT_FOUND = 127;
const EXIT_NOT_STARTED = 126;

/**
 * Runs a program with elfnote's own standard input, output and error, and sends on to it the signals that elfnote
 * gets. Sets the exit status to the program's, or dies by the signal that ended it.
 *
 * @param name what the program sees as its `argv[0]`.
 */
export async function runProgram(
  path: string,
  name: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<void> {
  let send: (signal: NodeJS.Signals) => void = () => {};
  const stop = listen(signal => send(signal));
  let child: ChildProcess;
  try {
    // Of some reasons Node tells at once, of others by an event.
    child = spawn(path, args, { stdio: 'inherit', env, argv0: name });
    send = signal => child.kill(signal);
    await once(child, 'exit');
  } catch (error) {
    sayNotStarted(path, name, error);
    return;
  } finally {
    stop();
  }
  if (child.signalCode !== null) dieBy(child.signalCode);
  else process.exitCode = child.exitCode ?? EXIT_NOT_STARTED;
}

/** Listens before there is a program, so that no signal ends elfnote alone. */
function listen(forward: (signal: NodeJS.Signals) => void): () => void {
  const handler = (signal: NodeJS.Signals) => {
    if (!FROM_TERMINAL.has(signal) || !isInForeground()) forward(signal);
  };
  for (const signal of FORWARDED) process.on(signal, handler);
  return () => {
    for (const signal of FORWARDED) process.off(signal, handler);
  };
}

/** Whether the terminal's foreground is this process group: fields 5 and 8 of proc_pid_stat(5). */
function isInForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return group === foreground;
}

function sayNotStarted(path: string, name: string, error: unknown): void {
  if (systemCode(error) !== 'ENOENT') {
    printError(fromSystemError('unreadable', 'cannot be run', name, error).line);
    process.exitCode = EXIT_NOT_STARTED;
  } else if (existsSync(path)) {
    printError(`${name}: cannot be run: the interpreter that it names is not there`);
    process.exitCode = EXIT_NOT_FOUND;
  } else sayNoProgram(name);
}

/** Sets the exit status too. */
export function sayNoProgram(name: string): void {
  printError(`${name}: no such program`);
  process.exitCode = EXIT_NOT_FOUND;
}

function dieBy(signal: NodeJS.Signals): void {
  // Node ignores SIGPIPE. Where a handler is taken away again, the default comes back.
  if (signal === 'SIGPIPE') process.on(signal, () => {}).removeAllListeners(signal);
  process.exitCode = 128 + constants.signals[signal];
  process.kill(process.pid, signal);
}
