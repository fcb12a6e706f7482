import { spawnSync } from 'node:child_process';
import { withFile } from '../files/source.js';
import { readFacts } from './object.js';

const LONGEST_WAIT_MILLISECONDS = 5000;

let said: { readonly help: string | undefined } | undefined;

/**
 * What the loader that has started this process says of itself (`ld.so --help`), and so of the processor: a kernel in a
 * virtual machine may not know all that it can do. Nobody's program is run.
 * @returns undefined where it cannot be asked, as before glibc 2.33.
 */
export function askOwnLoader(): string | undefined {
  said ??= { help: askLoaderOf(process.execPath) };
  return said.help;
}

function askLoaderOf(program: string): string | undefined {
  const loader = interpreterOf(program);
  if (loader === undefined) return undefined;
  // Without an environment: tunables do not count.
  const { status, stdout } = spawnSync(loader, ['--help'], {
    encoding: 'latin1',
    env: {},
    timeout: LONGEST_WAIT_MILLISECONDS,
  });
  return status === 0 ? stdout : undefined;
}

function interpreterOf(program: string): string | undefined {
  try {
    return withFile(program, readFacts).interpreter;
  } catch {
    return undefined;
  }
}
