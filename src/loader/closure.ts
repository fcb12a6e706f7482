import type { ByteString } from '../elf/bytes.js';
import { dlopenSonames } from '../note/dlopen.js';
import type { LoaderFacts } from './interpreter.js';
import type { Lookup, TracedObject } from './record.js';
import type { Asking, Found, Search } from './search.js';
import type { Tokens } from './tokens.js';

/** `setup_vdso` gives the kernel's own object these names. */
const VDSO_NAMES = ['linux-vdso.so.1', 'linux-vdso64.so.1', 'linux-gate.so.1'];

/** What the loader does without where it cannot have it. */
const FORGIVEN: ReadonlySet<Lookup['tag']> = new Set(['preload', 'auxiliary']);

/** What became of a program's closure. */
export interface Closure {
  readonly objects: readonly TracedObject[];
  /** In the order in which the loader worked them off. */
  readonly lookups: readonly Lookup[];
  /** Indexes of the objects in the order in which symbols are looked up in them. */
  readonly order: readonly number[];
  /** The lookup at which the program ends; undefined where it starts, or lacks libraries (`missing`). */
  readonly fatal: Lookup | undefined;
}

interface Node {
  readonly asking: Asking | undefined;
  readonly object: TracedObject;
  done: boolean;
}

/** Loads what a program needs, breadth first (`_dl_map_object_deps`, elf/dl-deps.c). */
export class ClosureBuilder {
  readonly #search: Search;
  readonly #tokensOf: (path: ByteString) => Tokens;
  readonly #nodes: Node[] = [];
  readonly #names = new Map<ByteString, Node>();
  readonly #files = new Map<string, Node>();
  readonly #lookups: Lookup[] = [];
  #fatal: Lookup | undefined;

  constructor(search: Search, tokensOf: (path: ByteString) => Tokens) {
    this.#search = search;
    this.#tokensOf = tokensOf;
  }

  /**
   * @param preload names of `LD_PRELOAD`, in order.
   * @param opensDeclared as if each object opened what it declares to dlopen, when all is loaded.
   */
  build(
    main: Asking,
    path: ByteString,
    loader: LoaderFacts,
    preload: readonly ByteString[],
    opensDeclared: boolean,
  ): Closure {
    const { facts } = main;
    const kind = facts.interpreter === undefined ? 'library' : 'program';
    const program = {
      index: 0,
      kind,
      name: path,
      path,
      place: undefined,
      requester: undefined,
      facts,
    } as const;
    const list = [this.#add({ asking: main, object: program, done: false }, [facts.soname])];
    this.#addBuiltIn(loader);
    for (const name of preload) {
      const node = this.#load(main, 'preload', name);
      if (node !== undefined && !list.includes(node)) list.push(node);
    }
    this.#walk(list);
    const order = list.map(({ object }) => object.index);
    if (opensDeclared && this.#fatal === undefined) this.#openDeclared();
    const objects = this.#nodes.map(({ object }) => object);
    return { objects, lookups: this.#lookups, order, fatal: this.#fatal };
  }

  #addBuiltIn(loader: LoaderFacts): void {
    const add = (kind: 'loader' | 'vdso', path: ByteString, names: readonly ByteString[]) => {
      const place = undefined;
      const object = {
        index: this.#nodes.length,
        kind,
        name: path,
        path,
        place,
        requester: undefined,
        facts: undefined,
      };
      this.#add({ asking: undefined, object, done: false }, names);
    };
    add('vdso', VDSO_NAMES[0] ?? '', VDSO_NAMES);
    const path = loader.path ?? '';
    add('loader', path, [path.slice(path.lastIndexOf('/') + 1)]);
  }

  /** The loader takes an auxiliary object in front of the one that names it, and works it off next; then goes on. */
  #walk(list: Node[]): void {
    for (let at = 0; at < list.length; ) {
      const node = list[at];
      if (node === undefined || node.done) {
        at++;
        continue;
      }
      node.done = true;
      let insertAt = at;
      for (const { tag, name } of node.asking?.facts.requests ?? []) {
        const found = node.asking && this.#load(node.asking, tag, name);
        if (this.#fatal !== undefined) return;
        if (found === undefined) continue;
        const place = list.indexOf(found);
        if (tag === 'needed') {
          if (place < 0) list.push(found);
        } else if (place < 0 || place > insertAt) {
          if (place > insertAt) list.splice(place, 1);
          list.splice(insertAt++, 0, found);
        }
      }
    }
  }

  /** What is opened may declare more. What it cannot have ends no program then. */
  #openDeclared(): void {
    for (const { asking } of this.#nodes) {
      for (const name of dlopenSonames(asking?.facts.declared ?? [])) {
        const opened = asking && this.#load(asking, 'dlopen', name);
        if (opened !== undefined) this.#walk([opened]);
        this.#fatal = undefined;
      }
    }
  }

  #load(asking: Asking, tag: Lookup['tag'], name: ByteString): Node | undefined {
    const requester = asking.index;
    const known = this.#names.get(name);
    if (known !== undefined) {
      const result = known.object.index;
      this.#lookups.push({ requester, tag, name, outcome: 'known', result, place: undefined, steps: [] });
      return known;
    }
    const { found, steps, renamed, answer } = this.#search.find(name, asking);
    const base = { requester, tag, name, steps };
    const more = answer === undefined ? base : { answer, ...base };
    if (found.kind === 'opened') return this.#take(asking, found, more, renamed);
    const place = found.kind === 'fatal' ? found.place : undefined;
    const places = found.kind === 'missing' ? found.places : undefined;
    const lookup: Lookup = {
      outcome: found.kind,
      result: undefined,
      place,
      ...more,
      ...(places === undefined ? {} : { places }),
    };
    this.#lookups.push(lookup);
    if (found.kind === 'fatal' && !FORGIVEN.has(tag)) this.#fatal = lookup;
    return undefined;
  }

  #take(
    asking: Asking,
    found: Extract<Found, { kind: 'opened' }>,
    lookup: Pick<Lookup, 'requester' | 'tag' | 'name' | 'steps' | 'answer'>,
    renamed: ByteString | undefined,
  ): Node {
    const { path, place, identity, facts } = found;
    const same = this.#files.get(identity);
    if (same !== undefined) {
      this.#lookups.push({ outcome: 'same-file', result: same.object.index, place, ...lookup });
      this.#addName(renamed ?? lookup.name, same);
      return same;
    }
    const index = this.#nodes.length;
    this.#lookups.push({ outcome: 'loaded', result: index, place, ...lookup });
    const requester = asking.index;
    const object = { index, kind: 'library', name: lookup.name, path, place, requester, facts } as const;
    const node = {
      asking: { index, facts, path, tokens: this.#tokensOf(path), loader: asking },
      object,
      done: false,
    };
    this.#files.set(identity, node);
    return this.#add(node, [renamed ?? lookup.name, lookup.name, facts.soname]);
  }

  #add(node: Node, names: readonly (ByteString | undefined)[]): Node {
    this.#nodes.push(node);
    for (const name of [node.object.path, ...names]) if (name !== undefined) this.#addName(name, node);
    return node;
  }

  /** The loader asks its objects in order, so of two with one name the first is it. */
  #addName(name: ByteString, node: Node): void {
    const known = this.#names.get(name);
    if (known === undefined || known.object.index > node.object.index) this.#names.set(name, node);
  }
}
