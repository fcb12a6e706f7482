const TURN_SECONDS = 0.05;

/** For what comes next, `queueMicrotask` makes an object that says to whom it belongs. */
const DONE = Promise.resolve();

/** Lets signals, timers and what slow calls have brought in now and then: the work between is synchronous. */
export class Turn {
  // Node loads much for `performance`.
  #last = process.uptime();

  /** @param isDue the turn is given now, whenever the last one was. */
  async give(isDue = false): Promise<void> {
    if (isDue || this.#isDue()) await new Promise<void>(done => setImmediate(done));
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
