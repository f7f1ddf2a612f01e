/** Watches a worker whose answers go to the web server directly, for what its life tells of them. */

import type { Readable } from 'node:stream';

/** A worker that has run for so long has begun to serve; if it fails then, that begins a new row of failures. */
const PROVEN_AFTER_MS = 5_000;

/** Owns its timer until `end`. */
export class Watch {
  readonly #since = performance.now();
  readonly #timer: NodeJS.Timeout;
  #hasPrinted = false;

  /**
   * `onProven` is called when the worker has run for five seconds; `onPrinted` when it writes to its standard output for
   * the first time: a FastCGI application has no use for that, a CGI program has.
   */
  constructor(stdout: Readable, onProven: () => void, onPrinted: () => void) {
    this.#timer = setTimeout(onProven, PROVEN_AFTER_MS);
    stdout.once('data', () => {
      this.#hasPrinted = true;
      onPrinted();
    });
  }

  /** Whether a worker that has ended with status 0 may have done so on purpose, after answers. */
  get mayHaveServed(): boolean {
    return !this.#hasPrinted;
  }

  /** How long it has lived. */
  get lifeMs(): number {
    return performance.now() - this.#since;
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
