/** One clock that may be started, put off and stopped; `refresh` of Node's brings a cleared timer back to life. */

/** Calls `expired` when `ms` have passed since it was started or put off; with 0 it never does. Owns its timer. */
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
    clearTimeout(this.#running);
    this.#running = undefined;
  }
}
