import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Encoding } from '../../src/elf/bytes.js';
import { type ClosureNoteOptions, closureNoteOf } from '../../src/loader/closure-note.js';
import { closureNodes } from '../../src/loader/edges.js';
import { traceFile } from '../../src/loader/trace.js';
import { encodeClosureNote } from '../../src/note/closure-encode.js';
import { FileSystemProbe } from '../../src/resolve/fs-probe.js';
import { compileOnce } from './compile-once.js';
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

/** Makes programs and plugins that carry a closure note, by linking them a second time with it. */
export class ClosureShop extends ReaderShop {
  readonly #compiler: string;
  #notes = 0;

  constructor(dir: string, cc = 'gcc') {
    super(dir, cc);
    this.#compiler = cc;
  }

  /**
   * An object file for the linker, which makes a `PT_NOTE` of it: as long as a note, which is put in its place
   * afterwards, so that one is compiled for all notes of a length.
   */
  #spaceFor(note: Buffer): string {
    const name = this.at(`note-${this.#notes++}`);
    const assembly = `.section .note.elfnote,"a",%note\n.balign 4\n.fill ${note.length}, 1, ${FILLING}\n.section .note.GNU-stack,"",%progbits\n`;
    writeFileSync(`${name}.s`, assembly);
    compileOnce(this.#compiler, ['-c', `${name}.s`], `${name}.o`, this.dir);
    return `${name}.o`;
  }

  programWithClosure(name: string, linking: Linking = {}, options: Partial<ClosureNoteOptions> = {}): string {
    const file = this.program(name, linking);
    const note = closureNote(file, options);
    const flags = [...(linking.flags ?? []), this.#spaceFor(note)];
    return withNote(this.program(name, { ...linking, flags }), note);
  }

  pluginWithClosure(dir: string, name: string, linking: Linking = {}): string {
    mkdirSync(this.at(dir), { recursive: true });
    const file = this.library(dir, name, linking);
    const note = closureNote(file);
    const flags = [...(linking.flags ?? []), this.#spaceFor(note)];
    return withNote(this.library(dir, name, { ...linking, flags }), note);
  }
}

const FILLING = 0x7e;

/** Puts a note into the space for it. */
function withNote(file: string, note: Buffer): string {
  const bytes = readFileSync(file);
  const space = Buffer.alloc(note.length, FILLING);
  const at = bytes.indexOf(space);
  if (at < 0 || bytes.indexOf(space, at + 1) >= 0) throw new Error(`${file}: not one space for a note`);
  note.copy(bytes, at);
  writeFileSync(file, bytes);
  return file;
}

/** What the module says of one library: `libone.so.1 for the program: one/libone.so.1`. */
export function answered(file: string, requester: string): string {
  const short = (path: string) => `${basename(dirname(path))}/${basename(path)}`;
  return `${basename(file)} for ${requester === '' ? 'the program' : short(requester)}: ${short(file)}`;
}
