import type { ByteString } from '../elf/bytes.js';
import type { CacheStep } from '../note/cache.js';
import type { SearchComponent } from '../resolve/components.js';
import { classifyComponent } from '../resolve/components.js';
import type { LibraryProbe } from '../resolve/probe.js';
import { resolveSoname, runPathOf } from '../resolve/resolve.js';
import type { Notes } from './note-answer.js';
import type { ObjectFacts } from './object.js';

/** The notes that the objects have. */
export const OWN_NOTES: Notes = {
  has: ({ note }) => note !== undefined,
  steps: ({ note }, soname) => note?.find(entry => entry.soname === soname)?.steps,
  closure: ({ closure }) => closure,
};

/** The notes that build-cache would give the objects, each soname worked out when it is asked for. */
export class ExpectedNotes implements Notes {
  readonly #libraries: LibraryProbe;
  readonly #storeRoots: readonly ByteString[] | undefined;
  readonly #classified = new Map<ByteString, SearchComponent>();
  readonly #components = new Map<ObjectFacts, readonly SearchComponent[]>();

  /** @param storeRoots directories whose contents never change; undefined when none are known. */
  constructor(libraries: LibraryProbe, storeRoots: readonly ByteString[] | undefined) {
    this.#libraries = libraries;
    this.#storeRoots = storeRoots;
  }

  has(facts: ObjectFacts): boolean {
    return runPathOf(facts.image).components.length > 0;
  }

  steps(facts: ObjectFacts, soname: ByteString): readonly CacheStep[] | undefined {
    const found = resolveSoname(soname, this.#componentsOf(facts), facts.image, this.#libraries);
    return 'steps' in found ? found.steps : undefined;
  }

  /** None: this tells what the notes in each object do. */
  closure(): undefined {
    return undefined;
  }

  #componentsOf(facts: ObjectFacts): readonly SearchComponent[] {
    let components = this.#components.get(facts);
    if (components === undefined) {
      components = [...new Set(runPathOf(facts.image).components)].map(one => this.#classify(one));
      this.#components.set(facts, components);
    }
    return components;
  }

  #classify(component: ByteString): SearchComponent {
    let classified = this.#classified.get(component);
    if (classified === undefined) {
      classified = classifyComponent(component, this.#libraries, this.#storeRoots);
      this.#classified.set(component, classified);
    }
    return classified;
  }
}
