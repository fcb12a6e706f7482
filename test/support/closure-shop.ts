import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Encoding } from '../../src/elf/bytes.js';
import { type ClosureNoteOptions, closureNoteOf } from '../../src/loader/closure-note.js';
import { closureNodes } from '../../src/loader/edges.js';
import { traceFile } from '../../src/loader/trace.js';
import { encodeClosureNote } from '../../src/note/closure-encode.js';
import { FileSystemProbe } from '../../src/resolve/fs-probe.js';
import { runOk } from './cli.js';
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

  /** An object file that holds a note, for the linker, which makes a `PT_NOTE` of it. */
  noteObject(bytes: Buffer): string {
    const name = this.at(`note-${this.#notes++}`);
    writeFileSync(name, bytes);
    const assembly = `.section .note.elfnote,"a",%note\n.balign 4\n.incbin "${name}"\n.section .note.GNU-stack,"",%progbits\n`;
    writeFileSync(`${name}.s`, assembly);
    runOk(this.#compiler, ['-c', `${name}.s`, '-o', `${name}.o`]);
    return `${name}.o`;
  }

  programWithClosure(name: string, linking: Linking = {}, options: Partial<ClosureNoteOptions> = {}): string {
    const file = this.program(name, linking);
    const flags = [...(linking.flags ?? []), this.noteObject(closureNote(file, options))];
    return this.program(name, { ...linking, flags });
  }

  pluginWithClosure(dir: string, name: string, linking: Linking = {}): string {
    mkdirSync(this.at(dir), { recursive: true });
    const file = this.library(dir, name, linking);
    const flags = [...(linking.flags ?? []), this.noteObject(closureNote(file))];
    return this.library(dir, name, { ...linking, flags });
  }
}

/** What the module says of one library: `libone.so.1 for the program: one/libone.so.1`. */
export function answered(file: string, requester: string): string {
  const short = (path: string) => `${basename(dirname(path))}/${basename(path)}`;
  return `${basename(file)} for ${requester === '' ? 'the program' : short(requester)}: ${short(file)}`;
}
