const TURN_SECONDS = 0.05;

/** For what comes next, `queueMicrotask` makes an object that says to whom it belongs. */
const DONE = Promise.resolve();

/** Lets signals, timers and what slow calls have brought in now and then: the work between is synchronous. */
export class Turn {
  // Node loads much for `performance`.
  #last = process.uptime();

  /**
   * @param isDue the turn is given now, whenever the last one was.
   * @returns undefined where there is nothing to wait for.
   */
  give(isDue = false): Promise<void> | undefined {
    return isDue || this.#isDue() ? new Promise<void>(done => setImmediate(done)) : undefined;
  }

  /** Calls `then` soon, and not from within this call. */
  next(then: () => void): void {
    if (this.#isDue()) setImmediate(then);
    else void DONE.then(then);
  }

  #isDue(): boolean {
    const now = process.uptime();
    if (now - this.#last < TURN_SECONDS) return false;
    this.#last = now;
    return true;
  }
}
