import { escapeControls } from '../elf/bytes.js';
import { EXIT, exitStatusOf } from '../errors.js';
import type { FileOutcome } from '../outcome.js';
import type { Found } from '../store/walk.js';
import type { Result } from '../tree/run.js';
import type { RunFlags } from './file-command.js';
import { type Log, lazyLog } from './log.js';
import { flushOut, printOut } from './output.js';
import { Progress } from './progress.js';
import { jsonOf, summaryJson } from './report-json.js';
import { summaryLine, textOf } from './report-text.js';
import { addToSummary, emptySummary, type Summary } from './summary.js';

/** Tells what becomes of the files: lines or JSON on standard output, the log and a bar on standard error. */
export class Reporter {
  readonly #flags: RunFlags;
  readonly #log: Log;
  readonly #progress: Progress;
  readonly #summary: Summary;
  #status: number = EXIT.ok;

  constructor(flags: RunFlags, files: number) {
    this.#flags = flags;
    this.#progress = new Progress(files, flags.progress);
    this.#summary = emptySummary(flags.dryRun === true);
    this.#log = lazyLog(flags, () => {
      flushOut();
      this.#progress.clear();
    });
  }

  /** 0, or the highest that a failure so far calls for. */
  get status(): number {
    return this.#status;
  }

  async report({ file, outcome }: Result): Promise<void> {
    addToSummary(this.#summary, outcome);
    if (outcome.action === 'failed') {
      const status = file.explicit ? exitStatusOf(outcome.error.code) : EXIT.findings;
      this.#status = Math.max(this.#status, status);
    }
    await this.#logOf(outcome);
    this.#print(this.#flags.json ? [JSON.stringify(jsonOf(outcome))] : this.#linesOf(outcome, file));
    await this.#progress.step(file.path);
  }

  /** @param stopped the signal or `--fail-fast` that ended the run early. */
  finish(found: readonly Found[], stopped: string | undefined): Summary {
    this.#progress.stop();
    const summary = { ...this.#summary, stopped: stopped ?? null };
    const isTree = found.length !== 1 || found[0]?.explicit === false;
    if (this.#flags.json) this.#print([JSON.stringify(summaryJson(summary))]);
    else if (!this.#flags.quiet && (isTree || stopped !== undefined)) this.#print([summaryLine(summary)]);
    flushOut();
    return summary;
  }

  async #logOf(outcome: FileOutcome): Promise<void> {
    const path = escapeControls(outcome.path);
    if (outcome.action === 'failed') {
      const { code, offset, message } = outcome.error;
      const where = offset === undefined ? '' : ` (at offset ${offset})`;
      return this.#log('error', { path, code, offset }, `${escapeControls(message)}${where}`);
    }
    const warnings = [...outcome.warnings];
    if (outcome.action === 'skipped' && outcome.reason === 'no-room') warnings.push(outcome.detail);
    if (outcome.action === 'written' && outcome.lost.length > 0) {
      warnings.push(`gave up ${outcome.lost.join(', ')}`);
    }
    for (const warning of warnings) await this.#log('warn', { path }, warning);
  }

  #linesOf(outcome: FileOutcome, { explicit }: Found): string[] {
    return this.#flags.quiet ? [] : textOf(outcome, { verbose: this.#flags.verbose === true, explicit });
  }

  #print(lines: readonly string[]): void {
    if (lines.length === 0) return;
    this.#progress.clear();
    for (const line of lines) printOut(`${line}\n`);
  }
}
