import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';

import { BridgeError } from '../../src/base/errors.js';
import { Abort, Deadline, Timer } from '../../src/base/timer.js';
import { type Clock, mockClock } from '../helpers/clock.js';

describe('A timer', () => {
  let clock: Clock;
  let timer: Timer;
  let expired: number;
  beforeEach(() => {
    clock = mockClock();
    expired = 0;
    timer = new Timer(100, () => (expired += 1));
  });
  afterEach(() => {
    clock.restore();
  });

  it('runs only when it was started, and expires once', () => {
    clock.tick(1_000);
    assert.equal(expired, 0);
    timer.start();
    clock.tick(99);
    assert.equal(expired, 0);
    clock.tick(1_000);
    assert.equal(expired, 1);
  });

  it('goes on as it does when it is started again', () => {
    timer.start();
    clock.tick(60);
    timer.start();
    clock.tick(40);
    assert.equal(expired, 1);
    assert.equal(clock.running, 0);
  });

  it('can be started again when it has expired or was stopped', () => {
    timer.start();
    clock.tick(100);
    timer.start();
    timer.stop();
    clock.tick(100);
    assert.equal(expired, 1);
    timer.start();
    clock.tick(100);
    assert.equal(expired, 2);
  });

  it('that is late, as the process was stopped, waits as much longer, once and at most its time', (t) => {
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const pass = (ms: number, stoppedMs = 0): number => {
      now += ms + stoppedMs;
      clock.tick(ms);
      return expired;
    };
    timer.start();
    assert.deepEqual([pass(100, 5_000), pass(99), pass(1)], [0, 0, 1]);
    timer.start();
    assert.deepEqual([pass(100, 5_000), pass(100, 5_000)], [1, 2]);
    timer = new Timer(3_000, () => (expired += 1));
    timer.start();
    assert.deepEqual([pass(3_000, 500), pass(499), pass(1)], [2, 2, 3]);
    timer.start();
    assert.deepEqual([pass(3_000, 500), pass(499)], [3, 3]);
    timer.putOff();
    assert.deepEqual([pass(2_999), pass(1, 500), pass(500)], [3, 3, 4]);
    assert.equal(clock.running, 0);
  });

  it('gets all its time again when it is put off', () => {
    timer.start();
    for (let times = 0; times < 10; times++) {
      clock.tick(99);
      timer.putOff();
    }
    assert.equal(expired, 0);
    clock.tick(100);
    assert.equal(expired, 1);
  });

  it('is not brought to life by putting it off, whether it was stopped, has expired or never ran', () => {
    timer.putOff();
    timer.start();
    timer.stop();
    timer.putOff();
    assert.equal(clock.running, 0);
    timer.start();
    clock.tick(100);
    timer.putOff();
    assert.equal(clock.running, 0);
    assert.equal(expired, 1);
  });

  it('of 0 ms never expires', () => {
    new Timer(0, () => assert.fail('expired')).start();
    assert.equal(clock.running, 0);
  });
});

describe('A deadline', () => {
  const isLate = (reason: unknown): boolean =>
    reason instanceof BridgeError && reason.code === 'ERR_LOOK_UP_TIMEOUT';

  it('has a timer only while somebody listens, who is told in time', () => {
    const clock = mockClock();
    const deadline = new Deadline(new AbortController().signal, 1_000);
    assert.equal(clock.running, 0);
    let told = 0;
    const listener = (): void => {
      told += 1;
    };
    deadline.addEventListener('abort', listener);
    deadline.removeEventListener('abort', listener);
    assert.equal(clock.running, 0);
    deadline.addEventListener('abort', listener);
    deadline.throwIfAborted();
    clock.tick(1_000);
    clock.restore();
    assert.equal(told, 1);
    assert.ok(isLate(deadline.reason));
  });

  it('is seen to have passed where nobody listens', async () => {
    const deadline = new Deadline(new AbortController().signal, 5);
    deadline.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 10));
    assert.throws(() => {
      deadline.throwIfAborted();
    }, isLate);
  });

  it('of 0 ms ends with its signal, and tells why', () => {
    const ended = new AbortController();
    const deadline = new Deadline(ended.signal, 0);
    let told: unknown;
    deadline.addEventListener('abort', () => (told = deadline.reason));
    ended.abort('left');
    assert.equal(told, 'left');
    assert.throws(() => {
      deadline.throwIfAborted();
    }, /left/);
  });
});

for (const [name, make] of [
  ['An abort', () => ({ abort: new Abort() })],
  [
    'Node’s AbortController',
    () => {
      const controller = new AbortController();
      const { signal } = controller;
      return { abort: Object.assign(signal, { abort: controller.abort.bind(controller) }) };
    },
  ],
] as const) {
  it(`${name} tells each listener once that is still there, and why`, () => {
    const { abort } = make();
    const told: string[] = [];
    const removed = (): number => told.push('removed');
    const last = (): number => told.push('last');
    abort.addEventListener('abort', removed);
    abort.addEventListener('abort', () => {
      told.push('first');
      abort.removeEventListener('abort', last);
    });
    abort.addEventListener('abort', last);
    abort.addEventListener('abort', () => told.push(String(abort.aborted)));
    abort.removeEventListener('abort', removed);
    abort.throwIfAborted();
    assert.deepEqual([abort.aborted, abort.reason], [false, undefined]);
    abort.abort(new Error('one'));
    abort.abort(new Error('two'));
    assert.deepEqual(told, ['first', 'true']);
    assert.equal((abort.reason as Error).message, 'one');
    assert.throws(() => {
      abort.throwIfAborted();
    }, /one/);
  });
}
