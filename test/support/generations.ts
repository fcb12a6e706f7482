import { dirname, join } from 'node:path';
import { PROJECT, run } from './cli.js';
import { keptPlace } from './run-files.js';
import { needs, type Skip, unavailable } from './tools.js';

/** Debian's releases after the one that CI has: their patchelf, binutils and C library, unpacked beside the machine's. */
export type Suite = 'trixie' | 'sid';
export const SUITES: readonly Suite[] = ['trixie', 'sid'];

/**
 * What a suite's packages brought, below a directory of its own. They are unpacked when any of this is first asked for,
 * which on a fresh machine takes seconds: so a test asks in its body (`isSkipped`), and one that does not run never does.
 */
export interface Generation {
  /** Why there is nothing: no Debian, or no mirror that answers. In CI that is a failure. */
  readonly skip: Skip;
  /**
   * The path of a tool of patchelf or binutils. It needs no environment: it is a script that starts the tool with its
   * own suite's loader and libraries.
   */
  tool(name: string): string;
  /** The suite's ld.so, and the directory of its C library. Without `skip` alone. */
  readonly loader: string;
  readonly libraries: string;
}

/**
 * Starts a program with a suite's loader and C library; the program's other libraries are found as always. `--library-path`
 * is what `LD_LIBRARY_PATH` is, so it beats a note for the C library's own files, and for no other.
 */
export function onGeneration(
  { loader, libraries }: Generation,
  program: string,
  ...args: readonly string[]
): [string, ...string[]] {
  return [loader, '--inhibit-cache', '--library-path', libraries, program, ...args];
}

const known = new Map<Suite, Generation>();

export function generation(suite: Suite): Generation {
  return {
    get skip() {
      return unpacked(suite).skip;
    },
    tool: name => unpacked(suite).tool(name),
    get loader() {
      return unpacked(suite).loader;
    },
    get libraries() {
      return unpacked(suite).libraries;
    },
  };
}

/** Once for all test files: the packages are kept in a temporary directory, by their versions. */
function unpacked(suite: Suite): Generation {
  const made = known.get(suite) ?? unpack(suite);
  known.set(suite, made);
  return made;
}

function unpack(suite: Suite): Generation {
  const skip = needs('bash', 'apt-get', 'dpkg', 'flock', '/etc/debian_version');
  if (skip !== false) return absent(suite, skip);
  const cache = join(keptPlace(), `elfnote-generations-${process.getuid?.() ?? 0}`);
  const { status, stdout, stderr } = run('bash', [join(PROJECT, 'test/support/generation.sh'), suite, cache]);
  if (status === 3) return absent(suite, unavailable(`Debian ${suite}: ${stderr.trim().split('\n').at(-1)}`));
  if (status !== 0) throw new Error(`generation.sh ${suite}: exit ${status}\n${stderr}`);
  const [root = '', loader = ''] = stdout.trim().split('\n');
  return {
    skip: false,
    loader,
    libraries: dirname(loader),
    tool: name => join(root, 'tools', name),
  };
}

function absent(suite: Suite, skip: Skip): Generation {
  const gone = (): never => {
    throw new Error(`${suite} is not there: ${skip}`);
  };
  return {
    skip,
    tool: name => join('/absent', suite, name),
    get loader() {
      return gone();
    },
    get libraries() {
      return gone();
    },
  };
}
