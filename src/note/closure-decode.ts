import { type ByteString, byteStringOf, type Encoding } from '../elf/bytes.js';
import { ElfnoteError } from '../errors.js';
import {
  CLOSURE_VERSION,
  type ClosureAnswer,
  type ClosureNote,
  type ClosureStep,
  edgeBits,
  FLAG_WIDE,
  HEADER,
  ORIGIN,
  TRUSTED,
} from './closure.js';

/**
 * Decodes a descriptor (without padding).
 * @param at the file offset of the descriptor, for messages.
 * @throws ElfnoteError `malformed-note` for everything the format forbids, with the file offset of the fault.
 */
export function decodeClosureDescriptor(
  descriptor: Buffer,
  encoding: Encoding,
  at: number,
  path?: string,
): ClosureNote {
  return new Decoder(descriptor, encoding, at, path).decode();
}

class Decoder {
  readonly #bytes: Buffer;
  readonly #encoding: Encoding;
  readonly #at: number;
  readonly #path: string | undefined;
  /** Bytes of an index. */
  #indexSize: 2 | 4 = 2;
  #counts = { directories: 0, objects: 0, edges: 0, strings: 0 };
  /** Where the tables start in the descriptor. */
  #starts = { checks: 0, sizes: 0, directories: 0, names: 0, homes: 0, firsts: 0, edges: 0, strings: 0 };

  constructor(bytes: Buffer, encoding: Encoding, at: number, path: string | undefined) {
    this.#bytes = bytes;
    this.#encoding = encoding;
    this.#at = at;
    this.#path = path;
  }

  decode(): ClosureNote {
    this.#readHeader();
    const { checks, sizes } = this.#starts;
    const numbers = Array.from({ length: this.#counts.objects }, (_, i) => i);
    const paths = numbers.map(i => this.#pathOf(i));
    this.#checkOrder(paths);
    const objects = numbers.map(i => {
      const word = this.#encoding.u32(this.#bytes, sizes + 4 * i);
      const size = word === TRUSTED ? 'trusted' : word === 0 ? undefined : word;
      const check = this.#encoding.u32(this.#bytes, checks + 4 * i);
      return { path: paths[i] ?? '', check, size, answers: this.#answersOf(i, paths) } as const;
    });
    return { objects };
  }

  #fail(message: string, offset: number): ElfnoteError {
    return new ElfnoteError('malformed-note', message, { path: this.#path, offset: this.#at + offset });
  }

  #readHeader(): void {
    const bytes = this.#bytes;
    if (bytes.length < HEADER.size) throw this.#fail(`the closure note has ${bytes.length} bytes`, 0);
    const word = (offset: number) => this.#encoding.u32(bytes, offset);
    if (word(HEADER.version) !== CLOSURE_VERSION)
      throw this.#fail(
        `the closure note has version ${word(HEADER.version)}, not ${CLOSURE_VERSION}`,
        HEADER.version,
      );
    if (word(HEADER.flags) > FLAG_WIDE)
      throw this.#fail(`the closure note has unknown flags ${word(HEADER.flags)}`, HEADER.flags);
    this.#indexSize = word(HEADER.flags) === FLAG_WIDE ? 4 : 2;
    const [directories, objects] = [word(HEADER.directories), word(HEADER.objects)];
    const [edges, strings] = [word(HEADER.edges), word(HEADER.strings)];
    this.#counts = { directories, objects, edges, strings };
    if (objects === 0) throw this.#fail('the closure note has no object', HEADER.objects);
    const indexes = directories + 3 * objects + 1 + edges;
    const size = HEADER.size + 8 * objects + this.#indexSize * indexes + strings;
    if (size !== bytes.length || strings === 0)
      throw this.#fail(
        `the closure note has ${bytes.length} bytes, and its counts make ${size}`,
        HEADER.directories,
      );
    if (bytes[size - 1] !== 0) throw this.#fail('the strings do not end with a NUL', size - 1);
    this.#placeTables();
  }

  #placeTables(): void {
    const { directories, objects } = this.#counts;
    const checks = HEADER.size;
    const sizes = checks + 4 * objects;
    const first = sizes + 4 * objects;
    const names = first + this.#indexSize * directories;
    const homes = names + this.#indexSize * objects;
    const firsts = homes + this.#indexSize * objects;
    const edges = firsts + this.#indexSize * (objects + 1);
    const strings = edges + this.#indexSize * this.#counts.edges;
    this.#starts = { checks, sizes, directories: first, names, homes, firsts, edges, strings };
  }

  #index(table: number, number: number): number {
    const at = table + this.#indexSize * number;
    return this.#indexSize === 4 ? this.#encoding.u32(this.#bytes, at) : this.#encoding.u16(this.#bytes, at);
  }

