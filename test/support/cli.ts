import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { environment, start, startAlone } from './starter.js';
import { needsOtherUser, type Skip, toolPath } from './tools.js';

/** The repository. */
export const PROJECT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
export const FIXTURES = `${PROJECT}/fixtures`;
export const ROOT = `${FIXTURES}/root`;
export const BIN = `${PROJECT}/bin/elfnote.js`;

export interface RunResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** `stdout` as bytes. */
  readonly output: Buffer;
}

export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment; undefined takes a variable out. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** After so many milliseconds it is killed. */
  readonly deadline?: number;
  /** What it reads from standard input. */
  readonly input?: string | Buffer;
}

/** Runs a program to its end. One that cannot be started, or exceeds its deadline, fails the test. */
export function run(command: string, args: readonly string[] = [], options: RunOptions = {}): RunResult {
  const { env, cwd, deadline, input } = options;
  const found = command.includes('/') ? command : (toolPath(command) ?? command);
  const what = { command: found, args, env: environment(env), cwd, deadline };
  const { status, stdout, stderr } = input === undefined ? start(what) : startAlone(what, input);
  return { status, stdout: stdout.toString(), stderr: stderr.toString(), output: stdout };
}

/**
 * Runs many programs, as many at once as there are processors; the results keep the order. One that cannot be
 * started, or is killed, has no status.
 */
export async function runMany(
  commands: readonly (readonly [string, ...string[]])[],
  deadline: number,
): Promise<RunResult[]> {
  const results = new Map<number, RunResult>();
  let next = 0;
  const work = async () => {
    for (let i = next++; i < commands.length; i = next++) {
      const command = commands[i];
      if (command !== undefined) results.set(i, await runAside(command, deadline));
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return commands.flatMap((_, i) => results.get(i) ?? []);
}

function runAside([command, ...args]: readonly [string, ...string[]], timeout: number): Promise<RunResult> {
  const env = environment();
  const killSignal = 'SIGKILL';
  const options = { env, maxBuffer: 1 << 28, encoding: 'buffer', timeout, killSignal } as const;
  return new Promise(resolve => {
    execFile(toolPath(command) ?? command, args, options, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ status, stdout: stdout.toString(), stderr: stderr.toString(), output: stdout });
    });
  });
}

/** Runs a program that has to succeed. */
export function runOk(command: string, args: readonly string[] = [], options: RunOptions = {}): RunResult {
  const result = run(command, args, options);
  if (result.status !== 0) {
    throw new Error(
      `${command} ${args.join(' ')}: exit ${result.status}\n${result.stdout}\n${result.stderr}`,
    );
  }
  return result;
}

/** The built CLI, as a user calls it. */
export function elfnote(args: readonly string[], options: RunOptions = {}): RunResult {
  return run(process.execPath, [BIN, ...args], options);
}

/** The built CLI where anything but exit 0 fails the test. */
export function elfnoteOk(args: readonly string[], options: RunOptions = {}): RunResult {
  return runOk(process.execPath, [BIN, ...args], options);
}

/** For the `skip` of a test that runs the built CLI as another user. */
export const needsNobody = (): Skip => needsOtherUser('setpriv', process.execPath, BIN);

/** The built CLI as the user nobody. */
export function elfnoteAsNobody(args: readonly string[]): RunResult {
  const ids = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
  return run('setpriv', [...ids, process.execPath, BIN, ...args]);
}

export type JsonObject = { readonly [name: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A field that has to be an object. */
export function objectIn(value: JsonObject, name: string): JsonObject {
  const found = value[name];
  if (!isObject(found)) throw new Error(`${name} is no object in ${JSON.stringify(value)}`);
  return found;
}

export function numberIn(value: JsonObject, name: string): number {
  const found = value[name];
  if (typeof found !== 'number') throw new Error(`${name} is no number in ${JSON.stringify(value)}`);
  return found;
}

/** A field that has to be a list of objects. */
export function listIn(value: JsonObject, name: string): JsonObject[] {
  const found = value[name];
  if (!Array.isArray(found) || !found.every(isObject)) {
    throw new Error(`${name} is no list of objects in ${JSON.stringify(value)}`);
  }
  return found;
}

/** One object a line. */
export function jsonLines(stdout: string): JsonObject[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map(line => {
      const parsed: unknown = JSON.parse(line);
      if (!isObject(parsed)) throw new Error(`not a JSON object: ${line}`);
      return parsed;
    });
}
