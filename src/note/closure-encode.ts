import { type ByteString, bytesOf, type Encoding } from '../elf/bytes.js';
import { ElfnoteError } from '../errors.js';
import {
  CLOSURE_VERSION,
  type ClosureNote,
  type ClosureObject,
  edgeBits,
  FLAG_WIDE,
  HEADER,
  ORIGIN,
  TRUSTED,
} from './closure.js';
import { encodeOwnNote, OWN_TYPE } from './own.js';

/** An element of this many bytes or more is skipped by every reader. */
const PATH_LIMIT = 4096;

/**
 * The whole note, padded to 4 bytes. The same objects give the same bytes, in whatever order they are behind the first.
 * @throws ElfnoteError `unsupported` for what the format cannot say, by name.
 */
export function encodeClosureNote(note: ClosureNote, encoding: Encoding): Buffer {
  return encodeOwnNote(OWN_TYPE.closure, encodeClosureDescriptor(note, encoding), encoding);
}

/** The descriptor without its padding. */
export function encodeClosureDescriptor(note: ClosureNote, encoding: Encoding): Buffer {
  const objects = sortedObjects(note);
  const table = new Table(objects);
  const size = table.needsWideIndexes() ? 4 : 2;
  const words = table.write(size);
  const { strings } = table;
  const bytes = Buffer.alloc(HEADER.size + 8 * objects.length + size * words.length + strings.size);
  encoding.putU32(bytes, HEADER.version, CLOSURE_VERSION);
  encoding.putU32(bytes, HEADER.flags, size === 4 ? FLAG_WIDE : 0);
  encoding.putU32(bytes, HEADER.directories, table.directories.length);
  encoding.putU32(bytes, HEADER.objects, objects.length);
  encoding.putU32(bytes, HEADER.edges, table.edges.length);
  encoding.putU32(bytes, HEADER.strings, strings.size);
  let at: number = HEADER.size;
  for (const value of [...objects.map(({ check }) => check), ...objects.map(sizeWord)]) {
    encoding.putU32(bytes, at, value);
    at += 4;
  }
  for (const word of words) {
    if (size === 4) encoding.putU32(bytes, at, word);
    else encoding.putU16(bytes, at, word);
    at += size;
  }
  strings.bytes().copy(bytes, at);
  return bytes;
}

function sortedObjects({ objects }: ClosureNote): ClosureObject[] {
  const [carrier, ...others] = objects;
  if (carrier === undefined || carrier.path !== '')
    throw fail('the first object is not the carrier', carrier?.path);
  const key = ({ path }: ClosureObject) => `${nameOf(path)}\0${path}`;
  const sorted = others.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  for (const [i, { path }] of sorted.entries()) {
    checkPath(path);
    if (nameOf(path) === '' || path === sorted[i - 1]?.path)
      throw fail('an object has no name, or is there twice', path);
  }
  return [carrier, ...sorted];
}

function nameOf(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf('/') + 1);
}

