import { type ByteString, byteStringOf } from '../elf/bytes.js';
import { FileSystemProbe } from '../resolve/fs-probe.js';
import { type ClosureNode, closureNodes } from './edges.js';
import { FileLoaderProbe } from './file-probe.js';
import * as tracing from './trace.js';

/** How a program is started, and on what; everything that a caller can say of it. */
export type TraceOptions = Omit<tracing.TraceOptions, 'notes' | 'probe'>;

export interface ClosureOptions extends TraceOptions {
  /** Directories whose contents never change. Default: `NIX_STORE` from the environment, if set. */
  readonly storeDirs?: readonly string[] | undefined;
}

/**
 * Simulates ld.so over the whole closure of a program or library: which objects it opens and in what order, how it
 * finds each, and every open(2) and stat(2) that it makes for that. Paths and names are byte strings. Nothing of it is
 * run; the loader that has started Node is asked for the processor (`ld.so --help`), unless `hwcaps` names one.
 *
 * @throws ElfnoteError `usage` for an option that does not fit; of the file itself `unreadable`, `not-elf`,
 * `malformed`, or `unsupported` for a static program or one whose loader is no glibc.
 */
export function traceFile(path: string, options: TraceOptions = {}): tracing.Trace {
  return tracing.traceFile(path, options);
}

/**
 * Each object of a closure with its own requests, and for each the places where it may be met, in the order in which
 * the loader looks: what a table of answers for the whole closure can be made from.
 *
 * @param storeRoots `storeDirs` as byte strings; undefined when none are known.
 * @throws ElfnoteError as `traceFile`.
 */
export function closureOf(
  path: string,
  options: TraceOptions,
  storeRoots: readonly ByteString[] | undefined,
): ClosureNode[] {
  const traced = tracing.traceFile(path, { ...options, probe: new FileLoaderProbe(options.root) });
  const workingDirectory = byteStringOf(Buffer.from(process.cwd()));
  return closureNodes(traced, new FileSystemProbe(options.root), storeRoots, workingDirectory);
}
