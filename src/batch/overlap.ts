import { systemCodeBehind } from '../errors.js';
import type { AttributeCheck } from '../files/attributes.js';
import { isLate } from '../files/source.js';
import { ALONE, runNow, type Steps } from '../files/steps.js';
import type { FileOutcome } from '../outcome.js';
import type { Work } from './job.js';
import type { Found } from './walk.js';

/** Files under work. Node has four threads for slow calls; the others are between two of theirs. */
const MOST_AT_ONCE = 8;

/** Files that are begun and whose outcomes are not taken: a large one holds up the outcomes of those behind it. */
const MOST_BEGUN = 256;

/** What several files at once may have used up, and one alone may still get: room on the disk, open files, memory. */
const SCARCE = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'ENOMEM']);

export interface Result {
  readonly file: Found;
  readonly outcome: FileOutcome;
}

interface Begun {
  readonly file: Found;
  readonly attributes: AttributeCheck;
  steps: Steps<FileOutcome> | undefined;
  /** Another file was under work at some time while this one was. */
  hasCompany: boolean;
  outcome: FileOutcome | undefined;
}

/**
 * Work on several files at once: while the system copies one file, brings it to the disk or frees an old one, this thread
 * goes on with others. The steps of each file come one after the other, and outcomes in the order in which the files were
 * begun. What is begun goes on to its end, whoever asks for it.
 */
export class Overlap {
  readonly #work: Work;
  readonly #finish: (result: Result) => FileOutcome;
  /** In the order in which they were begun, up to the last whose outcome was not taken. */
  readonly #begun: Begun[] = [];
  /** They failed for want of what others had, and are worked on once more without those. */
  readonly #again: Begun[] = [];
  /** It goes on when it is alone. */
  #waiting: Begun | undefined;
  #running = 0;
  #hasFailed = false;
  #tell: (() => void) | undefined;

  /** @param finish the last that is done to a file, with the outcome so far. */
  constructor(work: Work, finish: (result: Result) => FileOutcome) {
    this.#work = work;
    this.#finish = finish;
  }

  /** Whether every outcome has been taken. */
  get isEmpty(): boolean {
    return this.#begun.length === 0;
  }

  /** Whether there is something to wait for. */
  get isBusy(): boolean {
    return this.#running > 0 || this.#again.length > 0;
  }

  /** Whether no further file may be begun before a `change`. */
  get isFull(): boolean {
    const isLong = this.#running >= MOST_AT_ONCE || this.#begun.length >= MOST_BEGUN;
    return isLong || this.#waiting !== undefined || this.#again.length > 0;
  }

  /** Whether the work on a file has failed so far. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** Works on a file as far as its first slow call. */
  begin(file: Found, attributes: AttributeCheck): void {
    const hasCompany = this.#running > 0;
    if (hasCompany) for (const other of this.#begun) other.hasCompany = true;
    const outcome = this.#work.passOver(file);
    const begun = { file, attributes, steps: undefined, hasCompany, outcome };
    this.#begun.push(begun);
    this.#running++;
    if (outcome === undefined) this.#goOn(begun, null);
    else this.#end(begun, outcome);
  }

  /** The first file that was begun, once it is finished. Each is given once. */
  take(): Result | undefined {
    const [first] = this.#begun;
    if (first?.outcome === undefined) return undefined;
    this.#begun.shift();
    return { file: first.file, outcome: first.outcome };
  }

  /** Waits for a file to be finished, or works on one that had to wait for the others. */
  async change(): Promise<void> {
    const waiting = this.#running === 1 ? this.#waiting : undefined;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      this.#goOn(waiting, null);
    } else if (this.#running > 0) {
      await new Promise<void>(done => {
        this.#tell = done;
      });
    } else {
      const begun = this.#again.shift();
      if (begun !== undefined) this.#settle(begun, this.#repeat(begun));
    }
  }

  /** @param failure of the call before. */
  #goOn(begun: Begun, failure: Error | null): void {
    let outcome: FileOutcome;
    try {
      begun.steps ??= this.#work.begin(begun.file, begun.attributes);
      const { steps } = begun;
      let step = failure === null ? steps.next() : steps.throw(failure);
      while (step.done !== true && step.value === ALONE && this.#running === 1) step = steps.next();
      if (step.done !== true) {
        if (step.value === ALONE) this.#waiting = begun;
        else step.value.later(failure => this.#goOn(begun, failure));
        return;
      }
      outcome = step.value;
    } catch (error) {
      outcome = this.#work.failed(begun.file, error);
    }
    this.#end(begun, outcome);
  }

  #repeat({ file, attributes }: Begun): FileOutcome {
    try {
      return runNow(this.#work.begin(file, attributes));
    } catch (error) {
      return this.#work.failed(file, error);
    }
  }

  #end(begun: Begun, outcome: FileOutcome): void {
    this.#running--;
    const isToRepeat =
      begun.hasCompany && outcome.action === 'failed' && isForWant(outcome.error) && !isLate(outcome.error);
    if (isToRepeat) this.#again.push(begun);
    else this.#settle(begun, outcome);
    this.#tell?.();
  }

  #settle(begun: Begun, outcome: FileOutcome): void {
    begun.outcome = this.#finish({ file: begun.file, outcome });
    this.#hasFailed ||= begun.outcome.action === 'failed';
  }
}

function isForWant(error: unknown): boolean {
  return SCARCE.has(systemCodeBehind(error) ?? '');
}
