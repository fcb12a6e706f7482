/** Microseconds by which each look-up of a path is made longer. */
export const DELAYS = [200, 1000] as const;
