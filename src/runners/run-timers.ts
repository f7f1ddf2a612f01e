/** The clocks of one run. */

import type { EndedBy, RunLimits } from './runner.js';

/** Calls `expired` when a run takes longer than it may; each limit of 0 ms is none. Owns its timers until `clear`. */
export class RunTimers {
  #start: NodeJS.Timeout | undefined;
  #headSeen = false;
  readonly #startTimer: () => NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;
  readonly #max: NodeJS.Timeout | undefined;

  constructor(limits: RunLimits, expired: (why: EndedBy) => void) {
    const timer = (ms: number, why: EndedBy): NodeJS.Timeout | undefined =>
      ms > 0
        ? setTimeout(() => {
            expired(why);
          }, ms)
        : undefined;
    this.#startTimer = () => timer(limits.startTimeoutMs, 'start-timeout');
    this.#idle = timer(limits.idleTimeoutMs, 'idle-timeout');
    this.#max = timer(limits.maxTimeMs, 'max-time');
  }

  /** The request's body was taken or is not wanted: from now on it is the script that takes its time. */
  bodyTaken(): void {
    if (!this.#headSeen) this.#start ??= this.#startTimer();
  }

  /** The response's header is complete. */
  headSeen(): void {
    this.#headSeen = true;
    clearTimeout(this.#start);
  }

  /** Octets went in or out. */
  progress(): void {
    this.#idle?.refresh();
  }

  clear(): void {
    for (const timer of [this.#start, this.#idle, this.#max]) clearTimeout(timer);
    // Octets may still come and be thrown away, and refresh would bring a cleared timer back to life.
    this.#idle = undefined;
    this.#headSeen = true;
  }
}
