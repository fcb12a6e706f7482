/** The other side of cli-here.ts: runs the built command line in this thread, once for each message. */
import childProcess from 'node:child_process';
import fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { workerData } from 'node:worker_threads';

const { bin, dist, port, turn } = workerData;
const { readSync, writeSync } = fs;
const { spawnSync } = childProcess;
let shell;
let pieces = { 1: [], 2: [] };
let input = new Uint8Array();

/** What the command line writes to standard output and standard error is kept. */
fs.writeSync = (fd, bytes, ...rest) => {
  if (fd !== 1 && fd !== 2) return writeSync(fd, bytes, ...rest);
  const piece = Buffer.from(bytes);
  pieces[fd].push(piece);
  return piece.length;
};
/** What it reads from standard input is what the test gives. */
fs.readSync = (fd, bytes, ...rest) => {
  if (fd !== 0) return readSync(fd, bytes, ...rest);
  const piece = input.subarray(0, bytes.length);
  bytes.set(piece);
  input = input.subarray(piece.length);
  return piece.length;
};

const quoted = word => `'${word.replaceAll("'", "'\\''")}'`;

/** The one tool of each call is started by the shell of starter.ts, if there is one: it is free while the test waits. */
childProcess.spawnSync = (command, args, options) => {
  const isAlike = process.env.PATH === shell?.path && process.cwd() === shell.cwd;
  if (command !== 'getfattr' || !isAlike) return spawnSync(command, args, options);
  const { dir, redirected, to, from, out, err } = shell;
  fs.writeFileSync(`${dir}/command`, `${[command, ...args].map(quoted).join(' ')} ${redirected}\n`);
  writeSync(to, '\n');
  const answer = Buffer.alloc(16);
  const status = Number(answer.toString('latin1', 0, readSync(from, answer)));
  if (status > 125) return spawnSync(command, args, options);
  const [stdout, stderr] = [out, err].map(file => fs.readFileSync(file, options.encoding));
  return { status, signal: null, stdout, stderr };
};
syncBuiltinESMExports();

function setEnvironment(env) {
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name];
  Object.assign(process.env, env);
}

const require = createRequire(import.meta.url);
const { bundleFor } = require(bin);
port.on('message', async ({ args, env, input: given, shell: free }) => {
  shell = free;
  input = given;
  pieces = { 1: [], 2: [] };
  setEnvironment(env);
  process.argv = [process.execPath, bin, ...args];
  process.exitCode = undefined;
  let failure;
  try {
    await require(`${dist}/${bundleFor(args[0])}`).main();
  } catch (error) {
    failure = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  const [stdout, stderr] = [pieces[1], pieces[2]].map(bytes => Buffer.concat(bytes));
  port.postMessage({ status: process.exitCode ?? 0, stdout, stderr, failure });
  process.exitCode = undefined;
  Atomics.store(turn, 0, 1);
  Atomics.notify(turn, 0);
});
