/** The clocks of one run. */

import { Timer } from '../timer.js';
import type { EndedBy, RunLimits } from './runner.js';

/** Calls `expired` when a run takes longer than it may; each limit of 0 ms is none. Owns its timers until `clear`. */
export class RunTimers {
  readonly #start: Timer;
  readonly #idle: Timer;
  readonly #max: Timer;
  #awaitsHead = true;

  constructor(limits: RunLimits, expired: (why: EndedBy) => void) {
    const timer = (ms: number, why: EndedBy): Timer =>
      new Timer(ms, () => {
        expired(why);
      });
    this.#start = timer(limits.startTimeoutMs, 'start-timeout');
    this.#idle = timer(limits.idleTimeoutMs, 'idle-timeout');
    this.#max = timer(limits.maxTimeMs, 'max-time');
    this.#idle.start();
    this.#max.start();
  }

  /** The request's body was taken or is not wanted: from now on it is the script that takes its time. */
  bodyTaken(): void {
    if (this.#awaitsHead) this.#start.start();
  }

  /** The response's header is complete. */
  headSeen(): void {
    this.#awaitsHead = false;
    this.#start.stop();
  }

  /** Octets went in or out. */
  progress(): void {
    this.#idle.putOff();
  }

  clear(): void {
    this.headSeen();
    this.#idle.stop();
    this.#max.stop();
  }
}
