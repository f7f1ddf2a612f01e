/** Those who wait for something that is given out one at a time, in the order in which they came. */

interface Waiting<Thing> {
  readonly take: (thing: Thing) => void;
  readonly fail: (reason: unknown) => void;
}

export class WaitingLine<Thing> {
  readonly #waiting = new Set<Waiting<Thing>>();

  /** Waits for a thing; rejects with what `signal` aborts with, or what the line is dissolved with. */
  join(signal: AbortSignal): Promise<Thing> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiting);
        signal.removeEventListener('abort', onAbort);
      };
      const waiting: Waiting<Thing> = {
        take: (thing) => {
          leave();
          resolve(thing);
        },
        fail: (reason) => {
          leave();
          reject(reason instanceof Error ? reason : new Error(String(reason)));
        },
      };
      const onAbort = (): void => {
        waiting.fail(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(waiting);
    });
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** Gives the thing to who waits longest. */
  give(thing: Thing): void {
    const [first] = this.#waiting;
    first?.take(thing);
  }

  /** Sends everybody away. */
  dissolve(reason: Error): void {
    for (const waiting of [...this.#waiting]) waiting.fail(reason);
  }
}
