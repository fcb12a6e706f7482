import { posix } from 'node:path';
import { type ByteString, byteStringOf } from './elf/bytes.js';
import type { ElfImage } from './elf/image.js';
import type { ElfView } from './elf/view.js';
import { ElfnoteError } from './errors.js';
import { closureOfFile, type FileClosure } from './loader/file-closure.js';
import { FileLoaderProbe } from './loader/file-probe.js';
import type { LoaderProbe } from './loader/probe.js';
import { answersLost, areOfSystem, hasTrusted } from './loader/renewal.js';
import { SystemLibraries } from './loader/system-libraries.js';
import type { ClosureNote } from './note/closure.js';
import { decodeClosureDescriptor } from './note/closure-decode.js';
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
   * Also write a closure note, by which the audit module answers for every object that the file loads. Undefined: one that
   * is there is renewed, with `systemLibraries`, `trustStore` and `dlopen` as it shows that they were, where they are not
   * said.
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

/**
 * What a loader finds without a run path, in `root` or on this machine. What is opened for that is not remembered for
 * closures: the file may be under work, and its size another when it is finished.
 */
export function systemLibrariesFor(options: LookupOptions): SystemLibraries {
  const objects = objectsFor(options);
  const own = () => (objects instanceof FileLoaderProbe ? objects.anew() : objects);
  const known = SYSTEM_LIBRARIES.get(objects) ?? new SystemLibraries(own());
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

/** The closure note that a file carries and that is renewed; without a note where it cannot be read. */
export interface OlderClosure {
  readonly note: ClosureNote | undefined;
}

/** Undefined for none, and where the options alone tell whether the file is to have one. @throws ElfnoteError */
export function closureToRenew(view: ElfView, { closure }: ClosureOptions): OlderClosure | undefined {
  return closure === undefined ? readClosureNote(view) : undefined;
}

/**
 * Looks up all that a file's notes are to say. A closure note is behind a cache note, so a file that carries one gets a
 * cache note also where that helps no patched loader.
 *
 * @param older of `closureToRenew`. @throws ElfnoteError
 */
export function lookUpFile(
  view: ElfView,
  probe: LibraryProbe,
  given: ClosureOptions,
  older: OlderClosure | undefined,
): Looked {
  if (!(given.closure ?? older !== undefined))
    return { resolution: resolveView(view, probe, given), extraNotes: [], warnings: [] };
  const { options, closure, warnings } = lookUpClosure(view, probe, given, older?.note);
  const resolution = resolveView(view, probe, options);
  if (typeof closure === 'string') {
    return { resolution, extraNotes: [], warnings: [...warnings, `gets no closure note: ${closure}`] };
  }
  const anchored =
    resolution.entries.length > 0 ? resolution : resolveView(view, probe, { ...options, likePatchelf: true });
  return { resolution: anchored, extraNotes: [closure.note], warnings };
}

function readClosureNote({ image, source }: ElfView): OlderClosure | undefined {
  const [cache] = image.cacheNotes;
  if (cache === undefined) return undefined;
  const found = ownNotesBehind(image, source, cache).find(({ n_type }) => n_type === OWN_TYPE.closure);
  if (found === undefined) return undefined;
  const { descOffset, n_descsz } = found;
  try {
    const descriptor = source.read(descOffset, n_descsz);
    return { note: decodeClosureDescriptor(descriptor, image.encoding, descOffset) };
  } catch (error) {
    if (error instanceof ElfnoteError && error.code === 'malformed-note') return { note: undefined };
    throw error;
  }
}

interface ClosureLookedUp {
  /** With those that the older note was written with. */
  readonly options: ClosureOptions;
  /** A note, or why there is none. */
  readonly closure: Extract<FileClosure, { readonly note: Buffer }> | string;
  readonly warnings: readonly string[];
}

/** @param older is renewed by the options that it shows; undefined where those that are given are all that count. */
function lookUpClosure(
  { image, source: { path } }: ElfView,
  probe: LibraryProbe,
  given: ClosureOptions,
  older: ClosureNote | undefined,
): ClosureLookedUp {
  const hasStore = storeRoots(given) !== undefined;
  const shown = new Set<'--trust-store' | '--system-libraries'>();
  let options = given;
  if (older !== undefined && given.trustStore === undefined && hasTrusted(older)) {
    shown.add('--trust-store');
    options = { ...options, trustStore: true };
  }
  let closure = closureOf(path, probe, options);
  const lost = () =>
    older === undefined || typeof closure === 'string' ? [] : answersLost(older, closure.content);
  if (given.systemLibraries === undefined && areOfSystem(lost(), systemLibrariesFor(given), image)) {
    shown.add('--system-libraries');
    options = { ...options, systemLibraries: true };
    if (hasStore) closure = closureOf(path, probe, options);
  }
  const without = lost().length;
  if (given.dlopen === undefined && without > 0) {
    const other = closureOf(path, probe, { ...options, dlopen: true });
    if (
      older !== undefined &&
      typeof other !== 'string' &&
      answersLost(older, other.content).length < without
    ) {
      options = { ...options, dlopen: true };
      closure = other;
    }
  }
  const forgotten = hasStore ? [] : [...shown];
  return {
    options,
    closure,
    warnings: forgotten.map(option => `${FORGOTTEN} ${option}, and needs --store-dir for it`),
  };
}

const FORGOTTEN = 'its closure note is renewed without';

/** The note, or why there is none. */
function closureOf(path: string, probe: LibraryProbe, options: ClosureOptions): ClosureLookedUp['closure'] {
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
    return found.note === undefined ? found.why : found;
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
