/** What a site did in the last minutes: counts and peaks in periods of one length, in a ring of fixed size, by no timer. */

import type { Activity } from './status.js';

export const PERIOD_MS = 10_000;
/** A quarter of an hour. */
export const PERIODS = 90;

/** Counts when something happens. Where nothing does, the load stays as it was, and periods are filled in later. */
export class History {
  /** In milliseconds, of a clock that only goes forward. */
  readonly #now: () => number;
  readonly #since: number;
  readonly #requests = new Uint32Array(PERIODS);
  readonly #errors = new Uint32Array(PERIODS);
  readonly #running = new Uint32Array(PERIODS);
  readonly #waiting = new Uint32Array(PERIODS);
  /** The number of periods that are over. */
  #over = 0;
  #load = { running: 0, waiting: 0 };
  #most = { running: 0, waiting: 0 };

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#since = now();
  }

  /** A request has ended. */
  ended(isError: boolean): void {
    const at = this.#at();
    this.#requests[at] = (this.#requests[at] ?? 0) + 1;
    if (isError) this.#errors[at] = (this.#errors[at] ?? 0) + 1;
  }

  /** From now on this number of requests runs and waits. */
  load(running: number, waiting: number): void {
    const at = this.#at();
    this.#load = { running, waiting };
    this.#running[at] = Math.max(this.#running[at] ?? 0, running);
    this.#waiting[at] = Math.max(this.#waiting[at] ?? 0, waiting);
    this.#most = {
      running: Math.max(this.#most.running, running),
      waiting: Math.max(this.#most.waiting, waiting),
    };
  }

  get activity(): Activity {
    const at = this.#at();
    const count = Math.min(PERIODS, this.#over + 1);
    const inOrder = (ring: Uint32Array): readonly number[] =>
      [...ring.subarray(at + 1), ...ring.subarray(0, at + 1)].slice(-count);
    const requests = inOrder(this.#requests);
    const latest = requests.slice(-2);
    const latestMs = this.#now() - this.#since - (this.#over + 1 - latest.length) * PERIOD_MS;
    return {
      // Within the first second nobody can tell how many a second has.
      requestsPerSecond: (1_000 * sum(latest)) / Math.max(1_000, latestMs),
      maxRunning: this.#most.running,
      maxWaiting: this.#most.waiting,
      periodMs: PERIOD_MS,
      requests,
      errors: inOrder(this.#errors),
      running: inOrder(this.#running),
      waiting: inOrder(this.#waiting),
    };
  }

  /** Where the present period is in the rings; the periods since the last call are filled in. */
  #at(): number {
    const over = Math.floor((this.#now() - this.#since) / PERIOD_MS);
    const from = Math.max(this.#over + 1, over + 1 - PERIODS);
    for (let period = from; period <= over; period += 1) {
      const at = period % PERIODS;
      [this.#requests[at], this.#errors[at]] = [0, 0];
      [this.#running[at], this.#waiting[at]] = [this.#load.running, this.#load.waiting];
    }
    this.#over = over;
    return over % PERIODS;
  }
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
