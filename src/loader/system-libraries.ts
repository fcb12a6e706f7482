import type { ByteString } from '../elf/bytes.js';
import type { ElfImage } from '../elf/image.js';
import { judgeCandidate } from '../resolve/candidate.js';
import { architectureOf } from './architectures.js';
import { processorNamed } from './hwcaps.js';
import { type LoaderFacts, readLoader } from './interpreter.js';
import { LdCache } from './ld-cache.js';
import { hasNoDefaultLibraries } from './object.js';
import type { LoaderProbe } from './probe.js';

/**
 * What ld.so finds when the run path has nothing: ld.so.cache, then the default directories, of the usual loader of an
 * object's architecture. Each is read once for all objects of one kind.
 */
export class SystemLibraries {
  readonly #probe: LoaderProbe;
  readonly #kinds = new Map<string, Kind>();

  constructor(probe: LoaderProbe) {
    this.#probe = probe;
  }

  /**
   * The path that ld.so takes for a name, whatever the processor.
   * @returns undefined where there is none, and where there is one for some processors alone: that is for the loader to
   * tell. So is what an object finds that was linked with `-z nodefaultlib`.
   */
  find(name: ByteString, image: ElfImage): ByteString | undefined {
    if (hasNoDefaultLibraries(image)) return undefined;
    const kind = this.#kindOf(image);
    const cached = kind.cache?.findPlain(name);
    if (cached === 'depends') return undefined;
    const places = kind.loader.systemDirectories;
    if (cached === undefined && places.some(dir => this.#probe.isDirectory(`${dir}glibc-hwcaps`)))
      return undefined;
    const paths = cached === undefined ? places.map(dir => `${dir}${name}`) : [cached];
    return paths.find(path => this.#isAccepted(path, image));
  }

  /** Whether ld.so finds the name there at all, on some processor. */
  has(name: ByteString, image: ElfImage): boolean {
    const { cache, loader } = this.#kindOf(image);
    const cached = cache?.findPlain(name);
    if (cached === 'depends') return true;
    const paths = [
      ...(cached === undefined ? [] : [cached]),
      ...loader.systemDirectories.map(dir => `${dir}${name}`),
    ];
    return paths.some(path => this.#isAccepted(path, image));
  }

  #isAccepted(path: ByteString, image: ElfImage): boolean {
    const opened = this.#probe.open(path);
    return opened.kind === 'opened' && judgeCandidate(opened.candidate, image).kind === 'accepted';
  }

  #kindOf(image: ElfImage): Kind {
    const { encoding, header } = image;
    const key = [encoding.is64, encoding.littleEndian, header.e_machine, header.e_flags].join();
    const known = this.#kinds.get(key);
    if (known !== undefined) return known;
    const architecture = architectureOf(image);
    const loader = readLoader(undefined, this.#probe, architecture);
    const content = this.#probe.readFile(loader.cachePath);
    const none = processorNamed('none', architecture);
    const cache = Buffer.isBuffer(content) ? LdCache.read(content, encoding, architecture, none) : undefined;
    const kind = { loader, cache };
    this.#kinds.set(key, kind);
    return kind;
  }
}

interface Kind {
  readonly loader: LoaderFacts;
  readonly cache: LdCache | undefined;
}
