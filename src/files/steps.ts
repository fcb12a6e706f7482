/**
 * A call of the system that moves a file's bytes, or waits for the disk: it is carried out now, or by another thread
 * while this one goes on.
 */
export interface SlowCall {
  /** @throws the system's error. */
  now(): void;
  /** @param done is told the system's error, or null. */
  later(done: (error: Error | null) => void): void;
}

/**
 * Work that leaves its slow calls to whoever runs it. What a call fails with is thrown where it was yielded. All else is
 * done between them, so that work on several files never meets in the middle of that.
 */
export type Steps<T> = Generator<SlowCall, T, void>;

/** No call, but a wish: to go on when no other work is under way. Who does one thing after the other need do nothing. */
export const ALONE: SlowCall = { now() {}, later: done => done(null) };

/** Carries work out in one go. @throws what the work throws. */
export function runNow<T>(steps: Steps<T>): T {
  let step = steps.next();
  while (step.done !== true) step = answered(steps, step.value);
  return step.value;
}

function answered<T>(steps: Steps<T>, call: SlowCall): IteratorResult<SlowCall, T> {
  try {
    call.now();
  } catch (error) {
    return steps.throw(error);
  }
  return steps.next();
}
