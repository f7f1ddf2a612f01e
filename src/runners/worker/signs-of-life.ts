/** What is known of an application's signs of life: whether its workers show that they accept connections. */

import { setTimeout as delay } from 'node:timers/promises';

import type { Requester } from '../../fastcgi/requester.js';
import type { Worker } from './worker.js';
import { connectTo } from './worker-request.js';

/** How long a request waits for a sign of life of the worker that it goes to. */
const PATIENCE_MS = 1_000;

export class SignsOfLife {
  #areShown = false;

  /** Whether a worker of this application has ever given a sign of life. */
  get areShown(): boolean {
    return this.#areShown;
  }

  /**
   * Waits for the first sign of life of a worker that has started, on a connection of its own. Resolves with whether it
   * came: not if the worker ends, closes connections without a request, or `signal` aborts, which closes this one.
   */
  async first(worker: Pick<Worker, 'path'>, signal: AbortSignal): Promise<boolean> {
    try {
      const requester = await connectTo(worker);
      signal.addEventListener('abort', () => {
        requester.close();
      });
      if (signal.aborted) requester.close();
      await requester.probe();
      requester.close();
      this.#areShown = true;
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Waits for a sign of life of a worker that was connected to, if workers of this application give any; one that takes
   * longer than a second may be busy with what it does after an answer.
   *
   * @throws BridgeError `ERR_FASTCGI_DISCONNECTED`
   */
  async next(requester: Requester): Promise<void> {
    if (!this.#areShown) return;
    const timer = new AbortController();
    const patience = delay(PATIENCE_MS, undefined, { signal: timer.signal }).catch(() => undefined);
    try {
      await Promise.race([requester.probe(), patience]);
    } finally {
      timer.abort();
    }
  }
}
