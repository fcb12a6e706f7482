import { EXIT } from '../../errors.js';
import { FileLoaderProbe } from '../../loader/file-probe.js';
import { ExpectedNotes } from '../../loader/notes.js';
import { type Trace, type TraceOptions, traceFile } from '../../loader/trace.js';
import { storeRoots } from '../../pipeline.js';
import { FileSystemProbe } from '../../resolve/fs-probe.js';
import { printOut } from '../output.js';
import { treeText } from '../reports/tree.js';
import type { TraceFlags } from './trace.js';

/** @returns the exit status. */
export function traceProgram(file: string, flags: TraceFlags): number {
  const { libraryPath, preload, loader, hwcaps, root, ldCache } = flags;
  const probe = new FileLoaderProbe(root);
  const options: TraceOptions = { libraryPath, preload, loader, hwcaps, root, ldCache, probe };
  const trace = traceFile(file, { ...options, with: flags.with });
  const libraries = new FileSystemProbe(root);
  const notes = new ExpectedNotes(libraries, storeRoots({ storeDirs: flags.storeDir }));
  const best = traceFile(file, { ...options, with: 'audit', notes });
  printOut(`${treeText(trace, best).join('\n')}\n`);
  return statusOf(trace);
}

function statusOf({ lookups, fatal }: Trace): number {
  const isMissing = lookups.some(({ outcome, tag }) => outcome === 'missing' && tag !== 'auxiliary');
  return isMissing || fatal !== undefined ? EXIT.findings : EXIT.ok;
}
