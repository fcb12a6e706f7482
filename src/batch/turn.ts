const TURN_SECONDS = 0.05;

/** Lets signals and timers in now and then: the work itself is synchronous. */
export class Turn {
  // Node loads much for `performance`.
  #last = process.uptime();

  async give(): Promise<void> {
    if (this.#isDue()) await new Promise<void>(done => setImmediate(done));
  }

  /** Calls `then` soon, and not from within this call. */
  next(then: () => void): void {
    if (this.#isDue()) setImmediate(then);
    else queueMicrotask(then);
  }

  #isDue(): boolean {
    const now = process.uptime();
    if (now - this.#last < TURN_SECONDS) return false;
    this.#last = now;
    return true;
  }
}
