import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { WaitQueue } from '../../src/base/wait-queue.js';

const never = new AbortController().signal;

describe('Those who wait for a thing', () => {
  it('get one in the order in which they came', async () => {
    const queue = new WaitQueue<string>();
    const first = queue.join(never);
    const second = queue.join(never);
    queue.give('one');
    assert.equal(queue.size, 1);
    queue.give('two');
    assert.equal(queue.size, 0);
    assert.deepEqual(await Promise.all([first, second]), ['one', 'two']);
  });

  it('leave when nobody wants their answer any more, and are passed over', async () => {
    const queue = new WaitQueue<string>();
    const abort = new AbortController();
    const first = queue.join(abort.signal);
    const second = queue.join(never);
    abort.abort(new Error('left'));
    await assert.rejects(first, /left/);
    queue.give('one');
    assert.equal(await second, 'one');
  });

  it('leave after their time, which counts from when it began', async ({ mock }) => {
    mock.timers.enable({ apis: ['setTimeout'] });
    const queue = new WaitQueue<string>();
    const wait = { timeoutMs: 1_000, late: () => new Error('late'), onLeave: () => (left += 1) };
    let left = 0;
    const early = queue.join(never, { ...wait, since: performance.now() - 600 });
    const other = queue.join(never, wait);
    mock.timers.tick(500);
    await assert.rejects(early, /late/);
    assert.deepEqual([queue.size, left], [1, 1]);
    queue.give('one');
    assert.equal(await other, 'one');
    mock.timers.tick(1_000);
    assert.equal(left, 2);
  });

  it('come before the others where they had a turn already', async () => {
    const queue = new WaitQueue<string>();
    const other = queue.join(never);
    const first = queue.join(never, { isFirst: true });
    for (const thing of ['one', 'two']) queue.give(thing);
    assert.deepEqual(await Promise.all([first, other]), ['one', 'two']);
  });

  it('are all sent away when there will be none', async () => {
    const queue = new WaitQueue<string>();
    const waiting = [queue.join(never), queue.join(never)];
    for (const { refuse } of queue) refuse(new Error('closed'));
    for (const each of waiting) await assert.rejects(each, /closed/);
    assert.equal(queue.size, 0);
  });
});
