import { type ByteString, byteStringOf } from '../elf/bytes.js';
import { ElfnoteError } from '../errors.js';
import type { ClosureNote, ClosureObject } from '../note/closure.js';
import { encodeClosureNote } from '../note/closure-encode.js';
import type { LibraryProbe } from '../resolve/probe.js';
import { closureNoteOf } from './closure-note.js';
import { closureNodes } from './edges.js';
import type { LoaderProbe } from './probe.js';
import { type Trace, traceFile } from './trace.js';

export interface ClosureLookup {
  /** A directory that holds the file system in which everything is looked up. */
  readonly root?: string | undefined;
  /** Directories whose contents never change; undefined when none are known. */
  readonly storeRoots?: readonly ByteString[] | undefined;
  /** Look run path directories and objects up below the same root. */
  readonly libraries: LibraryProbe;
  readonly objects: LoaderProbe;
  /** Record also what ld.so.cache and the default directories give. */
  readonly systemLibraries?: boolean | undefined;
  /** Record also what the objects declare to dlopen. */
  readonly dlopen?: boolean | undefined;
  /** Paths below the store roots are answered without a look. */
  readonly trustStore?: boolean | undefined;
}

/** A closure note, or why there is none. */
export type FileClosure =
  | {
      /** The whole note, padded to 4 bytes. */
      readonly note: Buffer;
      readonly content: ClosureNote;
      /** Requests that are answered from it. */
      readonly answers: number;
    }
  | { readonly note: undefined; readonly why: string };

/**
 * The closure note of a program, or of a plugin as if it were one. It does not depend on this machine's processor: what
 * is in a subdirectory for some processors is left to the loader.
 *
 * @param path of the file on this machine.
 * @throws ElfnoteError of `traceFile`, and `unsupported` for what the format cannot say.
 */
export function closureOfFile(path: string, options: ClosureLookup): FileClosure {
  const { root, storeRoots, libraries, objects, systemLibraries, dlopen } = options;
  const trace = traceFile(path, { root, probe: objects, with: 'none', hwcaps: 'none', dlopen });
  if (trace.fatal !== undefined)
    return { note: undefined, why: 'the loader ends the program before it starts' };
  const encoding = encodingOf(trace);
  const nodes = closureNodes(trace, libraries, storeRoots, byteStringOf(Buffer.from(process.cwd())));
  const note = closureNoteOf(nodes, { storeRoots, systemLibraries, sizeOf: sizes(options) });
  const answers = note.objects.reduce((sum, object) => sum + object.answers.length, 0);
  if (answers === 0) return { note: undefined, why: 'no library of its closure can be recorded' };
  return { note: encodeClosureNote(note, encoding), content: note, answers };
}

function encodingOf({ objects, file }: Trace) {
  const encoding = objects[0]?.facts?.image.encoding;
  if (encoding === undefined) throw new ElfnoteError('malformed', 'cannot be read', { path: file });
  return encoding;
}

function sizes({
  storeRoots,
  trustStore,
  objects,
}: ClosureLookup): (path: ByteString) => ClosureObject['size'] {
  return path => {
    if (trustStore && storeRoots?.some(root => path.startsWith(`${root.replace(/\/+$/, '')}/`)))
      return 'trusted';
    const opened = objects.open(path);
    return opened.kind === 'opened' ? opened.facts?.image.size : undefined;
  };
}