  #string(table: number, number: number): ByteString {
    const offset = this.#index(table, number);
    const { strings } = this.#starts;
    if (offset >= this.#counts.strings)
      throw this.#fail(`string ${offset} is behind the strings`, table + this.#indexSize * number);
    return byteStringOf(this.#bytes.subarray(strings + offset, this.#bytes.indexOf(0, strings + offset)));
  }

  #directory(number: number, at: number): ByteString {
    const { directories } = this.#starts;
    if (number >= this.#counts.directories) throw this.#fail(`there is no directory ${number}`, at);
    const text = this.#string(directories, number);
    const full = text.startsWith('+') ? this.#string(directories, 0) + text.slice(1) : text;
    if (full.startsWith('/') || full === ORIGIN || full.startsWith(`${ORIGIN}/`)) return full;
    throw this.#fail('a directory is not absolute', directories + this.#indexSize * number);
  }

  /** Of object 0 empty. */
  #pathOf(object: number): ByteString {
    const { names, homes } = this.#starts;
    const name = this.#string(names, object);
    const at = names + this.#indexSize * object;
    if ((name === '') !== (object === 0) || name.includes('/'))
      throw this.#fail(`object ${object} has the name "${name}"`, at);
    if (object === 0) return '';
    const home = this.#directory(this.#index(homes, object), homes + this.#indexSize * object);
    return home.endsWith('/') ? `${home}${name}` : `${home}/${name}`;
  }

  /** The audit module looks names up by halves. */
  #checkOrder(paths: readonly ByteString[]): void {
    const key = (path: ByteString) => `${path.slice(path.lastIndexOf('/') + 1)}\0${path}`;
    for (const [i, path] of paths.entries()) {
      const previous = paths[i - 1];
      if (i > 1 && previous !== undefined && key(previous) >= key(path))
        throw this.#fail('the objects are not sorted', this.#starts.names + this.#indexSize * i);
    }
  }

  #answersOf(object: number, paths: readonly ByteString[]): ClosureAnswer[] {
    const { firsts, edges } = this.#starts;
    const [start, end] = [this.#index(firsts, object), this.#index(firsts, object + 1)];
    if (start > end || end > this.#counts.edges || (object === 0 && start !== 0))
      throw this.#fail(
        `object ${object} has the edges ${start} to ${end}`,
        firsts + this.#indexSize * object,
      );
    const answers: ClosureAnswer[] = [];
    let steps: ClosureStep[] = [];
    for (let i = start; i < end; i++) {
      const at = edges + this.#indexSize * i;
      const { step, hasMore } = this.#step(this.#index(edges, i), at, paths);
      steps.push(step);
      if (hasMore && i + 1 < end) continue;
      answers.push(this.#answer(steps, hasMore, at));
      steps = [];
    }
    return answers;
  }

  #step(word: number, at: number, paths: readonly ByteString[]): { step: ClosureStep; hasMore: boolean } {
    const { hint, more, before } = edgeBits(this.#indexSize);
    const has = (bit: number) => Math.floor(word / bit) % 2 === 1;
    const [beforeLibraryPath, target] = [has(before), word % before];
    if (has(hint)) {
      return {
        step: { kind: 'hint', dir: this.#directory(target, at), beforeLibraryPath },
        hasMore: has(more),
      };
    }
    const path = paths[target];
    if (path === undefined || path === '') throw this.#fail(`there is no library ${target}`, at);
    return { step: { kind: 'path', path, beforeLibraryPath }, hasMore: has(more) };
  }

  #answer(steps: ClosureStep[], hasMore: boolean, at: number): ClosureAnswer {
    const last = steps.at(-1);
    if (hasMore || last?.kind !== 'path') throw this.#fail('a path-list does not end with a path', at);
    const nameOf = (path: ByteString) => path.slice(path.lastIndexOf('/') + 1);
    const soname = nameOf(last.path);
    if (steps.some(step => step.kind === 'path' && nameOf(step.path) !== soname))
      throw this.#fail('a path-list has paths of different names', at);
    return { soname, steps };
  }
}
