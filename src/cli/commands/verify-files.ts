import { type VerifyReport, verifyFound } from '../../batch/verify.js';
import { type Found, findFiles } from '../../batch/walk.js';
import { escapeControls } from '../../elf/bytes.js';
import { EXIT, exitStatusOf } from '../../errors.js';
import { coloursOf } from '../colours.js';
import { refuseWithoutStore } from '../needs-store.js';
import { OUT_IS_TERMINAL, printError, printJson, printOut } from '../output.js';
import { listOf } from '../paths.js';
import { Progress } from '../reports/progress.js';
import { problemLines, verifyJson, verifySummaryJson, verifySummaryLine } from '../reports/verify.js';
import type { VerifyFlags } from './verify.js';

/** @returns the exit status. */
export async function verifyPaths(paths: readonly string[], flags: VerifyFlags): Promise<number> {
  const { include, exclude, crossFileSystems, preserveRoot, root, storeDir, json, quiet, verbose } = flags;
  refuseWithoutStore(flags);
  const listed = listOf(paths, flags);
  const found = await findFiles(paths, { include, exclude, crossFileSystems, preserveRoot, listed });
  const { systemLibraries, dlopen } = flags;
  const options = { root, storeDirs: storeDir, with: flags.with, systemLibraries, dlopen };
  const progress = new Progress(found.length, flags.progress);
  const reports: VerifyReport[] = [];
  let status: number = EXIT.ok;
  for (const { file, ...report } of verifyFound(found, options)) {
    reports.push(report);
    status = Math.max(status, statusOf(report, file, flags.require === true));
    if (report.state === 'failed') {
      progress.clear();
      printError(escapeControls(report.error.line));
    }
    if (json) printJson(verifyJson(report));
    else if (verbose && ['fresh', 'none'].includes(report.state)) printOut(`${wordOf(report)}\n`);
    await progress.step(file.path);
  }
  progress.stop();
  const width = OUT_IS_TERMINAL ? process.stdout.columns : undefined;
  const looks = { colours: await coloursOf(flags.color), width };
  if (json) printJson(verifySummaryJson(reports));
  else if (!quiet) printOut([...problemLines(reports, looks), verifySummaryLine(reports), ''].join('\n'));
  const worked = reports.some(({ state }) => state !== 'failed');
  return worked ? Math.min(status, EXIT.findings) : status;
}

function wordOf(report: VerifyReport): string {
  const detail = report.state === 'none' ? `needs none: ${report.detail}` : 'fresh';
  return `${escapeControls(report.path)}: ${detail}`;
}

function statusOf(report: VerifyReport, file: Found, require: boolean): number {
  switch (report.state) {
    case 'failed':
      return file.explicit ? exitStatusOf(report.error.code) : EXIT.findings;
    case 'malformed':
    case 'absent':
    case 'stale':
      return EXIT.findings;
    case 'missing':
      return require ? EXIT.findings : EXIT.ok;
    default:
      return EXIT.ok;
  }
}
