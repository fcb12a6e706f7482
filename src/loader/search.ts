import type { ByteString } from '../elf/bytes.js';
import { ElfnoteError } from '../errors.js';
import { judgeCandidate } from '../resolve/candidate.js';
import type { Directories, SearchDirectory, TriedDirectory } from './directories.js';
import type { LoaderFacts } from './interpreter.js';
import type { LdCache } from './ld-cache.js';
import type { AuditModule, Notes, Reader } from './note-answer.js';
import type { ObjectFacts } from './object.js';
import type { LoaderProbe, Opened } from './probe.js';
import type { Place, Step, TriedPlace } from './record.js';
import { expandTokens, type Tokens } from './tokens.js';

/** An object that asks, with what the loader keeps of it. */
export interface Asking {
  readonly index: number;
  readonly facts: ObjectFacts;
  /** By which it was opened; of the program, its real path. */
  readonly path: ByteString;
  readonly tokens: Tokens;
  /** The object for which this one was loaded first (`l_loader`); undefined of the program. */
  readonly loader: Asking | undefined;
}

/** What is the same for all searches of a process. */
export interface Process {
  readonly probe: LoaderProbe;
  readonly directories: Directories;
  readonly loader: LoaderFacts;
  readonly main: Asking;
  readonly libraryPath: readonly SearchDirectory[];
  readonly systemPath: readonly SearchDirectory[];
  readonly reader: Reader;
  readonly module: AuditModule;
  readonly cacheFile: () => ReturnType<LoaderProbe['readFile']>;
  readonly readCache: (bytes: Buffer) => LdCache | undefined;
  readonly notes: Notes;
  readonly mostLookups: number;
}

export type Found =
  | {
      readonly kind: 'opened';
      readonly path: ByteString;
      readonly place: Place;
      readonly identity: string;
      readonly facts: ObjectFacts;
    }
  | { readonly kind: 'fatal'; readonly path: ByteString; readonly place: Place; readonly why: string }
  /** Undefined for a name with `/`. */
  | { readonly kind: 'missing'; readonly places: readonly TriedPlace[] | undefined };

export interface SearchResult {
  readonly found: Found;
  readonly steps: readonly Step[];
  /** What the audit module put in the place of the name; undefined where it answered nothing. */
  readonly renamed: ByteString | undefined;
  readonly answer: string | undefined;
}

const RUN_PATH = /:/;
/** glibc 2.39 goes on after `ENOTDIR` too. */
const FIRST_TO_PASS_ENOTDIR = 39;

/** ld.so's search for a name (`_dl_map_new_object`, elf/dl-load.c), with every system call that it makes for it. */
export class Search {
  readonly #process: Process;
  readonly #runPaths = new Map<Asking, readonly SearchDirectory[]>();
  #cache: LdCache | 'none' | undefined;
  #steps: Step[] = [];
  #made = 0;
  /** `errno`: of the last call that failed. */
  #error = 'ENOENT';

  constructor(process: Process) {
    this.#process = process;
  }

