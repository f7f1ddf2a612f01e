import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { WorkerSet } from '../../../src/runners/worker/worker-set.js';

const never = new AbortController().signal;

describe('A set of workers', () => {
  let becomeReady: boolean;
  let workers: WorkerSet<string>;

  const make = (maxRequests = 0): WorkerSet<string> =>
    new WorkerSet<string>({ maxRequests, becomeReady: () => becomeReady });

  /** Each is free and ready, in this order. */
  function enter(...names: readonly string[]): void {
    for (const worker of names) {
      workers.enter(worker);
      workers.ready(worker);
    }
  }

  beforeEach(() => {
    becomeReady = false;
    workers = make();
  });

  it('gives the worker that has been free for longest', () => {
    enter('one', 'two', 'three');
    assert.deepEqual([workers.take(), workers.take()], ['one', 'two']);
    workers.giveBack('two');
    workers.giveBack('one');
    assert.deepEqual([workers.take(), workers.take(), workers.take()], ['three', 'two', 'one']);
    assert.equal(workers.take(), undefined);
  });

  it('prefers one that is ready to one that still starts', () => {
    workers.enter('starts');
    enter('ready');
    assert.deepEqual([workers.take(), workers.take()], ['ready', 'starts']);
  });

  it('gives none that still starts where each is sure to become ready', async () => {
    becomeReady = true;
    workers.enter('starts');
    assert.equal(workers.take(), undefined);
    const waiting = workers.wait(never);
    workers.ready('starts');
    assert.equal(await waiting, 'starts');
  });

  it('gives what comes free to those who wait, in the order in which they came', async () => {
    const waiting = [workers.wait(never), workers.wait(never), workers.wait(never)];
    workers.enter('new');
    workers.giveBack('new');
    workers.enter('another');
    assert.deepEqual(await Promise.all(waiting), ['new', 'new', 'another']);
    assert.equal(workers.take(), undefined, 'nobody gets one that somebody has');
  });

  it('gives nobody a worker that has ended before it was ready', () => {
    becomeReady = true;
    void workers.wait(never);
    workers.enter('ends');
    workers.leave('ends');
    workers.ready('ends');
    assert.deepEqual([workers.members(), workers.take()], [[], undefined]);
    enter('lives');
    assert.deepEqual(
      workers.members().map(({ worker, state }) => [worker, state]),
      [['lives', 'taken']],
    );
  });

  it('gives a dismissed worker to nobody, who has it or not', () => {
    enter('free', 'taken');
    workers.dismiss('free');
    assert.equal(workers.take(), 'taken');
    workers.dismiss('taken');
    assert.equal(workers.giveBack('taken'), 'in-service');
    workers.ready('free');
    assert.equal(workers.take(), undefined);
    assert.deepEqual(
      workers.members().map(({ state }) => state),
      ['dismissed', 'dismissed'],
    );
  });

  it('says when a worker has served its time, and keeps it from others then', () => {
    workers = make(2);
    enter('worker');
    workers.take();
    assert.equal(workers.giveBack('worker'), 'in-service');
    workers.take();
    assert.equal(workers.giveBack('worker'), 'retired');
    assert.equal(workers.take(), undefined);
    assert.equal(workers.leave('worker'), 2);
  });

  it('says once that a worker is idle no longer: when it is first taken, or leaves', () => {
    const [taken, left] = [workers.enter('taken'), workers.enter('left')];
    workers.take();
    assert.deepEqual([taken.aborted, left.aborted], [true, false]);
    workers.leave('left');
    assert.equal(left.aborted, true);
  });

  it('takes a worker that has had a request for ready', () => {
    becomeReady = false;
    workers.enter('worker');
    workers.take();
    workers.giveBack('worker');
    becomeReady = true;
    assert.equal(workers.take(), 'worker');
  });

  it('knows nothing of a worker that has left', () => {
    enter('worker');
    workers.take();
    assert.equal(workers.leave('worker'), 0);
    workers.dismiss('worker');
    assert.equal(workers.giveBack('worker'), 'in-service');
    assert.deepEqual([workers.take(), workers.leave('worker')], [undefined, 0]);
  });

  it('sends away those who wait, and serves those who come later', async () => {
    const waiting = workers.wait(never);
    workers.sendAway(new Error('none runs'));
    await assert.rejects(waiting, /none runs/);
    const later = workers.wait(never);
    workers.enter('worker');
    assert.equal(await later, 'worker');
  });
});
