import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { Roster } from '../../../src/runners/worker/roster.js';

const never = new AbortController().signal;

describe('A roster of workers', () => {
  let becomeReady: boolean;
  let roster: Roster<string>;

  const make = (maxRequests = 0): Roster<string> =>
    new Roster<string>({ maxRequests, becomeReady: () => becomeReady });

  /** Each is free and ready, in this order. */
  function enter(...workers: readonly string[]): void {
    for (const worker of workers) {
      roster.enter(worker);
      roster.ready(worker);
    }
  }

  beforeEach(() => {
    becomeReady = false;
    roster = make();
  });

  it('gives the worker that has been free for longest', () => {
    enter('one', 'two', 'three');
    assert.deepEqual([roster.take(), roster.take()], ['one', 'two']);
    roster.giveBack('two');
    roster.giveBack('one');
    assert.deepEqual([roster.take(), roster.take(), roster.take()], ['three', 'two', 'one']);
    assert.equal(roster.take(), undefined);
  });

  it('prefers one that is ready to one that still starts', () => {
    roster.enter('starts');
    enter('ready');
    assert.deepEqual([roster.take(), roster.take()], ['ready', 'starts']);
  });

  it('gives none that still starts where each is sure to become ready', async () => {
    becomeReady = true;
    roster.enter('starts');
    assert.equal(roster.take(), undefined);
    const waiting = roster.wait(never);
    roster.ready('starts');
    assert.equal(await waiting, 'starts');
  });

  it('gives what comes free to those who wait, in the order in which they came', async () => {
    const waiting = [roster.wait(never), roster.wait(never), roster.wait(never)];
    roster.enter('new');
    roster.giveBack('new');
    roster.enter('another');
    assert.deepEqual(await Promise.all(waiting), ['new', 'new', 'another']);
    assert.equal(roster.take(), undefined, 'nobody gets one that somebody has');
  });

  it('gives nobody a worker that has ended before it was ready', () => {
    becomeReady = true;
    void roster.wait(never);
    roster.enter('ends');
    roster.leave('ends');
    roster.ready('ends');
    assert.deepEqual([roster.members(), roster.take()], [[], undefined]);
    enter('lives');
    assert.deepEqual(
      roster.members().map(({ worker, state }) => [worker, state]),
      [['lives', 'taken']],
    );
  });

  it('gives a dismissed worker to nobody, who has it or not', () => {
    enter('free', 'taken');
    roster.dismiss('free');
    assert.equal(roster.take(), 'taken');
    roster.dismiss('taken');
    assert.equal(roster.giveBack('taken'), 'in-service');
    roster.ready('free');
    assert.equal(roster.take(), undefined);
    assert.deepEqual(
      roster.members().map(({ state }) => state),
      ['dismissed', 'dismissed'],
    );
  });

  it('says when a worker has served its time, and keeps it from others then', () => {
    roster = make(2);
    enter('worker');
    roster.take();
    assert.equal(roster.giveBack('worker'), 'in-service');
    roster.take();
    assert.equal(roster.giveBack('worker'), 'retired');
    assert.equal(roster.take(), undefined);
    assert.equal(roster.leave('worker'), 2);
  });

  it('says once that a worker is idle no longer: when it is first taken, or leaves', () => {
    const [taken, left] = [roster.enter('taken'), roster.enter('left')];
    roster.take();
    assert.deepEqual([taken.aborted, left.aborted], [true, false]);
    roster.leave('left');
    assert.equal(left.aborted, true);
  });

  it('takes a worker that has had a request for ready', () => {
    becomeReady = false;
    roster.enter('worker');
    roster.take();
    roster.giveBack('worker');
    becomeReady = true;
    assert.equal(roster.take(), 'worker');
  });

  it('knows nothing of a worker that has left', () => {
    enter('worker');
    roster.take();
    assert.equal(roster.leave('worker'), 0);
    roster.dismiss('worker');
    assert.equal(roster.giveBack('worker'), 'in-service');
    assert.deepEqual([roster.take(), roster.leave('worker')], [undefined, 0]);
  });

  it('sends away those who wait, and serves those who come later', async () => {
    const waiting = roster.wait(never);
    roster.sendAway(new Error('none runs'));
    await assert.rejects(waiting, /none runs/);
    const later = roster.wait(never);
    roster.enter('worker');
    assert.equal(await later, 'worker');
  });
});
