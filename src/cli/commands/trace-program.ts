import { byteStringOf, jsonText } from '../../elf/bytes.js';
import { ElfnoteError, EXIT } from '../../errors.js';
import { writeReport } from '../../files/report.js';
import { FileLoaderProbe } from '../../loader/file-probe.js';
import { ExpectedNotes } from '../../loader/notes.js';
import { type Trace, type TraceOptions, traceFile } from '../../loader/trace.js';
import { storeRoots } from '../../lookup.js';
import { FileSystemProbe } from '../../resolve/fs-probe.js';
import { coloursOf } from '../colours.js';
import { printOut } from '../output.js';
import { dotLines } from '../reports/dot.js';
import { declaresAny } from '../reports/trace-dlopen.js';
import { traceJson } from '../reports/trace-json.js';
import { traceText, whyLines } from '../reports/trace-text.js';
import type { TraceFlags } from './trace.js';

/**
 * Prints what the loader would do.
 * @returns the exit status.
 * @throws ElfnoteError of `traceFile`, or `usage` for a name that nothing asks for.
 */
export async function traceProgram(file: string, flags: TraceFlags): Promise<number> {
  const { libraryPath, preload, loader, hwcaps, root, ldCache } = flags;
  const probe = new FileLoaderProbe(root);
  const options: TraceOptions = { libraryPath, preload, loader, hwcaps, root, ldCache, probe };
  const trace = traceFile(file, { ...options, with: flags.with });
  const notes = new ExpectedNotes(new FileSystemProbe(root), storeRoots({ storeDirs: flags.storeDir }));
  const best = traceFile(file, { ...options, with: 'audit', notes });
  const opened = declaresAny(trace) ? traceFile(file, { ...options, with: flags.with, dlopen: true }) : trace;
  if (flags.svg !== undefined) {
    const { svgText } = await import('../reports/svg.js');
    writeReport(flags.svg, svgText(trace, best));
  }
  const lines = await report(trace, best, opened, flags);
  printOut(`${lines.join('\n')}\n`);
  return statusOf(trace);
}

async function report(trace: Trace, best: Trace, opened: Trace, flags: TraceFlags): Promise<string[]> {
  const why = (flags.why ?? []).map(name => byteStringOf(Buffer.from(name)));
  for (const name of why) refuseUnknown(trace, name);
  if (flags.json) return [jsonText(traceJson(trace, best, opened, why))];
  if (flags.dot) return dotLines(trace);
  if (why.length > 0) return why.flatMap(name => whyLines(trace, name));
  const colours = await coloursOf(flags.color);
  return traceText(trace, best, opened, { colours, depth: flags.depth, flat: flags.flat });
}

function refuseUnknown({ lookups, file }: Trace, name: string): void {
  if (lookups.some(lookup => lookup.name === name)) return;
  throw new ElfnoteError('usage', `no object asks for ${name}: give the name as it is asked for`, {
    path: file,
  });
}

function statusOf({ lookups, fatal }: Trace): number {
  const isMissing = lookups.some(({ outcome, tag }) => outcome === 'missing' && tag !== 'auxiliary');
  return isMissing || fatal !== undefined ? EXIT.findings : EXIT.ok;
}
