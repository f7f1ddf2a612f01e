/** The clocks of one run. */

import type { EndedBy, RunLimits } from './runner.js';

/** Calls `expired` when a run takes longer than it may; each limit of 0 ms is none. Owns its timers until `clear`. */
export class RunTimers {
  readonly #start: NodeJS.Timeout | undefined;
  readonly #idle: NodeJS.Timeout | undefined;
  readonly #max: NodeJS.Timeout | undefined;

  constructor(limits: RunLimits, expired: (why: EndedBy) => void) {
    const timer = (ms: number, why: EndedBy): NodeJS.Timeout | undefined =>
      ms > 0
        ? setTimeout(() => {
            expired(why);
          }, ms)
        : undefined;
    this.#start = timer(limits.startTimeoutMs, 'start-timeout');
    this.#idle = timer(limits.idleTimeoutMs, 'idle-timeout');
    this.#max = timer(limits.maxTimeMs, 'max-time');
  }

  /** The response's header is complete. */
  headSeen(): void {
    clearTimeout(this.#start);
  }

  /** Octets went in or out. */
  progress(): void {
    this.#idle?.refresh();
  }

  clear(): void {
    for (const timer of [this.#start, this.#idle, this.#max]) clearTimeout(timer);
  }
}
