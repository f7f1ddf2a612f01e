/** The processes that a fork server was asked for and has not made yet; each is settled once. */

import type { OwnedProcess } from '../../process/owned-process.js';
import { NotForked } from './not-forked.js';

interface Pending {
  readonly resolve: (forked: OwnedProcess) => void;
  readonly reject: (error: NotForked) => void;
  readonly timer: NodeJS.Timeout;
}

/** Owns their timers; `onTimeout` is called when one was not settled within `timeoutMs`. */
export class PendingForks {
  readonly #timeoutMs: number;
  readonly #onTimeout: () => void;
  readonly #pending = new Map<string, Pending>();

  constructor(timeoutMs: number, onTimeout: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#onTimeout = onTimeout;
  }

  get size(): number {
    return this.#pending.size;
  }

  /** Rejects with NotForked. */
  add(id: string): Promise<OwnedProcess> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(this.#onTimeout, this.#timeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
    });
  }

  /** Whether anybody still waits for it. */
  has(id: string): boolean {
    return this.#pending.has(id);
  }

  resolve(id: string, forked: OwnedProcess): void {
    this.#take(id)?.resolve(forked);
  }

  reject(id: string, error: NotForked): void {
    this.#take(id)?.reject(error);
  }

  rejectAll(reason: string): void {
    for (const id of [...this.#pending.keys()]) this.reject(id, new NotForked('gone', reason));
  }

  #take(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(pending?.timer);
    return pending;
  }
}
