import { BufferSource } from '../../src/elf/bytes.js';
import { readElfHeader } from '../../src/elf/read.js';
import { architectureOf } from '../../src/loader/architectures.js';
import type { Closure } from '../../src/loader/closure.js';
import { processorNamed } from '../../src/loader/hwcaps.js';
import type { LoaderFacts } from '../../src/loader/interpreter.js';
import { type ObjectFacts, readFacts } from '../../src/loader/object.js';
import type { LoaderProbe, Opened } from '../../src/loader/probe.js';
import { type Start, simulate } from '../../src/loader/simulate.js';
import { buildElf, type ElfSpec } from './elf-builder.js';

/** What stands at a path: an object, a link, other bytes, a directory, or an error of open(2). */
export type Thing =
  | ElfSpec
  | { readonly link: string }
  | { readonly bytes: Buffer }
  | { readonly directory: true }
  | { readonly error: string };

/** A file system in memory for the simulated loader. Every directory above a path is there. */
export class LoaderWorld implements LoaderProbe {
  readonly #things = new Map<string, Thing>();
  readonly #directories = new Set<string>(['/']);
  readonly #hasLinks: boolean;

  constructor(things: Readonly<Record<string, Thing>>) {
    this.#hasLinks = Object.values(things).some(thing => 'link' in thing);
    for (const [path, thing] of Object.entries(things)) {
      this.#things.set(path, thing);
      if ('directory' in thing) this.#directories.add(path);
      for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
        this.#directories.add(path.slice(0, at));
      }
    }
  }

  /** By its real path, so that a link and its target are one file. */
  open(path: string): Opened {
    const real = this.realPath(path);
    const thing = real === undefined ? undefined : this.#things.get(real);
    if (thing !== undefined && 'error' in thing) return { kind: 'failed', code: thing.error };
    if (real !== undefined && this.#directories.has(real)) return broken(real, 'is a directory');
    if (thing === undefined || 'link' in thing || 'directory' in thing)
      return { kind: 'failed', code: 'ENOENT' };
    const source = new BufferSource('bytes' in thing ? thing.bytes : buildElf(thing).bytes, real);
    if ('bytes' in thing) return broken(real ?? '', 'not an ELF file');
    const { header, encoding } = readElfHeader(source);
    const { e_type, e_machine, e_flags } = header;
    const { is64, littleEndian } = encoding;
    return {
      kind: 'opened',
      identity: real ?? '',
      candidate: { kind: 'elf', is64, littleEndian, e_type, e_machine, e_flags },
      facts: readFacts(source),
      fault: undefined,
    };
  }

  isDirectory(path: string): boolean {
    return this.#directories.has(this.realPath(path) ?? '');
  }

  access(path: string): string | undefined {
    const real = this.realPath(path);
    return real !== undefined && (this.#things.has(real) || this.#directories.has(real))
      ? undefined
      : 'ENOENT';
  }

  readFile(path: string): Buffer | { readonly code: string } {
    const thing = this.#things.get(path);
    return thing !== undefined && 'bytes' in thing ? thing.bytes : { code: 'ENOENT' };
  }

  /** Follows links of any part of a path, and takes `..` out. */
  realPath(path: string): string | undefined {
    if (!this.#hasLinks && !path.includes('/.')) return path;
    const left = path.split('/').reverse();
    let at = '';
    for (let part = left.pop(); part !== undefined; part = left.pop()) {
      if (part === '' || part === '.') continue;
      if (part === '..') {
        at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
        continue;
      }
      const thing = this.#things.get(`${at}/${part}`);
      if (thing !== undefined && 'link' in thing) {
        if (thing.link.startsWith('/')) at = '';
        left.push(...thing.link.split('/').reverse());
      } else {
        at = `${at}/${part}`;
      }
    }
    return at || '/';
  }
}

function broken(identity: string, why: string): Opened {
  return { kind: 'opened', identity, candidate: { kind: 'broken', why }, facts: undefined, fault: why };
}

/** glibc 2.37 of a machine with two system directories and no subdirectories for processors. */
export const LOADER: LoaderFacts = {
  path: '/lib64/ld-linux-x86-64.so.2',
  glibc: 37,
  versionFrom: 'file',
  systemDirectories: ['/lib/', '/usr/lib/'],
  lib: 'lib64',
  cachePath: '/etc/ld.so.cache',
};

export interface Run extends Partial<Start> {
  readonly loader?: Partial<LoaderFacts>;
  /** As `--hwcaps`. */
  readonly hwcaps?: string;
  /** Default: `/bin/program`. */
  readonly path?: string;
}

export function factsOf(spec: ElfSpec): ObjectFacts {
  return readFacts(new BufferSource(buildElf(spec).bytes));
}

/** What the loader does for a program in a world. */
export function load(program: ElfSpec, things: Readonly<Record<string, Thing>>, run: Run = {}): Closure {
  const facts = factsOf(program);
  const architecture = architectureOf(facts.image);
  const machine = {
    architecture,
    loader: { ...LOADER, ...run.loader },
    processor: processorNamed(run.hwcaps ?? 'none', architecture),
  };
  const path = run.path ?? '/bin/program';
  return simulate(facts, path, new LoaderWorld(things), machine, { workingDirectory: '/work', ...run });
}

/** Paths of the libraries in the order in which they were loaded. */
export function loaded({ objects }: Closure): string[] {
  return objects.flatMap(({ kind, path, index }) => (kind === 'library' && index > 0 ? [path] : []));
}

/** Every call, as `open /a/b ENOENT`; what succeeds has nothing behind it. */
export function calls({ lookups }: Closure): string[] {
  return lookups
    .flatMap(({ steps }) => steps)
    .map(({ call, path, why }) => `${call} ${path}${why === '' ? '' : ` ${why}`}`);
}

/** What became of each request, as `liba.so loaded /lib/liba.so`. */
export function outcomes({ lookups, objects }: Closure): string[] {
  return lookups.map(({ name, outcome, result }) => {
    const path = result === undefined ? '' : ` ${objects[result]?.path ?? ''}`;
    return `${name} ${outcome}${path}`;
  });
}
