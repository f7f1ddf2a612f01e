/** The time between being told to stop and stopping, in which the daemon answers still but says that it should get nothing. */

import { setTimeout as delay } from 'node:timers/promises';

import type { Log } from '../observe/log.js';
import type { Daemon } from './daemon.js';

export class DrainDelay {
  /** Ends it, while it runs. */
  #running: AbortController | undefined;

  /** Answers what comes until whoever shares out requests among several has seen that `daemon` should get none. */
  async pass(daemon: Pick<Daemon, 'withdraw'>, drainDelayMs: number, log: Log): Promise<void> {
    if (drainDelayMs === 0) return;
    daemon.withdraw();
    log.info({ drain_delay_ms: drainDelayMs }, 'draining: it answers still, and its health is 503');
    this.#running = new AbortController();
    await delay(drainDelayMs, undefined, { signal: this.#running.signal }).catch(() => undefined);
    this.#running = undefined;
  }

  /** Ends it at once; false where it does not run. */
  cut(): boolean {
    this.#running?.abort();
    return this.#running !== undefined;
  }
}
