import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Encoding } from '../../src/elf/bytes.js';
import { type ClosureNoteOptions, closureNoteOf } from '../../src/loader/closure-note.js';
import { closureNodes } from '../../src/loader/edges.js';
import { traceFile } from '../../src/loader/trace.js';
import { encodeClosureNote } from '../../src/note/closure-encode.js';
import { FileSystemProbe } from '../../src/resolve/fs-probe.js';
import { objectOnce } from './compile-once.js';
import { type Linking, ReaderShop } from './reader-shop.js';

/** The closure note of a program or library as it is now, with the sizes of what it needs. */
export function closureNote(file: string, options: Partial<ClosureNoteOptions> = {}): Buffer {
  const trace = traceFile(file);
  const encoding = trace.objects[0]?.facts?.image.encoding ?? new Encoding(true, true);
  const nodes = closureNodes(trace, new FileSystemProbe(), options.storeRoots, dirname(file));
  return encodeClosureNote(
    closureNoteOf(nodes, { sizeOf: path => statSync(path).size, ...options }),
    encoding,
  );
}

/** Where a note has its place: a note of nobody, larger than those of these tests. */
const FILLING = Buffer.alloc(4096, 0x7e);
const VOID = { size: 16, descsz: 4 };
const SPACE = `
static const struct { unsigned header[3]; char name[4], filling[${FILLING.length}]; } space
__attribute__((section(".note.elfnote"), aligned(4), used)) =
  { { 4, ${FILLING.length}, 0 }, "pad", { [0 ... ${FILLING.length - 1}] = ${FILLING[0]} } };
`;

/** Makes programs and plugins that carry a closure note, for which the linker leaves space in a `PT_NOTE`. */
export class ClosureShop extends ReaderShop {
  programWithClosure(name: string, linking: Linking = {}, options: Partial<ClosureNoteOptions> = {}): string {
    return withNote(this.program(name, this.#withSpace(linking)), options);
  }

  pluginWithClosure(dir: string, name: string, linking: Linking = {}): string {
    return withNote(this.library(dir, name, this.#withSpace(linking)));
  }

  #withSpace(linking: Linking): Linking {
    return { ...linking, flags: [...(linking.flags ?? []), objectOnce(this.cc, [], SPACE)] };
  }
}

/** Puts a closure note into the space for it; what it leaves is still a note of nobody. */
function withNote(file: string, options: Partial<ClosureNoteOptions> = {}): string {
  const note = closureNote(file, options);
  const bytes = readFileSync(file);
  const filling = bytes.indexOf(FILLING);
  if (filling < 0 || note.length > FILLING.length) throw new Error(`${file}: no space for a note`);
  const at = filling - VOID.size;
  const left = Buffer.from(bytes.subarray(at, filling));
  const encoding = new Encoding(true, left.readUInt32LE() === 4);
  encoding.putU32(left, VOID.descsz, FILLING.length - note.length);
  note.copy(bytes, at);
  left.copy(bytes, at + note.length);
  writeFileSync(file, bytes);
  return file;
}

/** What the module says of one library: `libone.so.1 for the program: one/libone.so.1`. */
export function answered(file: string, requester: string): string {
  const short = (path: string) => `${basename(dirname(path))}/${basename(path)}`;
  return `${basename(file)} for ${requester === '' ? 'the program' : short(requester)}: ${short(file)}`;
}

/** A copy of a library under another name of the same length, which it has in all that it says: links take longer. */
export function renamed(file: string, from: string, to: string): string {
  const copy = file.replaceAll(from, to);
  mkdirSync(dirname(copy), { recursive: true });
  writeFileSync(copy, readFileSync(file, 'latin1').replaceAll(from, to), 'latin1');
  return copy;
}

/** The same of a plugin with a closure note, which is true of what the new names are of. */
export function renamedPlugin(plugin: string, from: string, to: string): string {
  const copy = renamed(plugin, from, to);
  const stale = closureNote(plugin).toString('latin1').replaceAll(from, to);
  const bytes = readFileSync(copy);
  const at = bytes.indexOf(Buffer.from(stale, 'latin1'));
  if (at < 0) throw new Error(`${copy}: no closure note`);
  closureNote(copy).copy(bytes, at);
  writeFileSync(copy, bytes);
  return copy;
}
