/** A clock that goes on when it is told to; unlike the one of node:test in Node 20, its timers can be refreshed. */

import { mock } from 'node:test';

interface Running {
  due: number;
  readonly delay: number;
  readonly called: () => void;
}

export interface Clock {
  /** How many timers run. */
  readonly running: number;
  /** Lets so much time pass. */
  tick(ms: number): void;
  /** Gives the real timers back. */
  restore(): void;
}

/** Takes the place of `setTimeout` and `clearTimeout`. */
export function mockClock(): Clock {
  const timers = new Set<Running>();
  let now = 0;
  const set = mock.method(globalThis, 'setTimeout', (called: () => void, delay: number) => {
    const timer: Running & { refresh: () => void } = {
      due: now + delay,
      delay,
      called,
      refresh: () => {
        // As Node's does, also one that was cleared.
        timer.due = now + delay;
        timers.add(timer);
      },
    };
    timers.add(timer);
    return timer;
  });
  const clear = mock.method(globalThis, 'clearTimeout', (timer: Running) => timers.delete(timer));
  return {
    get running() {
      return timers.size;
    },
    tick: (ms) => {
      now += ms;
      for (const timer of [...timers].sort((one, other) => one.due - other.due)) {
        if (timer.due <= now && timers.delete(timer)) timer.called();
      }
    },
    restore: () => {
      set.mock.restore();
      clear.mock.restore();
    },
  };
}
