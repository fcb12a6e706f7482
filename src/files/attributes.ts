import { spawnSync } from 'node:child_process';
import type { BigIntStats } from 'node:fs';
import { TICK_MILLISECONDS } from './source.js';

/**
 * Extended attributes that a write would lose. Node has no call for them, so a tool of the system is asked:
 * `getfattr`, or `getcap` for file capabilities alone.
 */
export interface AttributeCheck {
  /** By path; a path without any is missing. Undefined when no tool is there to ask. */
  readonly found: ReadonlyMap<string, readonly string[]> | undefined;
  /** False where a tool knows of file capabilities alone, or there is none. */
  readonly knowsAll: boolean;
  /** In milliseconds since the epoch: before the tool was asked. Without it, nothing has changed since. */
  readonly asked?: number | undefined;
}

/** The kernel drops this one at every write, so it is lost even in place. */
export const LOST_IN_PLACE = 'security.capability';

/** In bytes of paths; Linux takes 2 MiB of arguments and environment. */
const ARGUMENTS_AT_ONCE = 1 << 19;

/** Whether attributes may have been set on a file since they were asked for: that changes the inode's own time stamp. */
export function isOutdated({ asked }: AttributeCheck, { ctimeMs }: BigIntStats): boolean {
  return asked !== undefined && Number(ctimeMs) + TICK_MILLISECONDS >= asked;
}

export function readAttributes(paths: readonly string[]): AttributeCheck {
  const asked = Date.now();
  const found = new Map<string, string[]>();
  let knowsAll = true;
  for (const some of inPieces(paths)) {
    const all: Map<string, string[]> | undefined = knowsAll ? askGetfattr(some) : undefined;
    knowsAll = all !== undefined;
    const names = all ?? askGetcap(some);
    if (names === undefined) return { found: undefined, knowsAll, asked };
    for (const [path, attributes] of names) found.set(path, attributes);
  }
  return { found, knowsAll, asked };
}

function* inPieces(paths: readonly string[]): Generator<string[]> {
  let piece: string[] = [];
  let size = 0;
  for (const path of paths) {
    const length = Buffer.byteLength(path) + 1;
    if (piece.length > 0 && size + length > ARGUMENTS_AT_ONCE) {
      yield piece;
      piece = [];
      size = 0;
    }
    piece.push(path);
    size += length;
  }
  if (piece.length > 0) yield piece;
}

function run(command: string, args: readonly string[]): string | undefined {
  const ask = () => spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  let result = ask();
  // Ctrl-C on a terminal reaches the tool too. We finish the files in hand, and need its whole answer for that.
  if (result.signal !== null) result = ask();
  return result.error === undefined && result.signal === null ? result.stdout : undefined;
}

/** `# file: PATH`, then a name a line, then an empty line; a file without attributes is not named. */
function askGetfattr(paths: readonly string[]): Map<string, string[]> | undefined {
  const output = run('getfattr', ['--absolute-names', '--match=-', '--', ...paths]);
  if (output === undefined) return undefined;
  const result = new Map<string, string[]>();
  for (const block of output.split('\n\n')) {
    const [head, ...names] = block.split('\n').filter(line => line !== '');
    if (head?.startsWith('# file: ')) result.set(unescapeOctal(head.slice('# file: '.length)), names);
  }
  return result;
}

function unescapeOctal(text: string): string {
  const bytes: number[] = [];
  const input = Buffer.from(text);
  for (let i = 0; i < input.length; i++) {
    const digits = input.subarray(i + 1, i + 4).toString('latin1');
    if (input[i] === 0x5c && /^[0-7]{3}$/.test(digits)) {
      bytes.push(Number.parseInt(digits, 8));
      i += 3;
    } else {
      bytes.push(input[i] ?? 0);
    }
  }
  return Buffer.from(bytes).toString();
}

function askGetcap(paths: readonly string[]): Map<string, string[]> | undefined {
  const output = run('getcap', ['--', ...paths]) ?? run('/sbin/getcap', ['--', ...paths]);
  if (output === undefined) return undefined;
  const withCapabilities = paths.filter(path => output.split('\n').some(line => line.startsWith(`${path} `)));
  return new Map(withCapabilities.map(path => [path, [LOST_IN_PLACE]]));
}