  /** @param name as it stands in the file. */
  find(name: ByteString, asking: Asking): SearchResult {
    this.#steps = [];
    const { reader, module } = this.#process;
    let renamed: ByteString | undefined;
    let why: string | undefined;
    if (reader === 'audit' && !name.includes('/')) {
      const { facts, path, tokens } = asking;
      const requester = { facts, name: asking.index === 0 ? '' : path, origin: tokens.ORIGIN ?? '' };
      const answer = module.answer(requester, name);
      if ('path' in answer) renamed = answer.path;
      else why = answer.why;
    }
    const found =
      renamed !== undefined
        ? this.#open(renamed, { how: 'note', owner: asking.index })
        : name.includes('/')
          ? this.#openPath(name, asking)
          : this.#search(name, asking);
    const isSearched = renamed === undefined && !name.includes('/');
    const missing = { kind: 'missing', places: isSearched ? this.#placesFor(asking) : undefined } as const;
    return { found: found ?? missing, steps: this.#steps, renamed, answer: why };
  }

  #openPath(name: ByteString, { tokens }: Asking): Found | undefined {
    const path = expandTokens(name, tokens) ?? '';
    return this.#open(path, { how: 'path' });
  }

  #search(name: ByteString, asking: Asking): Found | undefined {
    const { libraryPath, systemPath } = this.#process;
    return (
      this.#inRunPaths(name, asking) ??
      this.#inDirectories(name, libraryPath, { how: 'library-path' }) ??
      this.#byNote(name, asking) ??
      this.#inRunPath(name, asking) ??
      this.#inCache(name, asking) ??
      (asking.facts.noDefaultLibraries
        ? undefined
        : this.#inDirectories(name, systemPath, { how: 'default' }))
    );
  }

  /** `DT_RPATH` of the object, of those for which it was loaded, up to the program; none of it with `DT_RUNPATH`. */
  #inRunPaths(name: ByteString, asking: Asking): Found | undefined {
    for (const one of this.#rpathsFor(asking)) {
      const found = this.#inDirectories(name, this.#runPathOf(one), { how: 'rpath', owner: one.index });
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #rpathsFor(asking: Asking): Asking[] {
    if (asking.facts.runpath !== undefined) return [];
    const chain: Asking[] = [];
    for (let at: Asking | undefined = asking; at !== undefined; at = at.loader) chain.push(at);
    return chain.filter(({ facts }) => facts.rpath !== undefined);
  }

  /** Every place of a search, in order; also directories that are known to be absent, and cost nothing any more. */
  #placesFor(asking: Asking): TriedPlace[] {
    const { libraryPath, systemPath, loader } = this.#process;
    const of = (list: readonly SearchDirectory[], rule: Pick<Place, 'how' | 'owner'>) =>
      list.map(({ prefix, tried }) => ({ directory: prefix, isAbsent: tried.length === 0, ...rule }));
    const { index, facts } = asking;
    const own = facts.runpath === undefined ? [] : this.#runPathOf(asking);
    return [
      ...this.#rpathsFor(asking).flatMap(one => of(this.#runPathOf(one), { how: 'rpath', owner: one.index })),
      ...of(libraryPath, { how: 'library-path' }),
      ...of(own, { how: 'runpath', owner: index }),
      { how: 'ld.so.cache', directory: loader.cachePath, isAbsent: this.#cache === 'none' },
      ...(facts.noDefaultLibraries ? [] : of(systemPath, { how: 'default' })),
    ];
  }

  #inRunPath(name: ByteString, asking: Asking): Found | undefined {
    if (asking.facts.runpath === undefined) return undefined;
    return this.#inDirectories(name, this.#runPathOf(asking), { how: 'runpath', owner: asking.index });
  }

