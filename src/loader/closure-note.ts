import type { ByteString } from '../elf/bytes.js';
import {
  type ClosureAnswer,
  type ClosureNote,
  type ClosureObject,
  type ClosureStep,
  checkOf,
  ORIGIN,
} from '../note/closure.js';
import type { ClosureEdge, ClosureNode, EdgeCandidate } from './edges.js';

export interface ClosureNoteOptions {
  /** Directories whose contents never change. What is outside of them is not recorded; undefined: all is. */
  readonly storeRoots?: readonly ByteString[] | undefined;
  /**
   * Also record what ld.so.cache or a default directory gives, where each run path directory before it is in a store.
   */
  readonly systemLibraries?: boolean | undefined;
  /**
   * The size of a file, or that its path is answered without a look; undefined where neither is to be recorded.
   * @param path as ld.so opens it.
   */
  readonly sizeOf: (path: ByteString) => ClosureObject['size'];
}

/** Not what any object comes to: a target that asks for nothing in this closure. */
const NO_CHECK = 0;

/**
 * The closure note of what was traced. Its carrier is the first node. What was found from the carrier's own directory
 * (`$ORIGIN`) is kept relative to it, so that it is found where the whole tree has moved.
 */
export function closureNoteOf(nodes: readonly ClosureNode[], options: ClosureNoteOptions): ClosureNote {
  return new NoteMaker(nodes, options).make();
}

class NoteMaker {
  readonly #nodes: readonly ClosureNode[];
  readonly #options: ClosureNoteOptions;
  /** The paths of objects as the note has them, by their paths in the trace. */
  readonly #stored = new Map<ByteString, ByteString>();
  /** The directories of objects that were found from the carrier's. */
  readonly #homes = new Map<number, ByteString>();

  constructor(nodes: readonly ClosureNode[], options: ClosureNoteOptions) {
    this.#nodes = nodes;
    this.#options = options;
    const carrier = nodes[0];
    if (carrier !== undefined) this.#homes.set(carrier.index, ORIGIN);
    // Whoever asks for an object comes before it, so that its own directory is known by then.
    for (const node of nodes) {
      const stored = this.#stored.get(node.path);
      if (stored !== undefined) this.#homes.set(node.index, stored.slice(0, stored.lastIndexOf('/')));
      for (const { candidates } of node.edges) for (const candidate of candidates) this.#store(candidate);
    }
  }

  make(): ClosureNote {
    const objects = new Map<ByteString, ClosureObject>();
    const targets = new Map<ByteString, ByteString>();
    for (const [i, node] of this.#nodes.entries()) {
      const path = i === 0 ? '' : (this.#stored.get(node.path) ?? node.path);
      if (i > 0 && !this.#isRecorded(path)) continue;
      const answers = node.edges
        .filter(({ tag, name }) => tag !== 'dlopen' || !node.needed.includes(name))
        .flatMap(edge => this.#answer(edge, targets));
      objects.set(path, {
        path,
        check: checkOf(node),
        size: i === 0 ? undefined : this.#options.sizeOf(node.path),
        answers,
      });
    }
    for (const [path, real] of targets) {
      if (!objects.has(path))
        objects.set(path, { path, check: NO_CHECK, size: this.#options.sizeOf(real), answers: [] });
    }
    const used = new Set([...targets.keys(), '']);
    return { objects: [...objects.values()].filter(({ path }) => used.has(path)) };
  }

  #store(candidate: EdgeCandidate): void {
    if (candidate.kind !== 'exact' || this.#stored.has(candidate.path)) return;
    const dir = this.#relative(candidate);
    if (dir !== undefined)
      this.#stored.set(candidate.path, `${dir}${candidate.path.slice(candidate.path.lastIndexOf('/'))}`);
  }

  /** A directory that an object names by `$ORIGIN`, where that leads back to the carrier; else undefined. */
  #relative({
    component,
    owner,
  }: {
    readonly component: ByteString;
    readonly owner: number;
  }): ByteString | undefined {
    const rest = /^\$(?:ORIGIN|\{ORIGIN\})((?:\/[^$]*)?)$/s.exec(component)?.[1];
    const home = this.#homes.get(owner);
    return rest === undefined || home === undefined ? undefined : `${home}${rest.replace(/\/+$/, '')}`;
  }

  #isRecorded(path: ByteString): boolean {
    const { storeRoots, systemLibraries } = this.#options;
    if (storeRoots === undefined || systemLibraries || path.startsWith(ORIGIN)) return true;
    return storeRoots.some(root => path.startsWith(root.endsWith('/') ? root : `${root}/`));
  }

  /** None where the loader has to search, or where who asked first decides. */
  #answer(edge: ClosureEdge, targets: Map<ByteString, ByteString>): [ClosureAnswer] | [] {
    const { tag, name, dependsOnLoaders } = edge;
    if (tag !== 'needed' && tag !== 'dlopen') return [];
    if (dependsOnLoaders || name.includes('$') || name.includes('/')) return [];
    const steps: ClosureStep[] = [];
    for (const candidate of edge.candidates) {
      const step = this.#step(candidate, steps);
      if (step === 'unknown') return [];
      if (step === undefined) continue;
      steps.push(step);
      if (step.kind === 'hint' || candidate.kind === 'search') continue;
      if (!this.#isRecorded(step.path)) return [];
      targets.set(step.path, candidate.path);
      return [{ soname: name, steps }];
    }
    return [];
  }

  /** Undefined for a directory that the loader passes over, `unknown` for one that only it can tell. */
  #step(candidate: EdgeCandidate, before: readonly ClosureStep[]): ClosureStep | 'unknown' | undefined {
    if (candidate.kind === 'system') {
      const isSettled =
        this.#options.systemLibraries && this.#options.storeRoots !== undefined && before.length === 0;
      return isSettled ? { kind: 'path', path: candidate.path, beforeLibraryPath: false } : 'unknown';
    }
    const beforeLibraryPath = candidate.tag === 'DT_RPATH';
    if (candidate.kind === 'exact') {
      const path = this.#stored.get(candidate.path) ?? candidate.path;
      return { kind: 'path', path, beforeLibraryPath };
    }
    const { dir, why } = candidate;
    if (dir === undefined) return undefined;
    if (why === 'empty' || why === 'relative' || !dir.startsWith('/')) return 'unknown';
    return { kind: 'hint', dir: this.#relative(candidate) ?? withoutSlashes(dir), beforeLibraryPath };
  }
}

function withoutSlashes(dir: ByteString): ByteString {
  return dir.replace(/\/+$/, '') || '/';
}
