/** Those who wait for a thing, in the order in which they came. */

import type { WaitSignal } from './timer.js';

export interface Waiting<Thing = void> {
  /** When its wait began, by `performance.now()`. */
  readonly since: number;
  readonly give: (thing: Thing) => void;
  readonly refuse: (reason: unknown) => void;
}

export interface Wait {
  /** When the wait began, by `performance.now()`, where that was before. */
  readonly since?: number;
  /** How long it may last, and what it is refused with then; 0 for as long as it takes. */
  readonly timeoutMs?: number;
  readonly late?: () => Error;
  /** Called as it ends, in whatever way. */
  readonly onLeave?: () => void;
  readonly isFirst?: boolean;
}

/** Owns a timer and a listener for each of them, until that one's wait has ended. */
export class WaitQueue<Thing = void> {
  #waiting = new Set<Waiting<Thing>>();

  get size(): number {
    return this.#waiting.size;
  }

  [Symbol.iterator](): IterableIterator<Waiting<Thing>> {
    return this.#waiting.values();
  }

  /** Waits for a thing. Rejects with what it is refused with, or with what `signal` aborts with. */
  join(signal: WaitSignal, { since = performance.now(), ...wait }: Wait = {}): Promise<Thing> {
    const { timeoutMs = 0, late, onLeave, isFirst = false } = wait;
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiting);
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        onLeave?.();
      };
      const waiting: Waiting<Thing> = {
        since,
        give: (thing) => {
          leave();
          resolve(thing);
        },
        refuse: (reason) => {
          leave();
          reject(reason instanceof Error ? reason : new Error(String(reason)));
        },
      };
      const onAbort = (): void => {
        waiting.refuse(signal.reason);
      };
      const onTimeout = (): void => {
        waiting.refuse(late?.());
      };
      const timer = timeoutMs > 0 ? setTimeout(onTimeout, since + timeoutMs - performance.now()) : undefined;
      signal.addEventListener('abort', onAbort);
      if (isFirst) this.#waiting = new Set([waiting, ...this.#waiting]);
      else this.#waiting.add(waiting);
      if (signal.aborted) onAbort();
    });
  }

  give(thing: Thing): void {
    const [first] = this.#waiting;
    first?.give(thing);
  }
}
