/** Lets only so many processes run at once; what comes then waits its turn, and no longer than it may. */

import { BridgeError } from '../errors.js';

export interface AdmissionOptions {
  /** Processes that may run at once. */
  readonly maxProcesses: number;
  /** Requests that may wait besides. */
  readonly maxQueue: number;
  /** How long one waits; 0 for as long as it takes. */
  readonly queueTimeoutMs: number;
}

interface Waiting {
  readonly admit: () => void;
  readonly refuse: (reason: unknown) => void;
}

/** Gives back a place; calling it again does nothing. */
export type Release = () => void;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #queue = new Set<Waiting>();
  #running = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Places that are taken. */
  get running(): number {
    return this.#running;
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#queue.size;
  }

  /**
   * Takes a place, in the order of the calls. Whoever gets one gives it back when the process is gone.
   *
   * @throws BridgeError `ERR_MAX_QUEUE` at once, or `ERR_QUEUE_TIMEOUT`; what `signal` aborts with.
   */
  async enter(signal: AbortSignal): Promise<Release> {
    signal.throwIfAborted();
    if (this.#running < this.#options.maxProcesses) this.#running += 1;
    else await this.#wait(signal);
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      this.#leave();
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    const { maxProcesses, maxQueue, queueTimeoutMs } = this.#options;
    if (this.#queue.size >= maxQueue) {
      const reason = `${String(maxProcesses)} processes run (--max-processes, or --workers) and ${String(maxQueue)} requests wait (--max-queue)`;
      return Promise.reject(new BridgeError('ERR_MAX_QUEUE', reason));
    }
    return new Promise((resolve, reject) => {
      const leaveQueue = (): void => {
        this.#queue.delete(waiting);
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
      };
      const waiting: Waiting = {
        admit: () => {
          leaveQueue();
          resolve();
        },
        refuse: (reason) => {
          leaveQueue();
          reject(reason instanceof Error ? reason : new Error(String(reason)));
        },
      };
      const onAbort = (): void => {
        waiting.refuse(signal.reason);
      };
      const onTimeout = (): void => {
        const reason = `no process became free within ${String(queueTimeoutMs)} ms (--queue-timeout)`;
        waiting.refuse(new BridgeError('ERR_QUEUE_TIMEOUT', reason));
      };
      const timer = queueTimeoutMs === 0 ? undefined : setTimeout(onTimeout, queueTimeoutMs);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#queue.add(waiting);
    });
  }

  /** Hands the place to the one that waits longest. */
  #leave(): void {
    const [next] = this.#queue;
    if (next !== undefined) next.admit();
    else this.#running -= 1;
  }
}
