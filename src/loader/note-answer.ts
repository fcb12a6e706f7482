import type { ByteString } from '../elf/bytes.js';
import { ET_DYN } from '../elf/constants.js';
import type { ElfImage } from '../elf/image.js';
import type { CacheStep } from '../note/cache.js';
import { type ClosureNote, type ClosureObject, type ClosureStep, checkOf, ORIGIN } from '../note/closure.js';
import { judgeCandidate } from '../resolve/candidate.js';
import { joinPath, splitRunPath, stripTrailingSlashes } from '../resolve/components.js';
import type { Architecture } from './architectures.js';
import type { ObjectFacts } from './object.js';
import type { LoaderProbe } from './probe.js';

/**
 * Who reads notes: nobody, a loader with nixpkgs' patch, or a stock loader with the audit module. `cache`: nobody, but the
 * loader asks ld.so.cache before the run path, as that of Guix asks the one of the program's package.
 */
export type Reader = 'none' | 'patched' | 'audit' | 'cache';

/** What the audit module says: the path to open, or why the loader has to search. */
export type Answer = { readonly path: ByteString } | { readonly why: string };

/** The notes by which objects are served: their own, or those that they would get. */
export interface Notes {
  has(facts: ObjectFacts): boolean;
  /** The path-list of a soname in the cache note of an object. */
  steps(facts: ObjectFacts, soname: ByteString): readonly CacheStep[] | undefined;
  closure(facts: ObjectFacts): ClosureNote | undefined;
}

/** The object that asks, as the module sees it. */
export interface Requester {
  readonly facts: ObjectFacts;
  /** `l_name`: empty for the program. */
  readonly name: ByteString;
  /** Its directory, as the loader has it for `$ORIGIN`. */
  readonly origin: ByteString;
}

/** In bytes; a longer `LD_LIBRARY_PATH` makes the module stand aside. */
const LONGEST_LIBRARY_PATH = 32768;

/** The module keeps no more objects that carry a closure note. */
const MOST_CARRIERS = 16;

const ONLY_THE_LOADER = 'the note has an element that only the loader understands';
const TO_SEARCH = 'the note has a directory that the loader has to search';
const IN_LIBRARY_PATH = 'LD_LIBRARY_PATH may hold it';
const NOT_THERE = 'no path of the note is there';
const ASIDE = 'LD_LIBRARY_PATH has more to it than plain directories';

interface Carrier {
  readonly requester: Requester;
  readonly objects: ReadonlyMap<ByteString, ClosureObject>;
}

/** What the module knows of the object that asks (audit/requester.c). */
interface Served {
  readonly closure?: { readonly carrier: Carrier; readonly object: ClosureObject };
  readonly hasChanged: boolean;
  /** False for one that a closure note names: its own cache note is then not read. */
  readonly readsOwn: boolean;
}

/** What the audit module answers in one process, by its rules in docs/loader.md (audit/answer.c). */
export class AuditModule {
  /** Why it leaves the whole process alone; undefined where it does not. */
  readonly aside: string | undefined;
  readonly #probe: LoaderProbe;
  readonly #notes: Notes;
  readonly #image: Pick<ElfImage, 'encoding' | 'header'>;
  readonly #libraryPath: readonly ByteString[];
  readonly #subdirectories: readonly string[];
  readonly #served = new Map<ByteString, Served>();
  readonly #carriers: Carrier[] = [];

  /** @param image of the program: what a library has to be for. */
  constructor(
    probe: LoaderProbe,
    notes: Notes,
    image: Pick<ElfImage, 'encoding' | 'header'>,
    libraryPath: ByteString,
    { capabilities, platforms }: Architecture,
  ) {
    this.#probe = probe;
    this.#notes = notes;
    this.#image = image;
    this.#libraryPath = libraryPath === '' ? [] : libraryPath.split(/[:;]/);
    this.#subdirectories = ['glibc-hwcaps', 'tls', ...capabilities, ...platforms];
    this.aside = this.#whyAside(libraryPath);
  }

