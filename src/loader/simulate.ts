import type { ByteString } from '../elf/bytes.js';
import type { Architecture } from './architectures.js';
import { type Closure, ClosureBuilder } from './closure.js';
import { Directories } from './directories.js';
import { type Processor, subdirectoriesOf } from './hwcaps.js';
import type { LoaderFacts } from './interpreter.js';
import { LdCache } from './ld-cache.js';
import { AuditModule, type Notes, type Reader } from './note-answer.js';
import { OWN_NOTES } from './notes.js';
import type { ObjectFacts } from './object.js';
import type { LoaderProbe } from './probe.js';
import { type Asking, type Process, Search } from './search.js';
import { tokensOf } from './tokens.js';

/** The machine that a loader runs on, and what it has compiled in. */
export interface Machine {
  readonly architecture: Architecture;
  readonly loader: LoaderFacts;
  readonly processor: Processor;
}

const MOST_LOOKUPS = 1_000_000;

/** What a process is started with; texts are byte strings. */
export interface Start {
  /** `LD_LIBRARY_PATH`. Default: none. */
  readonly libraryPath?: ByteString | undefined;
  /** A file of a few kilobytes can ask for any number of look-ups. Default: a million. */
  readonly mostLookups?: number | undefined;
  /** Names of `LD_PRELOAD`, in order. */
  readonly preload?: readonly ByteString[] | undefined;
  /** Each object opens what it declares to dlopen, when all is loaded. Default: none does. */
  readonly dlopen?: boolean | undefined;
  /** Who reads notes. Default: nobody. */
  readonly with?: Reader | undefined;
  /** Default: those that are there. */
  readonly notes?: Notes | undefined;
  /** Where the process starts, for relative paths. */
  readonly workingDirectory: ByteString;
  /** ld.so.cache. Default: the file that the loader reads. */
  readonly cacheFile?: (() => ReturnType<LoaderProbe['readFile']>) | undefined;
}

/**
 * Simulates ld.so over the closure of a program. Pure: all that is known of files comes from the probe.
 * @param facts of the program.
 * @param path by which it is known: a program's real path, or that by which a library is opened.
 * @throws ElfnoteError `unsupported` for one that asks for too many look-ups.
 */
export function simulate(
  facts: ObjectFacts,
  path: ByteString,
  probe: LoaderProbe,
  machine: Machine,
  start: Start,
): Closure {
  const { loader, processor } = machine;
  const tokens = (of: ByteString) => tokensOf(of, start.workingDirectory, loader.lib, processor.platform);
  const main: Asking = { index: 0, facts, path, tokens: tokens(path), loader: undefined };
  const search = new Search(processOf(main, probe, machine, start));
  return new ClosureBuilder(search, tokens).build(
    main,
    path,
    loader,
    start.preload ?? [],
    start.dlopen ?? false,
  );
}

function processOf(main: Asking, probe: LoaderProbe, machine: Machine, start: Start): Process {
  const { architecture, loader, processor } = machine;
  const directories = new Directories(subdirectoriesOf(processor, loader.glibc));
  const { libraryPath = '', notes = OWN_NOTES } = start;
  const { encoding } = main.facts.image;
  return {
    probe,
    directories,
    loader,
    main,
    libraryPath: libraryPath === '' ? [] : directories.list(libraryPath, /[:;]/, main.tokens),
    systemPath: loader.systemDirectories.map(dir => directories.directory(dir)),
    reader: start.with ?? 'none',
    module: new AuditModule(probe, notes, main.facts.image, libraryPath, architecture),
    cacheFile: start.cacheFile ?? (() => probe.readFile(loader.cachePath)),
    readCache: content => LdCache.read(content, encoding, architecture, processor),
    notes,
    mostLookups: start.mostLookups ?? MOST_LOOKUPS,
  };
}
