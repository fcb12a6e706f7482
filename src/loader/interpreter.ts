import { type ByteString, byteStringOf } from '../elf/bytes.js';
import { ElfnoteError } from '../errors.js';
import type { Architecture } from './architectures.js';
import type { LoaderProbe } from './probe.js';

/** What a dynamic loader has compiled in, read from its file without running it. */
export interface LoaderFacts {
  /** As programs name it in `PT_INTERP`. */
  readonly path: ByteString | undefined;
  /** Minor version of glibc 2. */
  readonly glibc: number;
  /** Where the version comes from: the loader's file, or a guess where there is none. */
  readonly versionFrom: 'file' | 'default' | 'option';
  /** Each with a slash at its end, in order. */
  readonly systemDirectories: readonly ByteString[];
  /** What `$LIB` stands for. */
  readonly lib: ByteString;
  readonly cachePath: ByteString;
}

/** Of a loader that cannot be read, as for a program of another machine: none that searches legacy subdirectories. */
const NEWEST = 42;

/** The last that searches the older hwcaps subdirectories is 2.36. */
const VERSION = /\bstable release version 2\.(\d+)/;

/** `SYSTEM_DIRS`: strings that start and end with a slash, one behind the other. */
const SYSTEM_DIRECTORIES = /\0((?:\/[!-~]*\/\0)+)/g;

const CACHE_PATH = /\0(\/[!-~]*\/ld\.so\.cache)\0/;

/**
 * Reads the loader of a program.
 * @param path its `PT_INTERP`; undefined for a library, which is loaded by the usual one of its architecture.
 * @throws ElfnoteError `unsupported` for one that is no glibc: musl searches by other rules.
 */
export function readLoader(
  path: ByteString | undefined,
  probe: LoaderProbe,
  architecture: Architecture,
): LoaderFacts {
  const places = path === undefined ? architecture.interpreters : [path];
  for (const place of places) {
    const bytes = probe.readFile(place);
    if (Buffer.isBuffer(bytes)) return readLoaderFile(place, bytes, architecture);
  }
  return guessed(path, architecture);
}

function guessed(path: ByteString | undefined, { is64, interpreters }: Architecture): LoaderFacts {
  if (path !== undefined && /\/ld-musl-[^/]*$/.test(path)) throw notGlibc(path);
  const lib = is64 ? 'lib64' : 'lib';
  const systemDirectories = is64 ? ['/lib64/', '/usr/lib64/', '/lib/', '/usr/lib/'] : ['/lib/', '/usr/lib/'];
  return {
    path: path ?? interpreters[0],
    glibc: NEWEST,
    versionFrom: 'default',
    systemDirectories,
    lib,
    cachePath: '/etc/ld.so.cache',
  };
}

function readLoaderFile(path: ByteString, bytes: Buffer, architecture: Architecture): LoaderFacts {
  const text = byteStringOf(bytes);
  // Every glibc calls its auditors by name; musl has none.
  if (!text.includes('la_objsearch\0')) throw notGlibc(path);
  const fallback = guessed(undefined, architecture);
  const systemDirectories = systemDirectoriesIn(text) ?? fallback.systemDirectories;
  const glibc = versionIn(text);
  return {
    path,
    glibc: glibc ?? NEWEST,
    versionFrom: glibc === undefined ? 'default' : 'file',
    systemDirectories,
    lib: libOf(systemDirectories) ?? fallback.lib,
    cachePath: CACHE_PATH.exec(text)?.[1] ?? fallback.cachePath,
  };
}

/** Since 2.33 the loader has a `--version`; older ones are told by the newest version that they define. */
function versionIn(text: ByteString): number | undefined {
  const stated = VERSION.exec(text)?.[1];
  if (stated !== undefined) return Number(stated);
  const defined = [...text.matchAll(/\0GLIBC_2\.(\d+)(?=\0)/g)].map(match => Number(match[1]));
  return defined.length === 0 ? undefined : Math.max(...defined);
}

function systemDirectoriesIn(text: ByteString): ByteString[] | undefined {
  const runs = [...text.matchAll(SYSTEM_DIRECTORIES)].map(match => (match[1] ?? '').split('\0').slice(0, -1));
  // Other strings of this form stand alone ("/var/tmp/"); the directories of libraries say so.
  const libraries = runs.filter(run => run.every(dir => /\/lib/.test(dir)));
  return libraries.sort((a, b) => b.length - a.length)[0];
}

/** `DL_DST_LIB`: the directory of the C library below its prefix. */
function libOf(systemDirectories: readonly ByteString[]): ByteString | undefined {
  return /\/(lib[^/]*(?:\/[^/]*-linux-[^/]*)?)\/$/.exec(systemDirectories[0] ?? '')?.[1];
}

function notGlibc(path: ByteString): ElfnoteError {
  return new ElfnoteError('unsupported', `its loader ${path} is no glibc, and searches by other rules`);
}