  answer(requester: Requester, soname: ByteString): Answer {
    if (this.aside !== undefined) return { why: this.aside };
    const served = this.#serve(requester);
    const { closure } = served;
    const listed = closure?.object.answers.find(answer => answer.soname === soname);
    if (closure !== undefined && listed !== undefined)
      return this.#chooseOfClosure(listed.steps, closure.carrier, soname);
    const { facts } = requester;
    const hasRunPath = facts.runpath !== undefined || facts.rpath !== undefined;
    const steps = served.readsOwn && hasRunPath ? this.#notes.steps(facts, soname) : undefined;
    if (steps === undefined) return { why: this.#whyNone(requester, served) };
    if (facts.rpath === undefined && this.#libraryPathMayHold(soname)) return { why: IN_LIBRARY_PATH };
    return this.#chooseOfCache(steps, requester, soname);
  }

  #whyNone({ facts }: Requester, { closure, hasChanged, readsOwn }: Served): string {
    if (hasChanged) return 'it is not what it was when the note was made';
    const hasNote = closure !== undefined || (readsOwn && this.#notes.has(facts));
    return hasNote ? 'the note does not name it' : 'there is no note to go by';
  }

  /** A closure note of an object that came before, or the object's own notes. */
  #serve(requester: Requester): Served {
    const known = this.#served.get(requester.name);
    if (known !== undefined) return known;
    const served = this.#findServed(requester);
    this.#served.set(requester.name, served);
    return served;
  }

  #findServed(requester: Requester): Served {
    const check = checkOf(askedOf(requester.facts));
    let hasChanged = false;
    for (const carrier of this.#carriers) {
      const object = carrier.objects.get(requester.name);
      hasChanged = object !== undefined && object.check !== check;
      if (object !== undefined && !hasChanged)
        return { closure: { carrier, object }, hasChanged, readsOwn: false };
    }
    const note = this.#notes.closure(requester.facts);
    const own = note?.objects[0];
    if (note === undefined || own === undefined || this.#carriers.length === MOST_CARRIERS)
      return { hasChanged, readsOwn: true };
    if (own.check !== check) return { hasChanged: true, readsOwn: true };
    const expand = (path: ByteString) => expandOrigin(path, requester.origin);
    const objects = new Map(note.objects.slice(1).map(object => [expand(object.path), object]));
    const carrier = { requester, objects };
    this.#carriers.push(carrier);
    return { closure: { carrier, object: own }, hasChanged: false, readsOwn: true };
  }

  #chooseOfCache(steps: readonly CacheStep[], requester: Requester, soname: ByteString): Answer {
    const { rpath } = requester.facts;
    const own = rpath === undefined ? undefined : splitRunPath(rpath).map(stripTrailingSlashes);
    for (const step of steps) {
      const place = step.kind === 'path' ? directoryOf(step.path) : step.dir;
      const dir = expandedHint(place, requester.origin);
      const isOwn = own === undefined || own.includes(stripTrailingSlashes(place));
      const isCandidate = step.kind === 'hint' || (isPlain(step.path) && step.path.endsWith(`/${soname}`));
      if (!isOwn || !isCandidate || dir === undefined) return { why: ONLY_THE_LOADER };
      if (step.kind === 'path') {
        if (this.#canOpen(step.path)) return { path: step.path };
        continue;
      }
      const answer = this.#lookInto(dir, soname);
      if (answer !== undefined) return answer;
    }
    return { why: NOT_THERE };
  }

  #chooseOfClosure(steps: readonly ClosureStep[], carrier: Carrier, soname: ByteString): Answer {
    let isBehindLibraryPath = false;
    for (const step of steps) {
      if (!step.beforeLibraryPath && !isBehindLibraryPath && this.#libraryPathMayHold(soname))
        return { why: IN_LIBRARY_PATH };
      isBehindLibraryPath = !step.beforeLibraryPath;
      const place = step.kind === 'path' ? step.path : step.dir;
      const path = expandOrigin(place, carrier.requester.origin);
      if (step.kind === 'hint') {
        const answer = this.#lookInto(path, soname);
        if (answer !== undefined) return answer;
      } else if (carrier.objects.get(path)?.size === 'trusted' || this.#isLibrary(path)) {
        return { path };
      }
    }
    return { why: NOT_THERE };
  }

  /** Undefined for a directory that does not hold the library. */
  #lookInto(dir: ByteString, soname: ByteString): Answer | undefined {
    if (this.#hasSubdirectories(dir)) return { why: TO_SEARCH };
    const path = joinPath(dir, soname);
    if (!this.#mayExist(path)) return undefined;
    return this.#isLibrary(path) ? { path } : { why: TO_SEARCH };
  }

  #canOpen(path: ByteString): boolean {
    const opened = this.#probe.open(path);
    return opened.kind === 'opened' && !this.#probe.isDirectory(path);
  }

  #isLibrary(path: ByteString): boolean {
    const opened = this.#probe.open(path);
    if (opened.kind === 'failed' || opened.candidate.kind !== 'elf') return false;
    return (
      opened.candidate.e_type === ET_DYN && judgeCandidate(opened.candidate, this.#image).kind === 'accepted'
    );
  }

  #whyAside(libraryPath: ByteString): string | undefined {
    if (libraryPath.includes('$') || libraryPath.length > LONGEST_LIBRARY_PATH) return ASIDE;
    return this.#libraryPath.some(dir => isPlain(dir) && this.#hasSubdirectories(dir)) ? ASIDE : undefined;
  }

  #libraryPathMayHold(soname: ByteString): boolean {
    return this.#libraryPath.some(
      dir =>
        this.#mayExist(dir === '' ? soname : joinPath(dir, soname)) ||
        (!isPlain(dir) && this.#hasSubdirectories(dir)),
    );
  }

  #hasSubdirectories(dir: ByteString): boolean {
    const below = (name: string) => (dir === '' ? name : joinPath(dir, name));
    return this.#mayExist(below('.')) && this.#subdirectories.some(name => this.#mayExist(below(name)));
  }

  /** True also where it cannot be known. */
  #mayExist(path: ByteString): boolean {
    const code = this.#probe.access(path);
    return code !== 'ENOENT' && code !== 'ENOTDIR';
  }
}

function askedOf({ image, runpath, rpath }: ObjectFacts): Parameters<typeof checkOf>[0] {
  return { needed: image.dynamic?.needed ?? [], runpath, rpath };
}

function isPlain(path: ByteString): boolean {
  return path.startsWith('/') && !path.includes('$');
}

function directoryOf(path: ByteString): ByteString {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

/** A path of a closure note, whose `$ORIGIN` is the directory of the object that carries it. */
function expandOrigin(path: ByteString, origin: ByteString): ByteString {
  return path.startsWith(ORIGIN) ? `${origin}${path.slice(ORIGIN.length)}` : path;
}

/** A directory of a cache note as the loader has it; undefined where only the loader can tell. */
function expandedHint(dir: ByteString, origin: ByteString): ByteString | undefined {
  const rest = /^\$(?:ORIGIN|\{ORIGIN\})((?:\/[^$]*)?)$/s.exec(dir)?.[1];
  if (rest !== undefined) return stripTrailingSlashes(`${origin}${rest}`);
  return isPlain(dir) ? stripTrailingSlashes(dir) : undefined;
}