function homeOf(path: ByteString): ByteString {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

/** Absolute, or `$ORIGIN` and nothing else that the loader would expand. */
function checkPath(path: ByteString): void {
  const rest = path.startsWith(ORIGIN) ? path.slice(ORIGIN.length) : path;
  const isRooted = rest.startsWith('/') || (path !== rest && rest === '');
  if (!isRooted || rest.includes('$') || rest.includes('\0') || path.length >= PATH_LIMIT)
    throw fail('a closure note cannot hold this path', path);
}

function fail(message: string, path: ByteString = ''): ElfnoteError {
  return new ElfnoteError('unsupported', `${message}: ${path}`);
}

/** A size that says something else is not written down. */
function sizeWord({ size }: ClosureObject): number {
  if (size === 'trusted') return TRUSTED;
  const word = (size ?? 0) % 2 ** 32;
  return word === TRUSTED ? 0 : word;
}

/** The strings of a note, each once. */
class Strings {
  readonly #offsets = new Map<ByteString, number>();
  size = 0;

  add(text: ByteString): number {
    const known = this.#offsets.get(text);
    if (known !== undefined) return known;
    const offset = this.size;
    this.#offsets.set(text, offset);
    this.size += text.length + 1;
    return offset;
  }

  bytes(): Buffer {
    return bytesOf([...this.#offsets.keys()].map(text => `${text}\0`).join(''));
  }
}

interface Edge {
  readonly isHint: boolean;
  readonly hasMore: boolean;
  readonly isBefore: boolean;
  readonly target: number;
}

/** Everything of a note but its numbers' width. */
class Table {
  readonly strings = new Strings();
  readonly directories: readonly number[];
  readonly edges: readonly Edge[];
  readonly #names: readonly number[];
  readonly #homes: readonly number[];
  readonly #firsts: number[] = [];

  constructor(objects: readonly ClosureObject[]) {
    const numbers = new Map(objects.map(({ path }, i) => [path, i]));
    const dirs = directoriesOf(objects);
    const prefix = commonPrefix(dirs);
    const stored = dirs.map(dir =>
      prefix !== '' && dir.startsWith(prefix) ? `+${dir.slice(prefix.length)}` : dir,
    );
    const shift = prefix === '' ? 0 : 1;
    const directoryNumbers = new Map(dirs.map((dir, i) => [dir, i + shift]));
    this.directories = (prefix === '' ? stored : [prefix, ...stored]).map(text => this.strings.add(text));
    this.#names = objects.map(({ path }) => this.strings.add(nameOf(path)));
    this.#homes = objects.map(({ path }) => (path === '' ? 0 : (directoryNumbers.get(homeOf(path)) ?? 0)));
    const edges: Edge[] = [];
    for (const object of objects) {
      this.#firsts.push(edges.length);
      edges.push(...edgesOf(object, numbers, directoryNumbers));
    }
    this.#firsts.push(edges.length);
    this.edges = edges;
  }

  needsWideIndexes(): boolean {
    const targets = edgeBits(2).before;
    const counts = Math.max(this.directories.length, this.#names.length);
    return this.strings.size > 0xffff || this.edges.length > 0xffff || counts > targets;
  }

  write(indexSize: 2 | 4): number[] {
    const bits = edgeBits(indexSize);
    const words = this.edges.map(
      ({ isHint, hasMore, isBefore, target }) =>
        target + (isHint ? bits.hint : 0) + (hasMore ? bits.more : 0) + (isBefore ? bits.before : 0),
    );
    return [...this.directories, ...this.#names, ...this.#homes, ...this.#firsts, ...words];
  }
}

function directoriesOf(objects: readonly ClosureObject[]): ByteString[] {
  const hints = objects.flatMap(({ answers }) =>
    answers.flatMap(({ steps }) => steps.flatMap(step => (step.kind === 'hint' ? [step.dir] : []))),
  );
  for (const hint of hints) checkPath(hint);
  const homes = objects.slice(1).map(({ path }) => homeOf(path));
  return [...new Set([...homes, ...hints])].sort();
}

/** The start of directories that saves most when it is written once; empty where none does. */
function commonPrefix(dirs: readonly ByteString[]): ByteString {
  const uses = new Map<ByteString, number>();
  for (const dir of dirs) {
    for (let slash = dir.indexOf('/', 1); slash > 0; slash = dir.indexOf('/', slash + 1)) {
      if (dir.startsWith('/'))
        uses.set(dir.slice(0, slash + 1), (uses.get(dir.slice(0, slash + 1)) ?? 0) + 1);
    }
  }
  let best = '';
  let most = 0;
  for (const [prefix, count] of uses) {
    const saved = (prefix.length - 1) * count - (prefix.length + 5);
    if (saved > most) [best, most] = [prefix, saved];
  }
  return best;
}

function edgesOf(
  { path: requester, answers }: ClosureObject,
  objects: ReadonlyMap<ByteString, number>,
  directories: ReadonlyMap<ByteString, number>,
): Edge[] {
  const sonames = new Set<ByteString>();
  return answers.flatMap(({ soname, steps }) => {
    if (steps.at(-1)?.kind !== 'path')
      throw fail(`a path-list of ${soname} does not end with a path`, requester);
    if (sonames.has(soname)) throw fail(`${soname} is there twice`, requester);
    sonames.add(soname);
    return steps.map((step, i) => {
      const isHint = step.kind === 'hint';
      if (!isHint && nameOf(step.path) !== soname)
        throw fail(`a path of ${soname} has another name`, step.path);
      const target = isHint ? directories.get(step.dir) : objects.get(step.path);
      if (target === undefined) throw fail('an object is not in the note', isHint ? step.dir : step.path);
      return { isHint, hasMore: i + 1 < steps.length, isBefore: step.beforeLibraryPath, target };
    });
  });
}
