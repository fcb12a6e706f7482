import { type ByteString, byteStringOf, displayBytes } from '../elf/bytes.js';
import { ElfnoteError } from '../errors.js';
import type { LoaderProbe } from './probe.js';
import type { Trace } from './trace.js';

/** The files of a closure on this machine, by their real paths, each once. */
export interface ClosureFiles {
  /** In the order in which they are loaded, the program first. */
  readonly inside: readonly ByteString[];
  /** Libraries that lie elsewhere: they are none of the store's, and are not to be written to. */
  readonly outside: readonly ByteString[];
}

/**
 * What of a closure lies inside directories, by real paths: a link inside that leads out of them is outside.
 * @param directories inside `root`, where there is one.
 * @throws ElfnoteError `refused` where the program itself lies outside.
 */
export function closureFiles(
  trace: Trace,
  probe: LoaderProbe,
  directories: readonly ByteString[],
  root: string | undefined,
): ClosureFiles {
  const tops = directories.map(dir => `${probe.realPath(dir) ?? dir}/`.replace(/\/+$/, '/'));
  const above = byteStringOf(Buffer.from(root ?? ''));
  const inside = new Set<ByteString>();
  const outside = new Set<ByteString>();
  for (const { kind, path, index } of trace.objects) {
    if (kind === 'loader' || kind === 'vdso') continue;
    const real = probe.realPath(path) ?? path;
    const file = above + real;
    if (tops.some(top => real.startsWith(top))) inside.add(file);
    else if (index === 0) throw outsideError(trace.file, directories);
    else outside.add(file);
  }
  return { inside: [...inside], outside: [...outside] };
}

function outsideError(path: string, directories: readonly ByteString[]): ElfnoteError {
  const where = directories.map(displayBytes).join(', ');
  return new ElfnoteError('refused', `lies outside the store directories (${where})`, { path });
}