  #runPathOf(asking: Asking): readonly SearchDirectory[] {
    let known = this.#runPaths.get(asking);
    if (known === undefined) {
      const text = asking.facts.runpath ?? asking.facts.rpath ?? '';
      known = text === '' ? [] : this.#process.directories.list(text, RUN_PATH, asking.tokens);
      this.#runPaths.set(asking, known);
    }
    return known;
  }

  /** nixpkgs' patch: an element after the other, and the ordinary walk where none serves. */
  #byNote(name: ByteString, asking: Asking): Found | undefined {
    const { reader, notes, directories } = this.#process;
    if (reader === 'cache') return this.#inCache(name, asking);
    if (reader !== 'patched') return undefined;
    const place = { how: 'note', owner: asking.index } as const;
    for (const step of notes.steps(asking.facts, name) ?? []) {
      // An empty hint is lost: `decompose_rpath` returns at once for an empty list.
      const list =
        step.kind === 'hint' && step.dir !== '' ? directories.list(step.dir, RUN_PATH, asking.tokens) : [];
      const found =
        step.kind === 'path' ? this.#open(step.path, place) : this.#inDirectories(name, list, place);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #inCache(name: ByteString, { facts }: Asking): Found | undefined {
    this.#cache ??= this.#loadCache();
    const path = this.#cache === 'none' ? undefined : this.#cache.find(name);
    if (path === undefined) return undefined;
    const { systemDirectories } = this.#process.loader;
    if (facts.noDefaultLibraries && systemDirectories.some(dir => path.startsWith(dir))) return undefined;
    return this.#open(path, { how: 'ld.so.cache' });
  }

  #loadCache(): LdCache | 'none' {
    const { cacheFile, loader, readCache } = this.#process;
    const bytes = cacheFile();
    const result = Buffer.isBuffer(bytes) ? 'found' : 'failed';
    const why = Buffer.isBuffer(bytes) ? '' : bytes.code;
    this.#steps.push({ call: 'cache', path: loader.cachePath, result, why, place: { how: 'ld.so.cache' } });
    return (Buffer.isBuffer(bytes) ? readCache(bytes) : undefined) ?? 'none';
  }

  /** `open_path`: each directory with its subdirectories, and the memory of those that are not there. */
  #inDirectories(
    name: ByteString,
    list: readonly SearchDirectory[],
    rule: Pick<Place, 'how' | 'owner'>,
  ): Found | undefined {
    for (const directory of list) {
      if (directory.tried.length === 0) continue;
      const found = this.#inDirectory(name, directory, { directory: directory.prefix, ...rule });
      if (found !== undefined) return found;
      // Where a file is there and cannot be opened, the loader leaves the list, but for these reasons.
      if (directory.tried.length > 0 && !this.#goesOnAfter(this.#error)) return undefined;
    }
    return undefined;
  }

  #goesOnAfter(error: string): boolean {
    if (error === 'ENOTDIR') return this.#process.loader.glibc >= FIRST_TO_PASS_ENOTDIR;
    return error === 'ENOENT' || error === 'EACCES';
  }

  #inDirectory(name: ByteString, directory: SearchDirectory, place: Place): Found | undefined {
    let isAnyAbsent = false;
    for (const tried of directory.tried) {
      const found = this.#open(`${tried.prefix}${name}`, place);
      if (found !== undefined) {
        tried.known = true;
        if (isAnyAbsent) forgetAbsent(directory, tried);
        return found;
      }
      if (tried.known) continue;
      tried.known = this.#isDirectory(tried.prefix, place);
      isAnyAbsent ||= !tried.known;
    }
    if (isAnyAbsent) forgetAbsent(directory);
    return undefined;
  }

  #isDirectory(path: ByteString, place: Place): boolean {
    const trimmed = path.replace(/(?<=.)\/$/, '');
    const there = this.#process.probe.isDirectory(trimmed);
    const result = there ? 'found' : 'failed';
    if (!there) this.#error = 'ENOENT';
    this.#steps.push({ call: 'stat', path: trimmed, result, why: there ? '' : 'ENOENT', place });
    return there;
  }

  /** @throws ElfnoteError `unsupported` */
  #count(): void {
    const { mostLookups } = this.#process;
    if (this.#made++ >= mostLookups)
      throw new ElfnoteError('unsupported', `asks for more than ${mostLookups} look-ups`);
  }

  /** `open_verify`: undefined where the search goes on. */
  #open(path: ByteString, place: Place): Found | undefined {
    this.#count();
    const opened = this.#process.probe.open(path);
    const { result, why } = this.#judge(opened);
    this.#steps.push({ call: 'open', path, result, why, place });
    // `open_verify` leaves ENOENT behind when it passes over a file.
    if (result !== 'found') this.#error = result === 'failed' ? why : 'ENOENT';
    if (result === 'fatal') return { kind: 'fatal', path, place, why };
    if (result !== 'found' || opened.kind !== 'opened' || opened.facts === undefined) return undefined;
    return { kind: 'opened', path, place, identity: opened.identity, facts: opened.facts };
  }

  #judge(opened: Opened): Pick<Step, 'result' | 'why'> {
    if (opened.kind === 'failed') return { result: 'failed', why: opened.code };
    const verdict = judgeCandidate(opened.candidate, this.#process.main.facts.image);
    if (verdict.kind !== 'accepted') return { result: verdict.kind, why: verdict.why };
    if (opened.facts === undefined) return { result: 'fatal', why: opened.fault ?? 'cannot be read' };
    return opened.facts.isProgram
      ? { result: 'fatal', why: 'is a program, not a library' }
      : { result: 'found', why: '' };
  }
}

/** @param last the one where the search ended; what the loader knows of those behind it stays as it is. */
function forgetAbsent(directory: SearchDirectory, last?: TriedDirectory): void {
  const end = last === undefined ? directory.tried.length : directory.tried.indexOf(last);
  directory.tried = directory.tried.filter(({ known }, i) => known || i >= end);
}
