import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { systemCode } from '../errors.js';
import { sha256 } from '../sha256.js';

/**
 * Which process a temporary file or a lock belongs to, as `PID-START-SPACE`: a pid comes again, with another start
 * time; a container counts pids of its own, in another space. All are decimal but the space, eight hexadecimal digits.
 */
export const OWNER_PATTERN = '\\d+-\\d+-[0-9a-f]{8}';

const OWNER = /^(\d+)-(\d+)-([0-9a-f]{8})$/;

/** After so long a file of a process that we cannot ask for is given up, in milliseconds. */
const PATIENCE = 120_000;

let own: string | undefined;

export function ownerOfThisProcess(): string {
  own ??= `${process.pid}-${startOf(process.pid) ?? 0}-${space()}`;
  return own;
}

/**
 * Whether the process that an owner's text names has ended. One of another machine, container or boot cannot be asked
 * for, and counts as ended when its file is `age` milliseconds old without a change, and that is long.
 */
export function hasEnded(owner: string, age: number): boolean {
  const [, pid = '', start = '', where = ''] = OWNER.exec(owner) ?? [];
  if (where !== space()) return age > PATIENCE;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if (systemCode(error) === 'ESRCH') return true;
  }
  // Other users' processes may be hidden in /proc: then it is there, as `kill` has said.
  return (startOf(Number(pid)) ?? start) !== start;
}

/** In ticks of the kernel's clock after its boot: the 22nd field of `/proc/PID/stat`, the second may hold anything. */
function startOf(pid: number): string | undefined {
  const text = tryRead(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19];
}

let knownSpace: string | undefined;

/** Stands for what counts pids: a boot of a machine, and a pid namespace on it. */
function space(): string {
  if (knownSpace === undefined) {
    const boot = tryRead(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1')) ?? hostname();
    const namespace = tryRead(() => readlinkSync('/proc/self/ns/pid')) ?? '';
    knownSpace = sha256(boot + namespace).slice(0, 8);
  }
  return knownSpace;
}

function tryRead<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
