import type { ByteString } from '../elf/bytes.js';
import type { CacheStep } from '../note/cache.js';
import { joinPath } from '../resolve/components.js';
import type { Architecture } from './architectures.js';
import type { LoaderProbe } from './probe.js';

/** Who reads notes: nobody, a loader with nixpkgs' patch, or a stock loader with the audit module. */
export type Reader = 'none' | 'patched' | 'audit';

/** What the audit module says: the path to open, or why the loader has to search. */
export type Answer = { readonly path: ByteString } | { readonly why: string };

/** In bytes; a longer `LD_LIBRARY_PATH` makes the module stand aside. */
const LONGEST_LIBRARY_PATH = 32768;

/** What the audit module (audit/reader.c) answers in one process, by its rules in docs/loader.md. */
export class AuditModule {
  /** Why it leaves the whole process alone; undefined where it does not. */
  readonly aside: string | undefined;
  readonly #probe: LoaderProbe;
  readonly #libraryPath: readonly ByteString[];
  readonly #subdirectories: readonly string[];

  constructor(
    probe: LoaderProbe,
    libraryPath: ByteString,
    architecture: Architecture,
    platform: string | undefined,
  ) {
    this.#probe = probe;
    this.#libraryPath = libraryPath === '' ? [] : libraryPath.split(/[:;]/);
    const { capabilities, platforms } = architecture;
    const own = architecture.name === 'x86_64' ? platforms.filter(name => name !== 'x86_64') : [];
    this.#subdirectories = ['glibc-hwcaps', 'tls', ...capabilities, ...own, ...(platform ? [platform] : [])];
    this.aside = this.#whyAside(libraryPath);
  }

  /** @param listOf gives the path-list from the note of the object that asks; undefined where it has none. */
  answer(soname: ByteString, listOf: (() => readonly CacheStep[] | undefined) | undefined): Answer {
    if (this.aside !== undefined) return { why: this.aside };
    if (listOf === undefined) return { why: 'there is no note to go by' };
    const steps = listOf();
    if (steps === undefined) return { why: 'the note does not name it' };
    if (this.#libraryPathMayHold(soname)) return { why: 'LD_LIBRARY_PATH may hold it' };
    for (const step of steps) {
      if (step.kind === 'path') {
        if (!isPlain(step.path) || !step.path.endsWith(`/${soname}`)) return { why: NOT_PLAIN };
        if (this.#probe.access(step.path, 'readable') === undefined) return { path: step.path };
      } else if (!isPlain(step.dir)) {
        return { why: NOT_PLAIN };
      } else if (this.#mayExist(joinPath(step.dir, soname)) || this.#hasSubdirectories(step.dir)) {
        return { why: 'the note has a directory that the loader has to search' };
      }
    }
    return { why: 'no path of the note is there' };
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
    const code = this.#probe.access(path, 'exists');
    return code !== 'ENOENT' && code !== 'ENOTDIR';
  }
}

const ASIDE = 'LD_LIBRARY_PATH has more to it than plain directories';
const NOT_PLAIN = 'the note has an element that only the loader understands';

function isPlain(path: ByteString): boolean {
  return path.startsWith('/') && !path.includes('$');
}
