import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { BIN, isObject, PROJECT, type RunOptions, type RunResult } from './cli.js';
import { environment, theShell } from './starter.js';

/**
 * The built command line in a thread of the test's process, which starts once: a process for each call takes ten times
 * as long. For tests of which it is not the subject. What makes a process its own (signals, a terminal, a pipe that is
 * slow) is not there; the working directory is the test's for as long as the call takes.
 */
export function elfnoteHere(args: readonly string[], { env, cwd, input = '' }: HereOptions = {}): RunResult {
  const before = process.cwd();
  process.chdir(cwd ?? before);
  try {
    return ask(args, env, typeof input === 'string' ? Buffer.from(input) : input);
  } finally {
    process.chdir(before);
  }
}

type HereOptions = Pick<RunOptions, 'env' | 'cwd' | 'input'>;

function ask(args: readonly string[], env: RunOptions['env'], input: Buffer): RunResult {
  thread ??= start();
  const { port, turn } = thread;
  Atomics.store(turn, 0, 0);
  port.postMessage({ args: [...args], env: environment(env), input, shell: shellForThread() });
  // What wakes it may be late, of the call before.
  while (Atomics.load(turn, 0) === 0) {
    if (Atomics.wait(turn, 0, 0, DEADLINE) === 'timed-out')
      throw new Error(`hangs: elfnote ${args.join(' ')}`);
  }
  const message: unknown = receiveMessageOnPort(port)?.message;
  if (!isObject(message) || message.failure !== undefined) {
    throw new Error(
      `elfnote ${args.join(' ')}: ${isObject(message) ? String(message.failure) : 'no answer'}`,
    );
  }
  const [output, errors] = [bytesIn(message.stdout), bytesIn(message.stderr)];
  return { status: Number(message.status), stdout: output.toString(), stderr: errors.toString(), output };
}

function shellForThread() {
  const shell = theShell();
  if (shell === undefined) return undefined;
  const { cwd, dir, out, err, to, from, redirected, env } = shell;
  return { path: env.PATH, cwd, dir, out, err, to, from, redirected };
}

/** The same where anything but exit 0 fails the test. */
export function elfnoteHereOk(args: readonly string[], options: HereOptions = {}): RunResult {
  const result = elfnoteHere(args, options);
  if (result.status === 0) return result;
  throw new Error(`elfnote ${args.join(' ')}: exit ${result.status}\n${result.stdout}\n${result.stderr}`);
}

const DEADLINE = 300_000;

interface Thread {
  readonly port: MessagePort;
  /** 0 while the thread is at work. */
  readonly turn: Int32Array;
}

let thread: Thread | undefined;

function start(): Thread {
  const { port1, port2 } = new MessageChannel();
  const turn = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('./cli-thread.mjs', import.meta.url), {
    workerData: { bin: BIN, dist: `${PROJECT}/dist/cli`, port: port2, turn },
    transferList: [port2],
    execArgv: [],
  });
  worker.unref();
  port1.unref();
  return { port: port1, turn };
}

function bytesIn(value: unknown): Buffer {
  if (!(value instanceof Uint8Array)) throw new Error('not bytes');
  return Buffer.from(value);
}
