import { type BigIntStats, type Dirent, readdir, readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { ElfnoteError, fromSystemError } from '../errors.js';
import {
  FileSystemBounds,
  forgetOrdinary,
  inPseudoFileSystem,
  isRootDirectory,
  type Outside,
  pseudoFileSystemOn,
} from '../files/file-systems.js';
import { tryStat } from '../files/links.js';
import { codeLineEnds, decodeLineEnds, nameOf } from '../files/names.js';
import { inodeOf } from '../files/source.js';
import { isTemporary, sweepListed } from '../files/temporary.js';
import { Turn } from './turn.js';

/** One file to work on, or a place that could not be looked into. */
export interface Found {
  readonly path: string;
  /** Named by the caller itself, not found in a directory. */
  readonly explicit: boolean;
  /** It gets a closure note: a program, or what was named itself. */
  readonly carrier?: boolean;
  /** The path of the caller's by which it was found first. */
  readonly named?: string;
  /** Why nothing can be read there. */
  readonly unreadable?: string;
  /** A directory that the walk did not enter, and why. */
  readonly outside?: Outside;
  /** What was there in a directory that was walked. */
  readonly inode?: string;
  /** An earlier path of the same file: a hard link, or a link that was named. */
  readonly sameAs?: string;
  /** It has hard links. */
  readonly hasLinks?: boolean;
  /** Where its copy goes; undefined: the file itself is written. */
  readonly output?: string;
  /** To be replaced rather than edited, for it has hard links whose content must stay; undefined: the file alone tells. */
  readonly unshare?: boolean | undefined;
}

export interface WalkOptions {
  /** Globs of the files to take, relative to the directory that is walked; one without `/` is any file's name. */
  readonly include?: readonly string[] | undefined;
  /** Globs of files and directories to leave out, read in the same way. */
  readonly exclude?: readonly string[] | undefined;
  /** Enter other file systems that are mounted below a directory. Pseudo file systems are never entered. */
  readonly crossFileSystems?: boolean | undefined;
  /** False: `/` may be walked. */
  readonly preserveRoot?: boolean | undefined;
  /** More paths, which a program has named: one that is no ELF file is passed over, as in a directory. */
  readonly listed?: PathList | undefined;
}

/** What a list of paths says, and those of its names that Node cannot open. */
export interface PathList {
  readonly paths: readonly string[];
  readonly failures: readonly Found[];
}

/**
 * The files that the paths name: a file is itself, a directory is every regular file below it, sorted by name.
 * Symbolic links inside a directory are not followed; `.build-id` directories hold links and debug files of
 * other packages and are left out, and so is a Nix store's `.links`, where each name is the hash of the content.
 * A walk stays on the file system of the directory that was named, and enters no pseudo file system (proc, sysfs).
 *
 * @throws ElfnoteError `usage` for an empty pattern, and for the root directory, under whatever name.
 */
export async function findFiles(paths: readonly string[], options: WalkOptions = {}): Promise<Found[]> {
  if ([...(options.include ?? []), ...(options.exclude ?? [])].includes('')) {
    throw new ElfnoteError('usage', 'a pattern to include or exclude is empty');
  }
  forgetOrdinary();
  const given: Found[][] = [];
  for (const path of paths) given.push(await expand(path, true, options));
  for (const path of options.listed?.paths ?? []) given.push(await expand(path, false, options));
  for (const failure of options.listed?.failures ?? []) given.push([{ ...failure, named: failure.path }]);
  return markSameFiles(withoutRepetition(given));
}

/** Each path once, with the first name by which it was found. */
function withoutRepetition(given: readonly Found[][]): Found[] {
  const [only] = given;
  // One place names no path twice.
  if (only !== undefined && given.length === 1) return only;
  const found = new Map<string, Found>();
  for (const files of given) {
    for (const file of files) {
      const known = found.get(file.path);
      if (known === undefined) found.set(file.path, file);
      else if (file.explicit) found.set(file.path, explicitly(known));
    }
  }
  return [...found.values()];
}

/** Whoever names a link means what it leads to. */
function explicitly({ inode: _, ...file }: Found): Found {
  return { ...file, explicit: true };
}

async function expand(path: string, explicit: boolean, options: WalkOptions): Promise<Found[]> {
  let stats: BigIntStats;
  try {
    stats = statSync(path, { bigint: true });
  } catch (error) {
    return [{ path, explicit, named: path, unreadable: problem('cannot open', path, error) }];
  }
  if (!stats.isDirectory()) {
    const { inode, ...file } = looked(path, path);
    return [{ ...file, explicit, ...(explicit || inode === undefined ? {} : { inode }) }];
  }
  if (options.preserveRoot !== false && isRootDirectory(stats)) {
    const how = '--no-preserve-root (preserveRoot: false) walks it all the same';
    throw new ElfnoteError('usage', `is the root directory: ${how}`, { path });
  }
  const pseudo = pseudoFileSystemOn(stats.dev, path);
  if (pseudo !== undefined) return [{ path, explicit, named: path, unreadable: inPseudoFileSystem(pseudo) }];
  return walk(path, stats, options);
}

async function walk(directory: string, start: BigIntStats, options: WalkOptions): Promise<Found[]> {
  const { include, exclude = [] } = options;
  const failures: Found[] = [];
  const bounds = new FileSystemBounds(start, options);
  const isTaken = await isIncluded(include);
  const { default: fastGlob } = await import('fast-glob');
  const names = await fastGlob('**/*', {
    cwd: directory,
    dot: true,
    followSymbolicLinks: false,
    baseNameMatch: true,
    // A walk comes to no path twice; a set of all of them would take as much memory as they do.
    unique: false,
    ignore: exclude.map(pattern => codeLineEnds(pattern.replace(/\/+$/, ''))),
    fs: { readdir: tolerantReaddir(directory, bounds, failures) },
  });
  for (let i = 0; i < names.length; i++) names[i] = decodeLineEnds(names[i] ?? '');
  names.sort();
  const above = prefixOf(directory);
  const found: Found[] = [];
  for (const name of names) if (isTaken(name)) found.push(looked(above + name, directory));
  if (failures.length === 0) return found;
  for (const failure of failures) found.push({ ...failure, named: directory });
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** What stands before the names below a directory. */
function prefixOf(directory: string): string {
  return join(directory, 'x').slice(0, -1);
}

/** One small object a file: a run over a large tree has all of them in memory. */
function looked(path: string, named: string): Found {
  const stats = tryStat(path);
  // What has gone meanwhile is for those to say who open it.
  if (stats === undefined) return { path, explicit: false, named };
  const inode = inodeOf(stats);
  return stats.nlink > 1n
    ? { path, explicit: false, named, inode, hasLinks: true }
    : { path, explicit: false, named, inode };
}

/**
 * What to take is told from the whole walk: given to fast-glob, a pattern could name where to start, behind a link
 * or outside the directory.
 */
async function isIncluded(include: readonly string[] = []): Promise<(name: string) => boolean> {
  if (include.length === 0) return () => true;
  const { default: picomatch } = await import('picomatch');
  const anywhere = include.map(pattern => (pattern.includes('/') ? pattern : `**/${pattern}`));
  return picomatch(anywhere, { dot: true, nonegate: true, flags: 's' });
}

type Listed = (error: Error | null, entries: Dirent[]) => void;

/**
 * fast-glob stops at the first directory it cannot read; here it is noted and passed over, as is one out of bounds. Each
 * is listed at once: threads that wait for the kernel and wake each other up cost more than the kernel takes.
 */
function tolerantReaddir(directory: string, bounds: FileSystemBounds, failures: Found[]): typeof readdir {
  const top = resolve(directory);
  const start = top.length + (top.endsWith('/') ? 0 : 1);
  const above = prefixOf(directory);
  const whole = join(directory);
  const turn = new Turn();
  const list = (path: string, isTop: boolean): Dirent[] => {
    const outside = isTop ? undefined : whyOutside(path, bounds);
    if (outside !== undefined) {
      failures.push({ path, explicit: false, outside });
      return [];
    }
    try {
      return presented(path, isTop, readdirSync(path, { withFileTypes: true }), failures);
    } catch (error) {
      failures.push({ path, explicit: false, unreadable: problem('cannot list', path, error) });
      return [];
    }
  };
  const handler: ProxyHandler<typeof readdir> = {
    apply(_target, _self, [coded, _options, done]: [string, object, Listed]) {
      const path = coded === top ? whole : above + decodeLineEnds(coded.slice(start));
      const entries = list(path, coded === top);
      // Not from here: each directory would add to the stack.
      turn.next(() => done(null, entries));
    },
  };
  return new Proxy(readdir, handler);
}

/** What has gone meanwhile is inside: listing it says so. */
function whyOutside(path: string, bounds: FileSystemBounds): Outside | undefined {
  const stats = tryStat(path);
  return stats && bounds.whyOutside(path, stats);
}

function presented(directory: string, isTop: boolean, entries: Dirent[], failures: Found[]): Dirent[] {
  const readable = withoutForeignNames(directory, entries, failures);
  const isStore = isTop || basename(directory) === 'store';
  const hidden = readable.map(({ name }) => name).filter(name => name.startsWith('.'));
  sweepListed(directory, hidden);
  const isLeftOut = (name: string) =>
    name === '.build-id' || (isStore && name === '.links') || isTemporary(name);
  const out = new Set(hidden.filter(isLeftOut));
  const own = out.size === 0 ? readable : readable.filter(({ name }) => !out.has(name));
  for (const entry of own) entry.name = codeLineEnds(entry.name);
  return own;
}

const REPLACEMENT = '\ufffd';

/** Node shows a name that is not UTF-8 with replacement characters, by which the file cannot be opened. */
function withoutForeignNames(directory: string, entries: Dirent[], failures: Found[]): Dirent[] {
  if (!entries.some(({ name }) => name.includes(REPLACEMENT))) return entries;
  const real = new Set<string>();
  for (const bytes of readdirSync(directory, { encoding: 'buffer' })) {
    const { text, isUtf8 } = nameOf(bytes);
    if (isUtf8) real.add(text);
    else failures.push(foreignName(join(directory, text)));
  }
  // Several may look like the one that is what it looks like.
  return entries.filter(({ name }) => real.delete(name));
}

/** A path that Node cannot open; `path` shows its bytes. */
export function foreignName(path: string): Found & { readonly unreadable: string } {
  return { path, explicit: false, unreadable: 'cannot open: its name is not UTF-8' };
}

function problem(doing: string, path: string, error: unknown): string {
  return fromSystemError('unreadable', doing, path, error).message;
}

/** Says of each file of which earlier one it is another name. */
function markSameFiles(found: Found[]): Found[] {
  const first = new Map<string, string>();
  for (let i = 0; i < found.length; i++) {
    const file = found[i];
    if (file === undefined || file.unreadable !== undefined || file.outside !== undefined) continue;
    const inode = file.inode ?? whatIsAt(file.path);
    if (inode === undefined) continue;
    const sameAs = first.get(inode);
    if (sameAs === undefined) first.set(inode, file.path);
    else found[i] = { sameAs, ...file };
  }
  return found;
}

function whatIsAt(path: string): string | undefined {
  const stats = tryStat(path);
  return stats && inodeOf(stats);
}
