import { posix } from 'node:path';
import { type ByteString, byteStringOf } from './elf/bytes.js';
import type { ElfImage } from './elf/image.js';
import type { ElfView } from './elf/view.js';
import { ElfnoteError } from './errors.js';
import { closureOfFile } from './loader/file-closure.js';
import { FileLoaderProbe } from './loader/file-probe.js';
import type { LoaderProbe } from './loader/probe.js';
import { SystemLibraries } from './loader/system-libraries.js';
import { dlopenSonames, readDlopenRequests } from './note/dlopen.js';
import { OWN_TYPE, ownNotesBehind } from './note/own.js';
import { FileSystemProbe } from './resolve/fs-probe.js';
import type { LibraryProbe } from './resolve/probe.js';
import { isImmutable, type Resolution, resolveImage } from './resolve/resolve.js';

export interface LookupOptions {
  /** A directory that holds the file system in which run paths are looked up. Default: this machine's. */
  readonly root?: string | undefined;
  /** Directories whose contents never change. Default: `NIX_STORE` from the environment, if set. */
  readonly storeDirs?: readonly string[] | undefined;
  /** Shared between files so that each directory is read once. Overrides `root`. */
  readonly probe?: LibraryProbe | undefined;
  /** Record also what helps no loader, as `patchelf --build-resolution-cache` does, byte for byte. */
  readonly likePatchelf?: boolean | undefined;
  /**
   * Record also what ld.so.cache or the default directories give, where the whole run path is in `storeDirs`. A loader
   * that does not find such a path any more searches as ever.
   */
  readonly systemLibraries?: boolean | undefined;
  /** Record also the sonames that the file, or an object of its closure, declares to dlopen (`.note.dlopen`). */
  readonly dlopen?: boolean | undefined;
  /** Shared between files so that each object of their closures is read once. Overrides `root`, as `probe` does. */
  readonly objects?: LoaderProbe | undefined;
}

/** How the closure of a file is looked up. */
export interface ClosureOptions extends LookupOptions {
  /**
   * Also write a closure note, by which the audit module answers for every object that the file loads. Without it, one
   * that is there is renewed.
   */
  readonly closure?: boolean | undefined;
  /** Let the closure note answer for what is in `storeDirs` without a look. A path that has gone is a start-up error. */
  readonly trustStore?: boolean | undefined;
}

/** What the file's own run path says of each soname, and what is asked for besides. @throws ElfnoteError */
export function resolveView(
  { image, source }: ElfView,
  probe: LibraryProbe,
  options: LookupOptions,
): Resolution {
  const { likePatchelf, systemLibraries, dlopen } = options;
  const system = systemLibraries ? systemLibrariesFor(options) : undefined;
  return resolveImage(image, probe, {
    storeRoots: storeRoots(options),
    likePatchelf,
    more: dlopen ? dlopenSonames(readDlopenRequests(image, source)) : undefined,
    systemLibrary: system && (soname => system.find(soname, image)),
  });
}

/**
 * How many libraries `systemLibraries` would record that the loader now searches for in the whole run path. Undefined for
 * none, and where nobody is to be told: it is on, no store is known, or a Nix build is to know nothing of its machine.
 */
export function countOnSystem(
  { components, unresolved }: Resolution,
  image: ElfImage,
  options: LookupOptions,
): number | undefined {
  if (options.systemLibraries || options.likePatchelf || process.env.NIX_BUILD_TOP !== undefined)
    return undefined;
  const names = unresolved.filter(({ why }) => why === 'not-found');
  if (names.length === 0 || storeRoots(options) === undefined || !isImmutable(components)) return undefined;
  const system = systemLibrariesFor(options);
  return names.filter(({ soname }) => system.find(soname, image) !== undefined).length || undefined;
}

const SYSTEM_LIBRARIES = new WeakMap<LoaderProbe, SystemLibraries>();

/** What a loader finds without a run path, in `root` or on this machine. */
export function systemLibrariesFor(options: LookupOptions): SystemLibraries {
  const objects = objectsFor(options);
  const known = SYSTEM_LIBRARIES.get(objects) ?? new SystemLibraries(objects);
  SYSTEM_LIBRARIES.set(objects, known);
  return known;
}

function objectsFor(options: LookupOptions): LoaderProbe {
  return options.objects ?? new FileLoaderProbe(options.root);
}

/** What a file's notes are to say. */
export interface Looked {
  readonly resolution: Resolution;
  /** Whole notes that come behind the cache note. */
  readonly extraNotes: readonly Buffer[];
  readonly warnings: readonly string[];
}

/**
 * Looks up all that a file's notes are to say. A closure note is behind a cache note, so a file that carries one gets a
 * cache note also where that helps no patched loader.
 *
 * @throws ElfnoteError
 */
export function lookUpFile(view: ElfView, probe: LibraryProbe, options: ClosureOptions): Looked {
  const resolution = resolveView(view, probe, options);
  const alone = { resolution, extraNotes: [], warnings: [] };
  if (!(options.closure ?? hasClosureNote(view))) return alone;
  const closure = closureOf(view.source.path, probe, options);
  if (typeof closure === 'string') return { ...alone, warnings: [`gets no closure note: ${closure}`] };
  const anchored =
    resolution.entries.length > 0 ? resolution : resolveView(view, probe, { ...options, likePatchelf: true });
  return { resolution: anchored, extraNotes: [closure], warnings: [] };
}

function hasClosureNote({ image, source }: ElfView): boolean {
  const [note] = image.cacheNotes;
  if (note === undefined) return false;
  return ownNotesBehind(image, source, note).some(({ n_type }) => n_type === OWN_TYPE.closure);
}

/** The whole note, or why there is none. */
function closureOf(path: string, probe: LibraryProbe, options: ClosureOptions): Buffer | string {
  const { root, systemLibraries, trustStore, dlopen } = options;
  try {
    const found = closureOfFile(path, {
      root,
      systemLibraries,
      trustStore,
      dlopen,
      storeRoots: storeRoots(options),
      libraries: probe,
      objects: objectsFor(options),
    });
    return found.note ?? found.why;
  } catch (error) {
    if (error instanceof ElfnoteError && error.code === 'unsupported') return error.message;
    throw error;
  }
}

/** The caller's, so that directories are read once; else a new one. */
export function probeFor(options: LookupOptions): LibraryProbe {
  return options.probe ?? new FileSystemProbe(options.root);
}

/** Directories whose contents never change; undefined where none are known. */
export function storeRoots(options: LookupOptions): ByteString[] | undefined {
  const fromEnvironment = process.env.NIX_STORE;
  const dirs = options.storeDirs ?? (fromEnvironment ? [fromEnvironment] : undefined);
  return dirs?.map(dir => byteStringOf(Buffer.from(posix.resolve(dir))));
}
