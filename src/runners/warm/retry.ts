/** When what has failed may be tried again: later each time. */

/** After the first failure; doubled each time. */
const RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;

export class Retry {
  #failures = 0;
  #at = 0;

  get isDue(): boolean {
    return performance.now() >= this.#at;
  }

  failed(): void {
    this.#at = performance.now() + Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** this.#failures++);
  }

  /** The next failure is a first one; it is not waited less for one that was. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** There is nothing to wait for any more. */
  reset(): void {
    this.#failures = 0;
    this.#at = 0;
  }
}
