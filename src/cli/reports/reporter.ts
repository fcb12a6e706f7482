import type { Result } from '../../batch/run.js';
import type { Found } from '../../batch/walk.js';
import { type ElfnoteError, EXIT, exitStatusOf, whereText } from '../../errors.js';
import { storeRoots } from '../../lookup.js';
import type { FileOutcome } from '../../outcome.js';
import { coloursOf } from '../colours.js';
import type { RunFlags } from '../commands/file-command.js';
import { type Log, lazyLog } from '../log.js';
import { flushOut, OUT_IS_TERMINAL, printJson, printLine, printOut } from '../output.js';
import { OutsideDirectories } from '../outside.js';
import { rpathWarning, systemWarning, warningsOf } from '../warnings.js';
import { summaryBlock } from './block.js';
import { someOf } from './effect.js';
import { jsonOf, summaryJson } from './json.js';
import { PathSummaries } from './path-summaries.js';
import { Progress } from './progress.js';
import { addToSummary, emptySummary, type Summary } from './summary.js';
import { summaryLine, textOf } from './text.js';

/** Tells what becomes of the files: lines or JSON on standard output, the log and a bar on standard error. */
export class Reporter {
  readonly #flags: RunFlags;
  readonly #log: Log;
  readonly #progress: Progress;
  readonly #summary: Summary;
  readonly #summaries: PathSummaries;
  readonly #outside: OutsideDirectories;
  readonly #named: readonly string[];
  #status: number = EXIT.ok;

  /**
   * @param paths as the caller named them.
   * @param files how many were found below them.
   */
  constructor(flags: RunFlags, paths: readonly string[], files: number) {
    this.#flags = flags;
    this.#named = paths;
    // A build's standard error is a terminal in Nix, whose log has no use for a bar.
    this.#progress = new Progress(files, flags.progress && !flags.hook);
    this.#summary = emptySummary(flags.dryRun === true);
    this.#summaries = new PathSummaries(flags.hook ? paths : [], flags.dryRun === true);
    this.#outside = new OutsideDirectories(storeRoots({ storeDirs: flags.storeDir }));
    this.#log = lazyLog(flags, () => {
      flushOut();
      this.#progress.clear();
    });
  }

  /** 0, or the highest that a failure so far calls for: 2 only where nothing at all could be worked on. */
  get status(): number {
    const worked = this.#summary.files > this.#summary.failed;
    return worked ? Math.min(this.#status, EXIT.findings) : this.#status;
  }

  async report(result: Result): Promise<void> {
    const { file, outcome } = result;
    addToSummary(this.#summary, outcome);
    this.#summaries.add(result);
    this.#outside.add(outcome);
    if (outcome.action === 'failed') await this.fail(outcome.error, file);
    else
      for (const warning of warningsOf(outcome, this.#hook, file.explicit))
        await this.warn(outcome.path, warning);
    if (this.#flags.json) this.#printJson(jsonOf(outcome));
    else this.#print(this.#linesOf(outcome, file));
    const drawn = this.#progress.step(file.path);
    if (drawn !== undefined) await drawn;
  }

  /** @param file whose failure it is; one that was named by the caller counts for more. */
  async fail(error: ElfnoteError, file?: Found): Promise<void> {
    const { code, offset, message } = error;
    // In a build hook a file that fails is a warning, unless it was named or every library has to be found.
    const isWarning = this.#hook && this.#flags.strict !== true && file?.explicit !== true;
    if (!isWarning) {
      this.#status = Math.max(this.#status, file?.explicit ? exitStatusOf(code) : EXIT.findings);
    }
    const path = file?.path ?? error.path ?? '';
    await this.#log(isWarning ? 'warn' : 'error', { path, code, offset }, `${message}${whereText(offset)}`);
  }

  async warn(path: string, message: string): Promise<void> {
    await this.#log('warn', { path }, message);
  }

  /** @param stopped the signal or `--fail-fast` that ended the run early. */
  async finish(found: readonly Found[], stopped: string | undefined): Promise<Summary> {
    for (const { directory, message } of this.#outside.lines()) await this.warn(directory, message);
    const isTree = found.length !== 1 || found[0]?.explicit === false;
    const { onSystem, behindRpath } = this.#summary;
    const named = someOf(this.#named, 1).join(' and ');
    if (isTree && behindRpath > 0) await this.warn(named, rpathWarning(behindRpath));
    if (onSystem > 0) await this.warn(named, systemWarning(onSystem));
    this.#progress.stop();
    const isWork = this.#flags.check === true && this.#summary.written > 0;
    if (isWork || stopped !== undefined) this.#status = Math.max(this.#status, EXIT.findings);
    const summary: Summary = { ...this.#summary, stopped: stopped ?? null };
    if (this.#hook) this.#printByPath(summary.stopped);
    else if (this.#flags.json) this.#printJson(summaryJson(summary));
    else if (!this.#flags.quiet && (isTree || stopped !== undefined)) await this.#printBlock(summary);
    flushOut();
    return summary;
  }

  get #hook(): boolean {
    return this.#flags.hook === true;
  }

  #printByPath(stopped: string | null): void {
    for (const [path, counts] of this.#summaries) {
      const summary = { ...counts, stopped };
      if (this.#flags.json) this.#printJson(summaryJson(summary, path));
      else if (!this.#flags.quiet) this.#print([`${path}: ${summaryLine(summary)}`]);
    }
  }

  #linesOf(outcome: FileOutcome, { explicit }: Found): string[] {
    const verbose = this.#flags.verbose === true;
    return this.#flags.quiet || (this.#hook && !verbose) ? [] : textOf(outcome, { verbose, explicit });
  }

  #print(lines: readonly string[]): void {
    if (lines.length > 0 && OUT_IS_TERMINAL) this.#progress.clear();
    for (const line of lines) printLine(line);
  }

  /** Its words are elfnote's own, and sonames that are escaped. */
  async #printBlock(summary: Summary): Promise<void> {
    if (OUT_IS_TERMINAL) this.#progress.clear();
    const width = OUT_IS_TERMINAL ? process.stdout.columns : undefined;
    const lines = summaryBlock(summary, { colours: await coloursOf(this.#flags.color), width });
    printOut(`${lines.join('\n')}\n`);
  }

  #printJson(value: object): void {
    if (OUT_IS_TERMINAL) this.#progress.clear();
    printJson(value);
  }
}
