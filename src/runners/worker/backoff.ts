/** How long to wait before a worker that has failed is started again. */

const FIRST_MS = 100;
const LONGEST_MS = 10_000;

/** One step of a row of waits, each twice as long as the one before, up to ten seconds; never changes itself. */
export interface Backoff {
  readonly delayMs: number;
  next(): Backoff;
}

/** The wait after a first failure. */
export const firstBackoff: Backoff = backoffOf(FIRST_MS);

function backoffOf(delayMs: number): Backoff {
  return Object.freeze({ delayMs, next: () => backoffOf(Math.min(2 * delayMs, LONGEST_MS)) });
}
