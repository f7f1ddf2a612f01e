/** Time: a clock that may be started, put off and stopped, waits that grow, and a look-up that has to end in time. */

import { BridgeError } from './errors.js';

/**
 * Calls `expired` when `ms` have passed since it was started or put off; with 0 it never does. Owns its timer, whose own
 * `refresh` would bring one that was cleared back to life.
 */
export class Timer {
  readonly #ms: number;
  readonly #expired: () => void;
  #running: NodeJS.Timeout | undefined;

  constructor(ms: number, expired: () => void) {
    this.#ms = ms;
    this.#expired = expired;
  }

  /** Lets it run; one that runs goes on as it does. */
  start(): void {
    if (this.#ms === 0) return;
    this.#running ??= setTimeout(() => {
      this.#running = undefined;
      this.#expired();
    }, this.#ms);
  }

  /** Gives it all its time again, if it runs. */
  putOff(): void {
    this.#running?.refresh();
  }

  stop(): void {
    if (this.#running === undefined) return;
    clearTimeout(this.#running);
    this.#running = undefined;
  }
}

/** One step of a row of waits, each twice as long as the one before, up to a longest one; never changes itself. */
export interface Backoff {
  readonly delayMs: number;
  next(): Backoff;
}

export function backoffOf(delayMs: number, longestMs: number): Backoff {
  return Object.freeze({ delayMs, next: () => backoffOf(Math.min(2 * delayMs, longestMs), longestMs) });
}

/**
 * What `lookUp` comes to, unless the request's `signal` aborts or `ms` pass first; 0 for as long as it takes. The look-up is
 * told by a signal of its own, and has to heed it. `what` says what it is for.
 *
 * @throws BridgeError `ERR_LOOK_UP_TIMEOUT`; what `lookUp` throws, and `signal` aborts with.
 */
export async function inTime<T>(
  signal: AbortSignal,
  ms: number,
  lookUp: (signal: AbortSignal) => Promise<T>,
  what = 'said what is asked for',
): Promise<T> {
  const end = new AbortController();
  const leave = (): void => {
    end.abort(signal.reason);
  };
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave, { once: true });
  const timer = new Timer(ms, () => {
    const why = `no file system has ${what} within ${String(ms)} ms (--look-up-timeout)`;
    end.abort(new BridgeError('ERR_LOOK_UP_TIMEOUT', why));
  });
  timer.start();
  try {
    return await lookUp(end.signal);
  } finally {
    timer.stop();
    signal.removeEventListener('abort', leave);
  }
}
