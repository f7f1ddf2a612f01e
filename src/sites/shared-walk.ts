/**
 * Has one walk for all who ask for the same before it begins. Who asks later waits for the next walk, which begins when the
 * one before has ended, so that it sees all that was there before. A walk stops when nobody waits for it any more.
 */

import type { ByteString } from '../base/bytes.js';
import { unlessAborted } from '../base/threads.js';
import { Abort, type WaitSignal } from '../base/timer.js';

interface Walk<T> {
  readonly result: Promise<T>;
  readonly stop: Abort;
  waiting: number;
}

export class SharedWalk<T> {
  /** The walks that have not begun, by name, and those that have. */
  readonly #next = new Map<ByteString, Walk<T>>();
  readonly #underWay = new Map<ByteString, Walk<T>>();

  /** What `walk` comes to, of those that were asked for by this name. @throws what it throws, or `signal` aborts with */
  async take(name: ByteString, walk: (signal: WaitSignal) => Promise<T>, signal?: WaitSignal): Promise<T> {
    signal?.throwIfAborted();
    const joined = this.#next.get(name) ?? this.#plan(name, walk);
    joined.waiting += 1;
    try {
      return await (signal === undefined ? joined.result : unlessAborted(joined.result, signal));
    } finally {
      joined.waiting -= 1;
      if (joined.waiting === 0) {
        forget(this.#next, name, joined);
        joined.stop.abort(new Error('nobody waits for it any more'));
      }
    }
  }

  #plan(name: ByteString, walk: (signal: WaitSignal) => Promise<T>): Walk<T> {
    const stop = new Abort();
    const begin = async (): Promise<T> => {
      const before = this.#underWay.get(name);
      await (before && unlessAborted(before.result, before.stop).catch(() => undefined));
      forget(this.#next, name, planned);
      stop.throwIfAborted();
      this.#underWay.set(name, planned);
      try {
        return await walk(stop);
      } finally {
        forget(this.#underWay, name, planned);
      }
    };
    const planned: Walk<T> = { result: Promise.resolve().then(begin), stop, waiting: 0 };
    // Who has left is told nothing.
    planned.result.catch(() => undefined);
    this.#next.set(name, planned);
    return planned;
  }
}

function forget<T>(walks: Map<ByteString, Walk<T>>, name: ByteString, walk: Walk<T>): void {
  if (walks.get(name) === walk) walks.delete(name);
}
