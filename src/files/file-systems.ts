import { type BigIntStats, readFileSync, statfsSync, statSync } from 'node:fs';
import { ElfnoteError } from '../errors.js';

/**
 * File systems whose files are no bytes on a disk but the kernel's answers: reading one may wait for ever or change
 * something, and writing one commands the machine. By `f_type` of statfs(2), as linux/magic.h has it. tmpfs and
 * ramfs are none of them: they hold files like any other.
 */
const PSEUDO: ReadonlyMap<number, string> = new Map([
  [0x9fa0, 'proc'],
  [0x62656572, 'sysfs'],
  [0x1cd1, 'devpts'],
  [0x27e0eb, 'cgroup'],
  [0x63677270, 'cgroup2'],
  [0x64626720, 'debugfs'],
  [0x74726163, 'tracefs'],
  [0x73636673, 'securityfs'],
  [0xf97cff8c, 'selinuxfs'],
  [0x43415d53, 'smackfs'],
  [0x5a3c69f0, 'apparmorfs'],
  [0xcafe4a11, 'bpf'],
  [0x6165676c, 'pstore'],
  [0xde5e81e4, 'efivarfs'],
  [0x62656570, 'configfs'],
  [0x65735543, 'fusectl'],
  [0x19800202, 'mqueue'],
  [0x42494e4d, 'binfmt_misc'],
  [0x6e736673, 'nsfs'],
  [0x50494446, 'pidfs'],
  [0x50495045, 'pipefs'],
  [0x534f434b, 'sockfs'],
  [0x09041934, 'anon_inodefs'],
  [0x67596969, 'rpc_pipefs'],
  [0x9fa1, 'openpromfs'],
  [0x0a647361, 'functionfs'],
  [0x07655821, 'resctrl'],
  [0xabba1974, 'xenfs'],
  [0x6c6f6f70, 'binderfs'],
]);

/** devtmpfs answers statfs(2) with the type of the memory that it is made of. */
const MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** The name of the pseudo file system in which a path is, links followed; undefined for any other. */
export function pseudoFileSystemOf(path: string): string | undefined {
  const type = typeAt(path);
  return type === undefined ? undefined : pseudoName(type, path);
}

function typeAt(path: string): number | undefined {
  try {
    // A signed word on some architectures.
    return statfsSync(path).type >>> 0;
  } catch {
    return undefined;
  }
}

function pseudoName(type: number, path: string): string | undefined {
  return PSEUDO.get(type) ?? (MEMORY.has(type) && isDevtmpfs(path) ? 'devtmpfs' : undefined);
}

/** `st_dev` of file systems that are none of them, in decimal: a walk asks once for all files of one. */
const ORDINARY = new Set<string>();

/** As `pseudoFileSystemOf`. @param dev of what is at the path. */
export function pseudoFileSystemOn(dev: bigint, path: string): string | undefined {
  const type = typeAt(path);
  if (type === undefined) return undefined;
  const name = pseudoName(type, path);
  if (name === undefined) ORDINARY.add(`${dev}`);
  return name;
}

/** For a new walk: when a file system is unmounted, another may get its number. */
export function forgetOrdinary(): void {
  ORDINARY.clear();
}

/** Whether it was asked already for the file system of a device number, and that is an ordinary one. */
export function isOrdinary(dev: string): boolean {
  return ORDINARY.has(dev);
}

/** @throws ElfnoteError `unreadable` for a path in a pseudo file system, which is not opened. */
export function refusePseudoFile(path: string): void {
  const name = pseudoFileSystemOf(path);
  if (name !== undefined) throw new ElfnoteError('unreadable', inPseudoFileSystem(name), { path });
}

export function inPseudoFileSystem(name: string): string {
  return `is in a pseudo file system (${name}), which elfnote does not enter`;
}

/**
 * By the number of a file system in memory, whether it is devtmpfs. That stays true while mounts come and go: the kernel
 * has one devtmpfs, which it mounts for itself at its start and keeps (drivers/base/devtmpfs.c), so that the number of
 * another will never be devtmpfs's.
 */
const IS_DEVTMPFS = new Map<bigint, boolean>();

function isDevtmpfs(path: string): boolean {
  try {
    const { dev } = statSync(path, { bigint: true });
    const known = IS_DEVTMPFS.get(dev);
    if (known !== undefined) return known;
    const type = mountedType(dev);
    // What is not in the list, since other processes alone have mounted it, may be in there later.
    if (type !== undefined) IS_DEVTMPFS.set(dev, type === 'devtmpfs');
    return type === 'devtmpfs';
  } catch {
    return false;
  }
}

/** As /proc/self/mountinfo (proc(5)) has it: field 3 is `major:minor`, and the first behind the `-` the type. */
function mountedType(device: bigint): string | undefined {
  const number = `${majorOf(device)}:${minorOf(device)}`;
  const mounts = readFileSync('/proc/self/mountinfo', 'latin1').split('\n');
  const mount = mounts.find(line => line.split(' ', 3)[2] === number);
  return mount?.split(' - ', 2)[1]?.split(' ', 1)[0];
}

/** As makedev(3) of glibc packs them. */
function majorOf(device: bigint): bigint {
  return ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
}

function minorOf(device: bigint): bigint {
  return (device & 0xffn) | ((device >> 12n) & ~0xffn);
}

/** Whether it is the directory `/`, by whatever name: `/..`, a symbolic link, a bind mount. */
export function isRootDirectory({ dev, ino }: BigIntStats, root = statSync('/', { bigint: true })): boolean {
  return root.dev === dev && root.ino === ino;
}

export interface BoundsOptions {
  readonly crossFileSystems?: boolean | undefined;
  readonly preserveRoot?: boolean | undefined;
}

/** The file system on which a walk starts, and what of others it may enter. */
export class FileSystemBounds {
  readonly #start: bigint;
  readonly #root = statSync('/', { bigint: true });
  readonly #crossing: boolean;
  readonly #preserveRoot: boolean;
  readonly #pseudo = new Map<bigint, string | undefined>();

  /** @param start of the directory that is walked. */
  constructor(start: BigIntStats, options: BoundsOptions) {
    this.#start = start.dev;
    this.#crossing = options.crossFileSystems === true;
    this.#preserveRoot = options.preserveRoot !== false;
  }

  /** Why a directory below the start is not entered; undefined where it is. */
  whyOutside(path: string, stats: BigIntStats): Outside | undefined {
    if (stats.dev !== this.#start) {
      if (!this.#crossing) return OTHER;
      if (!this.#pseudo.has(stats.dev)) this.#pseudo.set(stats.dev, pseudoFileSystemOn(stats.dev, path));
      const name = this.#pseudo.get(stats.dev);
      if (name !== undefined) return { reason: 'pseudo-file-system', detail: inPseudoFileSystem(name) };
    }
    return this.#preserveRoot && isRootDirectory(stats, this.#root) ? ROOT_AGAIN : undefined;
  }
}

export interface Outside {
  readonly reason: 'other-file-system' | 'pseudo-file-system';
  readonly detail: string;
}

const OTHER: Outside = {
  reason: 'other-file-system',
  detail: 'is on another file system (--cross-file-systems enters it)',
};

const ROOT_AGAIN: Outside = {
  reason: 'other-file-system',
  detail: 'is the root directory under another name',
};
