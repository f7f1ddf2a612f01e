/**
 * Lets only so many processes run at once; what comes then waits its turn, and no longer than it may. The turns go round
 * the connections, so that one with many requests keeps the others waiting for one process at a time.
 */

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
  /** Who waits, by connection; the connection whose turn is next comes first. None of these sets is empty. */
  readonly #queues = new Map<object, Set<Waiting>>();
  #waiting = 0;
  #running = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Places that are taken. */
  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Takes a place: those of one connection in the order of the calls, the connections in turn. Whoever gets one gives it
   * back when the process is gone.
   *
   * @throws BridgeError `ERR_MAX_QUEUE` at once, or `ERR_QUEUE_TIMEOUT`; what `signal` aborts with.
   */
  async enter(connection: object, signal: AbortSignal): Promise<Release> {
    signal.throwIfAborted();
    if (this.#running < this.#options.maxProcesses) this.#running += 1;
    else await this.#wait(connection, signal);
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      this.#leave();
    };
  }

  #wait(connection: object, signal: AbortSignal): Promise<void> {
    const { maxProcesses, maxQueue, queueTimeoutMs } = this.#options;
    if (this.#waiting >= maxQueue) {
      const reason = `${String(maxProcesses)} processes run (--max-processes, or --workers) and ${String(maxQueue)} requests wait (--max-queue)`;
      return Promise.reject(new BridgeError('ERR_MAX_QUEUE', reason));
    }
    return new Promise((resolve, reject) => {
      const leaveQueue = (): void => {
        this.#remove(connection, waiting);
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
      this.#add(connection, waiting);
    });
  }

  #add(connection: object, waiting: Waiting): void {
    const queue = this.#queues.get(connection);
    if (queue === undefined) this.#queues.set(connection, new Set([waiting]));
    else queue.add(waiting);
    this.#waiting += 1;
  }

  #remove(connection: object, waiting: Waiting): void {
    const queue = this.#queues.get(connection);
    queue?.delete(waiting);
    if (queue?.size === 0) this.#queues.delete(connection);
    this.#waiting -= 1;
  }

  /** Hands the place to the one that waits longest of the connection whose turn it is. */
  #leave(): void {
    const [turn] = this.#queues;
    if (turn === undefined) {
      this.#running -= 1;
      return;
    }
    const [connection, queue] = turn;
    this.#queues.delete(connection);
    this.#queues.set(connection, queue);
    const [next] = queue;
    next?.admit();
  }
}
